//! OSS reads the bucket from the Host, which is the client's to choose: it never decides
//! what is asked of OSS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde_json::json;
use testkit::alibaba::{BUCKET, REGION};
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, Position, Request};

use crate::common::{Stack, filter};
use crate::stage::{Stage, assert_none, oss_host, with_endpoint};

in_both_positions!(a_route_without_an_endpoint_lets_no_host_of_a_client_leave);

const OTHERS: [&str; 3] = [
    "other-bucket.oss-cn-hangzhou.aliyuncs.com",
    "oss-cn-hangzhou.aliyuncs.com",
    "evil.example",
];

/// By the route's metadata, which is read when a request comes.
fn a_route_without_an_endpoint_lets_no_host_of_a_client_leave(position: Position) {
    let settings = json!({"bucket": BUCKET, "region": REGION}).to_string();
    let stage = Stage::start_with(|builder| {
        builder.oss_host = None;
        let filter = builder.filter.as_object_mut().unwrap();
        filter.remove("defaults");
        builder.filter["metadata"] = json!(["route"]);
        builder.routes = vec![
            json!({"name": "objects", "match": {"prefix": "/"}, "route": {},
            "metadata": {"filter_metadata": {"oss_origin_auth": {"config": settings}}}}),
        ];
    });
    for host in OTHERS {
        let request = Request::get("/a").header("host", host);
        let response = request.send(stage.envoy.port(position));
        let mut left = stage.oss.seen();
        left.retain(|seen| seen.header("host") == [host]);
        assert_none(&left, &format!("the client's Host `{host}` left"));
        assert_ne!(response.status, 200, "{host}");
    }
}

#[test]
fn a_configuration_without_an_endpoint_does_not_load() {
    let mut builder = EnvoyBuilder::new(filter(), 1, 1);
    let defaults = builder.filter["defaults"].as_object_mut().unwrap();
    defaults.remove("endpoint");
    let envoy = builder.launch();
    let refused = "configuration refused: defaults.endpoint: missing";
    wait_until("Envoy to load or to refuse its configuration", || {
        let output = envoy.output();
        output.contains("configuration refused: ") || output.contains("main dispatch loop")
    });
    let output = envoy.output();
    assert!(output.contains(refused), "it was loaded:\n{output}");
}

/// Among the listener's filters nobody but the route sets the host. Where the route does
/// not, the signature says which host was meant.
#[test]
fn another_host_than_the_signed_one_is_refused_by_oss() {
    let stack = Stack::start_with(|builder| {
        with_endpoint(builder);
        builder.oss_host = None;
    });
    stack.alibaba.put_into("other-bucket", "a", "of another");
    let port = stack.envoy.port(Position::Downstream);
    for host in OTHERS {
        stack.alibaba.clear_log();
        let response = Request::get("/a").header("host", host).send(port);
        let seen = stack.alibaba.seen();
        assert_eq!(seen.len(), 1, "{host}: {}", response.text());
        let asked = (seen[0].header("host"), seen[0].code.as_str());
        assert_eq!(
            asked,
            (vec![host], "SignatureDoesNotMatch"),
            "the filter changed the Host `{host}`, or signed for it"
        );
        assert_eq!(response.status, 403, "{host}: {}", response.text());
    }
    let right = Request::get("/a").header("host", oss_host()).send(port);
    assert_eq!((right.status, right.text()), (200, "content".into()));
}
