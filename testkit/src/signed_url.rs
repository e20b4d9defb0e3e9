//! URLs signed as for Alibaba CDN, by a few lines of Python in testkit/clients, which share no
//! code with the filter.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::tools;

/// Signs a target, which is a path with or without a query, by a key for a time. The type is
/// one of the CDN's, or `F-hex`.
pub fn sign(kind: &str, key: &str, time: u64, target: &str) -> String {
    let printed = run("sign_url.py", &[kind, key, &time.to_string(), target]);
    printed.trim_end().to_owned()
}

/// The output of `forge_url.py`.
pub fn forge(arguments: &[&str]) -> Value {
    let printed = run("forge_url.py", arguments);
    serde_json::from_str(&printed).expect("JSON")
}

/// The status of a target by HTTP/2, or `none`.
pub fn ask_by_http2(port: u16, host: &str, target: &[u8]) -> String {
    let target: String = target.iter().map(|byte| format!("{byte:02x}")).collect();
    let printed = run("forge_url.py", &["http2", &port.to_string(), host, &target]);
    printed.trim_end().to_owned()
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tools::python());
    command
        .arg(tools::root().join("testkit/clients").join(program))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("Python");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}
