//! The instructions of a signature and of a check, counted by callgrind. Unlike the time, they
//! are the same on a busy machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::tools;

use crate::command::{Result, cargo, step};
use crate::install;

/// Count the instructions of a signature and of a check; fails if they have grown beyond
/// benches/instructions.json
#[derive(clap::Args, Default)]
pub struct Options {
    /// Write the counts there
    #[arg(long)]
    write: bool,
}

const FILE: &str = "benches/instructions.json";
/// The tolerance in percent. Other versions of Rust or libc cause small differences.
const TOLERANCE: u64 = 5;

type Counts = BTreeMap<String, u64>;

/// Counts, and compares with the known counts.
pub fn run(options: &Options) -> Result {
    install::provide("valgrind", "valgrind")?;
    step("counting the instructions of a signature and of a check");
    let program = build()?;
    let file = tools::root().join(FILE);
    let limits = std::fs::read_to_string(&file).map_err(|error| format!("{FILE}: {error}"))?;
    let limits: Counts =
        serde_json::from_str(&limits).map_err(|error| format!("{FILE}: {error}"))?;
    let mut counts = Counts::new();
    let mut grown = Vec::new();
    for (name, limit) in &limits {
        let count = per_request(&program, name)?;
        println!("instructions of {name}: {count} (known: {limit})");
        if count > limit + limit * TOLERANCE / 100 {
            grown.push(format!("{name}: {count} instead of {limit}"));
        }
        counts.insert(name.clone(), count);
    }
    if options.write {
        let text = serde_json::to_string_pretty(&counts).map_err(|error| error.to_string())?;
        return std::fs::write(&file, text + "\n").map_err(|error| format!("{FILE}: {error}"));
    }
    match grown.as_slice() {
        [] => Ok(()),
        grown => Err(format!(
            "a signature costs more than {TOLERANCE} % more instructions than {FILE} says ({}); \
             if that is worth it, `cargo xtask instructions --write`",
            grown.join(", ")
        )),
    }
}

/// Builds the program of `benches/instructions.rs`.
fn build() -> Result<PathBuf> {
    let output = cargo()
        .args(["build", "--profile", "bench", "--bench", "instructions"])
        .args(["--package", "oss-origin-auth", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .next_back();
    executable.ok_or_else(|| "cargo built no benches/instructions.rs".into())
}

/// The cost of one more request, without the start of the program.
fn per_request(program: &Path, name: &str) -> Result<u64> {
    const FEW: u64 = 100;
    const MANY: u64 = 1_100;
    let few = count(program, name, FEW)?;
    let many = count(program, name, MANY)?;
    match many.saturating_sub(few) / (MANY - FEW) {
        0 => Err(format!("benches/instructions.rs ran no case {name}")),
        count => Ok(count),
    }
}

fn count(program: &Path, name: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    // The line is: ==123== Collected : 456
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.ok_or_else(|| format!("valgrind counted nothing:\n{text}"))
}
