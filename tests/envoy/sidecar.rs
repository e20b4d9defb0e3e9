//! What the sidecar answers: against an STS that verifies signatures with
//! Alibaba's own SDK, and behind a real Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::filter;
use common::sidecar::{CALLER_SECRET, alibaba, start};
use serde_json::json;
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, Position, Request, tools};

#[test]
fn a_role_is_assumed_and_its_token_serves_an_object() {
    let alibaba = alibaba();
    alibaba.put("a", "content");
    let (sidecar, port) = start(&alibaba, CALLER_SECRET);
    let envoy = EnvoyBuilder::new(filter(), alibaba.oss_port, port).start();
    for position in [Position::Upstream, Position::Downstream] {
        let response = Request::get("/a").send(envoy.port(position));
        assert_eq!((response.status, response.text()), (200, "content".into()));
    }
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");
    for output in [sidecar.output(), envoy.process.output()] {
        for secret in [CALLER_SECRET, "CAIS"] {
            assert!(!output.contains(secret), "{output}");
        }
    }
}

#[test]
fn credentials_are_answered_in_the_form_of_the_protocol() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let get = |name: &str| Request::local(format!("/v1/credentials/{name}")).send(port);

    let answer = get("default");
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store"))
    );
    let body = answer.json();
    assert_eq!(body["Code"], "Success");
    assert!(body["AccessKeyId"].as_str().unwrap().starts_with("STS."));
    assert!(body["SecurityToken"].as_str().unwrap().starts_with("CAIS"));
    let expiration = body["Expiration"].as_str().unwrap();
    let time = oss_origin_auth_core::oss::time::parse_rfc3339_utc(expiration);
    assert!(
        time.is_some_and(|time| time > 1_700_000_000),
        "{expiration}"
    );

    assert_eq!(get("default").json(), body, "cached");
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");

    let fixed = get("fixed").json();
    assert_eq!(fixed["AccessKeySecret"], CALLER_SECRET);
    assert_eq!(fixed.get("SecurityToken"), None);
    assert_eq!(get("other").status, 404);
    assert_eq!(get("external").json()["Code"], "Success");
    assert_eq!(Request::get("/healthz").send(port).status, 200);
}

#[test]
fn a_refusal_of_sts_is_named_without_its_text() {
    let alibaba = alibaba();
    let (sidecar, port) = start(&alibaba, "wrong-secret");
    let answer = Request::local("/v1/credentials/default").send(port);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["Code"], "SourceRefused");
    assert!(
        answer.text().contains("SignatureDoesNotMatch"),
        "{}",
        answer.text()
    );
    // The log has a thread of its own.
    let logged = |code: &str| wait_until(code, || sidecar.output().contains(code));
    logged("SignatureDoesNotMatch");

    alibaba.set(
        "sts_failure",
        json!([503, "ServiceUnavailable", "sesame CAIS"]),
    );
    std::thread::sleep(Duration::from_millis(600));
    let answer = Request::local("/v1/credentials/external").send(port);
    assert!(!answer.text().contains("sesame"), "{}", answer.text());
    logged("ServiceUnavailable");
    assert!(!sidecar.output().contains("sesame"), "{}", sidecar.output());
}

#[test]
fn a_thousand_callers_make_one_request_to_sts() {
    let alibaba = alibaba();
    alibaba.set("sts_delay", json!(1));
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let answers = std::sync::Mutex::new(std::collections::HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..1_000 {
            scope.spawn(|| {
                let answer = Request::local("/v1/credentials/default").send(port);
                assert_eq!(answer.status, 200);
                answers.lock().unwrap().insert(answer.body);
            });
        }
    });
    assert_eq!(answers.lock().unwrap().len(), 1, "all got the same");
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");
}

#[test]
fn a_token_is_renewed_before_a_third_of_its_life_is_gone() {
    let alibaba = alibaba();
    const LIFE: u64 = 12;
    alibaba.set("token_life", json!(LIFE));
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    // The id, and when it expires.
    let held = || {
        let body = Request::local("/v1/credentials/default").send(port).json();
        let expiration = body["Expiration"].as_str().unwrap().to_owned();
        let time = oss_origin_auth_core::oss::time::parse_rfc3339_utc(&expiration);
        (body["AccessKeyId"].to_string(), time.unwrap())
    };
    let first = held();
    let mut second = first.clone();
    wait_until("a second token", || {
        second = held();
        second.0 != first.0
    });
    // All have the same life: the one began as much later as it expires later.
    let gone = second.1 - first.1;
    assert!(gone <= LIFE / 2, "renewed after {gone} of {LIFE} seconds");

    // The old ones serve while STS fails.
    alibaba.set("sts_failure", json!([500, "InternalError", "x"]));
    let second = held();
    wait_until("a refresh that fails", || {
        let metrics = Request::get("/metrics").send(port).text();
        metrics.contains("sts_sidecar_fetches_total{name=\"default\",result=\"refused\"}")
    });
    let answer = Request::local("/v1/credentials/default").send(port);
    // Unless this machine has slept over their end.
    if unix_time() + 1 < second.1 {
        assert_eq!(answer.json()["AccessKeyId"].to_string(), second.0);
    }
}

fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

#[test]
fn the_shape_of_the_metadata_server_is_served_too() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let token = Request::new("PUT", "/latest/api/token")
        .header("host", "localhost")
        .header("X-aliyun-ecs-metadata-token-ttl-seconds", "60")
        .send(port);
    assert_eq!(token.status, 200);
    let folder = "/latest/meta-data/ram/security-credentials/";
    let names = Request::local(folder).send(port).text();
    assert_eq!(names, "default\nexternal\nfixed");
    let answer = Request::local(format!("{folder}default"))
        .header("X-aliyun-ecs-metadata-token", token.text())
        .send(port)
        .json();
    assert_eq!(answer["Code"], "Success");
    assert!(answer["Expiration"].is_string());
}

#[test]
fn it_tells_whether_it_is_ready_and_what_it_did() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    wait_until("all sources", || {
        Request::local("/readyz").send(port).status == 200
    });
    let ready = Request::local("/readyz").send(port).json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["credentials"]["default"]["valid"], true);
    let _ = Request::local("/v1/credentials/default").send(port);
    let metrics = Request::get("/metrics").send(port).text();
    for want in [
        "sts_sidecar_credentials_valid{name=\"default\"} 1",
        "sts_sidecar_credentials_expiry_timestamp_seconds{name=\"default\"} ",
        "sts_sidecar_last_refresh_timestamp_seconds{name=\"external\"} ",
        "sts_sidecar_fetches_total{name=\"default\",result=\"ok\"} 1",
        "sts_sidecar_fetch_duration_seconds_count{name=\"default\"} 1",
        "sts_sidecar_requests_total{status=\"200\"} 1",
    ] {
        assert!(metrics.contains(want), "{want}\n{metrics}");
    }
    assert!(!metrics.contains("credentials_expiry_timestamp_seconds{name=\"fixed\"}"));
    assert!(!metrics.contains("sesame"));

    let (_sidecar, port) = start(&alibaba, "wrong-secret");
    wait_until("the first failure", || {
        let ready = Request::local("/readyz").send(port).json();
        ready["credentials"]["default"]["problem"].is_string()
    });
    let ready = Request::local("/readyz").send(port);
    assert_eq!(ready.status, 503);
    let problem = ready.json()["credentials"]["default"]["problem"].to_string();
    assert!(problem.contains("AssumeRole at 127.0.0.1"), "{problem}");
    assert!(problem.contains("SignatureDoesNotMatch"), "{problem}");
    let metrics = Request::get("/metrics").send(port).text();
    assert!(metrics.contains("sts_sidecar_fetches_total{name=\"default\",result=\"refused\"}"));
}

#[test]
fn a_token_is_refreshed_ahead_without_any_caller() {
    let alibaba = alibaba();
    alibaba.set("token_life", json!(6));
    let begin = Instant::now();
    let (_sidecar, _port) = start(&alibaba, CALLER_SECRET);
    wait_until("a second token for each role", || {
        alibaba.sts_requests() >= 4
    });
    // A third of six seconds, and never without a pause: less than one a second
    // for each of the two roles.
    std::thread::sleep(Duration::from_secs(4));
    let (requests, seconds) = (alibaba.sts_requests(), begin.elapsed().as_secs_f64());
    assert!(
        requests as f64 <= 2.0 * seconds,
        "{requests} in {seconds} s"
    );
}

#[test]
fn a_token_that_was_refreshed_ahead_is_no_answer_to_a_condemned_one() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let id = |anew: bool| {
        let request = Request::local("/v1/credentials/default");
        let request = if anew {
            request.header("cache-control", "no-cache")
        } else {
            request
        };
        request.send(port).json()["AccessKeyId"].clone()
    };
    // What it holds is young, and was fetched before anybody complained.
    let first = id(false);
    let mut second = id(true);
    assert_ne!(first, second);
    // Those who complain at the same time share one answer. On a machine that
    // is so busy that more than a second passes, it takes another try.
    wait_until("two answers within a second", || {
        let begin = Instant::now();
        second = id(true);
        let third = id(true);
        let at_the_same_time = begin.elapsed() < Duration::from_millis(900);
        assert!(!at_the_same_time || third == second, "{third} {second}");
        second = third;
        at_the_same_time
    });
    std::thread::sleep(Duration::from_millis(1_100));
    assert_ne!(id(true), second);
}

#[test]
fn alibabas_own_sdk_reads_it() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let expected = Request::local("/v1/credentials/default").send(port).json();
    let program = "from alibabacloud_credentials.client import Client\n\
                   from alibabacloud_credentials.models import Config\n\
                   import json, os\n\
                   uri = os.environ['ALIBABA_CLOUD_CREDENTIALS_URI']\n\
                   c = Client(Config(type='credentials_uri', credentials_uri=uri)).get_credential()\n\
                   print(json.dumps([c.access_key_id, c.access_key_secret, c.security_token]))";
    let output = Command::new(tools::python())
        .args(["-c", program])
        .env(
            "ALIBABA_CLOUD_CREDENTIALS_URI",
            format!("http://127.0.0.1:{port}/v1/credentials/default"),
        )
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        read,
        json!([
            expected["AccessKeyId"],
            expected["AccessKeySecret"],
            expected["SecurityToken"]
        ])
    );
}
