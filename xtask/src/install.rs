//! Tools from the system's packages.

use std::process::Command;

use crate::Result;
use crate::setup::step;

/// Makes sure that a program can be started: installs the Debian package that
/// has it, where this is allowed.
pub fn provide(program: &str, package: &str) -> Result {
    let there = || Command::new(program).arg("--version").output().is_ok();
    if there() {
        return Ok(());
    }
    step(&format!("installing the package {package}, for {program}"));
    let apt = |arguments: &[&str]| {
        let _ = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
    };
    apt(&["install", "--yes", "--no-install-recommends", package]);
    if !there() {
        // The list of packages may be old.
        apt(&["update"]);
        apt(&["install", "--yes", "--no-install-recommends", package]);
    }
    match there() {
        true => Ok(()),
        false => Err(format!(
            "{program} is missing, and the package {package} could not be installed; install it by hand"
        )),
    }
}
