//! What the filter sees behind Envoy's rewrites and on its retries.

use crate::common;

use common::{SECRET, Stack, TOKEN};
use serde_json::json;
use testkit::alibaba::HOST;
use testkit::{Position, Request};

#[test]
fn upstream_signs_what_leaves_behind_host_and_path_rewrites() {
    let host = HOST.to_owned();
    let stack = Stack::start_with(|builder| {
        builder.oss_host = Some(host.clone());
        builder.routes = vec![
            json!({"name": "media", "match": {"prefix": "/media/"},
                   "route": {"prefix_rewrite": "/site/images/"}}),
            json!({"name": "regex", "match": {"prefix": "/r/"},
                   "route": {"regex_rewrite": {"pattern": {"regex": "^/r/(.*)$"},
                                               "substitution": "/site/images/\\1"}}}),
        ];
    });
    stack.alibaba.put("site/images/a b+c.png", "image");
    for path in ["/media/a%20b+c.png", "/r/a%20b%2Bc.png"] {
        let response = Request::get(path).send(stack.envoy.port(Position::Upstream));
        assert_eq!(
            (response.status, response.text()),
            (200, "image".into()),
            "{path}"
        );
    }
    for seen in stack.alibaba.seen() {
        assert_eq!(seen.target, "/site/images/a%20b%2Bc.png");
        assert_eq!(seen.header("host"), [host.as_str()]);
    }
}

#[test]
fn downstream_signs_behind_a_host_rewrite() {
    let stack = Stack::start_with(|builder| {
        builder.oss_host = Some(HOST.into());
    });
    let response = Request::get("/a").send(stack.envoy.port(Position::Downstream));
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Among the listener's filters the settings describe what the route rewrites.
#[test]
fn downstream_signs_what_the_route_will_make_of_the_path() {
    let stack = Stack::start_with(|builder| {
        builder.filter["routes"] = json!({
            "dir": {"strip_prefix": "/media/", "key_prefix": "site/",
                    "index_document": "index.html"},
            "media": {"strip_prefix": "/media/", "key_prefix": "site/"},
            "v1": {"strip_prefix": "/v1/", "key_prefix": "site/", "signature_version": "v1"},
        });
        let index = json!({"pattern": {"regex": "^/media/(.*)$"},
                           "substitution": "/site/\\1index.html"});
        builder.routes = vec![
            json!({"name": "dir", "match": {"safe_regex": {"regex": "/media/(.*/)?"}}, "route": {},
                   "of_listener": {"regex_rewrite": index}}),
            json!({"name": "media", "match": {"prefix": "/media/"}, "route": {},
                   "of_listener": {"prefix_rewrite": "/site/"}}),
            json!({"name": "v1", "match": {"prefix": "/v1/"}, "route": {},
                   "of_listener": {"prefix_rewrite": "/site/"}}),
        ];
    });
    for (path, target) in [
        ("/media/a", "/site/a"),
        ("/media/a%20b(1).png?", "/site/a%20b(1).png?"),
        ("/media/", "/site/index.html"),
        ("/media/d/", "/site/d/index.html"),
        ("/v1/%E4%b8%AD", "/site/%E4%b8%AD"),
    ] {
        stack.alibaba.clear_log();
        Request::get(path).send(stack.envoy.port(Position::Downstream));
        let seen = &stack.alibaba.seen()[0];
        assert_eq!(seen.target, target);
        assert_eq!(seen.code, "NoSuchKey", "{path} is signed well: {seen:?}");
    }
}

#[test]
fn a_retry_is_signed_again() {
    let stack = Stack::start_with(|builder| {
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
            "retriable_status_codes": [403]});
    });
    let port = stack.envoy.port(Position::Upstream);
    assert_eq!(Request::get("/a").send(port).status, 200);
    stack.alibaba.clear_log();

    // Signing time is in whole seconds, and Envoy may retry at once: the first
    // answer comes late, so that the second signature is of another second.
    // It is late enough for the key to be good again before the second.
    stack.alibaba.set("refusal", json!({"delay": 4}));
    stack.alibaba.set_key_state("STS.example", "denied");
    let response = std::thread::scope(|scope| {
        let client = scope.spawn(|| Request::get("/a").send(port));
        testkit::process::wait_until("the first attempt", || !stack.alibaba.seen().is_empty());
        stack
            .alibaba
            .add_key("STS.example", SECRET, Some(TOKEN), None);
        client.join().unwrap()
    });
    assert_eq!((response.status, response.text()), (200, "content".into()));
    let attempts = stack.alibaba.seen();
    let statuses: Vec<u64> = attempts.iter().map(|seen| seen.status).collect();
    assert_eq!(
        statuses,
        [403, 200],
        "the client sees one answer of two attempts"
    );
    let dates: Vec<_> = attempts
        .iter()
        .map(|seen| seen.header("x-oss-date"))
        .collect();
    assert!(dates[0].len() == 1 && dates[1].len() == 1);
    assert_ne!(dates[0], dates[1], "the second signature has its own time");
}

#[test]
fn a_retry_of_a_mapped_path_asks_for_the_same_key() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["strip_prefix"] = json!("/media/");
        builder.filter["defaults"]["key_prefix"] = json!("site/");
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 2,
            "retriable_status_codes": [403]});
    });
    stack.alibaba.put("site/a b", "content");
    let get = || Request::get("/media/a%20b").send(stack.envoy.port(Position::Upstream));
    assert_eq!(get().text(), "content");
    stack.alibaba.clear_log();
    stack.alibaba.set_key_state("STS.example", "denied");
    assert_eq!(get().status, 403);
    let targets: Vec<String> = stack
        .alibaba
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(targets, ["/site/a%20b"; 3]);
}
