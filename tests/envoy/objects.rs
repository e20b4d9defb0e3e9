//! Objects through a real Envoy, byte for byte, under every signature, from
//! every kind of credentials, in both positions.

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, ENDPOINT, REGION};
use testkit::keys::{UglyKey, ugly_keys};
use testkit::{Envoy, EnvoyBuilder, FakeAlibaba, Position, Request, StubSidecar};

#[test]
fn ugly_keys_arrive_byte_for_byte_under_every_signature_in_both_positions() {
    let keys = ugly_keys();
    assert!(keys.len() >= 30);
    let (alibaba, _stub, envoy) = start(&keys);
    for position in [Position::Upstream, Position::Downstream] {
        for route in ROUTES {
            for ugly in &keys {
                check_object(&envoy, position, route, ugly);
            }
        }
    }
    let refused: Vec<_> = alibaba
        .seen()
        .into_iter()
        .filter(|seen| seen.status >= 400)
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

const ROUTES: [&str; 4] = ["v4-sts", "v4-key", "v1-sts", "v1-key"];
/// What is understood on the cluster, and refused where it could not be rewritten.
const AMBIGUOUS: [&[u8]; 7] = [
    b"/50%.txt",
    b"/slash%2Fencoded",
    b"/slash%2flower",
    b"/tilde%7E",
    b"/dot/%2E/seg",
    b"/dot/%2e%2e/seg",
    b"/%6c%65%74%74%65%72%73",
];
const KEY_SECRET: &str = "long-lived-secret";

/// GET, HEAD and Range of one object.
fn check_object(envoy: &Envoy, position: Position, route: &str, ugly: &UglyKey) {
    let name = format!("{position:?} {route} {}", ugly.path.escape_ascii());
    let content = content_of(&ugly.key);
    let request = |method: &str| Request::new(method, &ugly.path).header("x-test-route", route);
    let port = envoy.port(position);

    let get = request("GET").send(port);
    if position == Position::Downstream && AMBIGUOUS.contains(&ugly.path.as_slice()) {
        let reason = get.header("x-oss-origin-auth");
        assert_eq!(
            (get.status, reason),
            (400, Some("ambiguous_path")),
            "{name}"
        );
        return;
    }
    assert_eq!(get.status, 200, "{name}: {}", get.text());
    assert_eq!(get.body, content, "{name}");

    let head = request("HEAD").send(port);
    let length = content.len().to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some(length.as_str())),
        "{name}"
    );
    assert!(head.body.is_empty(), "{name}");

    let range = request("GET").header("range", "bytes=2-5").send(port);
    assert_eq!(range.status, 206, "{name}");
    assert_eq!(range.body, &content[2..=5], "{name}");
}

#[test]
fn a_large_object_arrives_whole() {
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n * 7 + n / 251) as u8)
        .collect();
    let (alibaba, _stub, envoy) = start(&[]);
    alibaba.put("large", &content);
    for position in [Position::Upstream, Position::Downstream] {
        let response = Request::get("/large")
            .header("x-test-route", "v4-sts")
            .send(envoy.port(position));
        assert_eq!(response.status, 200);
        assert!(response.body == content);
    }
}

#[test]
fn what_oss_says_of_an_object_reaches_the_client() {
    let (alibaba, _stub, envoy) = start(&[]);
    alibaba.put("a", "content");
    let port = envoy.port(Position::Upstream);
    let get = || Request::get("/a").header("x-test-route", "v4-sts");
    let etag = get().send(port).header("etag").unwrap().to_owned();
    assert_eq!(get().header("if-none-match", &etag).send(port).status, 304);
    let absent = Request::get("/absent")
        .header("x-test-route", "v4-sts")
        .send(port);
    assert_eq!(absent.status, 404);
    assert!(absent.text().contains("<Code>NoSuchKey</Code>"));
}

/// The fake OSS with these objects, and an Envoy with a route for each
/// combination of signature and credentials.
fn start(keys: &[UglyKey]) -> (FakeAlibaba, StubSidecar, Envoy) {
    let alibaba = FakeAlibaba::start();
    // Some are such as OSS itself would refuse.
    alibaba.set("key_rules", json!("any"));
    for ugly in keys {
        alibaba.put(&ugly.key, content_of(&ugly.key));
    }
    alibaba.add_key("STS.example", "sts-secret", Some("CAIS/token+="), None);
    alibaba.add_key("LTAIexample", KEY_SECRET, None, None);
    let stub = StubSidecar::start(testkit::stub::Behaviour::body(
        200,
        json!({"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": "sts-secret",
               "SecurityToken": "CAIS/token+=", "Expiration": "2099-01-01T00:00:00Z"})
        .to_string(),
    ));
    let filter = json!({
        "credentials": {
            "sts": {"sidecar": {"cluster": "sts_sidecar"}},
            "key": {"access_key": {"id_env": "TEST_KEY_ID", "secret_env": "TEST_KEY_SECRET"}},
        },
        "defaults": {"region": REGION, "bucket": BUCKET, "endpoint": ENDPOINT, "errors": "oss",
                     "forward_headers": ["x-test-route"]},
        "routes": {
            "v4-sts": {"credentials": "sts"},
            "v4-key": {"credentials": "key", "signature_version": "v4"},
            "v1-sts": {"credentials": "sts", "signature_version": "v1"},
            "v1-key": {"credentials": "key", "signature_version": "v1"},
        },
    });
    let mut builder = EnvoyBuilder::new(filter, alibaba.oss_port, stub.port);
    builder.routes = ROUTES.iter().map(|name| route(name)).collect();
    builder.environment = vec![
        ("TEST_KEY_ID".into(), "LTAIexample".into()),
        ("TEST_KEY_SECRET".into(), KEY_SECRET.into()),
    ];
    let envoy = builder.start();
    (alibaba, stub, envoy)
}

fn route(name: &str) -> Value {
    json!({"name": name, "route": {}, "match": {"prefix": "/", "headers": [
        {"name": "x-test-route", "string_match": {"exact": name}}]}})
}

/// Differs from key to key.
fn content_of(key: &[u8]) -> Vec<u8> {
    [b"content of ", key, b"\0\xff"].concat()
}
