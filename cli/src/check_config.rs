//! The command `check-config`: checks a configuration before Envoy loads it.

use std::io::{self, Read};
use std::process::ExitCode;

use oss_origin_auth_checker::{File, Finding, Report, Severity, Verdict, Version, check_files};

use crate::output::show;

/// Say what is wrong in a configuration of the filter, before Envoy sees it.
///
/// A FILE is the filter's configuration (JSON), a whole configuration of Envoy
/// (YAML or JSON), or manifests of Kubernetes; `-` is the standard input. In the
/// latter two the configuration of every wasm filter is checked that has
/// oss_origin_auth as its name or in the place of its code, and of every dynamic
/// module that has it as its filter_name. Manifests of several
/// files are looked at together: give a WasmPlugin with its VirtualService.
/// Variables that hold keys need not be set here.
///
/// The exit status is 0 if all is good, 1 if there are errors, 3 if there are
/// warnings alone: what Envoy loads, but what probably is not meant. A note is
/// neither. 2 stands for wrong arguments, and for a file that cannot be read.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The version of Envoy that is to load it, such as 1.36
    #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST)]
    envoy_version: Version,
    /// Print one object of JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Checks the files and prints all findings.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    if options.files.iter().filter(|name| *name == "-").count() > 1 {
        return Err("`-` stands for the standard input, which can be read once".into());
    }
    let read = options.files.iter().map(|name| read(name));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let files = read.iter().map(|(name, text)| File { name, text });
    let report = check_files(&files.collect::<Vec<_>>(), options.envoy_version);
    match options.json {
        true => show(&format!("{:#}", report.to_json())),
        false => print(&report, &options.files),
    }
    Ok(match report.verdict() {
        Verdict::Good => ExitCode::SUCCESS,
        Verdict::Warnings => ExitCode::from(ONLY_WARNINGS),
        Verdict::Errors => ExitCode::FAILURE,
    })
}

/// The exit status; 2 stands for wrong arguments.
const ONLY_WARNINGS: u8 = 3;

/// Reads a file; returns the name that findings give it, and its text.
fn read(name: &str) -> Result<(String, String), String> {
    let mut text = String::new();
    match name {
        "-" => {
            let read = io::stdin().read_to_string(&mut text);
            read.map_err(|error| format!("standard input: {error}"))?;
            Ok(("standard input".to_owned(), text))
        }
        name => {
            let text = std::fs::read_to_string(name).map_err(|error| format!("{name}: {error}"))?;
            Ok((name.to_owned(), text))
        }
    }
}

/// Prints a line for each finding, and a summary line.
fn print(report: &Report, files: &[String]) {
    for finding in &report.findings {
        show(&line(finding));
    }
    let whole = match files {
        [file] if file == "-" => "standard input".to_owned(),
        [file] => file.clone(),
        files => format!("{} files", files.len()),
    };
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|one| report.count(one));
    let end = match report.verdict() {
        Verdict::Good => "all good".to_owned(),
        Verdict::Warnings => format!("warnings: {warnings}"),
        Verdict::Errors => format!("errors: {errors}, warnings: {warnings}"),
    };
    let notes = match notes {
        0 => String::new(),
        notes => format!(", notes: {notes}"),
    };
    show(&format!(
        "{whole}: {} checked, {end}{notes}",
        report.checked
    ));
}

/// The line of a finding; it begins with the file.
fn line(finding: &Finding) -> String {
    match &finding.place.file {
        Some(file) => format!("{file}: {finding}"),
        None => finding.to_string(),
    }
}
