//! What the source of credentials does to the filter, and one filter to another.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testkit::origin::rfc3339;
use testkit::process::wait_until;
use testkit::recorder::Answer;
use testkit::stub::{Behaviour, FAR_FUTURE};
use testkit::{EnvoyBuilder, Position, Recorder, Request};

use crate::common::{filter, good_json};
use crate::stage::{Stage, with_endpoint};

in_both_positions!(a_token_that_is_too_short_lived_is_not_fetched_without_end);

/// The sidecar has lost its own source, and serves what it still has.
fn a_token_that_is_too_short_lived_is_not_fetched_without_end(position: Position) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expiry = rfc3339((now + Duration::from_secs(200)).as_secs());
    let old = Behaviour::body(200, good_json().replace(FAR_FUTURE, &expiry));
    let stage = Stage::between(Recorder::start(), old, |builder| {
        let sidecar = &mut builder.filter["credentials"]["default"]["sidecar"];
        sidecar["clock_margin_ms"] = json!(300_000);
    });
    let request = Request::get("/a");
    let waiting = request.start(stage.envoy.port(position)).unwrap();
    wait_until("a fetch", || stage.stub.hits() > 0);
    let (begin, before) = (Instant::now(), stage.stub.hits());
    std::thread::sleep(Duration::from_secs(2));
    let fetches = stage.stub.hits() - before;
    let within = begin.elapsed();
    drop(waiting);
    // On a machine that sleeps longer, more.
    let most = 10 * within.as_secs() as usize;
    assert!(
        fetches < most,
        "{fetches} fetches in {within:?} for one request"
    );
    let output = stage.envoy.process.output();
    let told = output.matches("oss-origin-auth: credentials").count();
    assert!(told < most, "{told} lines in the log for one request");
    stage.assert_nothing_left("a request without credentials");
}

/// Two filters of one VM ask the same sidecar, each with a bearer token of its own: what
/// one is given is not the other's.
#[test]
fn filters_with_other_bearer_tokens_share_no_credentials() {
    let of = |bearer: &str| good_json().replace("STS.example", &format!("STS.{bearer}"));
    let bodies = ["one", "two"].map(|name| (format!("Bearer bearer-{name}"), of(name)));
    let sidecar = Recorder::answering(move |request| {
        let authorization = request.header("authorization");
        let known = bodies.iter().find(|(bearer, _)| authorization == [bearer]);
        match known {
            Some((_, body)) => Answer::new(200, &[], body.as_bytes()),
            None => Answer::new(403, &[], b"{}"),
        }
    });
    let oss = Recorder::start();
    let mut builder = EnvoyBuilder::new(filter(), oss.port, sidecar.port);
    with_endpoint(&mut builder);
    builder.environment = ["one", "two"]
        .map(|name| (format!("BEARER_{name}"), format!("bearer-{name}")))
        .into();
    let with_bearer = |name: &str| {
        let mut filter = builder.filter.clone();
        filter["credentials"]["default"]["sidecar"]["token_env"] = json!(format!("BEARER_{name}"));
        filter
    };
    let (one, two) = (with_bearer("one"), with_bearer("two"));
    builder.filter = one;
    builder.downstream_filter = Some(two);
    let envoy = builder.start();
    for _ in 0..3 {
        for (position, id) in [
            (Position::Upstream, "STS.one/"),
            (Position::Downstream, "STS.two/"),
        ] {
            oss.clear();
            assert_eq!(Request::get("/a").send(envoy.port(position)).status, 200);
            let seen = &oss.seen()[0];
            let signed = seen.header("authorization")[0];
            assert!(
                signed.contains(id),
                "{position:?} signs with what the other filter was given: {signed}"
            );
        }
    }
}
