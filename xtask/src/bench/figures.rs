//! The figures of the report, for programs, and the limits that they keep.

use std::fmt::{self, Write};

use super::compared::{added_ratio, ratio};
use super::limits::{self, Limit};
use super::measured::{AGAIN, BASE, Costs, Measured, NATIVE, OURS};
use super::statistics::Estimate;

/// A figure, with its subject and peer.
pub struct Figure {
    name: &'static str,
    /// The peer; empty if the figure is of the subject alone.
    peer: String,
    /// The subject; empty if there is only one.
    subject: String,
    value: Value,
    limit: Option<Limit>,
}

/// The value of a figure.
#[derive(Clone, Copy)]
enum Value {
    Exact(f64),
    Whole(u64),
    Estimated(Estimate),
}

impl Figure {
    fn new(name: &'static str, peer: &str, subject: &str, value: Value) -> Figure {
        Figure {
            name,
            peer: peer.to_owned(),
            subject: subject.to_owned(),
            value,
            limit: limits::of(name, peer, subject),
        }
    }

    fn is_noisy(&self) -> bool {
        match (self.value, self.limit) {
            (Value::Estimated(estimate), Some(Limit::AtMost(limit) | Limit::AtLeast(limit))) => {
                estimate.leaves_open(limit)
            }
            _ => false,
        }
    }

    /// The row of a figure in the table of limits; `None` without a limit.
    fn row(&self) -> Option<String> {
        let value = match self.value {
            Value::Exact(value) => value,
            Value::Whole(value) => value as f64,
            Value::Estimated(estimate) => estimate.value,
        };
        let (limit, is_kept) = match self.limit? {
            Limit::AtMost(limit) => (format!("at most {limit}"), value <= limit),
            Limit::AtLeast(limit) => (format!("at least {limit}"), value >= limit),
        };
        let kept = match (self.is_noisy(), is_kept) {
            (true, true) => "yes, noisy",
            (true, false) => "no, noisy",
            (false, true) => "yes",
            (false, false) => "no",
        };
        let Figure {
            name,
            peer,
            subject,
            value,
            ..
        } = self;
        let spread = match value {
            Value::Estimated(Estimate { low, high, .. }) => format!(" ({low:.3}..{high:.3})"),
            Value::Exact(_) | Value::Whole(_) => String::new(),
        };
        Some(format!(
            "| {name} | {subject} | {peer} | {limit} | {value}{spread} | {kept} |"
        ))
    }
}

/// The figure as a line for programs.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)?;
        for (name, of) in [("peer", &self.peer), ("subject", &self.subject)] {
            if !of.is_empty() {
                write!(f, " {name}={of}")?;
            }
        }
        write!(f, " value={}", self.value)?;
        if let Value::Estimated(Estimate { low, high, .. }) = self.value {
            write!(f, " spread={low:.3}..{high:.3}")?;
        }
        f.write_str(if self.is_noisy() { " noisy" } else { "" })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Exact(value) => write!(f, "{value:.3}"),
            Value::Whole(value) => write!(f, "{value}"),
            Value::Estimated(estimate) => write!(f, "{:.3}", estimate.value),
        }
    }
}

/// All figures.
pub fn all(measured: &Measured) -> Vec<Figure> {
    let mut figures = Vec::new();
    // The chains of both hosts come first: what is measured there is not taken from a group
    // with more chains.
    for (costs, objects) in [
        (&measured.both, ""),
        (&measured.small, ""),
        (&measured.hot, "-one-object"),
    ] {
        push_signatures(&mut figures, costs, objects);
    }
    push_comparisons(&mut figures, measured);
    push_bodies(&mut figures, &measured.large);
    push_instructions(&mut figures, measured);
    push_hosts(&mut figures, measured);
    let bytes = |subject, bytes| Figure::new("module_bytes", "", subject, Value::Whole(bytes));
    figures.push(bytes("", measured.module_bytes));
    figures.push(bytes("native", measured.native_bytes));
    figures
}

/// The figures, one in each line.
pub fn lines(figures: &[Figure]) -> String {
    figures.iter().map(|figure| format!("{figure}\n")).collect()
}

/// The figures with a limit, and whether they keep it.
pub fn limits_table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "## Limits\n\nGoals of this project, and whether this run reached them. A ratio is what the \
         subject adds, divided by what the peer adds; of large bodies it is bytes per second of CPU \
         time. `noisy`: the spread holds the limit, so this run does not decide. Two goals are \
         below what a wasm filter that signs can reach, `do-nothing` and 0.7 of \
         `aws_request_signing`: reading and editing headers and the hash alone cost more (*Where it \
         goes*).\n\n\
         | figure | subject | peer | limit | value | kept |\n|---|---|---|---|---|---|\n",
    );
    for row in figures.iter().filter_map(Figure::row) {
        let _ = writeln!(text, "{row}");
    }
    text.push('\n');
    text
}

/// Adds the cost of a signature beside the peers.
fn push_signatures(figures: &mut Vec<Figure>, costs: &Costs, objects: &str) {
    const SUBJECTS: [&str; 7] = [
        "v4-upstream",
        "v4-downstream",
        "v1-upstream",
        "v1-downstream",
        "native-upstream",
        "native-downstream",
        "native-v1-upstream",
    ];
    for (peer, chain) in [("do-nothing", "do-nothing"), ("aws_request_signing", "aws")] {
        for subject in SUBJECTS {
            if !costs.contains_key(subject) {
                continue;
            }
            // Peers cost the same in both positions; not all were measured in both.
            let position = subject.rsplit('-').next().unwrap_or_default();
            let same = format!("{chain}-{position}");
            let of = match costs.contains_key(same.as_str()) {
                true => same,
                false => format!("{chain}-upstream"),
            };
            let estimate = added_ratio(costs, subject, &of);
            let subject = format!("{subject}{objects}");
            push_new(figures, peer, &subject, estimate);
        }
    }
    push_added(figures, costs, OURS, NATIVE, objects);
}

const ADDED: &str = "added_cpu_ratio";

fn push_added(figures: &mut Vec<Figure>, costs: &Costs, peer: &str, subject: &str, more: &str) {
    let estimate = added_ratio(costs, subject, peer);
    push_new(figures, peer, &format!("{subject}{more}"), estimate);
}

/// Adds an [`ADDED`], unless it exists.
fn push_new(figures: &mut Vec<Figure>, peer: &str, subject: &str, estimate: Estimate) {
    let figure = Figure::new(ADDED, peer, subject, Value::Estimated(estimate));
    let is_same = |known: &Figure| {
        (known.name, &known.peer, &known.subject) == (ADDED, &figure.peer, &figure.subject)
    };
    if !figures.iter().any(is_same) {
        figures.push(figure);
    }
}

/// Adds the floor, `match_delegate`, and many routes and credentials.
fn push_comparisons(figures: &mut Vec<Figure>, measured: &Measured) {
    for (peer, subject) in [
        ("do-nothing-upstream", "do-nothing-trimmed-upstream"),
        ("do-nothing-upstream", "floor-upstream"),
        ("aws-upstream", "floor-upstream"),
        ("floor-upstream", OURS),
    ] {
        push_added(figures, &measured.floor, peer, subject, "");
    }
    for (peer, subject) in [
        ("v4-downstream", "access-downstream"),
        ("native-downstream", "native-access-downstream"),
        (OURS, "v4-upstream-delegated"),
    ] {
        push_added(figures, &measured.small, peer, subject, "");
    }
    // A cost that small can be a divisor only in the Envoy with little noise.
    let little = "native-do-nothing-upstream";
    push_added(figures, &measured.both, little, NATIVE, "");
    for (peer, subject) in [
        ("v4-upstream-1-route", "v4-upstream-100-routes"),
        ("v4-upstream-1-route", "v4-upstream-10000-routes"),
        (OURS, "v4-upstream-100-credentials"),
        (NATIVE, "native-upstream-10000-routes"),
    ] {
        let estimate = Value::Estimated(ratio(&measured.scale, subject, peer));
        figures.push(Figure::new("cpu_ratio", peer, subject, estimate));
        push_added(figures, &measured.scale, peer, subject, "");
    }
}

/// Bytes per CPU second: the inverse of CPU seconds for the same bytes.
fn push_bodies(figures: &mut Vec<Figure>, large: &Costs) {
    for subject in [
        OURS,
        "v4-downstream",
        "v4-upstream-delegated",
        NATIVE,
        "do-nothing-upstream",
        "native-do-nothing-upstream",
        "aws-upstream",
        AGAIN,
    ] {
        let estimate = Value::Estimated(ratio(large, BASE, subject));
        let name = "large_body_bytes_per_cpu_ratio";
        figures.push(Figure::new(name, BASE, subject, estimate));
    }
}

fn push_instructions(figures: &mut Vec<Figure>, measured: &Measured) {
    let added = &measured.instructions;
    for (peer, chain, subjects) in [
        (
            "do-nothing",
            "do-nothing-upstream",
            &[OURS, "v1-upstream", NATIVE][..],
        ),
        (
            "do-nothing-native",
            "native-do-nothing-upstream",
            &[NATIVE, "native-v1-upstream"],
        ),
        (
            "aws_request_signing",
            "aws-upstream",
            &[OURS, "v1-upstream", NATIVE, "native-v1-upstream"],
        ),
        ("floor", "floor-upstream", &[OURS, "v1-upstream"]),
        (OURS, OURS, &[NATIVE]),
    ] {
        for subject in subjects {
            let (Some(with), Some(peers)) = (added.get(*subject), added.get(chain)) else {
                continue;
            };
            let figure = |subject: &str, ratio| {
                Figure::new(
                    "added_instructions_ratio",
                    peer,
                    subject,
                    Value::Exact(ratio),
                )
            };
            let one_object = format!("{subject}-one-object");
            figures.push(figure(subject, with.others / peers.others));
            figures.push(figure(&one_object, with.one / peers.one));
        }
    }
    for subject in [OURS, "v4-downstream", NATIVE] {
        if let Some(of) = added.get(subject) {
            let ratio = of.large_without / (of.large_without + of.large);
            let name = "large_body_bytes_per_instructions_ratio";
            figures.push(Figure::new(name, BASE, subject, Value::Exact(ratio)));
        }
    }
}

/// Adds the memory and the start of each host.
fn push_hosts(figures: &mut Vec<Figure>, measured: &Measured) {
    let memory = |chain| {
        let mut lines = measured.workers.iter();
        let line = lines.find(|line| line.chain == chain && line.workers == 1);
        line.map(|line| line.kib as f64)
    };
    let start = |chain| measured.starts.iter().find(|start| start.chain == chain);
    for (peer, subject) in [(BASE, OURS), (BASE, NATIVE), (OURS, NATIVE)] {
        let mut push = |name, with: f64, without: f64| {
            let ratio = Value::Exact(with / without);
            figures.push(Figure::new(name, peer, subject, ratio));
        };
        if let (Some(with), Some(without)) = (memory(subject), memory(peer)) {
            push("memory_ratio", with, without);
        }
        if let (Some(with), Some(without)) = (start(subject), start(peer)) {
            push("start_ratio", with.serves, without.serves);
            let (first, peers) = (with.first_request, without.first_request);
            push("first_request_ratio", first, peers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: Value) -> Figure {
        let peer = "aws_request_signing";
        Figure::new("added_cpu_ratio", peer, "native-upstream", value)
    }

    #[test]
    fn a_figure_says_whether_it_keeps_its_limit() {
        let estimated = |value, low, high| Value::Estimated(Estimate { value, low, high });
        for (value, want) in [
            (estimated(0.40, 0.36, 0.44), "yes"),
            (estimated(0.54, 0.50, 0.56), "yes, noisy"),
            (estimated(0.56, 0.50, 0.60), "no, noisy"),
            (estimated(0.70, 0.65, 0.75), "no"),
            (Value::Exact(0.55), "yes"),
        ] {
            let row = figure(value).row().unwrap_or_default();
            assert!(row.ends_with(&format!("| {want} |")), "{row}");
        }
    }

    #[test]
    fn a_figure_is_a_line_for_programs() {
        let value = Estimate {
            value: 0.54,
            low: 0.5,
            high: 0.56,
        };
        assert_eq!(
            figure(Value::Estimated(value)).to_string(),
            "added_cpu_ratio peer=aws_request_signing subject=native-upstream value=0.540 \
             spread=0.500..0.560 noisy"
        );
        let bytes = Figure::new("module_bytes", "", "", Value::Whole(300_000));
        assert_eq!(bytes.to_string(), "module_bytes value=300000");
    }
}
