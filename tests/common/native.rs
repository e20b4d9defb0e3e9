//! What is asked of the native module in each version of Envoy that loads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::process::wait_until;
use testkit::recorder::Answer;
use testkit::stub::Behaviour;
use testkit::{EnvoyBuilder, Position, Recorder, Request, Response, StubSidecar};

use super::{filter, good_answer, good_json};

pub const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

/// Circuit breakers let a part of the requests through, whether these wait for credentials or
/// not: Envoy answers the others, and lives. Upstream, Envoy calls a filter for such a request
/// that it has destroyed before (envoyproxy/envoy issue 47544).
pub fn check_overflows(binary: &Path) {
    let narrow = [
        json!({"max_connections": 1, "max_pending_requests": 1}),
        json!({"max_requests": 1}),
        json!({"max_connections": 1, "max_pending_requests": 1, "max_requests": 1, "max_retries": 1}),
    ];
    for thresholds in narrow {
        for waits in [false, true] {
            check_overflow(binary, &thresholds, waits);
        }
    }
}

fn check_overflow(binary: &Path, thresholds: &Value, waits: bool) {
    let oss = Recorder::answering(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Answer::new(200, &[], b"content")
    });
    let stub = StubSidecar::start(Behaviour::Wait);
    let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
    builder.binary = binary.to_owned();
    builder.retry_policy = json!({"retry_on": "reset,retriable-status-codes", "num_retries": 1,
                                  "retriable_status_codes": [403]});
    let mut config = builder.config();
    for cluster in clusters(&mut config, "oss_") {
        cluster["circuit_breakers"] = json!({"thresholds": [thresholds]});
    }
    let mut envoy = builder.start_on(&config);
    if !waits {
        stub.set(good_answer());
        assert_eq!(get(envoy.port(Position::Upstream)).status, 200);
        oss.clear();
    }
    for position in POSITIONS {
        let port = envoy.port(position);
        let what = format!("{thresholds} {position:?}, waiting: {waits}");
        let begin = Instant::now();
        let answers = in_parallel(24, || {
            let answer = get(port);
            if answer.status == 503 {
                // The others wait, and all that must be refused is.
                stub.set(good_answer());
            }
            answer
        });
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}: hung");
        let mut counts = BTreeMap::<u16, usize>::new();
        for answer in &answers {
            *counts.entry(answer.status).or_default() += 1;
            match answer.status {
                200 => assert_eq!(answer.text(), "content", "{what}"),
                503 => assert!(is_overflow(position, answer), "{what}: {answer:?}"),
                _ => panic!("{what}: {answer:?}"),
            }
        }
        assert!(
            counts.contains_key(&200) && counts.contains_key(&503),
            "{what}: {counts:?}"
        );
        let seen = oss.seen();
        assert_eq!(Some(&seen.len()), counts.get(&200), "{what}");
        for request in seen {
            assert_eq!(
                request.header("authorization").len(),
                1,
                "{what}: {request}"
            );
        }
        oss.clear();
        envoy.process.assert_running();
        assert_eq!(get(port).status, 200, "{what}: afterwards");
        oss.clear();
    }
}

/// Among the listener's filters the filter replaces the body of each answer that is an error.
fn is_overflow(position: Position, answer: &Response) -> bool {
    match position {
        Position::Upstream => answer.header("x-envoy-overloaded") == Some("true"),
        Position::Downstream => answer.text().contains("origin_unavailable"),
    }
}

/// All clusters of a configuration whose names begin so.
pub fn clusters<'a>(config: &'a mut Value, prefix: &'a str) -> impl Iterator<Item = &'a mut Value> {
    let clusters = config["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap();
    let is_it = move |cluster: &&mut Value| cluster["name"].as_str().unwrap().starts_with(prefix);
    clusters.iter_mut().filter(is_it)
}

pub fn get(port: u16) -> Response {
    Request::get("/a").send(port)
}

/// What so many threads get, which begin at the same time.
pub fn in_parallel<T: Send>(threads: usize, act: impl Fn() -> T + Sync) -> Vec<T> {
    let results = Mutex::new(Vec::new());
    let barrier = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                let result = act();
                results.lock().unwrap().push(result);
            });
        }
    });
    results.into_inner().unwrap()
}

/// What the module is for: it waits for credentials, signs, replaces what OSS refuses, refuses
/// what is more than a read, counts, and tells the access log why OSS refused.
pub fn check_basics(binary: &Path) {
    let refuses = Arc::new(AtomicBool::new(false));
    let is_refused = Arc::clone(&refuses);
    let oss = Recorder::answering(move |request| {
        let first = request
            .header("authorization")
            .concat()
            .contains("STS.example");
        let error = b"<Error><Code>SecurityTokenExpired</Code></Error>";
        match first && is_refused.load(Ordering::SeqCst) {
            true => Answer::new(
                403,
                &[("x-oss-request-id", "1"), ("x-oss-ec", "0002-00000007")],
                error,
            ),
            false => Answer::new(200, &[], b"content"),
        }
    });
    let stub = StubSidecar::start(Behaviour::Wait);
    let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
    builder.binary = binary.to_owned();
    builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
                                  "retriable_status_codes": [403]});
    builder.filter["defaults"]["access_log_fields"] = json!(true);
    let mut config = builder.config();
    let format = "logged %RESPONSE_CODE% %DYNAMIC_METADATA(oss_origin_auth:credentials)%\n";
    for listener in config["static_resources"]["listeners"]
        .as_array_mut()
        .unwrap()
    {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["access_log"][0]["typed_config"]["log_format"] =
            json!({"text_format_source": {"inline_string": format}});
    }
    let mut envoy = builder.start_on(&config);
    let port = envoy.port(Position::Upstream);
    let waiting = Request::get("/a").start(port).unwrap();
    wait_until("the request", || {
        envoy.stat("http.upstream.downstream_rq_active") == 1
    });
    stub.set(good_answer());
    assert_eq!(Response::read(waiting, false).unwrap().status, 200);
    for position in POSITIONS {
        assert_eq!(get(envoy.port(position)).text(), "content", "{position:?}");
        let put = Request::new("PUT", "/a")
            .body("x")
            .send(envoy.port(position));
        assert_eq!(
            put.header("x-oss-origin-auth"),
            Some("method_not_allowed"),
            "{position:?}"
        );
    }
    stub.set(Behaviour::body(
        200,
        good_json().replace("STS.example", "STS.second"),
    ));
    refuses.store(true, Ordering::SeqCst);
    assert_eq!(get(port).status, 200, "rotation");
    assert_eq!(stub.hits(), 2);
    for request in oss.seen() {
        assert_eq!(request.header("authorization").len(), 1, "{request}");
    }
    // Upstream each attempt counts.
    for (name, value) in [
        ("requests.signed", 5),
        ("refused.method_not_allowed", 2),
        ("callouts.ok", 2),
    ] {
        wait_until(name, || envoy.filter_stat(name) == value);
    }
    assert_eq!(envoy.process.terminate(), Some(0));
    let output = envoy.process.output();
    assert_eq!(output.matches("logged 200 default").count(), 4, "{output}");
    assert_eq!(output.matches("logged 405 -").count(), 2, "{output}");
}
