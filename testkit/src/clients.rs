//! Clients that people have, from Debian's packages.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::process::{PATIENCE, scratch};

/// Set to `1` for `cargo xtask test --all` to leave out the tests with these clients.
pub const SKIP: &str = "OSS_SKIP_CLIENTS";

/// Each program with its Debian package.
pub const PACKAGES: [(&str, &str); 8] = [
    ("curl", "curl"),
    ("wget", "wget"),
    ("aria2c", "aria2"),
    ("ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg"),
    ("chromium", "chromium fonts-dejavu-core"),
    ("git", "git"),
    ("node", "nodejs"),
];

pub fn is_skipped() -> bool {
    std::env::var(SKIP).is_ok_and(|value| value == "1")
}

/// The program of one of these packages. `folder` is its home, too, so that no user's settings
/// have an effect.
pub fn client(program: &str, folder: &Path) -> Command {
    let known = PACKAGES.iter().find(|(name, _)| *name == program);
    let (_, package) = known.unwrap_or_else(|| panic!("{program} is not on the list"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    assert!(
        found,
        "{program} is missing: it is in the Debian package {package}, which \
         `cargo xtask test --all` installs; {SKIP}=1 leaves these tests out"
    );
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder);
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end, which must be a success; returns what it has printed.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = ended(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

/// Runs a command to its end, with any result. A command that hangs is killed, and the test
/// fails.
pub fn ended(command: &mut Command) -> Output {
    let logs = ["stdout", "stderr"].map(scratch);
    let [stdout, stderr] = logs
        .each_ref()
        .map(|log| File::create(log).expect("a log file"));
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let begin = Instant::now();
    let mut has_ended = false;
    while !has_ended && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
        has_ended = child.try_wait().expect("wait").is_some();
    }
    if !has_ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("wait");
    let [stdout, stderr] = logs.map(|log| std::fs::read(log).expect("a log file"));
    let output = Output {
        status,
        stdout,
        stderr,
    };
    assert!(has_ended, "{command:?} hangs: {output:?}");
    output
}
