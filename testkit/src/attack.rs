//! Random requests, settings, sidecars and origins (testkit/attack), judged by a model
//! of the policy in Python.

use std::process::Command;

use crate::tools::Host;
use crate::{host, tools};

/// The environment variable with the number of requests.
pub const REQUESTS: &str = "OSS_ATTACK_REQUESTS";
/// The environment variable with the seed of the random requests.
pub const SEED: &str = "OSS_ATTACK_SEED";

/// The command that attacks the filter. It ends with 1 if there are findings, and prints
/// each with a request that shows it. Unless [`REQUESTS`] and [`SEED`] say otherwise, it
/// does the same each time.
pub fn command() -> Command {
    let given = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let mut command = Command::new(tools::python());
    command
        .arg(tools::root().join("testkit/attack/run.py"))
        .args(["--requests", &given(REQUESTS, "5000")])
        .args(["--seed", &given(SEED, "in-each-test")])
        .arg("--envoy")
        .arg(tools::envoy());
    match tools::host() {
        Host::Wasm => command.arg("--module").arg(tools::filter_wasm()),
        Host::Native => command.args(["--native", tools::MODULE_NAME]),
    };
    let (name, folder) = host::search_path();
    command.env(name, folder);
    command
}
