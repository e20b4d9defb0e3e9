//! Where credentials come from, in a real Envoy: the callout, what it may
//! bring back, and the requests that wait for it.

use crate::common;

use std::time::Duration;

use common::{SECRET, Stack, TOKEN, good_answer, good_json};
use serde_json::json;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Position, Request, Response, StubSidecar};

const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

/// Requests wait for less long than by default.
fn short_wait(builder: &mut testkit::EnvoyBuilder) {
    builder.filter["wait_timeout_ms"] = json!(1_500);
}

/// Waits until the first attempt to fetch has failed, however long that takes.
fn wait_for_a_failure(stack: &mut Stack) {
    let failed = |output: &str| output.contains("credentials default: not fetched");
    let process = &mut stack.envoy.process;
    process.wait_for_output("a fetch that fails", |output| failed(output).then_some(()));
}

#[test]
fn a_broken_sidecar_gives_a_503_that_says_why_and_heals() {
    testkit::in_parallel(broken_sidecars(), |(name, behaviour, reason)| {
        let mut stack = Stack::start_on(behaviour, |builder| {
            short_wait(builder);
            if name == "slow" {
                let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
                sidecar["timeout_ms"] = json!(1_000);
            }
        });
        wait_for_a_failure(&mut stack);
        for position in POSITIONS {
            let response = Request::get("/a").send(stack.envoy.port(position));
            assert_no_credentials(&response, name, reason);
        }
        assert!(
            stack.alibaba.seen().is_empty(),
            "{name}: nothing leaves unsigned"
        );

        stack.stub.set(good_answer());
        wait_until(name, || {
            let response = Request::get("/a").send(stack.envoy.port(Position::Upstream));
            (response.status, response.body.as_slice()) == (200, b"content")
        });
        assert_log_says_why(&stack.envoy.process.output(), name, reason);
    });
}

/// A name, what the sidecar does, and the reason that is given for it.
fn broken_sidecars() -> Vec<(&'static str, Behaviour, &'static str)> {
    let without = |field: &str| Behaviour::body(200, good_json().replace(field, "Other"));
    vec![
        ("down", Behaviour::HangUp, "nobody answers"),
        (
            "slow",
            Behaviour::late_body(Duration::from_secs(600), 200, good_json()),
            "no answer within",
        ),
        ("500", Behaviour::body(500, "sesame"), "status 500"),
        ("404", Behaviour::body(404, good_json()), "status 404"),
        (
            "html",
            Behaviour::body(200, "<html>sesame</html>"),
            "not a JSON object",
        ),
        ("empty body", Behaviour::body(200, ""), "not a JSON object"),
        (
            "truncated",
            Behaviour::body(200, &good_json()[..90]),
            "not a JSON object",
        ),
        (
            "failed",
            Behaviour::body(200, good_json().replace("Success", "Failed")),
            "`Code` is not",
        ),
        ("no id", without("AccessKeyId"), "`AccessKeyId` is missing"),
        (
            "no secret",
            without("AccessKeySecret"),
            "`AccessKeySecret` is missing",
        ),
        (
            "no expiry",
            without("Expiration"),
            "`Expiration` is missing",
        ),
        (
            "past expiry",
            Behaviour::body(200, good_json().replace("2099", "2020")),
            "in the past",
        ),
        (
            "time format",
            Behaviour::body(200, good_json().replace("T00:00:00Z", " 00:00")),
            "`Expiration` is not of the form",
        ),
        (
            "1 MiB",
            Behaviour::body(200, " ".repeat(1 << 20) + &good_json()),
            "a body of",
        ),
        (
            "not HTTP",
            Behaviour::Answer(b"sesame\r\n\r\n".to_vec()),
            "status 502",
        ),
        (
            "not text",
            Behaviour::body(200, b"\xff\xfe\x00"),
            "not a JSON object",
        ),
    ]
}

fn assert_no_credentials(response: &Response, name: &str, reason: &str) {
    assert_eq!(response.status, 503, "{name}");
    assert_eq!(
        response.header("x-oss-origin-auth"),
        Some("no_credentials"),
        "{name}"
    );
    assert_eq!(response.header("retry-after"), Some("1"), "{name}");
    let message = response.json()["message"].to_string();
    assert!(message.contains(reason), "{name}: {message}");
}

fn assert_log_says_why(output: &str, name: &str, reason: &str) {
    let line = output
        .lines()
        .find(|line| line.contains("credentials default: not fetched"));
    assert!(
        line.is_some_and(|line| line.contains(reason)),
        "{name}: {output}"
    );
    assert!(!output.contains("sesame"), "{name}: {output}");
}

#[test]
fn a_sidecar_that_does_not_run_is_named() {
    let stub_port = testkit::free_port();
    let mut stack = Stack::start_on(good_answer(), |builder| {
        short_wait(builder);
        builder.sidecar_port = stub_port;
    });
    wait_for_a_failure(&mut stack);
    let response = Request::get("/a").send(stack.envoy.port(Position::Upstream));
    assert_eq!(response.status, 503);
    assert!(
        response.text().contains("status 503"),
        "{}",
        response.text()
    );
}

#[test]
fn a_cluster_that_does_not_exist_is_named() {
    let mut stack = Stack::start_on(good_answer(), |builder| {
        short_wait(builder);
        builder.filter["credentials"]["default"]["sidecar"]["cluster"] = json!("nowhere");
    });
    wait_for_a_failure(&mut stack);
    for position in POSITIONS {
        let response = Request::get("/a").send(stack.envoy.port(position));
        assert_eq!(response.status, 503);
        assert!(
            response.text().contains("no cluster of the name"),
            "{}",
            response.text()
        );
    }
    assert!(!stack.envoy.process.output().contains("panicked"));
}

#[test]
fn a_cold_start_makes_one_callout_and_answers_all() {
    let stack = Stack::start_on(Behaviour::Wait, |builder| builder.workers = 4);
    let port = stack.envoy.port(Position::Upstream);
    let streams: Vec<_> = (0..500)
        .map(|_| Request::get("/a").start(port).unwrap())
        .collect();
    wait_until("500 requests that wait", || active(&stack) == 500);
    stack.stub.set(good_answer());
    for stream in streams {
        assert_eq!(Response::read(stream, false).unwrap().status, 200);
    }
    assert_eq!(stack.stub.hits(), 1, "one callout for all workers");
    assert!(stack.alibaba.seen().iter().all(|seen| seen.status == 200));
}

#[test]
fn more_than_may_wait_get_a_503_at_once() {
    let stack = Stack::start_on(Behaviour::Wait, |builder| {
        builder.workers = 1;
        builder.filter["max_waiting"] = json!(3);
    });
    let port = stack.envoy.port(Position::Upstream);
    let waiting: Vec<_> = (0..3)
        .map(|_| Request::get("/a").start(port).unwrap())
        .collect();
    wait_until("three requests that wait", || active(&stack) == 3);
    let refused = Request::get("/a").send(port);
    assert_eq!(refused.status, 503);
    // A client that goes away gives its place to another.
    drop(waiting);
    wait_until("the clients to be gone", || active(&stack) == 0);
    let next = Request::get("/a").start(port).unwrap();
    wait_until("a request that waits", || active(&stack) == 1);
    stack.stub.set(good_answer());
    assert_eq!(Response::read(next, false).unwrap().status, 200);
}

/// How many requests Envoy has begun and not answered yet.
fn active(stack: &Stack) -> u64 {
    stack.envoy.stat("http.upstream.downstream_rq_active")
}

#[test]
fn any_server_of_the_protocol_will_do() {
    // As the ECS metadata server answers: other path, other fields besides.
    let body = json!({"AccessKeyId": "STS.example", "AccessKeySecret": SECRET,
        "Expiration": "2099-01-01T00:00:00Z", "SecurityToken": TOKEN,
        "LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"});
    let stack = Stack::start_on(Behaviour::body(200, body.to_string()), |builder| {
        let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
        sidecar["path"] = json!("/latest/meta-data/ram/security-credentials/role");
        sidecar["authority"] = json!("100.100.100.200");
    });
    assert_eq!(
        Request::get("/a")
            .send(stack.envoy.port(Position::Upstream))
            .status,
        200
    );
}

#[test]
fn an_unset_variable_of_an_access_key_stops_envoy() {
    let stub = StubSidecar::start(good_answer());
    let filter = json!({
        "credentials": {"default": {"access_key": {"id_env": "NO_ID", "secret_env": "NO_SECRET"}}},
        "defaults": {"bucket": "demo-bucket", "region": "cn-hangzhou",
                     "endpoint": "oss-cn-hangzhou.aliyuncs.com"},
    });
    let mut envoy = testkit::EnvoyBuilder::new(filter, 1, stub.port).launch();
    assert_ne!(envoy.wait(), Some(0));
    assert!(
        envoy
            .output()
            .contains("credentials.default.access_key.id_env: names a variable")
    );
}
