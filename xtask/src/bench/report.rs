//! What is said of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use super::chains::BOTH;
use super::compared::{added, added_ratio, more};
use super::envoy::TOKEN_LENGTH;
use super::figures::{self, limits_table};
use super::measured::{Added, BASE, CONNECTIONS, Costs, LARGE, Measured, Start, Workers};
use super::statistics::{Estimate, median, percentile};

/// What each chain costs for a small body.
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

/// What each chain costs.
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

/// The report, the figures at its end.
pub fn whole(measured: &Measured) -> String {
    let mut text = String::from(PREFACE);
    push_conditions(&mut text, measured);
    let figures = figures::all(measured);
    push_hosts(&mut text, measured);
    text.push_str(&limits_table(&figures));
    text.push_str(&tables(measured));
    push_latency(&mut text, &measured.latency);
    push_workers(&mut text, &measured.workers);
    text.push_str(&starts(&measured.starts));
    text.push_str(&instructions(&measured.instructions));
    let figures = figures::lines(&figures);
    let _ = write!(text, "## Figures\n\n```text\n{figures}```\n");
    text
}

const PREFACE: &str = "# What the filter costs\n\n\
    Written by `cargo xtask bench`. An Envoy with one worker has a listener for each chain \
    of filters; h2load asks each in turn, in interleaved rounds. What is compared is in one \
    Envoy; both hosts, the floor and the scale have one of their own, since more chains in \
    one process crowd one another out of the caches. The cost is CPU time of the \
    whole Envoy process (`/proc/PID/task/*/schedstat`) per request. What counts is what a \
    chain adds to no filter at all; `no-filter-again` is a second listener without any, and \
    shows the error. Chains of the wasm filter are named by the signature (`v4`, `v1`), those \
    of the same filter as a dynamic module begin with `native`. Spreads are the 5th and the \
    95th percentile of a bootstrap over the rounds; `noisy` stands where they leave open on which side of its \
    limit a figure lies.\n\n";

/// The machine, the programs and the load.
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

/// The filter in both hosts, beside its peers: a line for each.
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

fn push_latency(text: &mut String, latency: &[(&str, Vec<u64>)]) {
    text.push_str(
        "## Latency\n\n500 requests a second over 4 connections, in microseconds.\n\n\
         | chain | 50 % | 90 % | 99 % | 99.9 % |\n|---|---|---|---|---|\n",
    );
    for (name, times) in latency {
        let times = || times.iter().map(|time| *time as f64);
        let mut all: Vec<f64> = times().collect();
        all.sort_by(f64::total_cmp);
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} |",
            percentile(times(), 50),
            percentile(times(), 90),
            percentile(times(), 99),
            all[all.len() * 999 / 1000],
        );
    }
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

/// How long an Envoy takes to start.
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

/// Each adds one thing to the chain before: what it adds, the chain, and the one
/// before.
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

/// Where the microseconds of a signature go: what each step adds to the one
/// before.
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

/// What callgrind has counted.
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
    use super::super::chains::{BODIES, FLOOR, HOT, LATENCY, PEERS, SCALE};
    use super::super::measured::{NATIVE, OURS};
    use super::*;

    /// Each chain costs something else.
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
            latency: LATENCY.map(|name| (name, vec![1, 2, 3])).to_vec(),
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
        // Of the chain without a filter half is taken off, and aws adds three.
        let want = "peer=aws_request_signing subject=native-upstream value=-0.167";
        assert!(figures.contains(want), "{figures}");
    }

    /// The headings of a report, the heads of its tables, and what its figures are of.
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
