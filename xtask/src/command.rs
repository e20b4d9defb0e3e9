//! How this program starts others: with cargo's own settings out of the way, and
//! with a failure that names the command.

use std::process::Command;

use testkit::tools;

/// What a command of this program ends with; the error is a text for the user.
pub type Result<T = ()> = std::result::Result<T, String>;

/// Runs a command; its failure is an error that names it.
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

/// The cargo that runs this command, in the project's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tools::root());
    // What cargo has told this program of itself. The build script of ring reads it,
    // and would run again whenever cargo is started by somebody else.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Tells the user what is done next.
pub fn step(name: &str) {
    eprintln!("==> {name}");
}
