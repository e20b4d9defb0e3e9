//! The command `render`: makes a working configuration from a few flags.
//!
//! The flags become a [`plan::Plan`], in which every value is checked; the templates in
//! cli/templates make the files. A result that does not pass `check-config` is not written.

mod combinations;
mod files;
mod made_by;
mod next;
mod options;
mod origin;
mod parse;
mod plan;
mod planned;
mod prefixes;
mod routes;
mod settings;
mod templates;
mod values;

use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser};
use oss_origin_auth_checker::{Verdict, check};

use crate::output::{note, write};
pub use options::Options;
use templates::File;

/// The parsed arguments, which say which flags were given.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// Writes the files, and prints what to do next.
pub fn run(_: &Options) -> Result<ExitCode, String> {
    let mut command = Line::command();
    let (matches, options) = parsed(&mut command)?;
    made_by::check_filled(&command, &matches)?;
    let given = made_by::given(&command, &matches);
    let mut command = made_by::without_idle(command, &given, &options);
    let (matches, options) = parsed(&mut command)?;
    let made_by = made_by::made_by(&command, &matches, &options);
    let plan = planned::plan(&options, &given, made_by)?;
    let all = templates::files(&plan)?;
    let names: Vec<_> = all.iter().map(|file| file.name).collect();
    let files = chosen(all, options.only.as_deref())?;
    for file in &files {
        check_file(file)?;
    }
    match (&options.out, files.as_slice()) {
        (Some(folder), files) => {
            files::write(Path::new(folder), files, options.force)?;
            for file in files {
                let written = Path::new(folder).join(file.name);
                note(&format!("written: {}", written.display()));
            }
            note("Next:");
            let folder = made_by::word(folder);
            let steps = match files {
                [file] if names.len() > 1 => next::steps_of_one(file.name, &names, &folder),
                _ => next::steps(&plan, &folder),
            };
            for (index, step) in steps.iter().enumerate() {
                note(&format!("  {}. {step}", index + 1));
            }
        }
        (None, [file]) => {
            write(&file.text)?;
        }
        (None, files) => {
            let names: Vec<_> = files.iter().map(|file| file.name).collect();
            return Err(format!(
                "--target {} has several files ({}): name a folder for them with --out, or one of \
                 them with --only",
                plan.target,
                names.join(", ")
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses the flags.
fn parsed(command: &mut Command) -> Result<(ArgMatches, Options), String> {
    // The first argument is the name of the program.
    let matches = command.try_get_matches_from_mut(std::env::args_os().skip(1));
    let matches = matches.map_err(|error| error.to_string())?;
    let line = Line::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    Ok((matches, line.options))
}

/// The only file that is wanted, or all files.
fn chosen(files: Vec<File>, only: Option<&str>) -> Result<Vec<File>, String> {
    let Some(only) = only else {
        return Ok(files);
    };
    let names: Vec<_> = files.iter().map(|file| file.name).collect();
    let names = names.join(", ");
    let chosen: Vec<_> = files.into_iter().filter(|file| file.name == only).collect();
    match chosen.is_empty() {
        true => Err(format!("--only is {only:?}: the target has {names}")),
        false => Ok(chosen),
    }
}

/// Checks a file. An error that `check-config` finds comes from the flags or from a template.
/// Warnings are printed, since the configuration may be intended.
fn check_file(file: &File) -> Result<(), String> {
    // Some files are not a configuration of the filter.
    if !file.text.contains("oss_origin_auth") || !file.text.contains("bucket") {
        return Ok(());
    }
    let report = check(&file.text);
    if report.checked == 0 {
        return Ok(());
    }
    let findings = report.findings.iter().map(ToString::to_string);
    let findings: Vec<_> = findings.collect();
    match report.verdict() {
        Verdict::Errors => Err(format!(
            "{} was not written, since check-config finds in it: {}",
            file.name,
            findings.join("; ")
        )),
        Verdict::Warnings | Verdict::Good => {
            for finding in findings {
                note(&format!("{}: {finding}", file.name));
            }
            Ok(())
        }
    }
}
