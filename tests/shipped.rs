//! The configurations in `envoy/` as they are shipped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use testkit::shipped::{Shipped, render};
use testkit::stub::Behaviour;
use testkit::{FakeAlibaba, Process, Request, StubSidecar, tools};

const FILES: [&str; 3] = ["minimal.yaml", "site.yaml", "protected.yaml"];

#[test]
fn every_file_is_here() {
    let folder = tools::root().join("envoy");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    found.sort();
    let mut known = FILES;
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn each_is_valid_as_it_is_shipped() {
    for name in FILES {
        let file = render(
            name,
            &[("OSS_BUCKET", "my-bucket"), ("OSS_REGION", "cn-hangzhou")],
        );
        let rendered = std::fs::read_to_string(&file).unwrap();
        let wasm = tools::filter_wasm().display().to_string();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("envoy")
            .join(name);
        assert_eq!(
            rendered.replace(&wasm, "/etc/envoy/oss_origin_auth.wasm"),
            std::fs::read_to_string(shipped).unwrap(),
            "render.sh changes nothing but what it is told"
        );
        let mut command = Command::new(tools::envoy());
        command
            .arg("--config-path")
            .arg(file)
            .args(["--mode", "validate"]);
        let mut envoy = Process::start("envoy", &mut command);
        assert_eq!(envoy.wait(), Some(0), "{name}: {}", envoy.output());
    }
}

#[test]
fn the_smallest_serves_an_object() {
    let (_alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
    let response = Request::get("/a").send(envoy.port);
    assert_eq!(
        (response.status, response.text()),
        (200, "content of a".into())
    );
}

#[test]
fn the_site_has_index_and_error_documents() {
    let (alibaba, _stub, envoy) = start("site.yaml", &["index.html", "dir/index.html", "404.html"]);
    for (path, status, text) in [
        ("/", 200, "content of index.html"),
        ("/dir/", 200, "content of dir/index.html"),
        ("/absent", 404, "content of 404.html"),
        ("/absent/", 404, "content of 404.html"),
        ("/404.html", 200, "content of 404.html"),
    ] {
        let response = Request::get(path).send(envoy.port);
        assert_eq!(
            (response.status, response.text()),
            (status, text.into()),
            "{path}"
        );
    }
    // A refusal of ours is no error document.
    let refused = Request::new("DELETE", "/absent").send(envoy.port);
    assert_eq!(refused.status, 405);
    // OSS's own errors stay behind.
    alibaba.set_key_state("STS.example", "denied");
    let denied = Request::get("/").send(envoy.port);
    assert_eq!(
        (denied.status, denied.json()),
        (403, json!({"error": "forbidden"}))
    );
}

#[test]
fn the_protected_one_serves_only_those_who_may_read() {
    let (alibaba, _stub, envoy) = start("protected.yaml", &["a", "members/a"]);
    let get = |path: &str, header: Option<(&str, String)>| {
        let request = Request::get(path);
        let request = match header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        request.send(envoy.port).status
    };
    let referer = |page: &str| Some(("referer", page.to_owned()));
    let bearer = |claims: Value| Some(("authorization", format!("Bearer {}", jwt(&claims))));
    let good =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    let expired =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 1_000_000_000});

    assert_eq!(get("/a", None), 403);
    assert_eq!(get("/a", referer("https://evil.example.com/")), 403);
    assert_eq!(get("/members/a", None), 401);
    assert_eq!(
        get("/members/a", referer("https://www.example.com/page")),
        401
    );
    assert_eq!(get("/members/a", bearer(expired)), 401);
    // Other spellings of the protected path.
    for path in [
        "/members%2Fa",
        "/%6Dembers/a",
        "//members/a",
        "/x/../members/a",
        "/x/%2e%2e/members/a",
    ] {
        let status = get(path, referer("https://www.example.com/page"));
        assert!(matches!(status, 400 | 401), "{path}: {status}");
    }
    assert!(alibaba.seen().is_empty(), "none of these reached OSS");

    assert_eq!(get("/a", referer("https://www.example.com/page")), 200);
    assert_eq!(get("/members/a", bearer(good)), 200);
    assert!(
        alibaba
            .seen()
            .iter()
            .all(|seen| !seen.header("authorization")[0].starts_with("Bearer")),
        "the client's token stays here"
    );
}

/// A token under the example key of protected.yaml.
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "example"});
    let text = format!("{}.{}", part(&header), part(claims));
    let key = b"example-key-of-the-documentation-only";
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn start(name: &str, keys: &[&str]) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    for key in keys {
        alibaba.put(key, format!("content of {key}"));
    }
    alibaba.add_key("STS.example", "secret", Some("token"), None);
    let stub = StubSidecar::start(Behaviour::body(
        200,
        r#"{"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": "secret",
            "SecurityToken": "token", "Expiration": "2099-01-01T00:00:00Z"}"#,
    ));
    let envoy = Shipped::start(name, alibaba.oss_port, stub.port);
    (alibaba, stub, envoy)
}
