//! The source files in this folder, or those of a commit.

use std::process::Command;

use testkit::tools;

use crate::command::Result;

/// A source file.
#[derive(Debug)]
pub struct Source {
    /// The path from the project's folder.
    pub path: String,
    /// The content of the file.
    pub text: String,
}

/// A function in a file.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// The name of the function.
    pub name: String,
    /// The number of the line with its signature, from 1.
    pub line: usize,
    /// The number of lines from its signature to its end.
    pub length: usize,
}

/// The files here whose name ends with one of `endings`: those that git tracks, and new ones
/// that it does not ignore.
pub fn here(endings: &[&str]) -> Result<Vec<Source>> {
    let list = git(&["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut sources = Vec::new();
    for path in wanted(&list, endings) {
        // Git still lists a file that is deleted here.
        if let Ok(text) = std::fs::read_to_string(tools::root().join(&path)) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

/// The files of a commit.
pub fn at(commit: &str, endings: &[&str]) -> Result<Vec<Source>> {
    let list = git(&["ls-tree", "-r", "--name-only", commit])?;
    let read = |path: String| {
        let text = git(&["show", &format!("{commit}:{path}")])?;
        Ok(Source { path, text })
    };
    wanted(&list, endings).map(read).collect()
}

fn wanted<'a>(list: &'a str, endings: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let paths = list
        .lines()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)));
    paths.map(str::to_owned)
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(tools::root())
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {}: {problem}", arguments.join(" ")));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("git: {error}"))
}
