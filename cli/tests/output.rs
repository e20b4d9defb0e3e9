//! Nobody need read what `oss-origin-auth` prints.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use testkit::process::scratch;

/// The exit status where nobody reads what it prints; 101 is that of a panic.
fn unread(arguments: &[&str]) -> Option<i32> {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    let command = command.args(arguments).env("URL_KEY", "key-of-urls");
    let status = command.stdout(closed()).stderr(closed()).status();
    status.unwrap().code()
}

#[test]
fn nobody_need_read_the_output() {
    let url = "https://www.example.com/a";
    let sign = ["sign-url", "--type", "A", "--key-env", "URL_KEY", url];
    assert_eq!(unread(&sign), Some(0));
    let render = ["render", "--bucket", "my-bucket", "--region", "cn-hangzhou"];
    assert_eq!(unread(&render), Some(0));
    let folder = scratch("rendered");
    let out = ["--out", folder.to_str().unwrap()];
    assert_eq!(unread(&[&render[..], &out].concat()), Some(0));
    assert_eq!(unread(&["check-config", "/no/such/file"]), Some(2));
    assert_eq!(
        unread(&["sign-url", "--type", "A", "--key-env", "UNSET", url]),
        Some(2)
    );
    assert_eq!(unread(&["doctor", "--bucket", ""]), Some(2));
}
