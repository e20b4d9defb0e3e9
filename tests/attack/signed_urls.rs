//! A signed URL is one that is whole. Words of one open nothing, and a whole one is
//! bound to the route as every request is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde_json::json;
use testkit::alibaba::{BUCKET, REGION};
use testkit::{Position, Request};

use crate::stage::{ENDPOINT, Stage, assert_none, assert_refused};

in_both_positions!(
    words_of_a_signature_open_nothing,
    a_whole_one_stays_within_the_prefix,
    a_whole_one_takes_none_of_the_clients_headers_along,
    those_of_aws_are_recognised,
    a_route_that_requires_one_refuses_the_rest,
);

const V1: &str = "OSSAccessKeyId=a&Expires=1&Signature=b";
const V2: &str = "x-oss-signature-version=OSS2&x-oss-expires=1&x-oss-access-key-id=a\
                  &x-oss-signature=b";
const V4: &str = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=c\
                  &x-oss-date=20260101T000000Z&x-oss-expires=9&x-oss-signature=b";
const AWS: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c\
                   &X-Amz-Date=20260101T000000Z&X-Amz-Expires=9&X-Amz-SignedHeaders=host\
                   &X-Amz-Signature=b";

/// Queries with a part of a signature, or with two.
fn junk() -> Vec<String> {
    let mut junk: Vec<String> = [
        "security-token=x",
        "Signature=b",
        "OSSAccessKeyId=a",
        "OSSAccessKeyId=a&Signature=b",
        "Expires=1&Signature=b",
        "OSSAccessKeyId=a&Expires=&Signature=b",
        "OSSAccessKeyId&Expires&Signature",
        "OSSAccessKeyId=a&Expires=1&Signature=b&Signature=c",
        "ossaccesskeyid=a&expires=1&signature=b",
        "AWSAccessKeyId=a&Expires=1&Signature=b",
        "x-oss-signature=b",
        "x-oss-credential=c",
        "x-oss-security-token=t",
        "x-oss-signature-version=OSS3&x-oss-expires=1&x-oss-access-key-id=a&x-oss-signature=b",
        "X-Amz-Signature=b",
        "x-amz-signature=b&x-amz-credential=c",
    ]
    .map(str::to_owned)
    .into();
    junk.push(format!("{V1}&{V4}"));
    junk.push(format!("{V4}&{AWS}"));
    junk.push(V4.replace("&x-oss-date=20260101T000000Z", ""));
    junk.push(V2.replace("&x-oss-expires=1", ""));
    junk.push(AWS.replace("&X-Amz-SignedHeaders=host", ""));
    junk
}

fn passing() -> Stage {
    Stage::start_with(|builder| {
        builder.filter["routes"] = json!({
            "pass": {"presigned_urls": "pass"},
            "prefixed": {"presigned_urls": "pass", "key_prefix": "public/"},
            "stripped": {"presigned_urls": "pass", "strip_prefix": "/media/"},
        });
        let hosts = ["prefixed", "stripped", "pass"].map(|name| {
            json!({"name": name, "domains": [format!("{name}.example")], "routes": [
                {"name": name, "match": {"prefix": "/"}, "route": {}}]})
        });
        builder.virtual_hosts = hosts.into();
    })
}

fn words_of_a_signature_open_nothing(position: Position) {
    let stage = passing();
    let port = stage.envoy.port(position);
    for query in junk() {
        let target = format!("/a?{query}");
        let response = Request::get(&target)
            .header("host", "pass.example")
            .send(port);
        stage.assert_nothing_left(&target);
        assert_refused(&response, 403, "presigned_url", &target);
    }
}

fn a_whole_one_stays_within_the_prefix(position: Position) {
    let stage = passing();
    let port = stage.envoy.port(position);
    for query in [V1, V2, V4, AWS] {
        for (host, path) in [
            ("prefixed.example", "/private/a"),
            ("prefixed.example", "/publi/a"),
            ("stripped.example", "/private/a"),
        ] {
            let target = format!("{path}?{query}");
            let response = Request::get(&target).header("host", host).send(port);
            stage.assert_nothing_left(&format!("{host} {target}"));
            assert_refused(&response, 404, "outside_prefix", &target);
        }
    }
    for query in [V1, V2, V4, AWS] {
        stage.oss.clear();
        let target = format!("/public/a?{query}");
        let within = Request::get(&target)
            .header("host", "prefixed.example")
            .send(port);
        assert_eq!(within.status, 200, "{target}: {}", within.text());
        assert_eq!(stage.oss.seen()[0].target, target, "it leaves as it is");
    }
}

fn a_whole_one_takes_none_of_the_clients_headers_along(position: Position) {
    let stage = passing();
    let headers = [
        ("x-oss-object-acl", "public-read-write"),
        ("x-oss-security-token", "of-the-client"),
        ("x-oss-copy-source", "/other-bucket/a"),
        ("x-oss-meta-a", "b"),
        ("authorization", "Bearer of-the-client"),
        ("cookie", "session=1"),
        ("x-amz-security-token", "of-the-client"),
        ("x-forwarded-for", "10.1.2.3"),
    ];
    for query in [V1, V2, V4] {
        stage.oss.clear();
        let target = format!("/a?{query}");
        let mut request = Request::get(&target).header("host", "pass.example");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        assert_eq!(request.send(stage.envoy.port(position)).status, 200);
        let seen = stage.oss.seen();
        assert_eq!((seen.len(), seen[0].target.as_str()), (1, target.as_str()));
        for (name, _) in headers {
            let values = seen[0].header(name);
            assert!(
                values.is_empty(),
                "{target}: `{name}` left, {values:?}:\n{}",
                seen[0]
            );
        }
    }
}

fn those_of_aws_are_recognised(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["routes"] = json!({"forward": {"unknown_parameters": "forward"}});
        builder.routes =
            vec![json!({"name": "forward", "match": {"prefix": "/forward/"}, "route": {}})];
    });
    let port = stage.envoy.port(position);
    for path in ["/forward/a", "/a"] {
        for query in [
            AWS,
            "X-Amz-Signature=b",
            "X-Amz-Security-Token=t",
            "x-amz-unheard=1",
            "AWSAccessKeyId=a&Expires=1",
        ] {
            let target = format!("{path}?{query}");
            let response = Request::get(&target).send(port);
            let what = format!("{target} left with a signature of ours");
            assert_none(&stage.oss.seen(), &what);
            assert_refused(&response, 403, "presigned_url", &target);
        }
    }
}

/// The settings come by the route's metadata: a filter that does not know them loads, and
/// answers 500.
fn a_route_that_requires_one_refuses_the_rest(position: Position) {
    let settings = json!({"bucket": BUCKET, "region": REGION, "endpoint": ENDPOINT,
                          "presigned_urls": "require"});
    let metadata = json!({"filter_metadata": {"oss_origin_auth": {
        "config": settings.to_string()}}});
    let stage = Stage::start_with(|builder| {
        builder.filter["metadata"] = json!(["route"]);
        builder.routes = vec![json!({"name": "required", "match": {"prefix": "/"},
                                     "route": {}, "metadata": metadata})];
    });
    let port = stage.envoy.port(position);
    for (target, reason) in [
        ("/a".to_owned(), "presigned_url_required"),
        ("/a?b=1".to_owned(), "presigned_url_required"),
        ("/a?Signature=b".to_owned(), "presigned_url"),
        ("/a?security-token=x".to_owned(), "presigned_url"),
    ] {
        let response = Request::get(&target).send(port);
        stage.assert_nothing_left(&target);
        assert_refused(&response, 403, reason, &target);
    }
    let target = format!("/a?{V4}");
    assert_eq!(Request::get(&target).send(port).status, 200);
    let seen = stage.oss.seen();
    assert!(
        seen[0].header("authorization").is_empty(),
        "one signature is enough"
    );
}
