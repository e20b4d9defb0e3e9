//! `oss-origin-auth doctor` where nothing is to be asked: what it reads, and how it ends.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::process::scratch;
use testkit::tools;

/// What it says of the settings in a file, if there is no source of credentials and nobody
/// listens.
fn settings(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
        .env_clear()
        .args([
            "doctor",
            "--json",
            "--timeout",
            "1",
            "--connect",
            "127.0.0.1:1",
        ])
        .args(["--sidecar-config", "/nowhere"])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    checks[0].clone()
}

fn shipped(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(tools::root().join(folder)).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

#[test]
fn the_shipped_configurations_can_be_tried() {
    for file in shipped("envoy") {
        let settings = settings(&["--config", file.to_str().unwrap()]);
        assert_eq!(settings["result"], "ok", "{}: {settings}", file.display());
    }
    let plugin = tools::root().join("deploy/istio/wasm-plugin.yaml");
    let plugin = plugin.to_str().unwrap();
    let unsigned = settings(&["--config", plugin]);
    let seen = unsigned["seen"].as_str().unwrap();
    let (_, names) = seen.split_once("--route names others: there are ").unwrap();
    for name in names.split(", ") {
        let route = settings(&["--config", plugin, "--route", name]);
        assert_eq!(route["result"], "ok", "{route}");
    }
}

#[test]
fn a_wrong_flag_is_not_repeated() {
    for flags in [
        ["--envoy", "http://sesame:sesame@h/"],
        ["--connect", "sesame@h:1"],
        ["--object", "/a b?auth_key=sesame"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
            .args(["doctor", "--bucket", "my-bucket"])
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains(flags[0]) && !text.contains("sesame"),
            "{text}"
        );
    }
}

#[test]
fn the_exit_status_tells_arguments_from_what_they_name() {
    let latin = scratch("latin.yaml");
    std::fs::write(&latin, b"# caf\xe9\n").unwrap();
    let wrong = scratch("wrong.json");
    std::fs::write(&wrong, r#"{"credentials": 1}"#).unwrap();
    let minimal = tools::root().join("envoy/minimal.yaml");
    let [latin, wrong, minimal] = [&latin, &wrong, &minimal].map(|path| path.to_str().unwrap());
    for (arguments, status) in [
        (&["--bucket", ""][..], 2),
        (&["--bucket", "my-bucket"], 2),
        (
            &["--bucket", "b", "--region", "cn-hangzhou", "--route", "r"],
            2,
        ),
        (&["--config", "/nowhere"], 2),
        (&["--config", latin], 2),
        (&["--config", minimal, "--route", "other"], 2),
        (&["--config", minimal, "--ca", "/nowhere"], 2),
        (&["--config", wrong], 1),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"))
            .env_clear()
            .args(["doctor", "--json", "--connect", "127.0.0.1:1"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(checks[0]["result"], "failed", "{arguments:?}");
    }
}
