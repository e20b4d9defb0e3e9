//! The report of the measurements.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use super::chains::{BOTH, LATENCY};
use super::compared::{added, added_ratio, more};
use super::envoy::TOKEN_LENGTH;
use super::figures::{self, limits_table};
use super::measured::{Added, BASE, CONNECTIONS, Costs, LARGE, Measured, Start, Workers};
use super::session::LATENCY_ROUNDS;
use super::statistics::{Estimate, median};

/// The table of each chain's cost for a small body.
pub fn small_table(costs: &Costs) -> String {
    let mut text = String::new();
    costs_table(
        &mut text,
        "Small bodies, every request for another object",
        "µs",
        1e6,
        costs,
    );
    text
}

/// The tables of each chain's costs.
pub fn tables(measured: &Measured) -> String {
    let mut text = small_table(&measured.small);
    costs_table(&mut text, "One object", "µs", 1e6, &measured.hot);
    let title = format!("Bodies of {} MiB", LARGE >> 20);
    costs_table(&mut text, &title, "ms", 1e3, &measured.large);
    text.push_str(&breakdown(&measured.floor, &measured.instructions));
    let title = "Many routes and credentials";
    costs_table(&mut text, title, "µs", 1e6, &measured.scale);
    if !measured.headers.is_empty() {
        costs_table(
            &mut text,
            "20 more request headers",
            "µs",
            1e6,
            &measured.headers,
        );
    }
    text
}

/// The whole report, with the figures at its end.
pub fn whole(measured: &Measured) -> String {
    let mut text = String::from(PREFACE);
    push_conditions(&mut text, measured);
    let figures = figures::all(measured);
    push_hosts(&mut text, measured);
    text.push_str(&limits_table(&figures));
    text.push_str(&tables(measured));
    text.push_str(&latency(&measured.latency));
    push_workers(&mut text, &measured.workers);
    text.push_str(&starts(&measured.starts));
    text.push_str(&instructions(&measured.instructions));
    let figures = figures::lines(&figures);
    let _ = write!(text, "## Figures\n\n```text\n{figures}```\n");
    text
}

const PREFACE: &str = "# What the filter costs\n\n\
    Written by `cargo xtask bench`, in some 22 minutes on a machine that does nothing else. \
    [docs/COST.md](../docs/COST.md) says why the figures are as they are.\n\n\
    ## How to read this\n\n\
    - A *chain* is a listener of Envoy with some filters. Envoy has one worker. h2load asks all \
    chains of a table in turn, round after round, so that noise of the machine meets all of them.\n\
    - The *cost* is CPU time of the whole Envoy process per request \
    (`/proc/PID/task/*/schedstat`).\n\
    - *Added* is what a chain costs more than `no-filter` in the same rounds. That is the price of \
    the filter.\n\
    - *Spread* goes from the 5th to the 95th percentile of a bootstrap over the rounds. Two values \
    whose spreads overlap cannot be told apart.\n\
    - Compare lines of one table only. Most tables have an Envoy of their own, and the more chains \
    an Envoy has, the more each request costs: they crowd one another out of the caches. So the \
    same chain has other figures in another table. *Both hosts* is the most exact.\n\n\
    | chain | what it is |\n|---|---|\n\
    | `…-upstream`, `…-downstream` | the filter stands on the cluster, or among the listener's filters |\n\
    | `v4-…`, `v1-…` | the wasm filter, with signatures of OSS's version 4 or 1 |\n\
    | `native-…` | the same filter as a native module |\n\
    | `access-…` | the filter checks signed URLs, and signs nothing |\n\
    | `…-delegated` | the filter in Envoy's `match_delegate`, which good answers pass by |\n\
    | `…-routes`, `…-credentials` | the filter with so many routes or names of credentials |\n\
    | `aws-…` | Envoy's own `aws_request_signing`, which signs for S3 |\n\
    | `do-nothing-…` | a filter of the SDK without code of its own; `trimmed` without unused callbacks |\n\
    | `no-callbacks-…` | a wasm module of which Envoy calls nothing |\n\
    | `floor-…` | a filter that reads, edits and hashes as much as ours, and decides nothing |\n\
    | `no-filter`, `no-filter-again` | no filter, twice: what the second adds is the error |\n\n\
    ## The machine\n\n";

/// Adds the machine, the programs and the load.
fn push_conditions(text: &mut String, measured: &Measured) {
    const CPU: &str = "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2; nproc";
    for (what, command, arguments) in [
        ("Machine", "sh", &["-c", CPU][..]),
        ("Kernel", "uname", &["-sr"]),
        ("Rust", "rustc", &["--version"]),
        ("h2load", "h2load", &["--version"]),
    ] {
        let output = Command::new(command).args(arguments).output();
        let output = output.map_or_else(
            |error| error.to_string(),
            |output| {
                String::from_utf8_lossy(&output.stdout)
                    .trim()
                    .replace('\n', ", cores: ")
            },
        );
        let _ = writeln!(text, "- {what}: {}", output.trim());
    }
    let _ = writeln!(
        text,
        "- Envoy: 1.40.0, V8, log level warn\n- {} rounds of {} requests over {CONNECTIONS} \
         connections (HTTP/1.1), a body of 1,000 bytes, every request for another object unless a \
         title says otherwise; security tokens of {TOKEN_LENGTH} bytes\n- Modules: {} bytes in \
         wasm; {} bytes as a dynamic module, built with this machine's compiler\n",
        measured.rounds, measured.requests, measured.module_bytes, measured.native_bytes,
    );
}

/// Adds a line for each chain of both hosts and their peers.
fn push_hosts(text: &mut String, measured: &Measured) {
    let (rounds, requests) = measured.short;
    let _ = write!(
        text,
        "## Both hosts\n\nOn the cluster, one worker, V4. What each adds to no filter for a small \
         body, and of what `aws_request_signing` adds, in an Envoy with these chains alone and in \
         {rounds} rounds of {requests} requests; the resident memory after load, and until a new \
         Envoy serves.\n\n\
         | chain | µs more | spread | of aws | instructions more | of aws | MiB | ms |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    const AWS: &str = "aws-upstream";
    for chain in BOTH {
        let time = added(&measured.both, chain);
        let of_aws = added_ratio(&measured.both, chain, AWS).value;
        let counted = |chain| measured.instructions.get(chain).map(|added| added.others);
        let instructions = counted(chain).map(|more| format!("{more:+.0}"));
        let ratio = counted(chain)
            .zip(counted(AWS))
            .map(|(more, aws)| more / aws);
        let mut workers = measured.workers.iter();
        let workers = workers.find(|line| line.chain == chain && line.workers == 1);
        let mut starts = measured.starts.iter();
        let start = starts.find(|start| start.chain == chain);
        let cells = [
            instructions,
            ratio.map(|ratio| format!("{ratio:.2}")),
            workers.map(|line| format!("{:.1}", line.kib as f64 / 1024.0)),
            start.map(|start| format!("{:.0}", start.serves * 1e3)),
        ];
        let cells = cells
            .map(|cell| cell.unwrap_or_else(|| "—".into()))
            .join(" | ");
        let _ = writeln!(
            text,
            "| {chain} | {:+.1} | {:+.1} .. {:+.1} | {of_aws:.2} | {cells} |",
            time.value * 1e6,
            time.low * 1e6,
            time.high * 1e6,
        );
    }
    text.push('\n');
}

/// Reports what requests take at a fixed rate.
pub fn latency(latency: &[Costs; 3]) -> String {
    let mut text = format!(
        "## Latency\n\n500 requests a second over 4 connections, in {LATENCY_ROUNDS} rounds of a \
         second, in microseconds, in an Envoy with these chains alone. Of each round the median, \
         the 90th and the 99th percentile are taken; shown are their medians over the rounds, and \
         what a chain adds to `no-filter` in the same rounds. Where a spread holds 0, the rounds \
         cannot tell the chain from no filter.\n\n\
         | chain | 50 % | added | spread | 90 % | added | spread | 99 % | added | spread |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for name in LATENCY {
        let _ = write!(text, "| {name} |");
        for costs in latency {
            let own = median(costs[name].iter().copied()) * 1e6;
            let Estimate { value, low, high } = added(costs, name);
            let [value, low, high] = [value, low, high].map(|time| time * 1e6);
            let _ = write!(text, " {own:.0} | {value:+.0} | {low:+.0} .. {high:+.0} |");
        }
        text.push('\n');
    }
    text
}

fn push_workers(text: &mut String, measured: &[Workers]) {
    text.push_str(
        "\n## Workers\n\nAn Envoy of its own for each line; resident memory after the load.\n\n\
         | workers | chain | µs per request | MiB |\n|---|---|---|---|\n",
    );
    for line in measured {
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} |",
            line.workers,
            line.chain,
            line.cost * 1e6,
            line.kib as f64 / 1024.0
        );
    }
}

/// The table of the times that an Envoy takes to start.
pub fn starts(starts: &[Start]) -> String {
    let mut text = String::from(
        "\n## Start\n\nMedians of 7, in milliseconds: until a new Envoy serves, and what the \
         first requests take. The first is sent at once, and waits for credentials where it \
         is signed.\n\n\
         | chain | serves after | first request | second |\n|---|---|---|---|\n",
    );
    for start in starts {
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:.1} |",
            start.chain,
            start.serves * 1e3,
            start.first_request * 1e3,
            start.second_request * 1e3,
        );
    }
    text.push('\n');
    text
}

/// The steps to the filter. Each adds one thing: its description, the chain with it, and the
/// chain before.
const STEPS: [(&str, &str, &str); 7] = [
    (
        "Envoy has a wasm filter in the chain, and calls nothing of it",
        "no-callbacks-upstream",
        BASE,
    ),
    (
        "it enters the VM: a context made, headers of request and response, pieces of the body, \
         a context deleted",
        "do-nothing-trimmed-upstream",
        "no-callbacks-upstream",
    ),
    (
        "the request's headers are read, in one call",
        "floor-reads",
        "do-nothing-trimmed-upstream",
    ),
    (
        "three headers of Envoy's are removed, and four added, which leave for OSS with the token",
        "floor-sets",
        "floor-reads",
    ),
    (
        "the status of the answer is read",
        "floor-answers",
        "floor-sets",
    ),
    (
        "SHA-256 of 17 blocks of 64 bytes, in software: the floor",
        "floor-upstream",
        "floor-answers",
    ),
    (
        "all else: settings, policy, canonical form, encoding, the clock",
        "v4-upstream",
        "floor-upstream",
    ),
];

/// The table of what each step to a signature adds to the step before.
fn breakdown(costs: &Costs, instructions: &BTreeMap<String, Added>) -> String {
    let mut text = String::new();
    costs_table(&mut text, "The floor", "µs", 1e6, costs);
    text.push_str(
        "## Where it goes\n\nEach line adds one thing to the line before; the last is the filter.\n\n\
         | step | µs more | spread | instructions more |\n|---|---|---|---|\n",
    );
    for (what, chain, before) in STEPS {
        let Estimate { value, low, high } = more(costs, chain, before);
        let of = |chain| instructions.get(chain).map(|added| added.others);
        let counted = match (of(chain), of(before)) {
            (Some(with), None) if before == BASE => format!("{with:+.0}"),
            (Some(with), Some(without)) => format!("{:+.0}", with - without),
            _ => "not counted".into(),
        };
        let _ = writeln!(
            text,
            "| {what} | {:+.1} | {:+.1} .. {:+.1} | {counted} |",
            value * 1e6,
            low * 1e6,
            high * 1e6,
        );
    }
    text.push('\n');
    text
}

/// The table of the instructions that callgrind has counted.
pub fn instructions(added: &BTreeMap<String, Added>) -> String {
    let mut text = String::from(
        "## Instructions\n\nWhat a chain adds, counted by callgrind around the whole of Envoy: \
         free of noise, and blind to caches, so that microseconds need not follow. Valgrind's CPU \
         has no instructions for SHA-256, which `aws_request_signing` uses where there are some; \
         a wasm module never can, and the dynamic module does. `others`: every request for \
         another object; `one`: all for the same.\n\n| chain | others | one | a body of ",
    );
    let _ = write!(
        text,
        "{} MiB | of it |\n|---|---|---|---|---|\n",
        LARGE >> 20
    );
    for (name, of) in added {
        let _ = writeln!(
            text,
            "| {name} | {:+.0} | {:+.0} | {:+.0} | {:+.2} % |",
            of.others,
            of.one,
            of.large,
            100.0 * of.large / of.large_without,
        );
    }
    text.push('\n');
    text
}

fn costs_table(text: &mut String, title: &str, unit: &str, scale: f64, costs: &Costs) {
    let _ = writeln!(
        text,
        "## {title}\n\n| chain | {unit}, median | least | added, median | spread |\n|---|---|---|---|---|"
    );
    for (name, values) in costs {
        let added = added(costs, name);
        let _ = writeln!(
            text,
            "| {name} | {:.1} | {:.1} | {:+.1} | {:+.1} .. {:+.1} |",
            median(values.iter().copied()) * scale,
            values.iter().copied().fold(f64::MAX, f64::min) * scale,
            added.value * scale,
            added.low * scale,
            added.high * scale,
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use testkit::tools;

    use super::super::callgrind::COUNTED;
    use super::super::chains::{BODIES, FLOOR, HOT, PEERS, SCALE};
    use super::super::measured::{NATIVE, OURS};
    use super::*;

    /// Costs that differ for each chain.
    fn costs(names: &[&'static str]) -> Costs {
        let cost = |(place, name): (usize, &&'static str)| (*name, vec![1.0 + place as f64; 3]);
        names.iter().enumerate().map(cost).collect()
    }

    fn workers(chain: &'static str) -> Workers {
        Workers {
            workers: 1,
            chain,
            cost: 1.0,
            kib: 1,
        }
    }

    fn start(chain: &'static str) -> Start {
        Start {
            chain,
            serves: 1.0,
            first_request: 1.0,
            second_request: 1.0,
        }
    }

    fn measured() -> Measured {
        let added = Added {
            others: 3.0,
            one: 2.0,
            large: 1.0,
            large_without: 4.0,
        };
        Measured {
            both: costs(&BOTH),
            small: costs(&PEERS),
            hot: costs(&HOT),
            floor: costs(&FLOOR),
            scale: costs(&SCALE),
            headers: costs(&[BASE, OURS, NATIVE]),
            large: costs(&BODIES),
            latency: std::array::from_fn(|_| costs(&LATENCY)),
            workers: [BASE, OURS, NATIVE].map(workers).into(),
            starts: [BASE, OURS, NATIVE].map(start).into(),
            instructions: COUNTED.iter().map(|name| ((*name).into(), added)).collect(),
            ..Measured::default()
        }
    }

    #[test]
    fn a_figure_is_there_once_and_of_both_hosts_from_their_own_envoy() {
        let mut measured = measured();
        measured.both.insert(NATIVE, vec![0.5; 3]);
        let figures = figures::lines(&figures::all(&measured));
        let of = |line| str::find(line, " value=").map(|end| &line[..end]);
        let mut names: Vec<&str> = figures.lines().filter_map(of).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        // Half of the cost without a filter is subtracted, and aws adds three.
        let want = "peer=aws_request_signing subject=native-upstream value=-0.167";
        assert!(figures.contains(want), "{figures}");
    }

    /// The headings of a report, the heads of its tables, and the names of its figures.
    fn outline(report: &str) -> Vec<&str> {
        let lines = report.lines().filter_map(|line| match line {
            _ if line.starts_with('#') || line.starts_with("|--") => Some(line),
            _ => line.find(" value=").map(|end| &line[..end]),
        });
        lines.collect()
    }

    #[test]
    fn a_report_has_the_outline_of_the_one_that_is_kept() {
        let kept = std::fs::read_to_string(tools::root().join("benches/RESULTS.md")).unwrap();
        assert_eq!(outline(&whole(&measured())), outline(&kept));
    }
}
