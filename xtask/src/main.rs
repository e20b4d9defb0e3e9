//! The project's commands. Each installs and builds what it needs.

mod attack;
mod bench;
mod command;
mod demo;
mod dist;
mod docker;
mod elf;
mod fuzz;
mod hosts;
mod install;
mod instructions;
mod memcheck;
mod module;
mod native;
mod place;
mod progress;
mod render;
mod runner;
mod schema;
mod setup;
mod structure;
mod test;
mod wasm;
mod zig;

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
    /// Install Envoy and the SDKs into target/, build the filter and the command
    Setup,
    /// Build the filter and the command
    Build {
        /// Build the content of the images: a static command, in target/image/
        #[arg(long)]
        image: bool,
    },
    Test(test::Options),
    Attack(attack::Options),
    Demo(demo::Options),
    Bench(bench::Options),
    Instructions(instructions::Options),
    Memcheck(memcheck::Options),
    Fuzz(fuzz::Options),
    /// It has moved
    #[command(hide = true)]
    CheckConfig(Moved),
    /// It has moved
    #[command(hide = true)]
    SignUrl(Moved),
    Dist(dist::Options),
    Structure(structure::Options),
    /// Write the configurations and manifests that are shipped: envoy/, deploy/ and
    /// docker-compose.yml
    Render,
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

/// The arguments of a command that is no longer part of the project.
#[derive(clap::Args)]
struct Moved {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Moved {
    fn problem(&self, name: &str) -> String {
        let arguments = self.arguments.join(" ");
        let new = format!("cargo oss-origin-auth {name} {arguments}");
        format!(
            "it is part of the released command now: `{}`",
            new.trim_end()
        )
    }
}

fn main() -> ExitCode {
    if let Err(problem) = run(Options::parse().command) {
        eprintln!("cargo xtask: {problem}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(task: Task) -> Result {
    match task {
        Task::Setup => setup::run()?,
        Task::Build { image: false } => setup::build()?,
        Task::Build { image: true } => dist::build_image()?,
        Task::Test(options) => test::run(&options)?,
        Task::Attack(options) => attack::run(&options)?,
        Task::Demo(options) => demo::run(&options)?,
        Task::Bench(options) => bench::run(&options)?,
        Task::Instructions(options) => instructions::run(&options)?,
        Task::Memcheck(options) => memcheck::run(&options)?,
        Task::Fuzz(options) => fuzz::run(&options)?,
        Task::CheckConfig(moved) => return Err(moved.problem("check-config")),
        Task::SignUrl(moved) => return Err(moved.problem("sign-url")),
        Task::Dist(options) => dist::run(&options)?,
        Task::Render => render::write()?,
        Task::Schema => schema::write()?,
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
    Ok(())
}

fn soak(minutes: u64) -> Result {
    // A wrong variable is reported before anything is built.
    testkit::tools::try_host()?;
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_in_the_documents_is_known() {
        testkit::documents::check_commands("cargo xtask", |arguments| {
            let error = Options::command().try_get_matches_from(arguments).err()?;
            Some((format!("{:?}", error.kind()), error.to_string()))
        });
    }
}
