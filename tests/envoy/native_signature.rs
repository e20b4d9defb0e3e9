//! The native module takes its signature off a request once the answer is here: neither a
//! redirect within Envoy nor a line of its access log has it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::process::wait_until;
use testkit::recorder::{Answer, Received};
use testkit::{Envoy, EnvoyBuilder, Position, Recorder, Request, StubSidecar};

use crate::common::native::{POSITIONS, clusters};
use crate::common::{filter, good_answer};

/// What we put on a request, of both versions of the signature.
const OURS: [&str; 5] = [
    "authorization",
    "x-oss-security-token",
    "x-oss-date",
    "x-oss-content-sha256",
    "date",
];

/// How a line of the test's access log begins.
const LINE: &str = "logged ";

struct World {
    oss: Recorder,
    /// A cluster that is none of OSS's.
    other: Recorder,
    _stub: StubSidecar,
    envoy: Envoy,
}

impl World {
    fn start(version: &str) -> World {
        World::start_with(version, 0, |_| {})
    }

    /// With another OSS, unless the port is 0.
    fn start_with(version: &str, port: u16, adapt: impl FnOnce(&mut Value)) -> World {
        let oss = Recorder::answering(oss());
        let other = Recorder::start();
        let stub = StubSidecar::start(good_answer());
        let mut filter = filter();
        filter["defaults"]["signature_version"] = json!(version);
        filter["routes"] = json!({"/other": {"enabled": false}});
        let mut builder = EnvoyBuilder::new(filter, oss.port, stub.port);
        builder.clusters = vec![("other".into(), other.port)];
        builder.routes = routes();
        builder.http_filters = vec![custom_response()];
        if port != 0 {
            builder.oss_port = port;
        }
        let mut config = builder.config();
        adapt(&mut config);
        let logged = OURS.map(|name| format!("{name}=%REQ({name})%")).join(" ");
        let format = format!("{LINE}%PROTOCOL% %RESPONSE_CODE% {logged}\n");
        for listener in config["static_resources"]["listeners"]
            .as_array_mut()
            .unwrap()
        {
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            manager["access_log"][0]["typed_config"]["log_format"] =
                json!({"text_format_source": {"inline_string": format}});
        }
        World {
            oss,
            other,
            _stub: stub,
            envoy: builder.start_on(&config),
        }
    }

    /// Ends Envoy, which then writes its access log: no line has anything of ours, and there are
    /// at least so many.
    fn check_log(&mut self, least: usize, what: &str) {
        assert_eq!(self.envoy.process.terminate(), Some(0), "{what}");
        let output = self.envoy.process.output();
        let lines: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix(LINE))
            .collect();
        assert!(lines.len() >= least, "{what}: {lines:?}");
        for line in lines {
            let is_free = |name: &&str| line.contains(&format!("{name}=-"));
            assert!(OURS.iter().all(is_free), "{what}: {line}");
        }
    }
}

/// An OSS that answers by the path.
fn oss() -> impl Fn(&Received) -> Answer {
    // How often the last three have been asked for.
    let asked = Mutex::new([0; 3]);
    let ask = move |path: usize| {
        asked.lock().unwrap()[path] += 1;
        asked.lock().unwrap()[path]
    };
    move |request| {
        let error = b"<Error><Code>NoSuchKey</Code></Error>";
        match request.target.as_str() {
            "/absent" => Answer::new(404, &[("x-oss-request-id", "1")], error),
            "/denied" => Answer::new(403, &[("x-oss-request-id", "1")], error),
            "/slow" => {
                std::thread::sleep(Duration::from_millis(600));
                Answer::new(200, &[], b"late")
            }
            "/moved" => Answer::new(302, &[("location", "http://gateway.example/other")], b""),
            "/flaky" if ask(0) == 1 => Answer::new(503, &[], b""),
            "/late" if ask(2) == 1 => {
                std::thread::sleep(Duration::from_millis(1_200));
                Answer::new(200, &[], b"late")
            }
            "/hedged" => match ask(1) {
                1 => {
                    std::thread::sleep(Duration::from_millis(600));
                    Answer::new(503, &[], b"")
                }
                2 => Answer::new(503, &[], b""),
                _ => Answer::new(200, &[], b"content"),
            },
            _ => Answer::new(200, &[], b"content"),
        }
    }
}

fn routes() -> Vec<Value> {
    let of =
        |path: &str, route: Value| json!({"name": path, "match": {"path": path}, "route": route});
    vec![
        of("/other", json!({"cluster": "other"})),
        of("/slow", json!({"timeout": "0.2s"})),
        of(
            "/flaky",
            json!({"retry_policy": {"retry_on": "5xx", "num_retries": 2}}),
        ),
        of(
            "/late",
            json!({"retry_policy": {"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "0.5s"}}),
        ),
        of(
            "/moved",
            json!({"internal_redirect_policy": {"redirect_response_codes": [302]}}),
        ),
        of(
            "/hedged",
            json!({"hedge_policy": {"hedge_on_per_try_timeout": true}, "retry_policy": {
                "retry_on": "5xx", "num_retries": 3, "per_try_timeout": "0.1s"}}),
        ),
        of(
            "/copied",
            json!({"request_mirror_policies": [
                {"cluster": "oss_signed", "disable_shadow_host_suffix_append": true}]}),
        ),
        of(
            "/mirrored",
            json!({"request_mirror_policies": [{"cluster": "other"}]}),
        ),
    ]
}

/// Shows what `other` has in place of a 404.
fn custom_response() -> Value {
    json!({"name": "envoy.filters.http.custom_response", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.custom_response.v3.CustomResponse",
        "custom_response_matcher": {"matcher_list": {"matchers": [{
            "predicate": {"single_predicate": {
                "input": {"name": "status", "typed_config": {
                    "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput"}},
                "value_match": {"exact": "404"}}},
            "on_match": {"action": {"name": "page", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy",
                "uri": "http://gateway.example/other"}}},
        }]}},
    }})
}

fn check_signed(requests: &[Received], what: &str) {
    for request in requests {
        assert_eq!(
            request.header("authorization").len(),
            1,
            "{what}: {request}"
        );
        assert_eq!(
            request.header("x-oss-security-token").len(),
            1,
            "{what}: {request}"
        );
    }
}

#[test]
fn no_line_of_the_access_log_has_the_signature() {
    for version in ["v4", "v1"] {
        for position in POSITIONS {
            let mut world = World::start(version);
            let port = world.envoy.port(position);
            let mut cases = vec![
                ("/a", 200, 1),
                ("/denied", 403, 1),
                ("/absent", 404, 1),
                ("/flaky", 200, 2),
                // Nobody answers the first attempt.
                ("/late", 200, 2),
            ];
            if position == Position::Downstream {
                // On a cluster Envoy gives the filter no occasion where no answer comes.
                cases.push(("/slow", 504, 1));
            }
            let count = cases.len() * 2;
            for (path, status, attempts) in cases {
                let what = format!("{version} {position:?} {path}");
                let own = Request::get(path).header("authorization", "Basic YTpi");
                world.oss.clear();
                for request in [Request::get(path), own] {
                    assert_eq!(request.send(port).status, status, "{what}");
                }
                // A slow one is there once it is answered.
                wait_until("OSS", || world.oss.seen().len() >= attempts);
                let seen = world.oss.seen();
                assert!(
                    (attempts..=attempts * 2).contains(&seen.len()),
                    "{what}: {}",
                    seen.len()
                );
                check_signed(&seen, &what);
            }
            world.check_log(count, &format!("{version} {position:?}"));
        }
    }
}

#[test]
fn a_redirect_within_envoy_does_not_have_the_signature() {
    for version in ["v4", "v1"] {
        for position in POSITIONS {
            let mut world = World::start(version);
            let port = world.envoy.port(position);
            for (count, (path, status)) in (1..).zip([("/moved", 200), ("/absent", 404)]) {
                let what = format!("{version} {position:?} {path}");
                let response = Request::get(path).send(port);
                assert_eq!(
                    (response.status, response.text()),
                    (status, "content".into()),
                    "{what}"
                );
                let seen = world.other.seen();
                assert_eq!(seen.len(), count, "{what}");
                let last = &seen[count - 1];
                assert!(
                    OURS.iter().all(|name| last.header(name).is_empty()),
                    "{what}: {last}"
                );
                check_signed(&world.oss.seen(), &what);
            }
            world.check_log(2, &format!("{version} {position:?}"));
        }
    }
}

/// A copy of the request leaves before anything of an answer is here; upstream, the filter is on
/// the way to OSS alone.
#[test]
fn a_mirrored_request_has_no_signature_of_the_cluster() {
    let mut world = World::start("v4");
    assert_eq!(
        Request::get("/mirrored")
            .send(world.envoy.port(Position::Upstream))
            .status,
        200
    );
    wait_until("the copy", || !world.other.seen().is_empty());
    let copy = &world.other.seen()[0];
    assert!(
        OURS.iter().all(|name| copy.header(name).is_empty()),
        "{copy}"
    );
    check_signed(&world.oss.seen(), "the original");
    world.check_log(1, "mirrored");
}

/// Attempts share their headers: the answer to the first comes while the second waits for its
/// connection, and that to the second while a third does.
#[test]
fn the_answer_to_one_attempt_leaves_the_signature_of_another() {
    for breakers in [json!({"max_connections": 1}), json!({})] {
        let mut world = World::start_with("v4", 0, |config| {
            for cluster in clusters(config, "oss_") {
                cluster["circuit_breakers"] = json!({"thresholds": [breakers]});
            }
        });
        let response = Request::get("/hedged").send(world.envoy.port(Position::Upstream));
        assert_eq!(response.status, 200, "{breakers}: {response:?}");
        wait_until("three attempts", || world.oss.seen().len() >= 3);
        check_signed(&world.oss.seen(), &breakers.to_string());
        assert_eq!(world.envoy.process.terminate(), Some(0));
    }
}

/// Envoy copies a request to the cluster with the filter, where nobody waits for the answer.
#[test]
fn a_copy_to_the_cluster_is_signed() {
    let mut world = World::start("v4");
    for count in 1..=20 {
        let port = world.envoy.port(Position::Upstream);
        assert_eq!(Request::get("/copied").send(port).status, 200);
        wait_until("the copy", || world.oss.seen().len() >= count * 2);
    }
    check_signed(&world.oss.seen(), "copies");
    world.check_log(20, "copies");
}

#[test]
fn nothing_of_ours_is_logged_where_nobody_answers() {
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let mut world = World::start_with("v4", port, |_| {});
    let response = Request::get("/a").send(world.envoy.port(Position::Downstream));
    assert_eq!(response.status, 503);
    world.check_log(1, "dead");
}
