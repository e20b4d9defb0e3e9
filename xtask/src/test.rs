//! The tests, in three tiers: `cargo test` runs those that need no set-up, this command adds
//! those that need a real Envoy, and `--all` adds those that need packages of the system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use testkit::{clients, docker as engine, tools};

use crate::command::{Result, cargo, step};
use crate::hosts::{self, Hosts, LeftOut};
use crate::runner::{self, Outcome, Test};
use crate::{dist, docker, install, instructions, setup};

/// Run the tests, those that need a real Envoy included; installs only into
/// target/
///
/// Each test that needs Envoy has a process of its own. The last line is
/// `tests: N passed, N failed, N skipped`, and how many of these do not run with a host.
#[derive(clap::Args)]
pub struct Options {
    /// Also the tests that need Docker, Prometheus, valgrind, other versions of Envoy, or
    /// clients: curl, wget, aria2, ffmpeg, Chromium, git, Node. Asks before it installs Debian
    /// packages as root; OSS_SKIP_DOCKER=1 leaves out those with Docker,
    /// OSS_SKIP_CLIENTS=1 those with clients
    #[arg(long)]
    all: bool,
    /// Install Debian packages without asking
    #[arg(long, requires = "all")]
    yes: bool,
    /// The host of the filter; without this, that of OSS_FILTER_HOST, or else wasm
    #[arg(long, value_enum)]
    host: Option<Hosts>,
    /// Cover matrices by pairs, not by all their combinations
    #[arg(long)]
    pairwise: bool,
    /// How many tests run at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Of the tests that need Envoy, leave out those whose name contains this; they
    /// are shown as skipped
    #[arg(long)]
    skip: Option<String>,
    /// Run only the tests whose name contains this
    #[arg(last = true)]
    filter: Option<String>,
}

/// The number of tests by result.
#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    skipped: usize,
}

const WITHOUT: &str = "without it `cargo xtask test --all` runs them";
const OF_ALL: &str = "that need Docker, Prometheus, valgrind, clients or other versions of Envoy; \
                      `cargo xtask test --all` runs them";

/// The name that stands for the count of instructions among the tests.
const INSTRUCTIONS: &str = "instructions";

/// Runs the tests, and prints their results.
pub fn run(options: &Options) -> Result {
    let hosts = Hosts::or_of_environment(options.host)?;
    // An engine that was started here ends with this command.
    let mut _engine = None;
    if options.all {
        install::provide_all(&packages(), options.yes)?;
    }
    setup::run()?;
    if options.all {
        setup::install_envoys()?;
        _engine = docker::provide(options.yes)?;
        dist::provide()?;
    }

    let mut sum = Sum::default();
    step("tests that need no set-up");
    let mut problems = Vec::from_iter(run_plain(options, &mut sum)?);

    step("tests that need set-up");
    let plan = Plan::new(options, hosts)?;
    // `cargo test` has built it with the features of the tests' libraries.
    setup::Part::Command.build()?;
    let outcomes = runner::run(plan.run, options.jobs.into(), &options.environment())?;
    for outcome in &outcomes {
        sum.count(outcome.problem.is_none());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.problem.is_some());
    problems.extend(failed.map(|outcome| outcome.name.clone()));
    if options.wants(INSTRUCTIONS) && options.all {
        let result = instructions::run(&instructions::Options::default());
        sum.count(result.is_ok());
        problems.extend(result.err());
    }

    show_slowest(outcomes);
    for (why, count) in plan.skipped {
        sum.skipped += count;
        println!("skipped: {count} {why}");
    }
    println!(
        "tests: {} passed, {} failed, {} skipped{}",
        sum.passed, sum.failed, sum.skipped, plan.left_out
    );
    match (problems.as_slice(), sum.passed) {
        ([], 0) => Err("no test has run; is the filter right?".into()),
        ([], _) => Ok(()),
        (problems, _) => Err(format!("failed: {}", problems.join(", "))),
    }
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|part| name.contains(part))
    }

    /// The environment of all tests.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let pairwise = self.pairwise.then(|| (tools::PAIRWISE, "1".into()));
        pairwise.into_iter().collect()
    }

    /// The reason why a test does not run with any host.
    fn leaves_out(&self, test: &Test, is_system: bool) -> Option<String> {
        let is_skipped = |part: &String| test.name.contains(part);
        if self.skip.as_ref().is_some_and(is_skipped) {
            Some("as --skip says".into())
        } else if is_system && !self.all {
            Some(OF_ALL.into())
        } else if test.ignored {
            Some("that are marked `#[ignore]`".into())
        } else if engine::is_skipped() && test.name.starts_with("compose::") {
            Some(format!(
                "that need Docker, as {} says; {WITHOUT}",
                engine::SKIP
            ))
        } else if clients::is_skipped() && test.name.starts_with("clients::") {
            let variable = clients::SKIP;
            Some(format!("that need clients, as {variable} says; {WITHOUT}"))
        } else {
            None
        }
    }
}

impl Sum {
    fn count(&mut self, good: bool) {
        match good {
            true => self.passed += 1,
            false => self.failed += 1,
        }
    }
}

/// The programs that `--all` needs, each with its Debian package.
fn packages() -> Vec<(&'static str, &'static str)> {
    let mut needs = vec![
        ("curl", "curl"),
        ("promtool", "prometheus"),
        ("prometheus", "prometheus"),
        ("valgrind", "valgrind"),
    ];
    needs.extend(dist::packages());
    if !engine::is_skipped() {
        needs.extend(docker::packages());
    }
    if !clients::is_skipped() {
        needs.extend(clients::PACKAGES);
    }
    needs
}

/// The tests with set-up that run.
struct Plan {
    run: Vec<Test>,
    /// The number of tests that are left out, by reason.
    skipped: BTreeMap<String, usize>,
    /// The tests that do not run with their host.
    left_out: LeftOut,
}

impl Plan {
    fn new(options: &Options, hosts: Hosts) -> Result<Plan> {
        let mut plan = Plan {
            run: Vec::new(),
            skipped: BTreeMap::new(),
            left_out: LeftOut::default(),
        };
        // All targets are built, so that tests that are left out are counted and compile.
        let names = ["envoy", "attack", "system"];
        let mut tests = Vec::new();
        for (target, program) in names.iter().zip(runner::build(&names)?) {
            let of_program = runner::list(&program)?.into_iter();
            tests.extend(of_program.map(|test| (test, *target == "system")));
        }
        hosts::check_lists(tests.iter().map(|(test, _)| test.name.as_str()))?;
        tests.retain(|(test, _)| options.wants(&test.name));
        for host in hosts.each() {
            for (test, is_system) in &tests {
                let test = test.on(*host);
                if let Some(group) = hosts.leaves_out(&test) {
                    plan.left_out.count(*host, group);
                    plan.skip(&format!("with the host {host}, {}", group.why));
                } else if let Some(why) = options.leaves_out(&test, *is_system) {
                    plan.skip(&why);
                } else {
                    plan.run.push(test);
                }
            }
        }
        if options.wants(INSTRUCTIONS) && !options.all {
            plan.skip(OF_ALL);
        }
        Ok(plan)
    }

    fn skip(&mut self, why: &str) {
        *self.skipped.entry(why.to_owned()).or_default() += 1;
    }
}

/// Runs `cargo test` for the workspace, and shows its output; returns the problem if it fails.
fn run_plain(options: &Options, sum: &mut Sum) -> Result<Option<String>> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.envs(options.environment());
    if let Some(filter) = &options.filter {
        command.args(["--", filter]);
    }
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cargo test: {error}"))?;
    let failed_before = sum.failed;
    let output = child.stdout.take().map(BufReader::new);
    let lines = output.into_iter().flat_map(BufRead::lines);
    for line in lines.map_while(std::io::Result::ok) {
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            sum.passed += number_before(result, "passed");
            sum.failed += number_before(result, "failed");
            sum.skipped += number_before(result, "ignored");
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(None);
    }
    if sum.failed == failed_before {
        // The tests ended before they were counted.
        sum.failed += 1;
    }
    Ok(Some(format!("cargo test ended with {status}")))
}

/// Reads a number of a line such as `ok. 3 passed; 0 failed; 1 ignored; …`.
fn number_before(result: &str, word: &str) -> usize {
    let mut parts = result.split([';', '.']);
    let part = parts.find_map(|part| part.trim().strip_suffix(word));
    let number = part.and_then(|number| number.trim().parse().ok());
    number.unwrap_or(0)
}

fn show_slowest(mut outcomes: Vec<Outcome>) {
    outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.took));
    let sum: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    let count = outcomes.len();
    println!(
        "the slowest of {count} tests, which took {:.0} s:",
        sum.as_secs_f64()
    );
    for outcome in outcomes.iter().take(10) {
        println!("  {:6.1} s  {}", outcome.took.as_secs_f64(), outcome.name);
    }
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn a_result_of_cargo_is_read() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished";
        let numbers = ["passed", "failed", "ignored"].map(|word| number_before(line, word));
        assert_eq!(numbers, [12, 3, 1]);
    }
}
