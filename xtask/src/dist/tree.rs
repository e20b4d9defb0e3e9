//! Folders that become archives. The bytes of an archive depend only on the content: there is
//! no owner, no order of a file system, and one time for all files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::command::Result;

/// The files of a folder, by their paths.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    File { content: Vec<u8>, mode: u32 },
    Link(String),
}

impl Tree {
    /// Adds a file.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        let content = content.into();
        let mode = 0o644;
        self.add(path, Entry::File { content, mode });
    }

    /// Adds an executable file.
    pub fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        let content = content.into();
        let mode = 0o755;
        self.add(path, Entry::File { content, mode });
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.add(path, Entry::Link(to.to_owned()));
    }

    /// Adds another tree in a folder.
    pub fn folder(&mut self, folder: &str, tree: &Tree) {
        for (path, entry) in &tree.0 {
            self.add(&format!("{folder}/{path}"), entry.clone());
        }
    }

    /// The files, by their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|(path, entry)| match entry {
            Entry::File { content, .. } => Some((path.as_str(), content.as_slice())),
            _ => None,
        })
    }

    fn add(&mut self, path: &str, entry: Entry) {
        for (at, _) in path.match_indices('/') {
            let folder = path[..at].to_owned();
            self.0.entry(folder).or_insert(Entry::Folder);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// The tar archive, with `time` as the time of all files.
    pub fn tar(&self, time: u64) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let appended = match entry {
                Entry::Folder => {
                    let mut header = header(EntryType::Directory, 0o755, 0, time);
                    builder.append_data(&mut header, format!("{path}/"), std::io::empty())
                }
                Entry::File { content, mode } => {
                    let mut header = header(EntryType::Regular, *mode, content.len(), time);
                    builder.append_data(&mut header, path, content.as_slice())
                }
                Entry::Link(to) => {
                    let mut header = header(EntryType::Symlink, 0o777, 0, time);
                    builder.append_link(&mut header, path, to)
                }
            };
            appended.map_err(|error| format!("{path}: {error}"))?;
        }
        builder.into_inner().map_err(|error| error.to_string())
    }

    /// Writes everything into a folder, which is removed first.
    pub fn write(&self, folder: &Path) -> Result {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        for (path, entry) in &self.0 {
            let file = folder.join(path);
            let written = match entry {
                Entry::Folder => std::fs::create_dir_all(&file),
                Entry::File { content, mode } => {
                    std::fs::write(&file, content).and_then(|()| set_mode(&file, *mode))
                }
                Entry::Link(to) => std::os::unix::fs::symlink(to, &file),
            };
            written.map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }
}

/// Compresses without a name and a time.
pub fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder
        .write_all(content)
        .and_then(|()| encoder.finish())
        .map_err(|error| error.to_string())
}

fn header(kind: EntryType, mode: u32, size: usize, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn set_mode(file: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_adding_does_not_count() {
        let mut one = Tree::default();
        one.file("a/b/c", "content");
        one.link("a/link", "b/c");
        let mut other = Tree::default();
        other.link("a/link", "b/c");
        other.file("a/b/c", "content");
        assert_eq!(one.tar(1).unwrap(), other.tar(1).unwrap());
        assert_ne!(one.tar(1).unwrap(), one.tar(2).unwrap());
    }

    #[test]
    fn an_archive_holds_folders_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.program("usr/bin/x", "#!");
        let bytes = tree.tar(1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let seen: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                assert_eq!(header.mtime().unwrap(), 1_700_000_000, "{path}");
                assert_eq!(header.uid().unwrap(), 0, "{path}");
                (path, header.mode().unwrap())
            })
            .collect();
        let want = [("usr/", 0o755), ("usr/bin/", 0o755), ("usr/bin/x", 0o755)];
        assert_eq!(seen, want.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn a_compressed_file_has_no_time_and_no_name() {
        // RFC 1952: flags, time, extra flags, system (255: unknown).
        let compressed = gzip(b"content").unwrap();
        assert_eq!(compressed[..10], [31, 139, 8, 0, 0, 0, 0, 0, 2, 255]);
    }
}
