//! The size and the structure of the code: it may have no long file, no long function, and no
//! circular dependencies among modules.

mod circles;
mod python;
mod rust;
mod source;

use std::fmt::{self, Display, Formatter};

use crate::command::Result;
use source::Source;

/// Count the lines of code of the filter and its core; list long files, long
/// functions and modules that use one another in a circle
///
/// Lines of code are those that are not blank, no comment, and no test. Fails where
/// the limits are not kept.
#[derive(clap::Args)]
pub struct Options {
    /// Count the lines of another commit, and do nothing else
    #[arg(long, value_name = "COMMIT")]
    at: Option<String>,
}

/// The most lines of a file.
const FILE: usize = 500;
/// The most lines of a function, from its signature to its end.
const FUNCTION: usize = 80;

/// Prints the count, and the violations of the limits.
pub fn run(options: &Options) -> Result {
    if let Some(commit) = &options.at {
        print!("{}", Count::new(&source::at(commit, &[".rs"])?));
        return Ok(());
    }
    let sources = source::here(&[".rs", ".py", "Cargo.toml"])?;
    print!("{}", Count::new(&sources));
    let offences = offences(&sources);
    for offence in &offences {
        println!("{offence}");
    }
    match offences.is_empty() {
        true => Ok(()),
        false => Err("the limits are not kept".into()),
    }
}

/// The number of lines of code.
struct Count {
    /// The lines of each crate, by its folder.
    crates: Vec<(&'static str, usize)>,
}

impl Count {
    fn new(sources: &[Source]) -> Count {
        let of = |folder: &'static str| (folder, lines_of(sources, folder));
        Count {
            crates: vec![of("src/"), of("core/")],
        }
    }
}

impl Display for Count {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        for (folder, lines) in &self.crates {
            writeln!(formatter, "{lines:6} lines of code in {folder}")?;
        }
        let sum: usize = self.crates.iter().map(|(_, lines)| lines).sum();
        writeln!(formatter, "{sum:6} lines of code together")
    }
}

/// The number of lines of code in a folder.
fn lines_of(sources: &[Source], folder: &str) -> usize {
    let mut tests = Vec::new();
    let mut files = Vec::new();
    for Source { path, text } in sources {
        let is_rust = path.ends_with(".rs") && path.starts_with(folder);
        if !is_rust || path.contains("/tests/") {
            continue;
        }
        let untested = rust::without_tests(&rust::masked(text));
        let stem = path.trim_end_matches(".rs");
        let parent = ["/mod", "/lib", "/main"]
            .iter()
            .find_map(|end| stem.strip_suffix(end))
            .unwrap_or(stem);
        for name in untested.test_files {
            tests.extend([format!("{parent}/{name}.rs"), format!("{parent}/{name}/")]);
        }
        files.push((path, rust::code_lines(&untested.text)));
    }
    let is_test = |path: &str| tests.iter().any(|test| path.starts_with(test));
    let counted = files.iter().filter(|(path, _)| !is_test(path));
    counted.map(|(_, lines)| lines).sum()
}

/// A violation of the limits.
#[derive(Debug)]
struct Offence {
    path: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File {
        lines: usize,
    },
    Function(source::Function),
    /// The arrows of a circle.
    Circle(String),
}

impl Display for Offence {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let path = &self.path;
        match &self.kind {
            Kind::File { lines } => {
                write!(formatter, "{path}: {lines} lines, more than {FILE}")
            }
            Kind::Function(source::Function { name, line, length }) => write!(
                formatter,
                "{path}:{line}: `{name}` has {length} lines, more than {FUNCTION}"
            ),
            Kind::Circle(arrows) => write!(formatter, "{path}: modules in a circle: {arrows}"),
        }
    }
}

fn offences(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for Source { path, text } in sources {
        let mut add = |kind| {
            offences.push(Offence {
                path: path.clone(),
                kind,
            });
        };
        let functions = match path.rsplit_once('.') {
            Some((_, "rs")) => rust::functions(&rust::masked(text)),
            Some((_, "py")) => python::functions(text),
            _ => continue,
        };
        let lines = text.lines().count();
        if lines > FILE {
            add(Kind::File { lines });
        }
        let long = functions
            .into_iter()
            .filter(|function| function.length > FUNCTION);
        long.for_each(|function| add(Kind::Function(function)));
    }
    for (path, arrows) in circles::find(sources) {
        let kind = Kind::Circle(arrows);
        offences.push(Offence { path, kind });
    }
    offences
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn files_and_functions_are_short_and_modules_use_one_another_in_no_circle() {
        let offences = offences(&source::here(&[".rs", ".py", "Cargo.toml"]).unwrap());
        let shown: Vec<_> = offences.iter().map(Offence::to_string).collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_is_too_long_is_said() {
        let long = format!("fn long() {{\n{}}}\n", "    call();\n".repeat(79));
        let longer = "\n".repeat(420) + &long.replace("call", "more(); call");
        let sources = [
            source("x/a.rs", &long.replacen("    call();\n", "", 1)),
            source("x/b.rs", &longer),
        ];
        let shown: Vec<_> = offences(&sources).iter().map(Offence::to_string).collect();
        assert_eq!(
            shown,
            [
                "x/b.rs: 501 lines, more than 500",
                "x/b.rs:421: `long` has 81 lines, more than 80",
            ]
        );
    }

    #[test]
    fn lines_of_code_are_counted_without_tests() {
        let sources = [
            source("core/src/lib.rs", "//! Doc.\npub mod a;\n\nuse a::A;\n"),
            source(
                "core/src/a/mod.rs",
                "pub struct A;\n#[cfg(test)]\nmod cases;\n",
            ),
            source("core/src/a/cases.rs", "fn test() {}\n"),
            source("core/src/a/cases/more.rs", "fn test() {}\n"),
            source("core/tests/a.rs", "fn test() {}\n"),
            source("core/Cargo.toml", "[package]\n"),
            source("src/lib.rs", "#[cfg(test)]\nmod tests;\nmod a;\n"),
            source("src/tests.rs", "fn test() {}\n"),
        ];
        assert_eq!(Count::new(&sources).crates, [("src/", 1), ("core/", 3)]);
    }
}
