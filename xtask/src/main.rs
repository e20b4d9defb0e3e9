//! The project's commands. Each does all the set-up that it needs.

mod attack;
mod bench;
mod command;
mod config;
mod demo;
mod dist;
mod docker;
mod fuzz;
mod install;
mod instructions;
mod runner;
mod setup;
mod sign_url;
mod structure;
mod test;
mod wasm;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use testkit::soak::Plan;

use command::Result;

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
    Test(test::Options),
    Attack(attack::Options),
    /// Show a private object served through Envoy
    Demo(demo::Options),
    Bench(bench::Options),
    Instructions(instructions::Options),
    Fuzz(fuzz::Options),
    CheckConfig(config::CheckOptions),
    SignUrl(sign_url::Options),
    /// Write what a release consists of into target/dist/: the module, a static
    /// sidecar, checksums, SBOM, notices
    Dist,
    Structure(structure::Options),
    /// Write docs/configuration.schema.json from the code
    Schema,
    /// Load Envoy while credentials rotate and the sidecar fails, or the sidecar alone;
    /// report at the end
    Soak {
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// The sidecar alone, among callers that mean harm
        #[arg(long)]
        sidecar: bool,
    },
}

fn main() -> ExitCode {
    run(Options::parse().command).unwrap_or_else(|problem| {
        eprintln!("cargo xtask: {problem}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run()?,
        Task::Build { image: false } => setup::build()?,
        Task::Build { image: true } => setup::build_image()?,
        Task::Test(options) => test::run(&options)?,
        Task::Attack(options) => attack::run(&options)?,
        Task::Demo(options) => demo::run(&options)?,
        Task::Bench(options) => bench::run(&options)?,
        Task::Instructions(options) => instructions::run(&options)?,
        Task::Fuzz(options) => fuzz::run(&options)?,
        Task::CheckConfig(options) => return config::check(&options),
        Task::SignUrl(options) => sign_url::run(&options)?,
        Task::Dist => dist::run()?,
        Task::Schema => config::write_schema()?,
        Task::Structure(options) => structure::run(&options)?,
        Task::Soak {
            minutes,
            sidecar: false,
        } => soak(minutes)?,
        Task::Soak {
            minutes,
            sidecar: true,
        } => soak_sidecar(minutes)?,
    }
    Ok(ExitCode::SUCCESS)
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

fn soak_sidecar(minutes: u64) -> Result {
    setup::run()?;
    let report = testkit::sidecar_soak::run(Duration::from_secs(minutes * 60));
    print!("{report}");
    report
        .problem()
        .map_or(Ok(()), |problem| Err(problem.into()))
}
