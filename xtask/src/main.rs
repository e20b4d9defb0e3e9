//! The project's commands. Each does all the set-up that it needs.

mod demo;
mod setup;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

pub type Result<T = ()> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(about = "The project's commands", bin_name = "cargo xtask")]
struct Options {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install Envoy and the SDKs into target/, build the filter and the sidecar
    Setup,
    /// Run every test; what follows `--` goes to cargo test
    Test {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Show a private object served through Envoy
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let result = match Options::parse().command {
        Task::Setup => setup::run(),
        Task::Test { arguments } => test(&arguments),
        Task::Demo(options) => demo::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cargo xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn test(arguments: &[String]) -> Result {
    setup::run()?;
    let mut command = setup::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    run(command.args(arguments))
}

/// Runs a command; its failure is an error that names it.
fn run(command: &mut Command) -> Result {
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}
