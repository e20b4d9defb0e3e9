//! A second build, in a copy of the source in another folder. It must give the same bytes;
//! otherwise the difference is shown.

use std::path::{Path, PathBuf};

use super::{read, write};
use crate::command::{Result, step};
use crate::native::ARCHITECTURES;
use crate::place::Place;
use crate::{module, wasm};

/// The files that are built twice.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum What {
    /// All files of a release
    All,
    /// The filter's module alone, which is faster
    Module,
    /// The native modules alone
    Native,
}

/// Builds again, for the same time, and compares with the files in `folder`.
pub fn compare(what: What, folder: &Path, time: u64) -> Result {
    step("building a second time, in a copy of the source");
    let copy = Copy::new()?;
    let mut differences = Vec::new();
    match what {
        What::Module => {
            let module = wasm::build_filter_in(&copy.0)?;
            let name = folder.join("oss_origin_auth.wasm");
            differences.extend(difference(&name, &read(&name)?, &read(&module)?));
        }
        What::Native => {
            for architecture in ARCHITECTURES {
                let one = module::build(&Place::here(), architecture)?;
                let other = module::build(&copy.0, architecture)?;
                differences.extend(difference(&one, &read(&one)?, &read(&other)?));
            }
        }
        What::All => {
            let other = copy.0.root.join("dist");
            write(&copy.0, &other, time)?;
            for name in names(folder)? {
                let (one, other) = (folder.join(&name), other.join(&name));
                differences.extend(difference(&one, &read(&one)?, &read(&other)?));
            }
        }
    }
    match differences.as_slice() {
        [] => {
            println!("built twice: the same bytes");
            Ok(())
        }
        differences => Err(format!("built twice: {}", differences.join("; "))),
    }
}

/// The difference of two files, with some bytes of both, which show a folder or a time.
fn difference(name: &Path, one: &[u8], other: &[u8]) -> Option<String> {
    let both = one.iter().zip(other);
    let at = match both.clone().position(|(one, other)| one != other) {
        Some(at) => at,
        None if one.len() == other.len() => return None,
        None => one.len().min(other.len()),
    };
    let count = both.filter(|(one, other)| one != other).count();
    let shown = |bytes: &[u8]| {
        let part = bytes.get(at.saturating_sub(16)..bytes.len().min(at + 48));
        part.unwrap_or_default().escape_ascii().to_string()
    };
    Some(format!(
        "{} has {} and {} bytes, of which {count} differ, the first at {at}:\n  {}\n  {}\n",
        name.display(),
        one.len(),
        other.len(),
        shown(one),
        shown(other)
    ))
}

/// A copy of this checkout; removed when dropped.
struct Copy(Place);

impl Copy {
    fn new() -> Result<Copy> {
        // The copy is outside of this checkout, whose settings cargo would read as well.
        let name = format!("the-same-source-in-another-folder-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let copy = Copy(Place {
            target: root.join("builds"),
            root,
        });
        copy_folder(&Place::here().root, &copy.0.root)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0.root);
    }
}

/// Copies a folder without what is built, and without git's own data.
fn copy_folder(from: &Path, to: &Path) -> Result {
    let problem = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(problem)?;
    for entry in std::fs::read_dir(from).map_err(problem)?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" || name == ".git" {
            continue;
        }
        let to = to.join(name);
        match path.is_dir() {
            true => copy_folder(&path, &to)?,
            false => std::fs::copy(&path, to).map(|_| ()).map_err(problem)?,
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().into())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown() {
        let difference = |one, other| difference(Path::new("x"), one, other);
        assert_eq!(difference(b"same", b"same"), None);
        let text = difference(b"at /home/a", b"at /home/b").unwrap();
        assert!(text.contains("x has 10 and 10 bytes, of which 1 differ, the first at 9"));
        assert!(text.contains("at /home/a\n  at /home/b"), "{text}");
        let longer = difference(b"one", b"one more").unwrap();
        assert!(
            longer.contains("of which 0 differ, the first at 3"),
            "{longer}"
        );
    }
}
