//! Many small objects: a repository of git, cloned as from any web server, and 2,000 files
//! by many requests at once.

use std::path::{Path, PathBuf};

use super::World;
use testkit::clients::{client, run};

#[test]
fn git_clones_a_repository_that_lies_in_the_bucket() {
    for file in ["minimal.yaml", "site.yaml"] {
        let world = World::start(file);
        let folder = &world.folder;
        let git = |arguments: &[&str]| {
            let mut command = client("git", folder);
            command.args(["-c", "user.name=A", "-c", "user.email=a@example.com"]);
            command.args(["-c", "gc.auto=0", "-c", "init.defaultBranch=main"]);
            command
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_TERMINAL_PROMPT", "0");
            String::from_utf8(run(command.args(arguments))).unwrap()
        };
        git(&["init", "--quiet", "work"]);
        let commit = |count: usize| {
            for number in 0..150 {
                let name = format!("work/{count}-{number} file.txt");
                std::fs::write(folder.join(name), format!("{count} of {number}\n")).unwrap();
            }
            git(&["-C", "work", "add", "."]);
            git(&["-C", "work", "commit", "--quiet", "--message", "More"]);
        };
        // Half of the objects in one pack, half each in a file of its own.
        commit(1);
        git(&["-C", "work", "repack", "-a", "-d", "--quiet"]);
        commit(2);
        git(&["-C", "work", "update-server-info"]);
        let files = files(&folder.join("work/.git"));
        assert!(files.len() > 150, "{}", files.len());
        for file in &files {
            let key = file.strip_prefix(folder.join("work/.git")).unwrap();
            let key = Path::new("repository.git").join(key);
            world
                .alibaba
                .put(key.to_str().unwrap(), std::fs::read(file).unwrap());
        }

        git(&["clone", "--quiet", &world.url("repository.git"), "clone"]);
        git(&["-C", "clone", "fsck", "--full", "--strict"]);
        let head = |of: &str| git(&["-C", of, "rev-parse", "HEAD"]);
        assert_eq!(head("clone"), head("work"), "{file}");
        assert_eq!(git(&["-C", "clone", "status", "--porcelain"]), "", "{file}");
        // One request for each object that is in no pack.
        assert!(world.alibaba.seen().len() > 150, "{file}");
    }
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let nested = paths.map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    nested.flatten().collect()
}

#[test]
fn curl_gets_two_thousand_small_files_at_once() {
    for file in ["minimal.yaml", "site.yaml"] {
        let world = World::start(file);
        let content = |number: usize| format!("file {number}\n").repeat(number % 50);
        let mut list = String::new();
        for number in 0..2000 {
            // As files are named; in a URL all but the plus and the tilde is encoded.
            let (key, spelled) = match number % 4 {
                0 => (format!("d/{number}.txt"), format!("d/{number}.txt")),
                1 => (format!("d/{number} a.txt"), format!("d/{number}%20a.txt")),
                2 => (
                    format!("d/{number}+~ü.txt"),
                    format!("d/{number}+~%C3%BC.txt"),
                ),
                _ => (format!("d/{number}%.txt"), format!("d/{number}%25.txt")),
            };
            world.alibaba.put(key, content(number));
            let url = world.url(&spelled);
            list += &format!("url = \"{url}\"\noutput = \"got/{number}\"\n");
        }
        std::fs::create_dir(world.folder.join("got")).unwrap();
        std::fs::write(world.folder.join("list"), list).unwrap();
        let mut curl = client("curl", &world.folder);
        curl.args(["--silent", "--show-error", "--fail", "--config", "list"]);
        run(curl.args(["--parallel", "--parallel-max", "50"]));
        for number in 0..2000 {
            let got = std::fs::read(world.folder.join(format!("got/{number}")));
            // curl makes no file for an empty object.
            let got = String::from_utf8(got.unwrap_or_default()).unwrap();
            assert_eq!(got, content(number), "{file}: {number}");
        }
        let seen = world.alibaba.seen();
        let good = seen.iter().filter(|seen| seen.status == 200);
        assert_eq!((good.count(), seen.len()), (2000, 2000), "{file}");
    }
}
