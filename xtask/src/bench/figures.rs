//! The figures of the report, one a line, for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::compared::{added_ratio, ratio};
use super::measured::{AGAIN, Added, BASE, Costs, Measured};
use super::statistics::Estimate;

/// The limits that the project has set itself.
const OF_DO_NOTHING: f64 = 1.0;
const OF_AWS: f64 = 0.7;

/// All figures.
pub fn lines(measured: &Measured) -> String {
    let mut text = String::new();
    for (costs, objects) in [(&measured.small, ""), (&measured.hot, "-one-object")] {
        signature_lines(&mut text, costs, objects);
    }
    comparison_lines(&mut text, measured);
    body_lines(&mut text, &measured.large);
    text.push_str(&instruction_lines(&measured.instructions));
    let _ = writeln!(text, "module_bytes value={}", measured.module_bytes);
    text
}

/// What a signature costs beside the peers.
fn signature_lines(text: &mut String, costs: &Costs, objects: &str) {
    for (peer, name, limit) in [
        ("do-nothing", "do-nothing", OF_DO_NOTHING),
        ("aws_request_signing", "aws", OF_AWS),
    ] {
        for version in ["v4", "v1"] {
            for position in ["upstream", "downstream"] {
                let subject = format!("{version}-{position}");
                // Peers cost the same in both positions; not all were measured in both.
                let same = format!("{name}-{position}");
                let of = match costs.contains_key(same.as_str()) {
                    true => same,
                    false => format!("{name}-upstream"),
                };
                let estimate = added_ratio(costs, &subject, &of);
                let subject = subject + objects;
                line(
                    text,
                    "added_cpu_ratio",
                    peer,
                    &subject,
                    estimate,
                    Some(limit),
                );
            }
        }
    }
}

/// The floor, `match_delegate`, and many routes and credentials.
fn comparison_lines(text: &mut String, measured: &Measured) {
    for (peer, subject) in [
        ("do-nothing-upstream", "do-nothing-trimmed-upstream"),
        ("do-nothing-upstream", "floor-upstream"),
        ("aws-upstream", "floor-upstream"),
        ("floor-upstream", "v4-upstream"),
    ] {
        let estimate = added_ratio(&measured.floor, subject, peer);
        line(text, "added_cpu_ratio", peer, subject, estimate, None);
    }
    let (peer, subject) = ("v4-downstream", "access-downstream");
    let estimate = added_ratio(&measured.small, subject, peer);
    line(text, "added_cpu_ratio", peer, subject, estimate, Some(1.0));
    let (peer, subject) = ("v4-upstream", "v4-upstream-delegated");
    let estimate = added_ratio(&measured.small, subject, peer);
    line(text, "added_cpu_ratio", peer, subject, estimate, None);
    for (peer, subject) in [
        ("v4-upstream-1-route", "v4-upstream-100-routes"),
        ("v4-upstream-1-route", "v4-upstream-10000-routes"),
        ("v4-upstream", "v4-upstream-100-credentials"),
    ] {
        let estimate = ratio(&measured.scale, subject, peer);
        line(text, "cpu_ratio", peer, subject, estimate, None);
        let estimate = added_ratio(&measured.scale, subject, peer);
        line(text, "added_cpu_ratio", peer, subject, estimate, None);
    }
}

/// Bytes per CPU second: the inverse of CPU seconds for the same bytes.
fn body_lines(text: &mut String, large: &Costs) {
    let figure = "large_body_bytes_per_cpu_ratio";
    for (subject, limit) in [
        ("v4-upstream", Some(0.98)),
        ("v4-downstream", Some(0.98)),
        ("v4-upstream-delegated", None),
        ("do-nothing-upstream", None),
        ("aws-upstream", None),
        (AGAIN, None),
    ] {
        let estimate = ratio(large, BASE, subject);
        line(text, figure, BASE, subject, estimate, limit);
    }
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

fn line(
    text: &mut String,
    figure: &str,
    peer: &str,
    subject: &str,
    estimate: Estimate,
    limit: Option<f64>,
) {
    let Estimate { value, low, high } = estimate;
    let noisy = match limit.is_some_and(|limit| estimate.leaves_open(limit)) {
        true => " noisy",
        false => "",
    };
    let _ = writeln!(
        text,
        "{figure} peer={peer} subject={subject} value={value:.3} spread={low:.3}..{high:.3}{noisy}"
    );
}
