//! The sidecar as it runs: against an STS that verifies signatures with
//! Alibaba's own SDK, and behind a real Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

mod common;

use std::process::Command;

use common::filter;
use serde_json::json;
use testkit::process::scratch;
use testkit::{EnvoyBuilder, FakeAlibaba, Position, Process, Request, free_port, tools};

const ROLE: &str = "acs:ram::1234567890:role/oss-reader";
const CALLER_SECRET: &str = "sesame-of-the-caller";

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
    assert_eq!(alibaba.sts_requests(), 1);
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
    let get = |name: &str| Request::get(format!("/v1/credentials/{name}")).send(port);

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
    let time = oss_origin_auth::signing::time::parse_rfc3339_utc(expiration);
    assert!(
        time.is_some_and(|time| time > 1_700_000_000),
        "{expiration}"
    );

    assert_eq!(get("default").json(), body, "cached");
    assert_eq!(alibaba.sts_requests(), 1);

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
    let answer = Request::get("/v1/credentials/default").send(port);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["Code"], "SourceRefused");
    assert!(
        answer.text().contains("SignatureDoesNotMatch"),
        "{}",
        answer.text()
    );
    assert!(sidecar.output().contains("SignatureDoesNotMatch"));

    alibaba.set(
        "sts_failure",
        json!([503, "ServiceUnavailable", "sesame CAIS"]),
    );
    let answer = Request::get("/v1/credentials/external").send(port);
    assert!(!answer.text().contains("sesame"), "{}", answer.text());
    assert!(!sidecar.output().contains("sesame"), "{}", sidecar.output());
}

#[test]
fn many_callers_make_one_request_to_sts() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let answer = Request::get("/v1/credentials/default").send(port);
                assert_eq!(answer.status, 200);
            });
        }
    });
    assert_eq!(alibaba.sts_requests(), 1);
}

#[test]
fn a_token_is_renewed_before_a_third_of_its_life_is_gone() {
    let alibaba = alibaba();
    alibaba.set("token_life", json!(9));
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let id = || Request::get("/v1/credentials/default").send(port).json()["AccessKeyId"].clone();
    let first = id();
    assert_eq!(id(), first);
    std::thread::sleep(std::time::Duration::from_millis(4_500));
    let second = id();
    assert_ne!(second, first);

    // The old ones serve while STS fails.
    alibaba.set("sts_failure", json!([500, "InternalError", "x"]));
    std::thread::sleep(std::time::Duration::from_millis(4_500));
    assert_eq!(id(), second);
}

#[test]
fn bad_settings_are_refused_at_start() {
    for (settings, want) in [
        ("listen = 5", "line 1: invalid type"),
        (
            "[credentials.a]\ntype = \"magic\"",
            "unknown variant `magic`",
        ),
        (
            "[credentials.a]\ntype = \"static\"\naccess_key_secret = \"sesame\"",
            "unknown field",
        ),
        (
            "[credentials.a]\ntype = \"static\"\naccess_key_id_env = \"UNSET\"",
            "credentials.a.access_key_id_env: UNSET: is unset or empty",
        ),
        (
            "listen = \"0.0.0.0:1\"\n[credentials.a]\ntype = \"static\"\n\
             access_key_id_env = \"HOME\"\naccess_key_secret_env = \"HOME\"",
            "set allow_non_loopback",
        ),
    ] {
        let file = scratch("sidecar.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(tools::sidecar());
        let mut sidecar = Process::start("sidecar", command.arg("--config").arg(&file));
        assert_eq!(sidecar.wait(), Some(1), "{settings}");
        let output = sidecar.output();
        assert!(
            output.contains(want),
            "{settings}\n got: {output}\nwant: {want}"
        );
        assert!(!output.contains("sesame"), "{output}");
    }
    let mut command = Command::new(tools::sidecar());
    let mut sidecar = Process::start("sidecar", command.env_clear());
    assert_eq!(sidecar.wait(), Some(1));
    assert!(
        sidecar
            .output()
            .contains("access_key_id_env: ALIBABA_CLOUD_ACCESS_KEY_ID: is unset")
    );
}

#[test]
fn it_stops_gracefully() {
    let alibaba = alibaba();
    let (mut sidecar, port) = start(&alibaba, CALLER_SECRET);
    assert_eq!(Request::get("/healthz").send(port).status, 200);
    assert_eq!(sidecar.terminate(), Some(0));
    assert!(sidecar.output().contains("stopping"));
}

#[test]
fn the_environment_alone_is_enough() {
    let alibaba = alibaba();
    let port = free_port();
    let mut sidecar = Process::start(
        "sidecar",
        Command::new(tools::sidecar())
            .env_clear()
            .env("STS_SIDECAR_LISTEN", format!("127.0.0.1:{port}"))
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller")
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", CALLER_SECRET)
            .env("ALIBABA_CLOUD_ROLE_ARN", ROLE)
            .env(
                "ALIBABA_CLOUD_STS_ENDPOINT",
                format!("http://127.0.0.1:{}", alibaba.sts_port),
            ),
    );
    sidecar.wait_for_port(port);
    let answer = Request::get("/v1/credentials/default").send(port);
    assert_eq!(answer.json()["Code"], "Success");
}

fn alibaba() -> FakeAlibaba {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    alibaba.add_role("acs:ram::1234567890:role/external", Some("of-our-partner"));
    alibaba
}

fn start(alibaba: &FakeAlibaba, secret: &str) -> (Process, u16) {
    let port = free_port();
    let secret_file = scratch("secret");
    std::fs::write(&secret_file, format!("{secret}\n")).unwrap();
    let key = format!(
        "access_key_id_env = \"TEST_CALLER\"\naccess_key_secret_file = {:?}",
        secret_file.display().to_string()
    );
    let sts = format!("sts_endpoint = \"http://127.0.0.1:{}\"", alibaba.sts_port);
    let file = scratch("sidecar.toml");
    let settings = format!(
        "listen = \"127.0.0.1:{port}\"\n\
         [credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n{sts}\n{key}\n\
         [credentials.external]\ntype = \"assume_role\"\n\
         role_arn = \"acs:ram::1234567890:role/external\"\nexternal_id = \"of-our-partner\"\n\
         session_name = \"gateway\"\n{sts}\n{key}\n\
         [credentials.fixed]\ntype = \"static\"\n{key}\n"
    );
    std::fs::write(&file, settings).unwrap();
    let mut sidecar = Process::start(
        "sidecar",
        Command::new(tools::sidecar())
            .arg("--config")
            .arg(&file)
            .env("TEST_CALLER", "LTAIcaller"),
    );
    sidecar.wait_for_port(port);
    (sidecar, port)
}
