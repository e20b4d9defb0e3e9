//! The JSON Schema, and checking a configuration before Envoy sees it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oss_origin_auth_checker::schema::schema;
use oss_origin_auth_checker::{Severity, Verdict, check as check_text};
use testkit::tools;

use crate::command::Result;

/// Say what is wrong in a configuration of the filter, before Envoy sees it.
///
/// FILE is the filter's configuration (JSON), a whole configuration of Envoy
/// (YAML or JSON), or a manifest of Kubernetes. In the latter two the
/// configuration of every wasm filter is checked that has oss_origin_auth as its
/// name or in the place of its code. Variables that hold keys need not be set here.
///
/// The exit status is 0 if all is good, 1 if there are errors, 3 if there are
/// warnings alone: what Envoy loads, but what probably is not meant.
#[derive(clap::Args)]
pub struct CheckOptions {
    file: PathBuf,
}

/// Prints all findings.
pub fn check(options: &CheckOptions) -> Result<ExitCode> {
    let path = options.file.display();
    let text =
        std::fs::read_to_string(&options.file).map_err(|error| format!("{path}: {error}"))?;
    let report = check_text(&text);
    for finding in &report.findings {
        println!("{path}: {finding}");
    }
    let [errors, warnings] =
        [Severity::Error, Severity::Warning].map(|severity| report.count(severity));
    let checked = report.checked;
    Ok(match report.verdict() {
        Verdict::Good => {
            println!("{path}: {checked} checked, all good");
            ExitCode::SUCCESS
        }
        Verdict::Warnings => {
            println!("{path}: {checked} checked, warnings: {warnings}");
            ExitCode::from(ONLY_WARNINGS)
        }
        Verdict::Errors => {
            println!("{path}: {checked} checked, errors: {errors}, warnings: {warnings}");
            ExitCode::FAILURE
        }
    })
}

/// The exit status; 2 stands for wrong arguments.
const ONLY_WARNINGS: u8 = 3;

/// The file of the schema.
pub const SCHEMA: &str = "docs/configuration.schema.json";

/// Writes the schema.
pub fn write_schema() -> Result {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    std::fs::write(Path::new(&tools::root()).join(SCHEMA), text + "\n")
        .map_err(|error| format!("{SCHEMA}: {error}"))
}
