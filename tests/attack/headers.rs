//! Of a client's headers those leave for OSS that are listed, and no others.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde_json::json;
use testkit::recorder::Received;
use testkit::{Position, Request};

use crate::stage::{Stage, oss_host};

in_both_positions!(
    a_read_leaves_with_listed_headers_alone,
    a_write_leaves_with_listed_headers_alone,
);

/// What a read may take along.
const OF_A_READ: [(&str, &str); 15] = [
    ("range", "bytes=0-1"),
    ("if-match", "\"a\""),
    ("if-none-match", "\"b\""),
    ("if-modified-since", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ("if-unmodified-since", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ("if-range", "\"a\""),
    ("accept", "*/*"),
    ("accept-charset", "utf-8"),
    ("accept-encoding", "br"),
    ("accept-language", "zh-CN"),
    ("origin", "https://gateway.example"),
    ("access-control-request-method", "GET"),
    ("access-control-request-headers", "range"),
    ("user-agent", "curl/8"),
    // As the settings of these tests name it.
    ("x-oss-meta-a", "b"),
];

/// What describes a body. (`expect` is Envoy's to answer.)
const OF_A_WRITE: [(&str, &str); 7] = [
    ("content-type", "text/plain"),
    ("content-md5", "mgNkuembtIDdJeHwKEyFVQ=="),
    ("content-encoding", "identity"),
    ("content-disposition", "inline"),
    ("content-language", "zh"),
    ("cache-control", "no-store"),
    ("expires", "Wed, 01 Jan 2025 00:00:00 GMT"),
];

/// What is nobody's but the gateway's, or says something to OSS that the client has not
/// to say.
const OF_NEITHER: [(&str, &str); 45] = [
    ("cookie", "session=1"),
    ("cookie2", "$Version=1"),
    ("referer", "https://gateway.example/secret?token=1"),
    ("authorization", "Bearer of-the-client"),
    ("proxy-authorization", "Basic x"),
    ("date", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ("x-oss-date", "20250101T000000Z"),
    ("x-oss-security-token", "of-the-client"),
    ("x-oss-content-sha256", "of-the-client"),
    ("x-oss-object-acl", "public-read-write"),
    ("x-oss-copy-source", "/other-bucket/a"),
    ("x-oss-callback", "x"),
    ("x-oss-process", "image/info"),
    ("x-oss-unheard", "1"),
    ("x-oss-metadata", "not x-oss-meta-"),
    ("x-amz-date", "20250101T000000Z"),
    ("x-amz-security-token", "of-the-client"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ("x-amz-acl", "public-read"),
    ("x-amz-copy-source", "/other-bucket/a"),
    ("x-acs-security-token", "of-the-client"),
    ("x-forwarded-for", "10.1.2.3"),
    ("x-forwarded-host", "internal.example"),
    ("x-forwarded-client-cert", "By=x"),
    ("forwarded", "for=10.1.2.3"),
    ("x-real-ip", "10.1.2.3"),
    ("via", "1.1 proxy"),
    ("x-request-id", "3f6c2d80-0000-4000-8000-000000000000"),
    ("x-envoy-original-path", "/secret"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "10.1.2.3"),
    ("x-envoy-decorator-operation", "x"),
    ("x-jwt-payload", "eyJ1c2VyIjoxfQ"),
    ("x-user-id", "1"),
    ("x-api-key", "sesame"),
    ("x-http-method-override", "PUT"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"),
    ("sec-fetch-site", "cross-site"),
    ("dnt", "1"),
    ("pragma", "no-cache"),
    ("priority", "u=1"),
    ("te", "trailers"),
    ("x-cache-control", "no-store"),
    ("x_range", "underscore"),
];

/// What is ours, the protocol's, or what Envoy selects routes by. Builds that are attacked
/// need not set all of it.
const ADDED: [&str; 8] = [
    "host",
    "authorization",
    "x-oss-date",
    "x-oss-security-token",
    "x-oss-content-sha256",
    "x-oss-range-behavior",
    "content-length",
    "x-forwarded-proto",
];

/// What Envoy itself adds behind the listener's filters.
const OF_ENVOY: [&str; 2] = ["x-envoy-expected-rq-timeout-ms", "x-envoy-original-host"];

/// Sends all there are; what came to OSS.
fn send(position: Position, request: Request) -> Received {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["methods"] = json!(["GET", "PUT"]);
        builder.filter["defaults"]["forward_headers"] = json!(["x-oss-meta-*"]);
    });
    let headers = OF_A_READ.iter().chain(&OF_A_WRITE).chain(&OF_NEITHER);
    let request = headers.fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let response = request.send(stage.envoy.port(position));
    assert_eq!(response.status, 200, "{}", response.text());
    let mut seen = stage.oss.seen();
    assert_eq!(seen.len(), 1);
    seen.remove(0)
}

/// Fails unless the headers of the client that left are these.
fn assert_left(seen: &Received, position: Position, allowed: &[(&str, &str)]) {
    let of_envoy = match position {
        Position::Upstream => [].as_slice(),
        Position::Downstream => &OF_ENVOY,
    };
    let is_allowed = |name: &str| {
        let known = ADDED.iter().chain(of_envoy).any(|known| *known == name);
        known || allowed.iter().any(|(known, _)| *known == name)
    };
    let names = seen.headers.iter().map(|(name, _)| name.as_str());
    let others: Vec<&str> = names.filter(|name| !is_allowed(name)).collect();
    assert!(
        others.is_empty(),
        "these left, and are not listed: {others:?}\n{seen}"
    );
    for (name, value) in allowed {
        assert_eq!(seen.header(name), [*value], "{name} does not leave");
    }
    for (name, value) in OF_NEITHER {
        if of_envoy.contains(&name) {
            continue;
        }
        let left = seen.header(name);
        assert!(!left.contains(&value), "the client's own {name} left");
    }
    assert_eq!(seen.header("host"), [oss_host()]);
    assert_eq!(seen.header("authorization").len(), 1);
}

fn a_read_leaves_with_listed_headers_alone(position: Position) {
    let seen = send(position, Request::get("/a"));
    assert_left(&seen, position, &OF_A_READ);
}

fn a_write_leaves_with_listed_headers_alone(position: Position) {
    let seen = send(position, Request::new("PUT", "/a").body("content"));
    let allowed = [OF_A_READ.as_slice(), &OF_A_WRITE].concat();
    assert_left(&seen, position, &allowed);
    assert_eq!(seen.body, b"content");
}
