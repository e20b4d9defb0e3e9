//! Builds wasm modules for Envoy.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::tools;
use walrus::ModuleConfig;

use crate::command::{Result, run_quietly, step};
use crate::place::Place;

/// The target of Rust for Envoy's VM.
pub const TARGET: &str = "wasm32-wasip1";

/// The exports that Envoy may call. The SDK exports a function for every callback, and Envoy
/// calls each exported one, even if it does nothing, which costs microseconds for every
/// request. (ABI 0.2.1; `_initialize` belongs to WASI.)
pub const EXPORTS: [&str; 16] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_http_call_response",
    "proxy_on_context_create",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_delete",
];

/// The exports of the filter that replace those of the SDK (`src/bodies.rs`).
const STAND_INS: [(&str, &str); 1] =
    [("oss_origin_auth_on_response_body", "proxy_on_response_body")];

/// The exports of a filter that Envoy never calls.
pub const NO_CALLBACKS: [&str; 4] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
];

/// Builds the filter as plain `cargo build` does, but without exports that do nothing.
pub fn build_filter() -> Result {
    build_filter_in(&Place::here()).map(|_| ())
}

/// Builds the filter of a source tree; returns its path.
pub fn build_filter_in(place: &Place) -> Result<PathBuf> {
    let path = build(place, "oss-origin-auth", "oss_origin_auth", &[])?;
    trim(&path, &path, &EXPORTS)?;
    Ok(path)
}

/// Builds a peer or the floor, as fast as the compiler can make it.
pub fn build_peer(package: &str, library: &str) -> Result<PathBuf> {
    let fast = ["--config", "profile.release.opt-level=3"];
    build(&Place::here(), package, library, &fast)
}

/// Builds a module as the SDK and cargo do, with `more` arguments for cargo.
fn build(place: &Place, package: &str, library: &str, more: &[&str]) -> Result<PathBuf> {
    install_target(TARGET)?;
    // Flags from all places are joined, including .cargo/config.toml.
    let flags = without_paths(place)?;
    let flags = format!("target.{TARGET}.rustflags={flags:?}");
    run_quietly(
        place
            .cargo()
            .args(["build", "--release", "--lib"])
            .args(["--config", &flags])
            .args(more)
            .args(["--package", package, "--target", TARGET]),
    )?;
    let folder = place.target.join(TARGET).join("release");
    Ok(folder.join(library).with_extension("wasm"))
}

/// The flags that keep the folders of this machine out of the build: its panics name the source
/// files.
pub fn without_paths(place: &Place) -> Result<Vec<String>> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(tools::root())
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    let home = match std::env::var("CARGO_HOME") {
        Ok(home) => home,
        Err(_) => format!("{}/.cargo", std::env::var("HOME").unwrap_or_default()),
    };
    let mut folders = vec![
        place.root.display().to_string(),
        format!("{sysroot}/lib/rustlib/src/rust"),
    ];
    let registry = std::fs::read_dir(format!("{home}/registry/src"));
    for index in registry.into_iter().flatten().flatten() {
        folders.push(index.path().display().to_string());
    }
    let remap = |folder| format!("--remap-path-prefix={folder}/=");
    Ok(folders.into_iter().map(remap).collect())
}

/// Removes all exports but `kept`, and what is then unused.
pub fn trim(from: &Path, to: &Path, kept: &[&str]) -> Result {
    let mut module = ModuleConfig::new()
        .generate_producers_section(false)
        .parse_file(from)
        .map_err(|error| format!("{}: {error}", from.display()))?;
    for (stand_in, name) in STAND_INS {
        let function = module.exports.iter().find(|export| export.name == stand_in);
        if let Some(function) = function.map(|export| export.item)
            && let Some(export) = module.exports.iter_mut().find(|export| export.name == name)
        {
            export.item = function;
        }
    }
    let dropped: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !kept.contains(&export.name.as_str()))
        .map(walrus::Export::id)
        .collect();
    for export in dropped {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(&mut module);
    // cargo keeps a hard link to the file, so that must not change.
    let new = to.with_extension("new");
    std::fs::write(&new, module.emit_wasm())
        .and_then(|()| std::fs::rename(&new, to))
        .map_err(|error| format!("{}: {error}", to.display()))
}

/// Installs the standard library for another target than this machine.
pub fn install_target(target: &str) -> Result {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(tools::root())
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        return Ok(());
    }
    step(&format!("adding the Rust target {target}"));
    run_quietly(
        Command::new("rustup")
            .args(["target", "add", target])
            .current_dir(tools::root()),
    )
    .map_err(|problem| format!("{problem}; install the Rust target {target} by hand"))
}
