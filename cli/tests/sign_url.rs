//! `oss-origin-auth sign-url` and examples/sign_url.py as a person calls them. The example in
//! JavaScript needs Node: tests/system/clients/signed_urls.rs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use serde_json::Value;
use testkit::tools;

/// Signed URLs that others have made.
fn signed_urls() -> Value {
    let file = tools::root().join("tests/data/signed-urls.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The command with some arguments, of which the last is the URL.
fn command(key: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    command.args(["sign-url", "--key-env", "URL_KEY"]);
    command.env("URL_KEY", key).args(arguments);
    command.output().unwrap()
}

#[test]
fn the_command_signs_as_others_do() {
    let data = signed_urls();
    for case in data["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str();
        let time = case["time"].to_string();
        let mut arguments = vec!["--type", text("type").unwrap(), "--time", &time];
        for (argument, name) in [
            ("--rand", "rand"),
            ("--uid", "uid"),
            ("--signature-parameter", "signature_parameter"),
            ("--time-parameter", "time_parameter"),
            ("--time-format", "time_format"),
        ] {
            arguments.extend(text(name).into_iter().flat_map(|given| [argument, given]));
        }
        arguments.push(text("url").unwrap());
        let output = command(data["key"].as_str().unwrap(), &arguments);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.trim_end(), text("signed").unwrap(), "{case}");
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn what_is_wrong_is_said_and_no_key_is_printed() {
    let output = command("very-secret", &["--type", "A", "/a b"]);
    let problem = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    let begin = "oss-origin-auth: URL: ' ' must be percent-encoded, as %20";
    assert!(problem.starts_with(begin), "{problem}");
    assert!(output.stdout.is_empty() && !problem.contains("very-secret"));
    let unset = command("", &["--type", "A", "/a"]);
    let problem = String::from_utf8(unset.stderr).unwrap();
    assert!(problem.contains("--key-env: the environment variable URL_KEY is not set"));
}

/// Signs all cases, and prints what comes out.
const PYTHON: &str = r#"
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "examples")
from sign_url import sign_url
data = json.load(open("tests/data/signed-urls.json", encoding="utf-8"))
signed = []
for case in data["cases"]:
    names = case.get("signature_parameter", "sign"), case.get("time_parameter", "time")
    signed.append(sign_url(
        case["type"], data["key"], case["url"], case["time"], case.get("rand"),
        case.get("uid", "0"), names, case.get("time_format") == "hex"))
print(json.dumps(signed))
"#;

#[test]
fn the_example_in_python_signs_as_others_do() {
    let mut python = Command::new("python3");
    python.current_dir(tools::root()).args(["-c", PYTHON]);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let signed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let data = signed_urls();
    let cases = data["cases"].as_array().unwrap();
    assert_eq!(signed.len(), cases.len());
    for (signed, case) in signed.iter().zip(cases) {
        assert_eq!(*signed, case["signed"], "{case}");
    }
}
