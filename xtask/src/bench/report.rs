//! What is said of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use super::callgrind::Added;
use super::statistics::{Estimate, median, percentile};
use super::{CONNECTIONS, Costs, LARGE, Measured};

pub const BASE: &str = "no-filter";
/// The same once more: what it differs by is the error of what is measured.
pub const AGAIN: &str = "no-filter-again";
/// The limits that the project has set itself.
const OF_DO_NOTHING: f64 = 1.0;
const OF_AWS: f64 = 0.7;

/// One line a figure, for programs.
pub fn lines(measured: &Measured) -> String {
    let small = &measured.small;
    let mut text = String::new();
    for (costs, objects) in [(small, ""), (&measured.hot, "-one-object")] {
        for (peer, name, limit) in [
            ("do-nothing", "do-nothing", OF_DO_NOTHING),
            ("aws_request_signing", "aws", OF_AWS),
        ] {
            for version in ["v4", "v1"] {
                for position in ["upstream", "downstream"] {
                    let subject = format!("{version}-{position}");
                    // Peers cost the same in both positions; not all were measured
                    // in both.
                    let same = format!("{name}-{position}");
                    let of = match costs.contains_key(same.as_str()) {
                        true => same,
                        false => format!("{name}-upstream"),
                    };
                    let estimate = added_ratio(costs, &subject, &of);
                    let subject = subject + objects;
                    let figure = "added_cpu_ratio";
                    line(&mut text, figure, peer, &subject, estimate, Some(limit));
                }
            }
        }
    }
    for (peer, subject) in [
        ("do-nothing-upstream", "do-nothing-trimmed-upstream"),
        ("do-nothing-upstream", "floor-upstream"),
        ("aws-upstream", "floor-upstream"),
        ("floor-upstream", "v4-upstream"),
    ] {
        let estimate = added_ratio(&measured.floor, subject, peer);
        line(&mut text, "added_cpu_ratio", peer, subject, estimate, None);
    }
    let (peer, subject) = ("v4-upstream", "v4-upstream-delegated");
    let estimate = added_ratio(small, subject, peer);
    line(&mut text, "added_cpu_ratio", peer, subject, estimate, None);
    for (peer, subject) in [
        ("v4-upstream-1-route", "v4-upstream-100-routes"),
        ("v4-upstream-1-route", "v4-upstream-10000-routes"),
        ("v4-upstream", "v4-upstream-100-credentials"),
    ] {
        let estimate = ratio(&measured.scale, subject, peer);
        line(&mut text, "cpu_ratio", peer, subject, estimate, None);
        let estimate = added_ratio(&measured.scale, subject, peer);
        line(&mut text, "added_cpu_ratio", peer, subject, estimate, None);
    }
    for (subject, limit) in [
        ("v4-upstream", Some(0.98)),
        ("v4-downstream", Some(0.98)),
        ("v4-upstream-delegated", None),
        ("do-nothing-upstream", None),
        ("aws-upstream", None),
        (AGAIN, None),
    ] {
        // Bytes per CPU second: the inverse of CPU seconds for the same bytes.
        let estimate = ratio(&measured.large, BASE, subject);
        line(
            &mut text,
            "large_body_bytes_per_cpu_ratio",
            BASE,
            subject,
            estimate,
            limit,
        );
    }
    text.push_str(&instruction_lines(&measured.instructions));
    let _ = writeln!(text, "module_bytes value={}", measured.module_bytes);
    text
}

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

/// The report, the lines at its end.
pub fn whole(measured: &Measured) -> String {
    let mut text = String::from(
        "# What the filter costs\n\n\
         Written by `cargo xtask bench`. An Envoy with one worker has a listener for each chain \
         of filters; h2load asks each in turn, in interleaved rounds. What is compared is in one \
         Envoy; the floor and the scale have one of their own, since more chains in one process \
         crowd one another out of the caches. The cost is CPU time of the \
         whole Envoy process (`/proc/PID/task/*/schedstat`) per request. What counts is what a \
         chain adds to no filter at all; `no-filter-again` is a second listener without any, and \
         shows the error. Spreads are the 5th and the 95th percentile of a \
         bootstrap over the rounds; `noisy` stands where they leave open on which side of its \
         limit a figure lies.\n\n",
    );
    for (what, command, arguments) in [
        (
            "Machine",
            "sh",
            &[
                "-c",
                "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2; nproc",
            ][..],
        ),
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
         title says otherwise; security tokens of {} bytes\n- Module: {} \
         bytes\n",
        measured.rounds,
        measured.requests,
        super::envoy::TOKEN_LENGTH,
        measured.module_bytes,
    );
    text.push_str(&tables(measured));
    text.push_str(
        "## Latency\n\n500 requests a second over 4 connections, in microseconds.\n\n\
         | chain | 50 % | 90 % | 99 % | 99.9 % |\n|---|---|---|---|---|\n",
    );
    for (name, times) in &measured.latency {
        let times = || times.iter().map(|time| *time as f64);
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} |",
            percentile(times(), 50),
            percentile(times(), 90),
            percentile(times(), 99),
            {
                let mut all: Vec<f64> = times().collect();
                all.sort_by(f64::total_cmp);
                all[all.len() * 999 / 1000]
            },
        );
    }
    text.push_str(
        "\n## Workers\n\nAn Envoy of its own for each line; resident memory after the load.\n\n\
         | workers | chain | µs per request | MiB |\n|---|---|---|---|\n",
    );
    for (workers, name, cost, kib) in &measured.workers {
        let _ = writeln!(
            text,
            "| {workers} | {name} | {:.1} | {:.1} |",
            cost * 1e6,
            *kib as f64 / 1024.0
        );
    }
    if let Some(start) = &measured.start {
        let _ = writeln!(
            text,
            "\n## Start\n\nMedians of 7. Envoy serves {:.0} ms after its start, with the filter \
             {:.0} ms. The first request, sent at once, takes {:.1} ms, its credentials included; \
             the second {:.1} ms.\n",
            start.without.as_secs_f64() * 1e3,
            start.with.as_secs_f64() * 1e3,
            start.first_request.as_secs_f64() * 1e3,
            start.second_request.as_secs_f64() * 1e3,
        );
    }
    text.push_str(&instructions(&measured.instructions));
    let _ = write!(text, "## Figures\n\n```text\n{}```\n", lines(measured));
    text
}

/// Where the microseconds of a signature go: what each step adds to the one
/// before.
fn breakdown(costs: &Costs, instructions: &BTreeMap<String, Added>) -> String {
    let mut text = String::new();
    costs_table(&mut text, "The floor", "µs", 1e6, costs);
    text.push_str(
        "## Where it goes\n\nEach line adds one thing to the line before; the last is the filter.\n\n\
         | step | µs more | spread | instructions more |\n|---|---|---|---|\n",
    );
    for (what, chain, before) in [
        (
            "Envoy has a wasm filter in the chain, and calls nothing of it",
            "no-callbacks-upstream",
            BASE,
        ),
        (
            "it enters the VM: a context made, headers of request and response, a context deleted",
            "do-nothing-trimmed-upstream",
            "no-callbacks-upstream",
        ),
        (
            "the request's headers are read, in one call",
            "floor-reads",
            "do-nothing-trimmed-upstream",
        ),
        (
            "four headers are added, and leave for OSS with the token: the floor for an object \
             that was signed in the same second",
            "floor-sets",
            "floor-reads",
        ),
        (
            "SHA-256 of some 1,150 bytes, in software: the floor for all others",
            "floor-upstream",
            "floor-sets",
        ),
        (
            "all else: settings, policy, canonical form, encoding, the clock",
            "v4-upstream",
            "floor-upstream",
        ),
    ] {
        let (with, without) = (&costs[chain], &costs[before]);
        let Estimate { value, low, high } = Estimate::new(with.len(), |rounds| {
            median(rounds.iter().map(|round| with[*round] - without[*round]))
        });
        let of = |chain| instructions.get(chain).map(|added| added.others);
        let more = match (of(chain), of(before)) {
            (Some(with), None) if before == BASE => format!("{with:+.0}"),
            (Some(with), Some(without)) => format!("{:+.0}", with - without),
            _ => "not counted".into(),
        };
        let _ = writeln!(
            text,
            "| {what} | {:+.1} | {:+.1} .. {:+.1} | {more} |",
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
         a module never can. `others`: every request for another object; `one`: all for the \
         same.\n\n| chain | others | one | a body of ",
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

fn instruction_lines(added: &BTreeMap<String, Added>) -> String {
    let mut text = String::new();
    for (peer, name) in [
        ("do-nothing", "do-nothing-upstream"),
        ("aws_request_signing", "aws-upstream"),
        ("floor", "floor-upstream"),
    ] {
        for subject in ["v4-upstream", "v1-upstream"] {
            let (Some(with), Some(peers)) = (added.get(subject), added.get(name)) else {
                continue;
            };
            for (objects, ratio) in [
                ("", with.others / peers.others),
                ("-one-object", with.one / peers.one),
            ] {
                let _ = writeln!(
                    text,
                    "added_instructions_ratio peer={peer} subject={subject}{objects} \
                     value={ratio:.3}"
                );
            }
        }
    }
    for subject in ["v4-upstream", "v4-downstream"] {
        if let Some(of) = added.get(subject) {
            let ratio = of.large_without / (of.large_without + of.large);
            let _ = writeln!(
                text,
                "large_body_bytes_per_instructions_ratio peer={BASE} subject={subject} \
                 value={ratio:.3}"
            );
        }
    }
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

fn line(
    text: &mut String,
    figure: &str,
    peer: &str,
    subject: &str,
    Estimate { value, low, high }: Estimate,
    limit: Option<f64>,
) {
    let estimate = Estimate { value, low, high };
    let noisy = match limit.is_some_and(|limit| estimate.leaves_open(limit)) {
        true => " noisy",
        false => "",
    };
    let _ = writeln!(
        text,
        "{figure} peer={peer} subject={subject} value={value:.3} spread={low:.3}..{high:.3}{noisy}"
    );
}

/// What a chain adds to none, in each round: both were measured close together.
fn added(costs: &Costs, name: &str) -> Estimate {
    Estimate::new(costs[name].len(), |rounds| added_in(costs, name, rounds))
}

fn added_in(costs: &Costs, name: &str, rounds: &[usize]) -> f64 {
    let (with, without) = (&costs[name], &costs[BASE]);
    median(rounds.iter().map(|round| with[*round] - without[*round]))
}

fn added_ratio(costs: &Costs, subject: &str, peer: &str) -> Estimate {
    Estimate::new(costs[peer].len(), |rounds| {
        added_in(costs, subject, rounds) / added_in(costs, peer, rounds)
    })
}

fn ratio(costs: &Costs, subject: &str, peer: &str) -> Estimate {
    let (subject, peer) = (&costs[subject], &costs[peer]);
    Estimate::new(peer.len(), |rounds| {
        median(rounds.iter().map(|round| subject[*round] / peer[*round]))
    })
}
