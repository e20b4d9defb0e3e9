//! `cargo xtask check-config` as a script calls it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use testkit::process::scratch;
use testkit::tools;

/// The exit status, and what was printed, for the smallest configuration after a
/// replacement.
fn run(from: &str, to: &str) -> (Option<i32>, String) {
    let minimal = std::fs::read_to_string(tools::root().join("envoy/minimal.yaml")).unwrap();
    assert!(minimal.contains(from), "{from}");
    let file = scratch("envoy.yaml");
    std::fs::write(&file, minimal.replace(from, to)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check-config")
        .arg(&file)
        .output()
        .unwrap();
    let _ = std::fs::remove_file(&file);
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

#[test]
fn the_exit_status_tells_errors_from_warnings() {
    let policy = "failure_policy: FAIL_RELOAD";
    for (to, status, end) in [
        (policy, 0, "1 checked, all good"),
        ("failure_policy: FAIL_CLOSED", 3, "1 checked, warnings: 1"),
        ("fail_open: true", 1, "1 checked, errors: 1, warnings: 0"),
    ] {
        let (code, text) = run(policy, to);
        assert_eq!(code, Some(status), "{to}: {text}");
        assert!(text.trim_end().ends_with(end), "{to}: {text}");
    }
    let (code, text) = run("static_resources", "other");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run("oss_origin_auth", "other");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("error: no wasm filter"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["check-config", "/no/such/file.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}
