//! Builds the native module: the filter as a shared library, which Envoy loads without a VM.

use std::path::PathBuf;

use testkit::tools;

use crate::command::{Result, run as run_command, step};
use crate::place::Place;
use crate::{elf, wasm, zig};

/// The package of the module.
pub const PACKAGE: &str = "oss-origin-auth-native";

/// The file name by which Envoy finds the module.
pub const FILE: &str = "liboss_origin_auth_native.so";

/// Builds the module for an architecture and an old glibc, checks that Envoy can load it, and
/// returns its path.
pub fn build(place: &Place, architecture: &str) -> Result<PathBuf> {
    let target = format!("{architecture}-unknown-linux-gnu");
    wasm::install_target(&target)?;
    step(&format!("building a native module for {architecture}"));
    let flags = wasm::without_paths(place)?;
    let mut cargo = place.cargo();
    cargo
        .args(["build", "--profile", tools::MODULE_PROFILE])
        .args(["--package", PACKAGE, "--target", &target])
        .arg("--config")
        .arg(format!("target.{target}.rustflags={flags:?}"));
    zig::link(&mut cargo, architecture)?;
    run_command(&mut cargo)?;
    let folder = place.target.join(target).join(tools::MODULE_PROFILE);
    let file = folder.join(FILE);
    elf::check(&file, architecture)?;
    Ok(file)
}
