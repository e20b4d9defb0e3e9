//! `oss-origin-auth check-config` as a script calls it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use testkit::process::scratch;
use testkit::tools;

/// The exit status, and what was printed, for the smallest configuration after a
/// replacement.
fn run(from: &str, to: &str) -> (Option<i32>, String) {
    let minimal = std::fs::read_to_string(tools::root().join("envoy/minimal.yaml")).unwrap();
    assert!(minimal.contains(from), "{from}");
    let file = scratch("envoy.yaml");
    std::fs::write(&file, minimal.replace(from, to)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
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
    assert!(text.contains("error: no filter in it is ours"), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_wrong_argument() {
    let latin = scratch("latin.yaml");
    std::fs::write(&latin, b"# caf\xe9\n").unwrap();
    for file in ["/no/such/file.yaml", "/", latin.to_str().unwrap()] {
        let output = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
            .args(["check-config", file])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{file}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(file), "{text}");
    }
}

/// The exit status, and what was printed, for these arguments and this standard input.
fn call(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
        .current_dir(tools::root())
        .arg("check-config")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it reads.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), text)
}

#[test]
fn several_files_are_checked_at_once() {
    let files = [
        "deploy/istio/wasm-plugin.yaml",
        "envoy/minimal.yaml",
        "envoy/edge.yaml",
    ];
    let (code, text) = call(&files, "");
    assert_eq!(
        (code, text.trim()),
        (Some(0), "3 files: 3 checked, all good")
    );
    let (code, text) = call(&["envoy/minimal.yaml", "no-such.yaml"], "");
    assert_eq!(code, Some(2));
    assert!(text.contains("no-such.yaml: "), "{text}");
}

#[test]
fn the_standard_input_is_a_file() {
    let minimal = std::fs::read_to_string(tools::root().join("envoy/minimal.yaml")).unwrap();
    let (code, text) = call(&["-"], &minimal);
    assert_eq!(
        (code, text.trim()),
        (Some(0), "standard input: 1 checked, all good")
    );
    let (code, text) = call(&["-"], &minimal.replace("timeout: 0s", "timeout: 9s"));
    assert_eq!(code, Some(3), "{text}");
    assert!(
        text.starts_with("standard input: warning: filter oss_origin_auth in oss: "),
        "{text}"
    );
    assert!(text.contains("[timeouts_cut_downloads]"), "{text}");
}

#[test]
fn a_note_is_good() {
    let minimal = std::fs::read_to_string(tools::root().join("envoy/minimal.yaml")).unwrap();
    let (code, text) = call(&["-"], &minimal.replace("-internal.aliyuncs", ".aliyuncs"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("1 checked, all good, notes: 1\n"), "{text}");
}

#[test]
fn a_version_of_envoy_is_asked_for() {
    for (version, status) in [("1.36", 1), ("v1.37.0", 1), ("1.38", 0), ("1.40.0", 0)] {
        let (code, text) = call(&["--envoy-version", version, "envoy/cached.yaml"], "");
        assert_eq!(code, Some(status), "{version}: {text}");
    }
}

#[test]
fn programs_get_json() {
    for (arguments, status) in [
        (&["--json", "envoy/cached.yaml"][..], 0),
        (
            &["--json", "--envoy-version", "1.37", "envoy/cached.yaml"],
            1,
        ),
    ] {
        let (code, text) = call(arguments, "");
        assert_eq!(code, Some(status), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["checked"], 2);
        assert_eq!(report["errors"], status);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), usize::from(status == 1));
    }
}

#[test]
fn wrong_arguments_have_a_status_of_their_own() {
    for arguments in [
        &[][..],
        &["--envoy-version", "latest", "envoy/minimal.yaml"],
        &["--yaml", "envoy/minimal.yaml"],
    ] {
        assert_eq!(call(arguments, "").0, Some(2), "{arguments:?}");
    }
}

#[test]
fn the_standard_input_is_read_once_and_nobody_need_read_the_output() {
    let (code, _) = call(&["-", "-"], "");
    assert_eq!(code, Some(2));
    let command = || Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    for more in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut check = command();
        check.current_dir(tools::root()).stdout(writer);
        let status = check
            .args(["check-config", "envoy/minimal.yaml"])
            .args(more);
        assert_eq!(status.status().unwrap().code(), Some(0), "{more:?}");
    }
}
