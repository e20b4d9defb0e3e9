//! The command `doctor`: tests a bucket, and reports what works, what does not, and how to fix
//! it.
//!
//! ```text
//!  run          the runtime, and the exit status
//!  checks       one file for each group of checks, and their order
//! bucket       a bucket under test: the requests to it, and its answers
//! explained    an error of OSS, explained to a person
//!  filter       the filter's core: a client's request in, a signed one out
//!  wire         connections, TLS, HTTP
//! trust        which certificates TLS trusts
//!  plan         the settings
//! report       the printed report
//!  options      the flags
//! ```

mod bucket;
mod checks;
mod explained;
mod filter;
mod options;
mod plan;
mod report;
mod trust;
mod wire;

use std::process::ExitCode;

pub use options::Options;

/// Runs all checks, and prints the results.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let report = runtime.block_on(checks::examine(options));
    // Dropping the runtime would wait for a task that hangs, such as the look-up of a name.
    runtime.shutdown_background();
    Ok(report.end())
}
