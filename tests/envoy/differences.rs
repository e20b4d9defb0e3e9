//! Where OSS by itself does other than a client or an operator expects: ranges past the end,
//! forced downloads, a clock that is off; and what OSS is told by headers and scope of a
//! route.

use serde_json::{Value, json};
use testkit::{EnvoyBuilder, Position, Request};

use crate::common::{Stack, filter};

const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];
const VERSIONS: [&str; 2] = ["v4", "v1"];

/// A route for each signature version, which the header `x-test-route` chooses.
fn start(settings: Value, adapt: impl FnOnce(&mut EnvoyBuilder)) -> Stack {
    Stack::start_with(|builder| {
        builder.filter = filter();
        let defaults = builder.filter["defaults"].as_object_mut().unwrap();
        defaults.extend(settings.as_object().unwrap().clone());
        defaults.insert("forward_headers".into(), json!(["x-test-*"]));
        builder.filter["routes"] = json!({
            "v4": {"signature_version": "v4"}, "v1": {"signature_version": "v1"}});
        let route = |name: &str| {
            json!({"name": name, "route": {}, "match": {"prefix": "/", "headers": [
                {"name": "x-test-route", "string_match": {"exact": name}}]}})
        };
        builder.routes = VERSIONS.map(route).into();
        adapt(builder);
    })
}

#[test]
fn ranges_are_those_of_http() {
    let content = b"0123456789";
    for (ranges, past, beyond) in [
        ("standard", (206, &content[5..]), (416, None)),
        ("oss", (200, &content[..]), (200, Some(&content[..]))),
    ] {
        let stack = start(json!({"ranges": ranges}), |_| {});
        stack.alibaba.put("a", content);
        for (position, version) in pairs() {
            let get = |range: &str| {
                let request = Request::get("/a").header("x-test-route", version);
                request
                    .header("range", range)
                    .send(stack.envoy.port(position))
            };
            let name = format!("{ranges} {position:?} {version}");
            let within = get("bytes=2-4");
            assert_eq!(
                (within.status, &within.body[..]),
                (206, &content[2..5]),
                "{name}"
            );
            let over_the_end = get("bytes=5-2000000");
            assert_eq!(
                (over_the_end.status, &over_the_end.body[..]),
                past,
                "{name}"
            );
            let behind_it = get("bytes=10-20");
            assert_eq!(behind_it.status, beyond.0, "{name}");
            if let Some(body) = beyond.1 {
                assert_eq!(behind_it.body, body, "{name}");
            }
        }
        let told = |seen: &testkit::alibaba::Seen| seen.header("x-oss-range-behavior").concat();
        let told = Vec::from_iter(stack.alibaba.seen().iter().map(told));
        let want = if ranges == "standard" { "standard" } else { "" };
        assert_eq!(told, [want; 12]);
    }
}

fn pairs() -> impl Iterator<Item = (Position, &'static str)> {
    let of = |position| VERSIONS.map(|version| (position, version));
    POSITIONS.into_iter().flat_map(of)
}

#[test]
fn two_ranges_reach_nobody() {
    let stack = start(json!({}), |_| {});
    for (position, version) in pairs() {
        let request = Request::get("/a").header("x-test-route", version);
        let request = request
            .header("range", "bytes=0-1")
            .header("range", "bytes=3-4");
        let refused = request.send(stack.envoy.port(position));
        let reason = refused.header("x-oss-origin-auth");
        assert_eq!((refused.status, reason), (400, Some("duplicate_header")));
    }
    assert!(stack.alibaba.seen().is_empty());
}

#[test]
fn what_oss_has_made_a_download_is_shown() {
    for (setting, shown) in [("remove", true), ("keep", false)] {
        let stack = start(json!({"forced_download": setting}), |_| {});
        let page = json!({"content_type": "text/html"});
        stack.alibaba.put_object("page.html", "<p>a</p>", page);
        let named = json!({"headers": {"Content-Disposition": "attachment; filename=a.zip"}});
        stack.alibaba.put_object("a.zip", "zip", named);
        for (position, method) in POSITIONS
            .into_iter()
            .flat_map(|p| [(p, "GET"), (p, "HEAD")])
        {
            let ask = |path: &str| Request::new(method, path).send(stack.envoy.port(position));
            let page = ask("/page.html");
            assert_eq!(page.status, 200);
            let disposition = page.header("content-disposition");
            let want = (!shown).then_some("attachment");
            assert_eq!(disposition, want, "{setting} {position:?} {method}");
            assert_eq!(page.header("x-oss-force-download").is_some(), !shown);
            let named = ask("/a.zip");
            let disposition = named.header("content-disposition");
            assert_eq!(
                disposition,
                Some("attachment; filename=a.zip"),
                "its owner's"
            );
        }
    }
}

#[test]
fn headers_of_a_route_are_signed() {
    let added = json!({"x-oss-request-payer": "requester", "x-oss-traffic-limit": "819200"});
    let stack = start(json!({"add_headers": added}), |builder| {
        builder.filter["defaults"]["forward_headers"] = json!(["x-test-*", "x-oss-request-*"]);
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
                                      "retriable_status_codes": [429]});
    });
    for (position, version) in pairs() {
        let throttle = json!({"code": "QpsLimitExceeded", "times": 1});
        stack.alibaba.set("throttle", throttle);
        let request = Request::get("/a").header("x-test-route", version);
        let request = request.header("x-oss-request-payer", "somebody-else");
        let response = request.send(stack.envoy.port(position));
        assert_eq!(
            response.status,
            200,
            "{position:?} {version}: {}",
            response.text()
        );
    }
    let seen = stack.alibaba.seen();
    assert_eq!(seen.len(), 8, "each twice");
    for seen in seen {
        assert_eq!(seen.header("x-oss-request-payer"), ["requester"]);
        assert_eq!(seen.header("x-oss-traffic-limit"), ["819200"]);
    }
}

const CLOUD_BOX: &str = "cb-f8z7yvzgwfkl9q0h";

#[test]
fn a_cloud_box_is_another_product() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["product"] = json!("oss-cloudbox");
        builder.filter["defaults"]["region"] = json!(CLOUD_BOX);
    });
    for position in POSITIONS {
        let get = || Request::get("/a").send(stack.envoy.port(position)).status;
        stack.alibaba.set("product", json!("oss-cloudbox"));
        stack.alibaba.set("region", json!(CLOUD_BOX));
        assert_eq!(get(), 200);
        stack.alibaba.set("product", json!("oss"));
        assert_eq!(get(), 400, "0002-00000227");
    }
}

#[test]
fn a_clock_that_is_off_refuses_nothing() {
    let stack = start(json!({}), |builder| {
        builder.workers = 1;
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
                                      "retriable_status_codes": [403]});
    });
    let port = stack.envoy.port(Position::Upstream);
    for (offset, version) in [
        (1_800, "v4"),
        (-1_800, "v1"),
        (0, "v4"),
        (80_000, "v4"),
        (0, "v1"),
    ] {
        stack.alibaba.set("clock_offset", json!(offset));
        stack.alibaba.clear_log();
        for _ in 0..2 {
            let request = Request::get("/a").header("x-test-route", version);
            assert_eq!(request.send(port).status, 200, "{offset} {version}");
        }
        let codes = stack.alibaba.seen().into_iter().map(|seen| seen.code);
        let codes = Vec::from_iter(codes);
        assert_eq!(codes, ["RequestTimeTooSkewed", "", ""], "{offset}");
    }
    let output = stack.envoy.process.output();
    assert!(output.contains("is 1800 s ahead"), "{output}");
    assert_eq!(stack.stub.hits(), 1, "no refetch");
}
