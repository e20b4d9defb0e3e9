//! Builds the native module: the filter as a shared library, which Envoy loads without a VM.

use std::path::PathBuf;

use crate::command::{Result, run as run_command, step};
use crate::place::Place;
use crate::{elf, wasm, zig};

/// The package of the module.
pub const PACKAGE: &str = "oss-origin-auth-native";

/// The profile that it is built with, and the folder in the target's that this makes.
pub const PROFILE: &str = "module";

/// The file, by whose name Envoy looks for it.
pub const FILE: &str = "liboss_origin_auth_native.so";

/// Builds the module for an architecture and an old glibc, and checks that Envoy can load
/// it; where it is.
pub fn build(place: &Place, architecture: &str) -> Result<PathBuf> {
    let target = format!("{architecture}-unknown-linux-gnu");
    wasm::install_target(&target)?;
    step(&format!("building a native module for {architecture}"));
    let flags = wasm::without_paths(place)?;
    let mut cargo = place.cargo();
    cargo
        .args(["build", "--profile", PROFILE, "--package", PACKAGE])
        .args(["--target", &target])
        .arg("--config")
        .arg(format!("target.{target}.rustflags={flags:?}"));
    zig::link(&mut cargo, architecture)?;
    run_command(&mut cargo)?;
    let file = place.target.join(target).join(PROFILE).join(FILE);
    elf::check(&file, architecture)?;
    Ok(file)
}
