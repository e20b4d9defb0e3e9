//! The shipped configurations before an OSS that is slow, throttles, resets, stalls and cuts.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::alibaba::{generated, is_generated};
use testkit::envoy::stat;
use testkit::process::wait_until;
use testkit::shipped::Shipped;
use testkit::stub::Behaviour;
use testkit::{FakeAlibaba, Request, Response, SendError, StubSidecar};

use crate::common::{SECRET, TOKEN, good_answer, good_json};
use crate::shipped::start;
use crate::shipped_cache::start_cached;

/// Where a retry on every 403 would ask four times.
#[test]
fn what_is_denied_is_asked_for_once() {
    let (alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
    alibaba.set_key_state("STS.example", "denied");
    for method in ["GET", "HEAD"] {
        alibaba.clear_log();
        let denied = Request::new(method, "/a").send(envoy.port);
        assert_eq!(denied.status, 403);
        assert_eq!(denied.header("x-origin-auth-retry"), None);
        assert_eq!(alibaba.seen().len(), 1, "{method}");
    }
}

/// What Envoy's default route timeout of 15 s would cut, and what its own timers must let
/// live: all at the same time, since they take a minute.
#[test]
fn long_downloads_are_whole() {
    let (alibaba, _stub, envoy) = start("minimal.yaml", &[]);
    let (cached_alibaba, _cached_stub, cached) = start_cached();
    const PACED: usize = 220_000;
    // More than the system's buffers take, or nobody would have to wait for the client.
    const LARGE: usize = 16_000_000;
    for alibaba in [&alibaba, &cached_alibaba] {
        alibaba.put_object("paced", "", json!({"size": PACED, "pace": 10_000}));
        alibaba.put_object("large", "", json!({"size": LARGE}));
    }
    std::thread::scope(|scope| {
        for port in [envoy.port, cached.port] {
            scope.spawn(move || {
                let begin = Instant::now();
                let response = Request::get("/paced").send(port);
                assert!(begin.elapsed() > Duration::from_secs(20));
                assert_eq!((response.status, response.body.len()), (200, PACED));
                assert!(is_generated(0, &response.body));
            });
            scope.spawn(move || {
                let stream = Slow {
                    stream: Request::get("/large").start(port).unwrap(),
                    until: Instant::now() + Duration::from_secs(60),
                };
                let response = Response::read(stream, false);
                // Not its Debug, which has all the bytes.
                let response = response.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!((response.status, response.body.len()), (200, LARGE));
                assert!(is_generated(0, &response.body));
            });
        }
    });
}

/// Reads 10 KB a second, and later all that is left.
struct Slow {
    stream: TcpStream,
    until: Instant,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if Instant::now() >= self.until {
            return self.stream.read(buffer);
        }
        std::thread::sleep(Duration::from_millis(100));
        let piece = buffer.len().min(1_000);
        self.stream.read(&mut buffer[..piece])
    }
}

#[test]
fn a_download_that_stalls_ends_and_is_no_success() {
    let alibaba = FakeAlibaba::start();
    let stall = json!({"at": 20_000, "seconds": 600});
    alibaba.put_object("a", "", json!({"size": 100_000, "stall": stall}));
    alibaba.put("b", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("minimal.yaml", port, stub.port, &[], |text| {
        let shipped = "stream_idle_timeout: 300s";
        assert!(text.contains(shipped));
        text.replace(shipped, "stream_idle_timeout: 2s")
    });
    // The wait for the first credentials may be longer than that.
    wait_until("the credentials", || {
        Request::get("/b").send(envoy.port).status == 200
    });
    match Request::get("/a").try_send(envoy.port) {
        Err(SendError::CutShort(part)) => {
            assert_eq!(part.body, generated(0, 20_000));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_oss_cuts_is_no_success() {
    let (alibaba, _stub, envoy) = start("minimal.yaml", &[]);
    alibaba.put_object("a", "", json!({"size": 100_000, "cut": 20_000}));
    match Request::get("/a").try_send(envoy.port) {
        Err(SendError::CutShort(part)) => assert_eq!(part.body, generated(0, 20_000)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_of_a_connection_that_idled_is_not_seen() {
    for method in ["GET", "HEAD"] {
        let (alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
        let mut asked = 0;
        // A request may come by a worker that has no connection yet.
        wait_until("three resets", || {
            alibaba.set("reset_reused", json!(1));
            assert_eq!(Request::new(method, "/a").send(envoy.port).status, 200);
            asked += 1;
            alibaba.resets() >= 3
        });
        assert_eq!(alibaba.seen().len(), asked);
    }
}

#[test]
fn throttling_is_not_seen() {
    let (alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
    for (code, status) in [("QpsLimitExceeded", 429), ("TotalQpsLimitExceeded", 503)] {
        for retry_after in [json!(null), json!(1)] {
            alibaba.clear_log();
            let throttle = json!({"code": code, "times": 3, "retry_after": retry_after});
            alibaba.set("throttle", throttle);
            let response = Request::get("/a").send(envoy.port);
            assert_eq!(response.status, 200, "{code} {retry_after}");
            let seen: Vec<u64> = alibaba.seen().iter().map(|seen| seen.status).collect();
            assert_eq!(seen, [status, status, status, 200], "{code} {retry_after}");
        }
    }
    assert!(
        stat(
            envoy.admin_port,
            "cluster.oss.upstream_rq_retry_backoff_ratelimited"
        ) >= 6
    );
    // Not for ever: who is throttled on and on is told so, by a status of its own.
    let throttle = json!({"code": "QpsLimitExceeded", "times": 100});
    alibaba.set("throttle", throttle);
    assert_eq!(Request::get("/a").send(envoy.port).status, 429);
}

#[test]
fn a_write_is_not_tried_again() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("b", "of a bucket that is there");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("minimal.yaml", port, stub.port, &[], |text| {
        let bucket = "\"defaults\": {";
        assert!(text.contains(bucket));
        text.replace(bucket, "\"defaults\": {\"methods\": [\"GET\", \"PUT\"], ")
    });
    alibaba.set("throttle", json!({"code": "QpsLimitExceeded", "times": 1}));
    let put = Request::new("PUT", "/a").body("content");
    assert_eq!(put.send(envoy.port).status, 429);
    assert_eq!(alibaba.seen().len(), 1);
    assert_eq!(put.send(envoy.port).status, 200);
}

#[test]
fn a_refusal_of_the_filter_is_not_tried_again() {
    let alibaba = FakeAlibaba::start();
    let stub = StubSidecar::start(Behaviour::body(500, ""));
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("minimal.yaml", port, stub.port, &[], |text| {
        let credentials = "\"credentials\": {";
        assert!(text.contains(credentials));
        text.replace(credentials, "\"wait_timeout_ms\": 200, \"credentials\": {")
    });
    let response = Request::get("/a").send(envoy.port);
    let error = response.header("x-oss-origin-auth");
    assert_eq!((response.status, error), (503, Some("no_credentials")));
    assert_eq!(stat(envoy.admin_port, "cluster.oss.upstream_rq_retry"), 0);
}

#[test]
fn five_hundred_requests_that_a_rotation_meets_all_heal() {
    const REQUESTS: usize = 500;
    let (alibaba, stub, envoy) = start("minimal.yaml", &["a"]);
    assert_eq!(Request::get("/a").send(envoy.port).status, 200);
    alibaba.clear_log();
    // So late that all have been sent before the first is refused.
    alibaba.set("refusal", json!({"delay": 4}));
    alibaba.set_key_state("STS.example", "revoked");
    alibaba.add_key("STS.second", SECRET, Some(TOKEN), None);
    stub.set(Behaviour::body(
        200,
        good_json().replace("STS.example", "STS.second"),
    ));
    let statuses = Mutex::new(BTreeMap::<u16, usize>::new());
    std::thread::scope(|scope| {
        for _ in 0..REQUESTS {
            scope.spawn(|| {
                let status = Request::get("/a").send(envoy.port).status;
                *statuses.lock().unwrap().entry(status).or_default() += 1;
            });
        }
    });
    assert_eq!(*statuses.lock().unwrap(), BTreeMap::from([(200, REQUESTS)]));
    let refused = alibaba
        .seen()
        .iter()
        .filter(|seen| seen.status == 403)
        .count();
    // Three retries at a time are Envoy's default.
    assert!(refused > REQUESTS / 10, "{refused} were refused");
    assert_eq!(
        stat(envoy.admin_port, "cluster.oss.upstream_rq_retry_overflow"),
        0
    );
}

#[test]
fn connections_above_the_limit_are_refused_and_the_operator_is_let_in() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content of a");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("minimal.yaml", port, stub.port, &[], |text| {
        let shipped = "max_active_downstream_connections: 10000";
        assert!(text.contains(shipped));
        text.replace(shipped, "max_active_downstream_connections: 2")
    });
    let idle: Vec<TcpStream> = (0..2)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, envoy.port)).unwrap())
        .collect();
    let accepted = || stat(envoy.admin_port, "http.ingress.downstream_cx_active") == 2;
    wait_until("Envoy to accept them", accepted);
    assert!(Request::get("/a").try_send(envoy.port).is_err());
    drop(idle);
    wait_until("a place", || {
        Request::get("/a")
            .try_send(envoy.port)
            .is_ok_and(|response| response.status == 200)
    });
}
