//! A run of everything that the native module does, for `cargo xtask memcheck`, which watches
//! its memory meanwhile.

use std::collections::BTreeSet;
use std::io::Read;

use oss_origin_auth_core::policy::reply::Reason;
use oss_origin_auth_core::words::Word;
use serde_json::json;
use testkit::http2::Connection;
use testkit::process::wait_until;
use testkit::recorder::{Answer, Received};
use testkit::signed_url::{now, sign};
use testkit::stub::Behaviour;
use testkit::{Envoy, EnvoyBuilder, Position, Recorder, Request, Response, StubSidecar};

use crate::access::{MAIN, with_keys};
use crate::common::native::POSITIONS;
use crate::common::{filter, good_answer};

/// Of these, one needs a path for which Envoy finds no route, the others a host that fails or no
/// settings at all.
const NOT_HERE: [&str; 3] = ["malformed_path", "internal_error", "route_not_configured"];

#[test]
fn one_run_of_everything() {
    let oss = Recorder::answering(oss);
    let stub = StubSidecar::start(Behaviour::Wait);
    let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
    configure(&mut builder);
    let mut envoy = builder.start();
    let mut reasons = BTreeSet::new();
    wait_and_go_away(&envoy, &stub, &mut reasons);
    for position in POSITIONS {
        let port = envoy.port(position);
        for request in refused() {
            let response = request.send(port);
            let reason = response.header("x-oss-origin-auth");
            let reason = reason.unwrap_or_else(|| panic!("{position:?} {request:?}: {response:?}"));
            reasons.insert(reason.to_owned());
        }
        for (path, status) in [
            ("/a", 200),
            ("/a%20b", 200),
            ("/plain/a", 200),
            ("/absent", 404),
            ("/denied", 403),
            ("/long", 403),
            ("/pieces", 403),
            ("/shown/denied", 403),
            ("/busy", 503),
            ("/expired", 403),
        ] {
            let request = Request::get(path).header("authorization", "Basic YTpi");
            let response = request.header("range", "bytes=0-1").send(port);
            assert_eq!(response.status, status, "{position:?} {path}");
            Request::new("HEAD", path).send(port);
        }
        cut(port);
    }
    let every: BTreeSet<String> = Reason::WORDS
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
    let missed: Vec<_> = every
        .difference(&reasons)
        .filter(|word| !NOT_HERE.contains(&word.as_str()))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(envoy.process.terminate(), Some(0));
}

fn oss(request: &Received) -> Answer {
    let error = |code: &str| {
        format!("<Error><Code>{code}</Code><RequestId>1</RequestId><EC>0003-1</EC></Error>")
    };
    let headers = [
        ("x-oss-request-id", "1"),
        ("content-type", "application/xml"),
    ];
    let answer = |status, code: &str| Answer::new(status, &headers, error(code).as_bytes());
    match request.target.rsplit('/').next().unwrap_or_default() {
        _ if request.method == "HEAD" => Answer::head(404, &headers),
        "absent" => answer(404, "NoSuchKey"),
        "denied" => answer(403, "AccessDenied"),
        "busy" => answer(503, "QpsLimitExceeded"),
        "expired" => answer(403, "SecurityTokenExpired"),
        "long" => answer(403, &"x".repeat(100_000)),
        "pieces" => {
            let text = error("SignatureDoesNotMatch");
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(20).collect();
            Answer::chunked(403, &headers, &pieces)
        }
        _ => Answer::new(200, &[("etag", "\"1\"")], &[b'x'; 50_000]),
    }
}

/// Routes by the first segment of the path, with settings of their own.
fn configure(builder: &mut EnvoyBuilder) {
    with_keys(builder);
    builder.workers = 1;
    builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 1,
                                  "retriable_status_codes": [503]});
    builder.filter["max_waiting"] = json!(12);
    builder.filter["wait_timeout_ms"] = json!(20_000);
    builder.filter["metadata"] = json!(["route"]);
    builder.filter["defaults"]["access_log_fields"] = json!(true);
    let wrong = json!({"filter_metadata": {"oss_origin_auth": {"config": "no JSON"}}});
    for (name, settings, metadata) in [
        ("plain", json!({"enabled": false}), json!(null)),
        ("closed", json!({"deny": true}), json!(null)),
        ("wrong", json!({}), wrong),
        (
            "strict",
            json!({"dot_segments": "refuse", "path_encoding": "canonical"}),
            json!(null),
        ),
        (
            "inside",
            json!({"strip_prefix": "/inside/", "key_prefix": "k/"}),
            json!(null),
        ),
        ("signed", json!({"presigned_urls": "require"}), json!(null)),
        ("shown", json!({"errors": "oss"}), json!(null)),
        (
            "members",
            json!({"access": {"url_signing": {"type": "A"}}}),
            json!(null),
        ),
        (
            "linked",
            json!({"access": {"referer": {"allow": ["www.example.com"], "allow_empty": true}}}),
            json!(null),
        ),
        (
            "agents",
            json!({"access": {"user_agent": {"deny": ["bad*"]}}}),
            json!(null),
        ),
    ] {
        builder.filter["routes"][name] = settings;
        builder.routes.push(
            json!({"name": name, "match": {"prefix": format!("/{name}")},
                                   "route": {}, "metadata": metadata}),
        );
    }
}

/// Requests that are refused, by every reason.
fn refused() -> Vec<Request> {
    let range = |request: Request| {
        request
            .header("range", "bytes=0-1")
            .header("range", "bytes=2-3")
    };
    let signed = |time| sign("A", MAIN, time, "/members/a");
    let of_other = signed(now()).replace("/a?", "/b?");
    vec![
        Request::new("PUT", "/a").body(vec![b'x'; 200_000]),
        Request::get("/closed/a"),
        Request::get("/wrong/a"),
        Request::get("/strict/a|b"),
        Request::get("/strict/../strict/a"),
        Request::get("/a%2Fb"),
        Request::get("/insidex/a"),
        Request::get(format!("/{}", "k".repeat(2_000))),
        Request::get("/"),
        Request::get("/a?acl"),
        Request::get("/a?OSSAccessKeyId=i&Expires=9999999999&Signature=s"),
        Request::get("/signed/a"),
        range(Request::get("/a")),
        Request::get("/members/a"),
        Request::get("/members/a?auth_key=x"),
        Request::get(signed(now() - 10_000)),
        Request::get(of_other),
        Request::get("/linked/a").header("referer", "https://elsewhere.example/"),
        Request::get("/agents/a").header("user-agent", "bad one"),
    ]
}

/// Requests wait, too many at a time; some are reset, and some clients go away.
fn wait_and_go_away(envoy: &Envoy, stub: &StubSidecar, reasons: &mut BTreeSet<String>) {
    let port = envoy.port(Position::Upstream);
    let active = |count: u64| {
        wait_until("requests", || {
            envoy.stat("http.upstream.downstream_rq_active") == count
        });
    };
    let mut connection = Connection::open(port);
    let ids: Vec<u32> = (0..6).map(|_| connection.get("/a")).collect();
    let mut streams: Vec<_> = (0..6)
        .map(|_| Request::get("/a").start(port).unwrap())
        .collect();
    active(12);
    let response = Request::get("/a").send(port);
    reasons.insert(
        response
            .header("x-oss-origin-auth")
            .unwrap_or_default()
            .to_owned(),
    );
    for id in &ids[..3] {
        connection.reset(*id);
    }
    streams.truncate(3);
    active(6);
    stub.set(good_answer());
    assert_eq!(connection.finish(), [(200, 3)].into());
    for stream in streams {
        assert_eq!(Response::read(stream, false).unwrap().status, 200);
    }
}

/// Clients go away within an answer, of OSS and of ours.
fn cut(port: u16) {
    for path in ["/a", "/pieces", "/long", "/?acl"] {
        let mut stream = Request::get(path).start(port).unwrap();
        let mut first = [0; 10];
        stream.read_exact(&mut first).unwrap();
    }
    let mut connection = Connection::open(port);
    for _ in 0..4 {
        let id = connection.get("/pieces");
        connection.reset(id);
        connection.get("/denied");
    }
    assert_eq!(connection.finish(), [(403, 4)].into());
}
