//! The command `oss-origin-auth`: the sidecar, and the tools for a person who runs the filter.

mod check_config;
mod doctor;
mod output;
mod render;
mod sign_url;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Serve private objects of Alibaba Cloud OSS through Envoy: the sidecar, and the tools.
#[derive(Debug, Parser)]
#[command(name = "oss-origin-auth", version)]
struct Options {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Sidecar(sts_sidecar::Options),
    CheckConfig(check_config::Options),
    Doctor(Box<doctor::Options>),
    Render(Box<render::Options>),
    SignUrl(sign_url::Options),
}

/// The command line of the sidecar when it was a program of its own.
#[derive(Debug, Parser)]
#[command(name = "sts-sidecar", version)]
struct OldOptions {
    #[command(flatten)]
    sidecar: sts_sidecar::Options,
}

/// The sidecar's name when it was a program of its own. Releases added the architecture to it.
const OLD_NAME: &str = "sts-sidecar";

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    let called = called
        .as_deref()
        .and_then(|path| Path::new(path).file_name());
    if let Some(name) = called.and_then(OsStr::to_str)
        && name.starts_with(OLD_NAME)
    {
        return sts_sidecar::run(OldOptions::parse().sidecar, Some(name));
    }
    let wrong_arguments = ExitCode::from(WRONG_ARGUMENTS);
    let (result, status) = match Options::parse().command {
        Task::Sidecar(options) => return sts_sidecar::run(options, None),
        Task::CheckConfig(options) => (check_config::run(&options), wrong_arguments),
        Task::Doctor(options) => (doctor::run(&options), ExitCode::FAILURE),
        Task::Render(options) => (render::run(&options), ExitCode::FAILURE),
        Task::SignUrl(options) => (sign_url::run(&options), wrong_arguments),
    };
    result.unwrap_or_else(|problem| {
        output::note(&format!("oss-origin-auth: {problem}"));
        status
    })
}

/// The exit status for wrong arguments, as clap has it.
const WRONG_ARGUMENTS: u8 = 2;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_in_the_documents_is_known() {
        testkit::documents::check_commands("oss-origin-auth", |arguments| {
            let error = Options::command().try_get_matches_from(arguments).err()?;
            Some((format!("{:?}", error.kind()), error.to_string()))
        });
    }
}
