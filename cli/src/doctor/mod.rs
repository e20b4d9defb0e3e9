//! Trying a bucket: what works, what does not, and what to do about it.
//!
//! ```text
//!  run          the runtime, and the exit status
//!  checks       one file for each group of checks, and their order
//!  bucket       a bucket that is tried: what is asked of it, and what it answers
//!  explained    an error of OSS, for a person
//!  filter       the filter's core: a client's request in, a signed one out
//!  wire         connections, TLS, HTTP
//!  trust        what servers are trusted by TLS
//!  plan         the settings
//!  report       what is printed
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

/// Tries everything, and prints what came of it.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let report = runtime.block_on(checks::examine(options));
    // Not dropped, which would wait for what hangs: the look-up of a name.
    runtime.shutdown_background();
    Ok(report.end())
}
