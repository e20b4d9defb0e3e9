//! Attacks on a module of the filter, a given one or the one that is built here. Old faults
//! must stay fixed.

use std::ffi::OsString;
use std::path::PathBuf;

use testkit::attack;
use testkit::tools::{self, Host};

use crate::command::{Result, step};
use crate::runner::{self, Outcome};
use crate::setup;

/// Attack the filter in a real Envoy, in both of its positions; `cargo xtask test`
/// does it too
///
/// Each test has a process of its own, and a line that says how it ended. The last line
/// is `attacks: N withstood, N got through`.
#[derive(clap::Args)]
pub struct Options {
    /// Attack this wasm module, and not the one that is built here
    #[arg(long, value_name = "FILE", value_parser = existing)]
    module: Option<PathBuf>,
    /// The host of the filter: wasm or native; without this, that of OSS_FILTER_HOST, or else
    /// wasm
    #[arg(long, conflicts_with = "module")]
    host: Option<Host>,
    /// How many random requests
    #[arg(long, default_value_t = 5_000)]
    requests: u32,
    /// The seed of the random requests; without it, that of `cargo xtask test`
    #[arg(long)]
    seed: Option<String>,
    /// How many tests run at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

fn existing(file: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(file);
    // The tests run in another folder, so the path must be absolute.
    path.canonicalize().map_err(|error| error.to_string())
}

/// Runs all attacks, and prints how many were withstood.
pub fn run(options: &Options) -> Result {
    match options.module {
        Some(_) => setup::install_python_packages(&setup::LISTS)?,
        None => setup::run()?,
    }
    let outcomes = options.found_before()?;
    let through: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.problem.is_some())
        .map(|outcome| outcome.name.as_str())
        .collect();
    println!(
        "attacks: {} withstood, {} got through",
        outcomes.len() - through.len(),
        through.len()
    );
    match (outcomes.len(), through.as_slice()) {
        (0, _) => Err("no test has run; is the filter right?".into()),
        (_, []) => Ok(()),
        (_, through) => Err(format!("got through: {}", through.join(", "))),
    }
}

impl Options {
    fn host(&self) -> Result<Host> {
        match (self.host, &self.module) {
            (Some(host), _) => Ok(host),
            (None, Some(_)) => Ok(Host::Wasm),
            (None, None) => tools::try_host(),
        }
    }

    /// Runs the tests in tests/attack, which repeat what earlier attacks have found.
    fn found_before(&self) -> Result<Vec<Outcome>> {
        step("what was found before");
        let host = self.host()?;
        let mut tests = Vec::new();
        for program in runner::build(&["attack"])? {
            tests.extend(runner::list(&program)?);
        }
        let wanted = |name: &str| self.filter.as_ref().is_none_or(|part| name.contains(part));
        tests.retain(|test| wanted(&test.name));
        let tests = tests.iter().map(|test| test.on(host)).collect();
        runner::run(tests, self.jobs.into(), &self.environment())
    }

    /// The environment of all attacks.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut set = vec![(attack::REQUESTS, self.requests.to_string().into())];
        set.extend(self.seed.iter().map(|seed| (attack::SEED, seed.into())));
        let module = self.module.iter();
        set.extend(module.map(|file| (tools::MODULE, file.into())));
        set
    }
}
