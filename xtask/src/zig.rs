//! Zig as a linker. It has the stubs of every glibc, so that the results load on older systems
//! and on another architecture.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::tools;

use crate::command::{Result, run as run_command, step};

const VERSION: &str = "0.17.1";

/// The version of glibc for linking: the oldest that Rust's standard library supports.
pub const GLIBC: (u16, u16) = (2, 17);

/// Makes a build link with Zig for an architecture, with our version of glibc.
pub fn link(cargo: &mut Command, architecture: &str) -> Result {
    let folder = install()?;
    let linker = write_linker(&folder, architecture)?;
    let linker = linker.display().to_string();
    let target = format!("{architecture}-unknown-linux-gnu");
    cargo.args(["--config", &format!("target.{target}.linker={linker:?}")]);
    // The cache holds what Zig compiles itself, such as the code that unwinds the stack.
    let cache = folder.join("cache");
    cargo.env("ZIG_GLOBAL_CACHE_DIR", &cache);
    cargo.env("ZIG_LOCAL_CACHE_DIR", &cache);
    Ok(())
}

/// Installs Zig from PyPI; returns its path.
fn install() -> Result<PathBuf> {
    let folder = tools::target().join("tools/zig");
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
        return Ok(folder);
    }
    step(&format!(
        "installing Zig {VERSION} from PyPI into target/tools"
    ));
    let venv = Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder)
        .status();
    if !venv.is_ok_and(|status| status.success()) {
        return Err(
            "python3 makes no venv; the Debian package python3-venv has what it needs".into(),
        );
    }
    run_command(
        Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .arg("--disable-pip-version-check")
            .arg(format!("ziglang=={VERSION}")),
    )?;
    std::fs::write(&stamp, VERSION).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// Writes a program that links like a C compiler, since rustc cannot pass first arguments to a
/// linker.
fn write_linker(folder: &Path, architecture: &str) -> Result<PathBuf> {
    let (major, minor) = GLIBC;
    let python = folder.join("bin/python");
    let script = format!(
        "#!/bin/sh\nexec \"{}\" -m ziglang cc -target {architecture}-linux-gnu.{major}.{minor} \"$@\"\n",
        python.display()
    );
    let file = folder.join(format!("link-{architecture}"));
    let written = std::fs::write(&file, script).and_then(|()| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
    });
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}
