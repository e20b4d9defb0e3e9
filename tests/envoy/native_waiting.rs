//! Requests that wait for credentials on the native module's threads: woken at once, and safe to
//! cut off at any moment.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::alibaba::BUCKET;
use testkit::http2::Connection;
use testkit::load::Load;
use testkit::origin::Origin;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Envoy, EnvoyBuilder, Position, Recorder, Request, Response, StubSidecar};

use crate::common::native::POSITIONS;
use crate::common::{filter, good_answer, good_json};

struct World {
    oss: Recorder,
    stub: StubSidecar,
    envoy: Envoy,
}

impl World {
    /// The sidecar gives no answer yet.
    fn start(adapt: impl FnOnce(&mut EnvoyBuilder)) -> World {
        let oss = Recorder::start();
        let stub = StubSidecar::start(Behaviour::Wait);
        let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
        adapt(&mut builder);
        let envoy = builder.start();
        World { oss, stub, envoy }
    }

    /// Waits until so many requests are under way at a position.
    fn wait_for(&self, position: Position, count: u64) {
        let name = match position {
            Position::Upstream => "http.upstream.downstream_rq_active",
            Position::Downstream => "http.downstream.downstream_rq_active",
        };
        wait_until("the requests", || self.envoy.stat(name) == count);
    }

    /// Requests that are under way and wait.
    fn waiting(&self, position: Position, count: usize) -> Vec<TcpStream> {
        let port = self.envoy.port(position);
        let request = Request::get("/a");
        let streams = (0..count).map(|_| request.start(port).unwrap()).collect();
        self.wait_for(position, count as u64);
        streams
    }

    /// All that came to OSS was signed, and there were so many.
    fn check_oss(&self, count: usize, what: &str) {
        let seen = self.oss.seen();
        assert_eq!(seen.len(), count, "{what}");
        for request in seen {
            assert_eq!(
                request.header("authorization").len(),
                1,
                "{what}: {request}"
            );
        }
    }
}

fn finish(streams: Vec<TcpStream>) {
    for stream in streams {
        let response = Response::read(stream, false).unwrap();
        assert_eq!((response.status, response.text()), (200, "content".into()));
    }
}

#[test]
fn requests_that_wait_on_every_worker_are_woken_at_once() {
    for (workers, position) in [(4, Position::Upstream), (8, Position::Downstream)] {
        let mut world = World::start(|builder| builder.workers = workers);
        let streams = world.waiting(position, 160);
        let stats = world
            .envoy
            .admin("/stats?filter=worker_.*downstream_cx_total");
        assert!(!stats.contains("total: 0"), "a worker has none: {stats}");
        let begin = Instant::now();
        world.stub.set(good_answer());
        finish(streams);
        let took = begin.elapsed();
        assert!(
            took < Duration::from_secs(5),
            "{workers} workers: woken after {took:?}"
        );
        assert_eq!(world.stub.hits(), 1, "one fetch for all");
        world.check_oss(160, "woken");
        world.envoy.process.assert_running();
    }
}

/// Load on all workers, while all that they sign with is revoked, and the sidecar is silent or
/// hangs up now and then.
#[test]
fn no_request_fails_on_many_workers_while_credentials_rotate() {
    let origin = Origin::start(100);
    let stub = StubSidecar::start(Behaviour::Wait);
    let mut builder = EnvoyBuilder::new(filter(), origin.oss_port, stub.port);
    builder.workers = 8;
    builder.access_log = false;
    builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 2,
                                  "retriable_status_codes": [403]});
    let mut envoy = builder.start();
    let load = Load::start(envoy.port(Position::Upstream), 24);
    for rotation in 0..4 {
        stub.set(Behaviour::Wait);
        let hits = stub.hits();
        origin.revoke_all();
        let (id, secret) = (
            format!("STS.number-{rotation}"),
            format!("secret-{rotation}"),
        );
        origin.add_key(&id, &secret, "token");
        wait_until("a fetch", || stub.hits() > hits || rotation == 0);
        if rotation == 2 {
            stub.set(Behaviour::HangUp);
            wait_until("another", || stub.hits() > hits + 2);
        }
        let body = json!({"Code": "Success", "AccessKeyId": id, "AccessKeySecret": secret,
                          "SecurityToken": "token", "Expiration": "2099-01-01T00:00:00Z"});
        stub.set(Behaviour::body(200, body.to_string()));
        let before = load.counts().total;
        wait_until("load", || load.counts().total > before + 1_000);
        // Having dropped credentials, the filter drops no others for a second.
        std::thread::sleep(Duration::from_millis(1_100));
    }
    let counts = load.stop();
    assert!(counts.failed.is_empty(), "{counts:?}");
    assert!(counts.slowest < Duration::from_secs(10), "{counts:?}");
    envoy.process.assert_running();
}

#[test]
fn clients_may_go_away_while_their_requests_wait() {
    for position in POSITIONS {
        let mut world = World::start(|builder| builder.workers = 2);
        let mut streams = world.waiting(position, 60);
        streams.truncate(30);
        world.wait_for(position, 30);
        world.stub.set(good_answer());
        finish(streams);
        world.check_oss(30, &format!("{position:?}"));
        world.envoy.process.assert_running();
    }
}

#[test]
fn streams_may_be_reset_while_their_requests_wait() {
    for position in POSITIONS {
        let mut world = World::start(|builder| builder.workers = 2);
        let mut connection = Connection::open(world.envoy.port(position));
        let ids: Vec<u32> = (0..60).map(|_| connection.get("/a")).collect();
        world.wait_for(position, 60);
        for id in &ids[..30] {
            connection.reset(*id);
        }
        world.wait_for(position, 30);
        world.stub.set(good_answer());
        assert_eq!(connection.finish(), [(200, 30)].into(), "{position:?}");
        world.check_oss(30, &format!("{position:?}"));
        world.envoy.process.assert_running();
    }
}

/// Streams end at any moment: before, while and after their requests are woken, of credentials
/// that do not last.
#[test]
fn a_storm_of_resets_while_requests_are_woken_harms_nobody() {
    let mut world = World::start(|builder| {
        builder.workers = 4;
        builder.filter["credentials"]["default"]["sidecar"]["clock_margin_ms"] = json!(0);
    });
    let briefly = Behaviour::Lasting(Duration::from_secs(2), good_json());
    world.stub.set(briefly);
    let ports = POSITIONS.map(|position| world.envoy.port(position));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let port = ports[thread % 2];
            scope.spawn(move || {
                for _ in 0..60 {
                    let mut connection = Connection::open(port);
                    let ids: Vec<u32> = (0..20).map(|_| connection.get("/a")).collect();
                    for id in ids.iter().skip(thread % 3).step_by(2) {
                        connection.reset(*id);
                    }
                    if thread > 1 {
                        let counts = connection.finish();
                        assert!(counts.keys().all(|status| *status == 200), "{counts:?}");
                    }
                }
            });
        }
    });
    let seen = world.oss.seen();
    world.check_oss(seen.len(), "resets");
    world.envoy.process.assert_running();
    assert_eq!(world.envoy.process.terminate(), Some(0));
}

#[test]
fn two_thousand_requests_wait_at_once() {
    for position in POSITIONS {
        let mut world = World::start(|builder| {
            builder.workers = 4;
            builder.filter["max_waiting"] = json!(2_000);
        });
        let mut connections = Vec::new();
        for _ in 0..20 {
            let mut connection = Connection::open(world.envoy.port(position));
            for _ in 0..100 {
                connection.get("/a");
            }
            connections.push(connection);
        }
        world.wait_for(position, 2_000);
        let begin = Instant::now();
        world.stub.set(good_answer());
        for connection in connections {
            assert_eq!(connection.finish(), [(200, 100)].into(), "{position:?}");
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{position:?}: {took:?}");
        world.check_oss(2_000, &format!("{position:?}"));
        world.envoy.process.assert_running();
    }
}

#[test]
fn more_than_max_waiting_do_not_wait() {
    for position in POSITIONS {
        let world = World::start(|builder| {
            builder.workers = 1;
            builder.filter["max_waiting"] = json!(5);
        });
        let streams = world.waiting(position, 5);
        for _ in 0..10 {
            let begin = Instant::now();
            let response = Request::get("/a").send(world.envoy.port(position));
            assert_eq!(response.status, 503, "{response:?}");
            assert!(begin.elapsed() < Duration::from_secs(5), "at once");
        }
        drop(streams);
        world.wait_for(position, 0);
        let streams = world.waiting(position, 5);
        world.stub.set(good_answer());
        finish(streams);
        world.check_oss(5, &format!("{position:?}"));
    }
}

/// Envoy ends while requests wait and while their fetch is under way.
#[test]
fn envoy_ends_while_requests_wait() {
    for round in 0..6 {
        let mut world = World::start(|builder| builder.workers = 4);
        let streams: Vec<_> = POSITIONS
            .iter()
            .map(|position| world.waiting(*position, 20))
            .collect();
        if round % 2 == 1 {
            Request::new("POST", "/drain_listeners?graceful").send(world.envoy.admin_port);
        }
        let begin = Instant::now();
        assert_eq!(
            world.envoy.process.terminate(),
            Some(0),
            "{}",
            world.envoy.process.output()
        );
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        drop(streams);
        world.check_oss(0, "none was signed");
    }
}

/// A body that comes while its request waits is held, and arrives whole.
#[test]
fn a_body_that_comes_while_its_request_waits_arrives_whole() {
    for position in POSITIONS {
        let mut world = World::start(|builder| {
            builder.filter["defaults"]["methods"] = json!(["GET", "HEAD", "PUT"]);
        });
        let body = vec![b'x'; 3_000_000];
        let mut stream = TcpStream::connect(("127.0.0.1", world.envoy.port(position))).unwrap();
        let head = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut half = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || half.write_all(&body).map(|()| body));
        world.wait_for(position, 1);
        world.stub.set(good_answer());
        let response = Response::read(&stream, false).unwrap();
        let body = writer.join().unwrap().unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        assert!(world.oss.seen()[0].body == body, "{position:?}");
        world.check_oss(1, "a body");
        world.envoy.process.assert_running();
    }
}

/// Envoy has a time limit of its own, shorter than the filter's.
#[test]
fn a_request_whose_time_is_up_waits_no_longer() {
    for position in POSITIONS {
        let oss = Recorder::start();
        let stub = StubSidecar::start(Behaviour::Wait);
        let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
        builder.routes = vec![json!({"name": "brief", "match": {"path": "/brief"},
            "route": {"timeout": "0.3s"}})];
        let mut config = builder.config();
        for listener in config["static_resources"]["listeners"]
            .as_array_mut()
            .unwrap()
        {
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            manager["request_timeout"] = json!("0.3s");
            manager["stream_idle_timeout"] = json!("0.3s");
        }
        let mut envoy = builder.start_on(&config);
        let mut connection = Connection::open(envoy.port(position));
        for _ in 0..40 {
            connection.get("/brief");
        }
        let counts = connection.finish();
        assert!(
            counts.keys().all(|status| [408, 504].contains(status)),
            "{counts:?}"
        );
        stub.set(good_answer());
        let response = Request::get("/brief").send(envoy.port(position));
        assert_eq!(response.status, 200, "{position:?}");
        assert_eq!(oss.seen().len(), 1, "{position:?}");
        envoy.process.assert_running();
    }
}

/// On a cluster a request waits with a connection to OSS, which OSS may close.
#[test]
fn oss_may_hang_up_while_requests_wait() {
    let oss = Recorder::start();
    let stub = StubSidecar::start(Behaviour::Wait);
    let taken = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut builder = EnvoyBuilder::new(filter(), listener.local_addr().unwrap().port(), stub.port);
    builder.retry_policy = json!({"retry_on": "reset,connect-failure", "num_retries": 20,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.02s"}});
    let mut envoy = builder.start();
    let (count, there) = (Arc::clone(&taken), oss.port);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The first are closed at once.
            if count.fetch_add(1, Ordering::SeqCst) >= 20 {
                let there = TcpStream::connect(("127.0.0.1", there)).unwrap();
                pump(&stream, &there);
                pump(&there, &stream);
            }
        }
    });
    let port = envoy.port(Position::Upstream);
    let streams: Vec<_> = (0..10)
        .map(|_| Request::get("/a").start(port).unwrap())
        .collect();
    wait_until("hang-ups", || taken.load(Ordering::SeqCst) > 20);
    stub.set(good_answer());
    finish(streams);
    for request in oss.seen() {
        assert_eq!(request.header("authorization").len(), 1, "{request}");
    }
    assert_eq!(oss.seen().len(), 10);
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
}

/// Copies what comes from one to the other, on a thread of its own.
fn pump(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
}
