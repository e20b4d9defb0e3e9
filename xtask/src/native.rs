//! Builds the command `oss-origin-auth` as one static file, for any machine.

use std::path::PathBuf;

use crate::command::{Result, run as run_command, step};
use crate::place::Place;
use crate::{install, wasm};

/// The architectures of a release, as Rust and `uname -m` name them.
pub const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The package of the command.
pub const PACKAGE: &str = "oss-origin-auth-cli";

/// The architecture of this machine.
pub const HOST: &str = std::env::consts::ARCH;

/// The program that builds for an architecture, and its Debian packages. The library ring has
/// parts in C.
pub fn compiler(architecture: &str) -> (&'static str, &'static str) {
    match architecture {
        HOST => ("musl-gcc", "musl-tools"),
        "aarch64" => (
            "aarch64-linux-gnu-gcc",
            "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ),
        _ => (
            "x86_64-linux-gnu-gcc",
            "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        ),
    }
}

/// Builds the command for an architecture; returns its path.
pub fn build(place: &Place, architecture: &str) -> Result<PathBuf> {
    let target = format!("{architecture}-unknown-linux-musl");
    let (compiler, package) = compiler(architecture);
    install::provide(compiler, package)?;
    wasm::install_target(&target)?;
    step(&format!("building a static command for {architecture}"));
    let flags = wasm::without_paths(place)?;
    let mut cargo = place.cargo();
    cargo
        .args(["build", "--profile", "native", "--package", PACKAGE])
        .args(["--target", &target])
        .arg("--config")
        .arg(format!("target.{target}.rustflags={flags:?}"));
    if architecture != HOST {
        // The linker uses Rust's own files for musl, and nothing of the system.
        let linker = format!("target.{target}.linker={compiler:?}");
        cargo.args(["--config", &linker]);
        cargo.env(format!("CC_{}", target.replace('-', "_")), compiler);
    }
    run_command(&mut cargo)?;
    Ok(place.target.join(target).join("native/oss-origin-auth"))
}
