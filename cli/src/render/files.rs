//! Writes all files, or none.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::templates::File;

/// Writes files into a folder, which is created if it does not exist.
pub fn write(folder: &Path, files: &[File], force: bool) -> Result<(), String> {
    let path = |file: &File| folder.join(file.name);
    let existing = files
        .iter()
        .map(path)
        .find(|path| path.symlink_metadata().is_ok());
    if let (Some(existing), false) = (existing, force) {
        let existing = existing.display();
        return Err(format!(
            "--out: {existing} is there already, and nothing was written: take another folder, or \
             replace it with --force"
        ));
    }
    if let Some(folder) = files.iter().map(path).find(|path| path.is_dir()) {
        let folder = folder.display();
        return Err(format!(
            "--out: {folder} is a folder, and nothing was written: take it out, or take another \
             one for --out"
        ));
    }
    fs::create_dir_all(folder).map_err(|error| format!("--out: {}: {error}", folder.display()))?;
    // The files are written under other names first: if the disk is full, the old files stay.
    let mut beside = Vec::new();
    let written = files.iter().try_for_each(|file| {
        let temporary = temporary(folder, file.name);
        beside.push((temporary.clone(), path(file)));
        write_one(&temporary, &file.text)
            .map_err(|error| format!("--out: {}: {error}", temporary.display()))
    });
    let moved = written.and_then(|()| {
        beside.iter().try_for_each(|(from, to)| {
            fs::rename(from, to).map_err(|error| format!("--out: {}: {error}", to.display()))
        })
    });
    if moved.is_err() {
        for (from, _) in &beside {
            let _ = fs::remove_file(from);
        }
    }
    moved
}

fn write_one(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn temporary(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.{}.part", std::process::id()))
}
