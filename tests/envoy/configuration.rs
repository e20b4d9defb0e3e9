//! A configuration that is wrong is refused when Envoy loads it, with a line
//! that names the field and the fix.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde::Deserialize;
use serde_json::json;
use testkit::{EnvoyBuilder, Position, Request};

/// The same list as in the native tests of `src/config`.
#[derive(Deserialize)]
struct Wrong {
    configuration: String,
    message: String,
}

#[test]
fn every_wrong_configuration_stops_envoy_with_its_message() {
    let file = include_str!("../data/wrong-configurations.json");
    let cases: Vec<Wrong> = serde_json::from_str(file).unwrap();
    assert!(cases.len() >= 20);
    testkit::in_parallel(cases, |wrong| check(&wrong));
}

fn check(wrong: &Wrong) {
    let mut builder = EnvoyBuilder::new(json!(wrong.configuration), 1, 1);
    builder.environment = vec![
        ("ID".into(), "LTAIexample".into()),
        ("STS_ID".into(), "STS.sesame".into()),
        ("SECRET".into(), "sesame".into()),
        ("EMPTY".into(), String::new()),
        ("SPACED".into(), "a b".into()),
    ];
    let mut envoy = builder.launch();
    let code = envoy.wait();
    let output = envoy.output();
    let text = &wrong.configuration;
    assert_ne!(code, Some(0), "{text}: accepted\n{output}");
    let expected = "oss-origin-auth: configuration refused: ";
    let line = output.lines().find(|line| line.contains(expected));
    let line = line.unwrap_or_else(|| panic!("{text}: no message\n{output}"));
    assert!(
        line.contains(&wrong.message),
        "{text}\n got: {line}\nwant: {}",
        wrong.message
    );
    assert!(!output.contains("sesame"), "{output}");
}

#[test]
fn a_request_on_a_route_without_settings_is_refused() {
    let filter = json!({
        "credentials": {"default": {"sidecar": {"cluster": "sts_sidecar"}}},
        "routes": {"other": {"bucket": "other-bucket", "region": "cn-hangzhou",
                             "endpoint": "oss-cn-hangzhou.aliyuncs.com"}},
    });
    let envoy = EnvoyBuilder::new(filter, 1, 1).start();
    for position in [Position::Upstream, Position::Downstream] {
        let response = Request::get("/a").send(envoy.port(position));
        assert_eq!(response.status, 403);
        assert_eq!(
            response.header("x-oss-origin-auth"),
            Some("route_not_configured")
        );
        assert_eq!(response.json()["error"], "route_not_configured");
    }
}
