//! Starts other programs, without cargo's own variables. An error names the command.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use testkit::tools;

/// The result of a command of this program; the error is a text for the user.
pub type Result<T = ()> = std::result::Result<T, String>;

/// Runs a command; an error names it.
pub fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}

/// Runs a command and shows its output only if it fails; the error names the command and has
/// the output.
pub fn run_quietly(command: &mut Command) -> Result {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(format!("{said}{command:?} ended with {}", output.status))
}

/// The cargo that runs this command, in the project's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tools::root());
    // Cargo sets variables for this program. The build script of ring reads them, and would run
    // again whenever cargo is started in another way.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Shows the user what is done next.
pub fn step(name: &str) {
    // On a terminal there may be a line of progress.
    let begin = if std::io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    eprintln!("{begin}==> {name}");
}
