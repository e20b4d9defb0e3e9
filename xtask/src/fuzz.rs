//! Fuzzing with the corpus in `fuzz/corpus`.

use testkit::tools;

use crate::command::{Result, cargo, run as run_command, step};

/// Fuzz what comes from outside; new inputs go to target/fuzz-corpus
#[derive(clap::Args)]
pub struct Options {
    /// For each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

const VERSION: &str = "0.13.2";
const TARGETS: [&str; 6] = [
    "sidecar_answer",
    "configuration",
    "request",
    "policy",
    "access",
    "oss_error",
];

/// Fuzzes each target in turn.
pub fn run(options: &Options) -> Result {
    let tools = tools::target().join("tools");
    let cargo_fuzz = tools.join("bin/cargo-fuzz");
    if !cargo_fuzz.exists() {
        step("installing cargo-fuzz into target/tools");
        let mut install = cargo();
        install.args(["install", "cargo-fuzz", "--locked", "--version", VERSION]);
        run_command(install.arg("--root").arg(&tools))?;
    }
    for target in TARGETS {
        step(&format!("fuzzing {target} for {} s", options.seconds));
        let found = tools::target().join("fuzz-corpus").join(target);
        std::fs::create_dir_all(&found).map_err(|error| error.to_string())?;
        let mut fuzz = std::process::Command::new(&cargo_fuzz);
        fuzz.current_dir(tools::root())
            // The flags of libFuzzer are unstable in rustc, not the code here.
            .env("RUSTC_BOOTSTRAP", "1")
            .args(["fuzz", "run", "--sanitizer", "none", target])
            .arg(&found)
            .arg(tools::root().join("fuzz/corpus").join(target))
            .args([
                "--",
                "-max_len=4096",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .arg(format!("-max_total_time={}", options.seconds));
        run_command(&mut fuzz)?;
    }
    Ok(())
}
