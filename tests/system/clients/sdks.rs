//! Alibaba's Python SDKs, told that Envoy is OSS.

use std::process::Command;

use super::{World, digest, with_settings};
use serde_json::{Value, json};
use testkit::alibaba::Seen;
use testkit::alibaba::generated;
use testkit::clients::{ended, run};
use testkit::tools;

const SIZE: usize = 3_000_000;
/// testkit/clients/sdks.py
const STOPPED: i32 = 7;

#[test]
fn oss2_reads_resumes_and_understands_errors() {
    let errors = json!([
        ["NoSuchKey", 404, "NoSuchKey"],
        ["NoSuchKey", 404, "NoSuchKey"],
        // A refusal of ours is JSON, not OSS's XML.
        ["ServerError", 405, ""],
    ]);
    works("oss2", &errors);
}

#[test]
fn the_newer_sdk_reads_resumes_and_understands_errors() {
    let errors = json!([
        ["ServiceError", 404, "NoSuchKey"],
        ["ServiceError", 404, "NoSuchKey"],
        ["ServiceError", 405, "BadErrorResponse"],
    ]);
    works("v2", &errors);
}

fn works(name: &str, errors: &Value) {
    // `exists` of both is a HEAD of `?objectMeta`, which passes only by name.
    let settings = "\"errors\": \"oss\", \"operations\": [\"objectMeta\"]";
    let world = World::start_with("minimal.yaml", with_settings(settings));
    let whole = world.put_generated("large", SIZE);
    let text = "All of it is text.\n".repeat(1000);
    world
        .alibaba
        .put_object("text", &text, json!({"content_type": "text/plain"}));
    let sdk = |more: &[&str]| {
        let mut command = Command::new(tools::python());
        command.arg(tools::root().join("testkit/clients/sdks.py"));
        command.args([name, &world.envoy.port.to_string()]);
        command
            .arg(&world.folder)
            .args(more)
            .env("HOME", &world.folder);
        command
    };
    let stopped = ended(&mut sdk(&["stopped"]));
    assert_eq!(stopped.status.code(), Some(STOPPED), "{stopped:?}");
    let before = world.ranges_of("large").len();
    assert!(before >= 3, "some parts have come: {before}");

    let is_first = |seen: &&Seen| seen.header("range") == ["bytes=0-262143"];
    let begun = world.alibaba.seen();
    assert!(begun.iter().any(|seen| is_first(&seen)), "{begun:?}");
    world.alibaba.clear_log();
    let facts: Value = serde_json::from_slice(&run(&mut sdk(&[]))).unwrap();
    for name in ["whole", "file", "resumed"] {
        assert_eq!(facts[name], json!(whole), "{name}: {facts}");
    }
    assert_eq!(facts["head"][0], json!(SIZE), "{facts}");
    assert_eq!(
        facts["range"],
        json!(digest(&generated(1000, 1000))),
        "{facts}"
    );
    assert_eq!(
        facts["suffix"],
        json!(digest(&generated(SIZE as u64 - 500, 500))),
        "{facts}"
    );
    // Not the whole object, as OSS would have it.
    assert_eq!(
        facts["past"],
        json!(digest(&generated(2_999_000, 1000))),
        "{facts}"
    );
    assert_eq!(facts["others"], json!([whole, whole]), "{facts}");
    assert_eq!(facts["text"], json!(digest(text.as_bytes())), "{facts}");
    assert_eq!(facts["exists"], json!([true, false]), "{facts}");
    assert_eq!(facts["checked"], json!(true), "by its CRC: {facts}");
    assert_eq!(&facts["errors"], errors, "{facts}");
    // Nothing twice: the parts that had come are not asked for again.
    let seen = world.alibaba.seen();
    let first = seen.iter().find(is_first);
    assert!(first.is_none(), "{first:?}");
}
