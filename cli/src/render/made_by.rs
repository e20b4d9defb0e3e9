//! The command line, as the rendered files show it at their top.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::combinations::{Given, is_idle};
use super::options::Options;
use super::origin::sidecar_token;
use super::parse::is_set;

/// The flags that say how a file is made, including those that the environment sets.
pub fn made_by(command: &Command, matches: &ArgMatches, options: &Options) -> String {
    let mut words = vec!["oss-origin-auth render".to_owned()];
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let given = matches!(
            matches.value_source(id),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        );
        let Some(flag) = argument
            .get_long()
            .filter(|_| given && !OF_WRITING.contains(&id))
        else {
            continue;
        };
        let values = matches.get_raw(id).into_iter().flatten();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        match argument.get_action().takes_values() {
            false => words.push(format!("--{flag}")),
            true => {
                let filled = values.iter().filter(|value| !value.is_empty());
                words.extend(filled.map(|value| format!("--{flag} {}", word(value))));
            }
        }
    }
    let implied = [
        (
            "--sidecar-token",
            sidecar_token(options) && options.target == "envoy",
        ),
        (
            "--url-key-backup",
            options.access.signed_urls.is_some() && is_set("URL_KEY_BACKUP"),
        ),
    ];
    for (flag, is_on) in implied {
        if is_on && !words.iter().any(|word| word == flag) {
            words.push(flag.to_owned());
        }
    }
    wrapped(&words)
}

/// The command without the variables of the environment that are ignored. Otherwise they would
/// appear as flags in the command line, and that command would be refused.
pub fn without_idle(command: Command, given: &Given, options: &Options) -> Command {
    command.mut_args(|argument| {
        let flag = format!("--{}", argument.get_long().unwrap_or_default());
        match argument.get_env().is_some() && !given.has(&flag) && is_idle(given, options, &flag) {
            true => argument.env(None::<&'static str>),
            false => argument,
        }
    })
}

/// Refuses flags of the command line without a value. An empty variable there must not remove a
/// rule (`--signed-urls "$PREFIX"`).
pub fn check_filled(command: &Command, matches: &ArgMatches) -> Result<(), String> {
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let mut values = matches.get_raw(id).into_iter().flatten();
        if let (true, Some(flag)) = (values.any(|value| value.is_empty()), argument.get_long()) {
            return Err(format!("--{flag} is \"\": give it a value, or take it out"));
        }
    }
    Ok(())
}

/// The flags that are on the command line itself.
pub fn given(command: &Command, matches: &ArgMatches) -> Given {
    let arguments = command.get_arguments();
    let given = arguments.filter(|argument| {
        matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    Given(
        given
            .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
            .collect(),
    )
}

/// A value, quoted so that a shell takes it for one word. It cannot end a comment, since values
/// have one line.
pub fn word(value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._:/=-".contains(letter);
    match value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}

/// A comment whose lines are not too long.
fn wrapped(words: &[String]) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    format!("# Made by\n#  {}", lines.join(" \\\n# "))
}

/// The flags for writing the files, which do not change their content.
const OF_WRITING: [&str; 3] = ["out", "force", "only"];

const WIDTH: usize = 84;
