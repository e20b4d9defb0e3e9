//! The sidecar under the name that it had as a program of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use testkit::process::scratch;

/// What comes of the binary under a name; a source that fails at once.
fn run_as(name: &str, arguments: &[&str]) -> Output {
    let folder = scratch("called");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    let _ = std::fs::remove_file(&path);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oss-origin-auth"), &path).unwrap();
    let settings = folder.join("sidecar.toml");
    let source = "[credentials.default]\ntype = \"static\"\n\
                  access_key_id_env = \"KEY_ID\"\naccess_key_secret_env = \"KEY_SECRET\"\n";
    std::fs::write(&settings, source).unwrap();
    let mut command = Command::new(path);
    command.args(arguments).arg("--config").arg(settings);
    command.env_clear();
    command.envs([("KEY_ID", "LTAIexample"), ("KEY_SECRET", "sesame")]);
    command.output().unwrap()
}

#[test]
fn the_old_name_does_what_it_did_and_says_the_new_one() {
    let old = run_as("sts-sidecar", &["check"]);
    let released = run_as("sts-sidecar-x86_64-linux", &["check"]);
    let new = run_as("oss-origin-auth", &["sidecar", "check"]);
    for output in [&old, &released] {
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, new.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("write `oss-origin-auth sidecar`"), "{said}");
    }
    let said = String::from_utf8_lossy(&new.stderr);
    assert!(
        new.status.success() && !said.contains("removes this name"),
        "{new:?}"
    );
    let table = String::from_utf8_lossy(&new.stdout);
    assert!(table.contains("ok, a key without an end"), "{table}");
}

#[test]
fn a_probe_by_the_old_name_says_no_more_than_it_did() {
    let output = run_as("sts-sidecar", &["probe", "--listen", "127.0.0.1:1"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("oss-origin-auth sidecar: "), "{said}");
}
