//! What OSS's refusals do to Envoy and to clients, in whatever form they come.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::Version;
use testkit::process::{Process, wait_until};
use testkit::stub::Behaviour;
use testkit::{EnvoyBuilder, Position, Request, Response, SendError, StubSidecar, tools};

use super::{SECRET, Stack, TOKEN, filter, good_answer};

/// How Envoy is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub envoy: PathBuf,
    pub position: Position,
    /// A retry policy on 403.
    pub retry: bool,
    /// `allow_on_headers_stop_iteration`
    pub stop_iteration: bool,
    /// Within `match_delegate`.
    pub delegated: bool,
}

/// How a refusal comes, and what of its body a client can get.
struct Form {
    name: &'static str,
    refusal: Value,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Whole,
    Gzipped,
    /// Of its second half nothing ever comes.
    Cut,
    Empty,
}

const PADDING: usize = 1 << 20;

fn forms() -> Vec<Form> {
    let form = |name, refusal| Form {
        name,
        refusal,
        body: Body::Whole,
    };
    let mut forms = vec![
        form("at once", json!({})),
        form("late", json!({"delay": 0.7})),
        form("body after 0.2 s", json!({"body_delay": 0.2})),
        form("body after 0.7 s", json!({"body_delay": 0.7})),
        form("body after 5 s", json!({"body_delay": 5})),
        form("stalled", json!({"stall": 1})),
        form(
            "stalled, chunked",
            json!({"stall": 1, "framing": "chunked"}),
        ),
        form("chunked", json!({"framing": "chunked"})),
        form("without a length", json!({"framing": "close"})),
        form("1 MiB", json!({"padding": PADDING})),
        form(
            "1 MiB, stalled, chunked",
            json!({"padding": PADDING, "stall": 0.5, "framing": "chunked"}),
        ),
        form("without EC", json!({"ec": null})),
        form(
            "without EC, body after 0.7 s",
            json!({"ec": null, "body_delay": 0.7}),
        ),
        form("unknown EC", json!({"ec": "0002-00000999"})),
        form("EC of another kind", json!({"ec": "not an EC"})),
        form("status 400", json!({"status": 400})),
        form("status 404", json!({"status": 404, "stall": 0.3})),
        form("status 500", json!({"status": 500})),
    ];
    for (name, refusal, body) in [
        ("gzipped", json!({"gzip": true}), Body::Gzipped),
        ("cut", json!({"cut": true}), Body::Cut),
        (
            "cut, chunked",
            json!({"cut": true, "framing": "chunked"}),
            Body::Cut,
        ),
        (
            "empty, chunked",
            json!({"empty": true, "framing": "chunked"}),
            Body::Empty,
        ),
    ] {
        forms.push(Form {
            name,
            refusal,
            body,
        });
    }
    forms
}

/// All ways of setting it up.
pub fn setups(envoy: &Path) -> Vec<Setup> {
    let bits = (0..16_u8).map(|number| [0, 1, 2, 3].map(|bit| number >> bit & 1 == 1));
    bits.map(|bits| setup(envoy, bits)).collect()
}

/// Of all ways, with each of four Envoys, two an Envoy: they hold every pair of
/// two choices. `number`: the Envoy's, from 0 to 3.
pub fn paired_setups(envoy: &Path, number: usize) -> Vec<Setup> {
    let (low, high) = (number & 1 == 1, number >> 1 & 1 == 1);
    let bits = |bit: bool| [bit, bit ^ low, bit ^ high, bit ^ low ^ high];
    [false, true].map(|bit| setup(envoy, bits(bit))).into()
}

fn setup(envoy: &Path, [upstream, retry, stop_iteration, delegated]: [bool; 4]) -> Setup {
    Setup {
        envoy: envoy.to_owned(),
        position: match upstream {
            true => Position::Upstream,
            false => Position::Downstream,
        },
        retry,
        stop_iteration,
        delegated,
    }
}

/// Refuses in every form, then heals from a revoked token; fails if a client gets
/// what it should not, or if Envoy does not come through it.
pub fn check(setup: &Setup) {
    let stack = start(setup);
    let port = stack.envoy.port(setup.position);
    serves(port);

    let forms = forms();
    std::thread::scope(|scope| {
        for form in &forms {
            for method in ["GET", "HEAD"] {
                for neutral in [false, true] {
                    scope.spawn(move || {
                        let response = ask(port, method, neutral, &form.refusal);
                        let name = format!("{setup:?}: {method}, {}", form.name);
                        judge(&name, form, method, neutral, response);
                    });
                }
            }
        }
    });
    a_second_attempt_wins(setup, port);
    without_a_sidecar(setup, &stack);
    many_at_once(port);
    heals(setup, &stack);
    serves(port);

    let output = stack.envoy.process.output();
    for word in ["panicked", "invalid context", "VM failure", SECRET, TOKEN] {
        assert!(!output.contains(word), "{setup:?}: {word}: {output}");
    }
}

fn start(setup: &Setup) -> Stack {
    Stack::start_with(|builder| {
        builder.binary = setup.envoy.clone();
        builder.stop_iteration = setup.stop_iteration;
        builder.delegated = setup.delegated;
        if setup.retry {
            builder.retry_policy = json!({"retry_on": "retriable-status-codes",
                "num_retries": 1, "retriable_status_codes": [403]});
        }
        builder.filter["credentials"]["other"] = json!({"sidecar": {"cluster": "sts_sidecar"}});
        builder.filter["defaults"]["errors"] = json!("oss");
        builder.filter["defaults"]["forward_headers"] = json!(["x-test-*"]);
        builder.filter["routes"] = json!({
            "neutral": {"errors": "neutral"},
            "other": {"credentials": "other"},
        });
        for name in ["neutral", "other"] {
            builder.routes.push(
                json!({"name": name, "route": {}, "match": {"prefix": "/", "headers": [
                    {"name": "x-test-route", "string_match": {"exact": name}}]}}),
            );
        }
        builder.access_log = false;
    })
}

fn serves(port: u16) {
    let get = Request::get("/a").send(port);
    assert_eq!((get.status, get.text()), (200, "content".into()));
    let range = Request::get("/a").header("range", "bytes=0-2").send(port);
    assert_eq!((range.status, range.text()), (206, "con".into()));
    let head = Request::new("HEAD", "/a").send(port);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("7"))
    );
    assert_eq!(Request::get("/absent").send(port).status, 404);
    for (method, path, status) in [
        ("DELETE", "/a", 405),
        ("GET", "/a?acl", 403),
        ("GET", "/", 403),
    ] {
        let refused = Request::new(method, path).send(port);
        assert_eq!(refused.status, status, "{method} {path}");
        assert!(refused.header("x-oss-origin-auth").is_some());
    }
}

fn ask(port: u16, method: &str, neutral: bool, refusal: &Value) -> Result<Response, SendError> {
    let route = if neutral { "neutral" } else { "default" };
    let request = Request::new(method, "/a").header("x-test-route", route);
    request
        .header("x-test-refusal", refusal.to_string())
        .try_send(port)
}

/// What is shown of an answer, but for those headers by which support finds a request.
fn without_ids(shown: &str) -> String {
    let mut shown = shown.to_owned();
    for name in ["x-oss-request-id", "x-oss-ec"] {
        if let Some(at) = shown.find(name) {
            let rest = &shown[at + name.len()..];
            // The name, what stands between, and the value in quotes.
            let parts: Vec<&str> = rest.splitn(4, '"').collect();
            shown = [&shown[..at], parts[3]].concat();
        }
    }
    shown
}

fn judge(
    name: &str,
    form: &Form,
    method: &str,
    neutral: bool,
    response: Result<Response, SendError>,
) {
    let shown = format!("{response:?}");
    if neutral {
        let shown = without_ids(&shown.to_lowercase());
        for word in [
            "bucket", "oss", "sts.", "aliyun", "hostid", "<", "gzip", "0003-",
        ] {
            assert!(!shown.contains(word), "{name}: {word} in {shown}");
        }
    }
    let response = match response {
        Ok(response) => response,
        // The client is told that it has not got the whole.
        Err(SendError::CutShort(_)) if form.body == Body::Cut && method == "GET" => return,
        Err(error) => panic!("{name}: {error}"),
    };
    let status = form.refusal["status"].as_u64().unwrap_or(403);
    assert_eq!(u64::from(response.status), status, "{name}");
    if method == "HEAD" {
        return;
    }
    match (neutral, form.body) {
        (_, Body::Cut) => panic!("{name}: {shown}"),
        (false, Body::Whole) => {
            let text = response.text();
            assert!(text.contains("<Code>AccessDenied</Code>"), "{name}: {text}");
            assert!(
                text.trim_end().ends_with("</Error>") && text.len() < 1_000,
                "{name}"
            );
        }
        _ => {
            let error = match status {
                400 => "bad_request",
                404 => "not_found",
                500 => "origin_unavailable",
                _ => "forbidden",
            };
            match neutral {
                true => assert_eq!(response.json(), json!({"error": error}), "{name}"),
                false => {
                    let code = format!("<Code>{error}</Code>");
                    assert!(response.text().contains(&code), "{name}: {shown}");
                }
            }
        }
    }
}

/// What is refused once is served, where Envoy tries it again.
fn a_second_attempt_wins(setup: &Setup, port: u16) {
    for (number, ec) in [json!("0003-00000001"), json!(null)].iter().enumerate() {
        for neutral in [false, true] {
            let refusal = json!({"ec": ec, "times": 1, "id": format!("{number} {neutral}"),
                                 "body_delay": 0.5});
            let response = ask(port, "GET", neutral, &refusal).unwrap();
            let want = if setup.retry { 200 } else { 403 };
            assert_eq!(response.status, want, "{setup:?}: {ec} {neutral}");
        }
    }
}

/// The sidecar dies just when newer credentials are wanted.
fn without_a_sidecar(setup: &Setup, stack: &Stack) {
    let port = stack.envoy.port(setup.position);
    let get = |refusal: Value| {
        let request = Request::get("/a").header("x-test-route", "other");
        let request = request.header("x-test-refusal", refusal.to_string());
        request.send(port).status
    };
    // From credentials of a name that was not suspected yet.
    stack.stub.set(Behaviour::HangUp);
    let hits = stack.stub.hits();
    let want = if setup.retry { 200 } else { 403 };
    let refusal = json!({"ec": null, "times": 1, "id": "no sidecar"});
    assert_eq!(get(refusal), want, "{setup:?}");
    assert_eq!(get(json!({"ec": null})), 403, "{setup:?}");
    wait_until("a fetch", || stack.stub.hits() > hits);
    stack.stub.set(good_answer());
}

fn many_at_once(port: u16) {
    let refusal = json!({"ec": null, "stall": 0.2});
    std::thread::scope(|scope| {
        for number in 0..500 {
            let refusal = &refusal;
            scope.spawn(move || {
                let response = ask(port, "GET", number % 2 == 0, refusal).unwrap();
                assert_eq!(response.status, 403, "{response:?}");
            });
        }
    });
}

/// A revoked token is replaced; where Envoy tries again, no client sees it.
fn heals(setup: &Setup, stack: &Stack) {
    let port = stack.envoy.port(setup.position);
    stack.give_others("STS.second", Duration::from_millis(100));
    stack.alibaba.set_key_state("STS.example", "revoked");
    let get = || Request::get("/a").send(port).status;
    if setup.position == Position::Upstream && setup.retry {
        for number in 0..20 {
            assert_eq!(get(), 200, "{setup:?}: {number}");
        }
    } else {
        // Each worker learns of it at its next tick.
        wait_until("newer credentials", || (0..20).all(|_| get() == 200));
    }
}

/// An origin that speaks HTTP/2 and ends its refusals with trailers, a client that
/// does, and one that speaks HTTP/1.0.
pub fn check_versions_of_http(envoy: &Path) {
    let script = tools::fakes().join("http2.py");
    let mut origin = Process::start(
        "http2",
        Command::new(tools::python()).arg(&script).arg("origin"),
    );
    let origin_port = origin.wait_for_output("the origin's port", |output| {
        output.lines().next()?.trim().parse().ok()
    });
    let stub = StubSidecar::start(good_answer());
    let mut builder = EnvoyBuilder::new(filter(), origin_port, stub.port);
    builder.binary = envoy.to_owned();
    builder.oss_http2 = true;
    builder.filter["defaults"]["errors"] = json!("oss");
    builder.filter["defaults"]["forward_headers"] = json!(["x-test-route"]);
    builder.filter["routes"] = json!({"neutral": {"errors": "neutral"}});
    builder.routes = vec![
        json!({"name": "neutral", "route": {}, "match": {"prefix": "/",
        "headers": [{"name": "x-test-route", "string_match": {"exact": "neutral"}}]}}),
    ];
    let started = builder.start();
    for position in [Position::Upstream, Position::Downstream] {
        let port = started.port(position);
        for path in ["/whole", "/trailers", "/headers", "/cut"] {
            for route in ["neutral", "default"] {
                let output = Command::new(tools::python())
                    .arg(&script)
                    .args([
                        "get",
                        &port.to_string(),
                        path,
                        &format!("x-test-route={route}"),
                    ])
                    .output()
                    .unwrap();
                let came: Value = serde_json::from_slice(&output.stdout).unwrap();
                let name = format!("{} {position:?} {path} {route}: {came}", envoy.display());
                judge_http2(&name, path, route, &came);
                for version in [Version::Http10, Version::Http11] {
                    let request = Request::get(path).header("x-test-route", route);
                    let response = request.version(version).try_send(port);
                    judge_http1(&name, path, route, version, response);
                }
            }
        }
    }
    assert!(!started.process.output().contains("panicked"));
}

const NEUTRAL: &str = "{\"error\":\"forbidden\"}\n";

fn judge_http2(name: &str, path: &str, route: &str, came: &Value) {
    assert_eq!(came["status"], 403, "{name}");
    assert_eq!(came["reset"], path == "/cut", "{name}");
    let body = came["body"].as_str().unwrap();
    match (route, path) {
        ("neutral", _) => {
            let shown = without_ids(&came.to_string().to_lowercase());
            assert!(
                !shown.contains("bucket") && !shown.contains("oss"),
                "{name}"
            );
            assert_eq!(came["trailers"], json!({}), "{name}");
            let whole = if path == "/whole" { NEUTRAL } else { "" };
            assert!(
                body == whole || path == "/cut" && NEUTRAL.starts_with(body),
                "{name}"
            );
        }
        (_, "/whole") => {
            assert!(body.ends_with("</Error>\n"), "{name}");
            assert_eq!(
                came["trailers"],
                json!({}),
                "they are of another body: {name}"
            );
        }
        _ => {}
    }
}

fn judge_http1(
    name: &str,
    path: &str,
    route: &str,
    version: Version,
    response: Result<Response, SendError>,
) {
    let shown = without_ids(&format!("{response:?}").to_lowercase());
    if route == "neutral" {
        assert!(
            !shown.contains("bucket") && !shown.contains("oss"),
            "{name}: {shown}"
        );
    }
    let response = match response {
        Ok(response) => response,
        Err(SendError::CutShort(part)) if path == "/cut" => part,
        Err(error) => panic!("{name}: {error}"),
    };
    assert_eq!(response.status, 403, "{name}");
    if route == "neutral" {
        let whole = if path == "/whole" { NEUTRAL } else { "" };
        let body = response.text();
        assert!(
            body == whole || path == "/cut" && NEUTRAL.starts_with(&body),
            "{name}: {shown}"
        );
        let length = response.header("content-length");
        // Of a head alone Envoy knows the length.
        let known = path == "/headers" && length == Some("0");
        assert!(length.is_none() || known, "{name}: {version:?} {shown}");
    }
}
