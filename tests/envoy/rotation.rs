//! What OSS condemns is replaced, once, and the client does not notice.
#![allow(clippy::unwrap_used, reason = "test support")]

use crate::common;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{SECRET, Stack, TOKEN, good_answer};
use serde_json::json;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{EnvoyBuilder, Position, Request};

const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

fn with_retry(builder: &mut EnvoyBuilder) {
    builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
                                  "retriable_status_codes": [403]});
}

#[test]
fn a_condemned_token_is_replaced_and_the_client_sees_the_object() {
    for (state, expired) in [("revoked", false), ("ok", true)] {
        for method in ["GET", "HEAD"] {
            let stack = Stack::start_with(with_retry);
            let port = stack.envoy.port(Position::Upstream);
            assert_eq!(Request::get("/a").send(port).status, 200);
            let hits = stack.stub.hits();

            stack.give_others("STS.second", Duration::ZERO);
            if expired {
                stack
                    .alibaba
                    .add_key("STS.example", SECRET, Some(TOKEN), Some(1));
            } else {
                stack.alibaba.set_key_state("STS.example", state);
            }
            stack.alibaba.clear_log();
            for _ in 0..20 {
                assert_eq!(
                    Request::new(method, "/a").send(port).status,
                    200,
                    "{method} {state}"
                );
            }
            assert_eq!(stack.stub.hits(), hits + 1, "one refetch");
            let refused = stack
                .alibaba
                .seen()
                .iter()
                .filter(|seen| seen.status == 403)
                .count();
            assert!(
                (1..=2).contains(&refused),
                "at most one for each worker: {refused}"
            );
            let output = stack.envoy.process.output();
            assert!(
                output.contains("credentials default: dropped, since OSS says token_"),
                "{output}"
            );
        }
    }
}

#[test]
fn a_storm_of_refusals_makes_one_refetch() {
    let stack = Stack::start_with(|builder| {
        with_retry(builder);
        builder.workers = 4;
    });
    let port = stack.envoy.port(Position::Upstream);
    assert_eq!(Request::get("/a").send(port).status, 200);
    let hits = stack.stub.hits();
    stack.give_others("STS.second", Duration::from_millis(200));
    stack.alibaba.set_key_state("STS.example", "revoked");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(Request::get("/a").send(port).status, 200));
        }
    });
    assert_eq!(stack.stub.hits(), hits + 1);
}

#[test]
fn what_newer_credentials_would_not_heal_fetches_none() {
    let stack = Stack::start_with(with_retry);
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        assert_eq!(Request::get("/a").send(port).status, 200);
    }
    let hits = stack.stub.hits();
    let mut expected = Vec::new();
    let mut check = |name: &'static str| {
        for position in POSITIONS {
            for method in ["GET", "HEAD"] {
                let response = Request::new(method, "/a").send(stack.envoy.port(position));
                assert_eq!(response.status, 403, "{name}");
            }
        }
        expected.push(name);
    };
    stack.alibaba.set_key_state("STS.example", "denied");
    check("access_denied");
    stack.alibaba.set_key_state("STS.example", "kms");
    stack.encrypt();
    check("kms_forbidden");
    stack
        .alibaba
        .add_key("STS.example", "another secret", Some(TOKEN), None);
    check("signature_mismatch");
    stack
        .alibaba
        .add_key("STS.example", SECRET, Some(TOKEN), None);
    // More than is corrected.
    stack.alibaba.set("clock_offset", json!(100_000));
    check("clock_skew");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(stack.stub.hits(), hits, "no refetch");
    let output = stack.envoy.process.output();
    for name in expected {
        let line = format!(
            "OSS refused: {name} (settings defaults, bucket demo-bucket, credentials default, request id "
        );
        assert!(output.contains(&line), "{name}: {output}");
    }
    assert!(output.contains("the role lacks AliyunKMSCryptoUserAccess"));
}

#[test]
fn the_sidecar_that_gives_the_same_again_is_not_asked_without_end() {
    let stack = Stack::start_with(with_retry);
    let port = stack.envoy.port(Position::Upstream);
    stack.alibaba.set_key_state("STS.example", "revoked");
    let hits = stack.stub.hits();
    let begin = Instant::now();
    let mut requests = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(Request::get("/a").send(port).status, 403);
        requests += 1;
    }
    let asked = stack.stub.hits() - hits;
    // One a second, on a machine of any speed.
    let most = begin.elapsed().as_secs() as usize + 2;
    assert!(
        (1..=most).contains(&asked),
        "{asked} fetches for {requests} requests"
    );
}

/// Refused without a reason, once: the next attempt is signed with newer
/// credentials, whatever the body does.
#[test]
fn a_refusal_without_a_reason_is_tried_again_with_newer_credentials() {
    for (method, ec) in [
        ("GET", json!(null)),
        ("HEAD", json!("0002-00000999")),
        ("GET", json!("0002-00000999")),
    ] {
        let stack = Stack::start_with(with_retry);
        let port = stack.envoy.port(Position::Upstream);
        assert_eq!(Request::get("/a").send(port).status, 200);
        stack.give_others("STS.second", Duration::from_millis(300));
        stack.alibaba.clear_log();
        let refusal = json!({"ec": ec, "code": "Unheard", "times": 1, "id": "once",
                             "body_delay": 3});
        let refused = || {
            let request = Request::new(method, "/a");
            request
                .header("x-test-refusal", refusal.to_string())
                .send(port)
        };
        std::thread::scope(|scope| {
            let client = scope.spawn(refused);
            wait_until("the refusal", || !stack.alibaba.seen().is_empty());
            // Meanwhile the old ones go on signing for others.
            for _ in 0..5 {
                assert_eq!(Request::get("/a").send(port).status, 200);
            }
            assert_eq!(client.join().unwrap().status, 200, "{method} {ec}");
        });
        let signed_with = |id: &str, status: u64| {
            let seen = stack.alibaba.seen();
            let mut seen = seen
                .iter()
                .filter(|seen| !seen.header("x-test-refusal").is_empty());
            seen.any(|seen| seen.status == status && seen.header("authorization")[0].contains(id))
        };
        assert!(signed_with("STS.example/", 403) && signed_with("STS.second/", 200));
        assert_eq!(stack.stub.hits(), 2);
        let output = stack.envoy.process.output();
        assert!(
            output.contains("credentials default: newer ones are fetched"),
            "{output}"
        );
    }
}

#[test]
fn without_newer_credentials_the_old_ones_are_tried_again_in_time() {
    // It says no; it hangs up; it says nothing.
    for (sidecar, under_way) in [
        (Behaviour::body(500, ""), 0),
        (Behaviour::HangUp, 0),
        (Behaviour::Wait, 1),
    ] {
        let stack = Stack::start_with(|builder| {
            with_retry(builder);
            builder.filter["wait_timeout_ms"] = json!(700);
        });
        let port = stack.envoy.port(Position::Upstream);
        assert_eq!(Request::get("/a").send(port).status, 200);
        stack.stub.set(sidecar);
        let refusal = json!({"ec": null, "times": 1, "id": "once"}).to_string();
        let request = Request::get("/a").header("x-test-refusal", refusal);
        assert_eq!(
            request.send(port).status,
            200,
            "the second attempt is not refused"
        );
        // It was `wait_timeout_ms` that ended the wait, not the end of the fetch.
        let fetches = stack.envoy.stat("cluster.sts_sidecar.upstream_rq_active");
        assert_eq!(fetches, under_way);
        let signed: Vec<String> = stack
            .alibaba
            .seen()
            .iter()
            .map(|seen| {
                seen.header("authorization")[0]
                    .split('/')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert!(
            signed.iter().all(|by| by.ends_with("STS.example")),
            "{signed:?}"
        );
        assert_eq!(stack.stub.hits(), 2);
    }
}

#[test]
fn mere_suspicion_asks_the_sidecar_once_in_ten_seconds() {
    let stack = Stack::start_with(with_retry);
    let port = stack.envoy.port(Position::Upstream);
    assert_eq!(Request::get("/a").send(port).status, 200);
    let hits = stack.stub.hits();
    let refusal = json!({"ec": null}).to_string();
    while stack.stub.hits() < hits + 2 {
        let request = Request::get("/a").header("x-test-refusal", &refusal);
        assert_eq!(request.send(port).status, 403);
        std::thread::sleep(Duration::from_millis(20));
    }
    let times = stack.stub.hit_times();
    let between = times[hits + 1] - times[hits];
    // Less some time on the way of the first.
    assert!(between > Duration::from_secs(7), "{between:?}");
}

/// After failed refreshes the next try is some seconds off. A complaint does not wait
/// for that, neither a plain one nor a suspicion.
#[test]
fn failed_refreshes_do_not_hold_off_the_fetch_that_a_complaint_takes() {
    let life = Duration::from_secs(90);
    std::thread::scope(|scope| {
        for plain in [true, false] {
            scope.spawn(move || {
                let good = Behaviour::Lasting(life, common::good_json());
                let stack = Stack::start_on(good, |builder| {
                    with_retry(builder);
                    builder.filter["wait_timeout_ms"] = json!(5_000);
                    let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
                    sidecar["refresh_margin_ms"] = json!(life.as_millis() as u64);
                });
                let port = stack.envoy.port(Position::Upstream);
                assert_eq!(Request::get("/a").send(port).status, 200);
                stack.stub.set(Behaviour::body(500, ""));
                // The seventh would come about 6 s after the sixth: later than a
                // request waits.
                let failed = stack.stub.hits() + 6;
                wait_until("six failed refreshes", || stack.stub.hits() >= failed);
                wait_until("the end of the last", || {
                    stack.envoy.stat("cluster.sts_sidecar.upstream_rq_active") == 0
                });

                stack.give_others("STS.second", Duration::ZERO);
                let mut request = Request::get("/a");
                if plain {
                    stack.alibaba.set_key_state("STS.example", "revoked");
                } else {
                    let once = json!({"ec": null, "times": 1, "id": "once"});
                    request = request.header("x-test-refusal", once.to_string());
                }
                assert_eq!(request.send(port).status, 200, "plain: {plain}");
                let last = stack.alibaba.seen().pop().unwrap();
                assert!(last.header("authorization")[0].contains("STS.second/"));
            });
        }
    });
}

#[test]
fn errors_keep_their_body_and_headers() {
    let stack = Stack::start_with(|builder| builder.filter["defaults"]["errors"] = json!("oss"));
    for position in POSITIONS {
        stack.alibaba.set_key_state("STS.example", "denied");
        let denied = Request::get("/a").send(stack.envoy.port(position));
        assert_eq!(denied.status, 403);
        assert!(denied.text().ends_with("</Error>\n"), "{}", denied.text());
        assert_eq!(denied.header("x-oss-ec"), Some("0003-00000001"));
        stack.alibaba.set_key_state("STS.example", "ok");
    }
}

#[test]
fn credentials_are_refreshed_before_they_expire() {
    let life = Duration::from_secs(20);
    let stack = Stack::start_on(Behaviour::Lasting(life, common::good_json()), |builder| {
        let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
        sidecar["refresh_margin_ms"] = json!(16_000);
        // An answer that a busy machine delays is no reason to ask again.
        sidecar["timeout_ms"] = json!(60_000);
    });
    let port = stack.envoy.port(Position::Upstream);
    while stack.stub.hits() < 2 {
        assert_eq!(Request::get("/a").send(port).status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    let times = stack.stub.hit_times();
    let between = times[1] - times[0];
    assert!(between < life, "refreshed after {between:?}");
    assert!(
        between > Duration::from_secs(2),
        "refreshed after {between:?}"
    );
}

#[test]
fn the_old_ones_serve_until_they_expire_then_a_503_says_why_until_it_heals() {
    let life = Duration::from_secs(15);
    let stack = Stack::start_on(Behaviour::Lasting(life, common::good_json()), |builder| {
        let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
        sidecar["clock_margin_ms"] = json!(1_000);
        sidecar["refresh_margin_ms"] = json!(12_000);
        builder.filter["wait_timeout_ms"] = json!(300);
    });
    let get = || Request::get("/a").send(stack.envoy.port(Position::Upstream));
    wait_until("the object", || get().status == 200);
    stack.stub.set(Behaviour::body(500, "sesame"));
    let (hits, expiry) = (stack.stub.hits(), stack.stub.expiry());
    let lapsed = loop {
        let begin = now();
        let response = get();
        match response.status {
            200 => assert!(begin < expiry, "signed with what has expired"),
            _ => break response,
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(
        now() + Duration::from_millis(1_000) >= expiry,
        "refused with good credentials: {}",
        lapsed.text()
    );
    assert!(stack.stub.hits() > hits, "a refresh was tried");
    assert_eq!(lapsed.status, 503);
    assert_eq!(lapsed.header("retry-after"), Some("1"));
    assert_eq!(lapsed.header("x-oss-origin-auth"), Some("no_credentials"));
    assert!(lapsed.text().contains("status 500"), "{}", lapsed.text());
    stack.stub.set(good_answer());
    wait_until("credentials", || get().status == 200);
}

#[test]
fn credentials_are_there_before_the_first_request_from_one_callout() {
    // Two workers and the main thread each have a root context that ticks.
    let stack = Stack::start();
    wait_until("a callout", || stack.stub.hits() > 0);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(
        stack.stub.hits(),
        1,
        "whoever it was, the others left it to them"
    );
}

#[test]
fn names_have_their_own_state() {
    let stack = Stack::start_with(|builder| {
        builder.filter["credentials"]["broken"] = json!({"sidecar": {"cluster": "nowhere"}});
        builder.filter["routes"] = json!({"broken": {"credentials": "broken"}});
        builder.filter["wait_timeout_ms"] = json!(200);
        builder.routes = vec![json!({"name": "broken", "match": {"prefix": "/b/"}, "route": {}})];
    });
    let port = stack.envoy.port(Position::Upstream);
    wait_until("the object", || Request::get("/a").send(port).status == 200);
    for _ in 0..3 {
        assert_eq!(Request::get("/a").send(port).status, 200);
        let broken = Request::get("/b/a").send(port);
        assert_eq!(broken.status, 503);
        assert!(
            broken.text().contains("no cluster of the name"),
            "{}",
            broken.text()
        );
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
