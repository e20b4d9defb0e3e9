//! The project's commands. Each does all the set-up that it needs.

mod bench;
mod config;
mod demo;
mod dist;
mod docker;
mod fuzz;
mod install;
mod instructions;
mod setup;
mod wasm;

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use std::time::Duration;

use clap::{Parser, Subcommand};
use testkit::soak::Plan;

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
    /// Build the filter and the sidecar
    Build {
        /// What images are made of: a static sidecar, in target/image/
        #[arg(long)]
        image: bool,
    },
    /// Run every test; what follows `--` goes to cargo test
    Test {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Show a private object served through Envoy
    Demo(demo::Options),
    Bench(bench::Options),
    Instructions(instructions::Options),
    Fuzz(fuzz::Options),
    CheckConfig(config::CheckOptions),
    /// Write what a release consists of into target/dist/: the module, a static
    /// sidecar, checksums, SBOM, notices
    Dist,
    /// Write docs/configuration.schema.json from the code
    Schema,
    /// Load Envoy while credentials rotate and the sidecar fails; report at the end
    Soak {
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
}

fn main() -> ExitCode {
    let result = match Options::parse().command {
        Task::Setup => setup::run(),
        Task::Build { image: false } => setup::build(),
        Task::Build { image: true } => setup::build_image(),
        Task::Test { arguments } => test(&arguments),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Instructions(options) => instructions::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::CheckConfig(options) => config::check(&options),
        Task::Dist => dist::run(),
        Task::Schema => config::write_schema(),
        Task::Soak { minutes } => soak(minutes),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cargo xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `cargo test`, repeats what it says, and closes with the sum.
fn test(arguments: &[String]) -> Result {
    setup::run()?;
    install::provide("curl", "curl")?;
    install::provide("promtool", "prometheus")?;
    // Ends with this command, if it was started here.
    let _engine = docker::provide()?;
    let mut command = setup::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.args(arguments).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cargo test: {error}"))?;
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    let output = child.stdout.take().map(BufReader::new);
    for line in output
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(std::io::Result::ok)
    {
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            let count = |word: &str| {
                let mut parts = result.split([';', '.']);
                let part = parts.find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|number| number.trim().parse().ok())
                    .unwrap_or(0_u32)
            };
            passed += count("passed");
            failed += count("failed");
            ignored += count("ignored");
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    println!("tests: {passed} passed, {failed} failed, {ignored} skipped");
    if !status.success() || passed == 0 {
        return Err(format!("cargo test ended with {status}"));
    }
    match arguments.is_empty() {
        true => instructions::run(&instructions::Options::default()),
        false => Ok(()),
    }
}

fn soak(minutes: u64) -> Result {
    setup::run()?;
    let report = testkit::soak::run(&Plan {
        requests: 0,
        duration: Duration::from_secs(minutes * 60),
        rotations: 50,
        restarts: 10,
        outages: 3,
    });
    print!("{report}");
    match report.counts.failed.is_empty() {
        true => Ok(()),
        false => Err("requests failed".into()),
    }
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
