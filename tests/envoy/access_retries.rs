//! Retries of requests that were checked on the cluster: what the first attempt has found
//! good stays good, though its signature is gone from the path.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::process::wait_until;
use testkit::recorder::Answer;
use testkit::signed_url::{now, sign};
use testkit::{EnvoyBuilder, Position, Recorder, Request};

use crate::access::{MAIN, access_only_with, outcome, url_signing, with_keys};
use crate::common::Stack;

/// That of the shipped configurations, but it waits a little less.
fn retry_policy() -> Value {
    json!({"retry_on": "reset,retriable-headers,retriable-status-codes", "num_retries": 3,
           "retriable_headers": [{"name": "x-origin-auth-retry", "present_match": true}],
           "retriable_status_codes": [429, 503],
           "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
           "rate_limited_retry_back_off": {
               "reset_headers": [{"name": "retry-after", "format": "SECONDS"}],
               "max_interval": "15s"}})
}

/// Its filter has the keys.
fn adapt(builder: &mut EnvoyBuilder, kind: &str) {
    builder.retry_policy = retry_policy();
    builder.filter["defaults"]["access"] = json!({"url_signing": url_signing(kind)});
}

#[test]
fn a_retry_needs_no_second_signature() {
    let kinds = ["A", "B", "C1", "C2", "F"];
    testkit::in_parallel(kinds.to_vec(), |kind| {
        let stack = Stack::start_with(|builder| {
            with_keys(builder);
            adapt(builder, kind);
            builder.filter["defaults"]["key_prefix"] = json!("site/");
            builder.filter["defaults"]["strip_prefix"] = json!("/media/");
        });
        stack.alibaba.put("site/x y", "content");
        let get = || {
            let target = sign(kind, MAIN, now(), "/media/x%20y?v=1");
            let response = Request::get(target).send(stack.envoy.port(Position::Upstream));
            assert_eq!(outcome(&response), (200, None), "{kind}");
        };
        get();
        stack.alibaba.clear_log();
        let throttle = json!({"code": "QpsLimitExceeded", "times": 2});
        stack.alibaba.set("throttle", throttle);
        get();
        assert_eq!(stack.alibaba.seen().len(), 3, "{kind}");
        // The filter says what newer credentials heal.
        stack.give_others("STS.second", Duration::ZERO);
        stack.alibaba.set_key_state("STS.example", "revoked");
        get();
        stack.alibaba.set("reset_reused", json!(1));
        get();
        let seen = stack.alibaba.seen();
        assert!(
            seen.iter().all(|seen| seen.target == "/site/x%20y"),
            "{seen:?}"
        );
        let counter = "url_keys.main";
        // Checks are counted, not attempts.
        wait_until(counter, || stack.envoy.filter_stat(counter) == 4);
    });
}

/// `Referer` means nothing to OSS: the first attempt has taken it off.
#[test]
fn a_retry_needs_no_second_referer() {
    let stack = Stack::start_with(|builder| {
        builder.retry_policy = retry_policy();
        let referer = json!({"allow": ["example.com"], "allow_empty": false});
        builder.filter["defaults"]["access"] = json!({"referer": referer});
    });
    let port = stack.envoy.port(Position::Upstream);
    let get = |page: &str| Request::get("/a").header("referer", page).send(port);
    for (what, times) in [("QpsLimitExceeded", 0), ("QpsLimitExceeded", 2)] {
        let throttle = json!({"code": what, "times": times});
        stack.alibaba.set("throttle", throttle);
        assert_eq!(
            outcome(&get("https://example.com/")),
            (200, None),
            "{times}"
        );
        let refused = (403, Some("referer_not_allowed"));
        assert_eq!(outcome(&get("https://example.org/")), refused);
    }
    stack.give_others("STS.second", Duration::ZERO);
    stack.alibaba.set_key_state("STS.example", "revoked");
    assert_eq!(outcome(&get("https://www.example.com/")), (200, None));
}

#[test]
fn a_url_that_expires_between_two_attempts_is_served() {
    testkit::in_parallel(vec!["A", "C1"], |kind| {
        let stack = Stack::start_with(|builder| {
            with_keys(builder);
            adapt(builder, kind);
        });
        let get = |target: &str| Request::get(target).send(stack.envoy.port(Position::Upstream));
        assert_eq!(get(&sign(kind, MAIN, now(), "/a")).status, 200);
        let throttle = json!({"code": "QpsLimitExceeded", "times": 1, "retry_after": 9});
        stack.alibaba.set("throttle", throttle);
        let target = sign(kind, MAIN, now() - 1_793, "/a");
        let response = get(&target);
        assert_eq!(outcome(&response), (200, None), "{kind}");
        let expired = (403, Some("url_signature_expired"));
        assert_eq!(outcome(&get(&target)), expired, "{kind}: meanwhile");
    });
}

#[test]
fn nobody_can_say_that_a_request_is_a_retry() {
    let origin = Recorder::start();
    let envoy = access_only_with(origin.port, |builder| adapt(builder, "A"));
    let get = |target: &str| {
        Request::get(target)
            .header("x-envoy-attempt-count", "2")
            .header("x-envoy-retry-on", "retriable-status-codes,gateway-error")
            .header("x-envoy-retriable-status-codes", "403")
            .header("x-envoy-max-retries", "3")
            .send(envoy.port(Position::Upstream))
    };
    // On a connection that has just served the object.
    assert_eq!(get(&sign("A", MAIN, now(), "/a")).status, 200);
    assert_eq!(outcome(&get("/a")), (403, Some("url_signature_missing")));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn what_leaves_unsigned_is_tried_again_too() {
    testkit::in_parallel(vec!["A", "B"], |kind| {
        let attempts = AtomicUsize::new(0);
        let origin =
            Recorder::answering(move |_| match attempts.fetch_add(1, Ordering::SeqCst) % 3 {
                2 => Answer::new(200, &[], b"content"),
                _ => Answer::new(503, &[], b""),
            });
        let envoy = access_only_with(origin.port, |builder| adapt(builder, kind));
        for position in crate::access::POSITIONS {
            let target = sign(kind, MAIN, now(), "/a?x=%41&&y");
            let response = Request::get(target).send(envoy.port(position));
            assert_eq!(outcome(&response), (200, None), "{kind} {position:?}");
        }
        let seen = origin.seen();
        assert_eq!(seen.len(), 6, "{seen:?}");
        assert!(
            seen.iter().all(|seen| seen.target == "/a?x=%41&&y"),
            "{seen:?}"
        );
    });
}

/// A policy that tries every 403 again asks the filter again, which says the same.
#[test]
fn a_refusal_that_is_tried_again_stays_one() {
    let origin = Recorder::start();
    let envoy = access_only_with(origin.port, |builder| {
        adapt(builder, "A");
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 2,
                                      "retriable_status_codes": [403]});
    });
    let response = Request::get("/a").send(envoy.port(Position::Upstream));
    assert_eq!(outcome(&response), (403, Some("url_signature_missing")));
    assert!(origin.seen().is_empty());
}
