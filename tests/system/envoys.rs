//! The filter in each version of Envoy that it is made for: it serves, rotates,
//! heals, tries again and refuses, in both positions, however Envoy is set up.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::common::refusals::{check, check_versions_of_http, paired_setups, setups};
use crate::common::sidecar::{self, CALLER_SECRET};
use crate::common::{Stack, filter};
use testkit::tools::{envoy_version, pairwise};
use testkit::{EnvoyBuilder, Position, Request};

#[test]
fn envoy_1_36_4() {
    try_version("1.36.4", 0);
}

#[test]
fn envoy_1_37_0() {
    try_version("1.37.0", 1);
}

#[test]
fn envoy_1_38_3() {
    try_version("1.38.3", 1);
}

#[test]
fn envoy_1_39_3() {
    try_version("1.39.3", 2);
}

#[test]
fn envoy_1_40_0() {
    try_version("1.40.0", 3);
}

/// `number`: by which an Envoy has its part of the pairs of setups.
fn try_version(version: &str, number: usize) {
    let envoy = envoy_version(version);
    let stack = Stack::start_with(|builder| builder.binary = envoy.clone());
    let told = stack.envoy.admin("/server_info");
    assert!(told.contains(&format!("/{version}/")), "{version}: {told}");
    drop(stack);
    serves_with_a_real_sidecar(&envoy);
    heals_where_the_filter_says_so(&envoy);

    let setups = match pairwise() {
        true => paired_setups(&envoy, number),
        false => setups(&envoy),
    };
    testkit::in_parallel(setups, |setup| check(&setup));
    check_versions_of_http(&envoy);
}

/// By the retry policy of the shipped configurations.
fn heals_where_the_filter_says_so(envoy: &Path) {
    let stack = Stack::start_with(|builder| {
        builder.binary = envoy.to_owned();
        // Each learns of the others' credentials and of OSS's time by itself.
        builder.workers = 1;
        builder.retry_policy = json!({
            "retry_on": "reset,retriable-headers,retriable-status-codes", "num_retries": 3,
            "retriable_headers": [{"name": "x-origin-auth-retry", "present_match": true}],
            "retriable_status_codes": [429, 503]});
    });
    let get = || {
        Request::get("/a")
            .send(stack.envoy.port(Position::Upstream))
            .status
    };
    assert_eq!(get(), 200);
    stack.give_others("STS.second", Duration::ZERO);
    stack.alibaba.set_key_state("STS.example", "revoked");
    assert_eq!(get(), 200, "newer credentials");
    stack.alibaba.set("clock_offset", json!(1_800));
    assert_eq!(get(), 200, "OSS's time");
    stack
        .alibaba
        .set("throttle", json!({"code": "QpsLimitExceeded", "times": 2}));
    assert_eq!(get(), 200, "throttling");
    stack.alibaba.set("reset_reused", json!(1));
    assert_eq!(get(), 200, "a connection that OSS has closed");
}

/// A sidecar that needs no token takes no callout for that of a browser or a proxy.
fn serves_with_a_real_sidecar(envoy: &Path) {
    let alibaba = sidecar::alibaba();
    alibaba.put("a", "content");
    let (_process, port) = sidecar::start(&alibaba, CALLER_SECRET);
    let mut builder = EnvoyBuilder::new(filter(), alibaba.oss_port, port);
    builder.binary = envoy.to_owned();
    let running = builder.start();
    let request = Request::get("/a").header("x-forwarded-for", "192.0.2.1");
    let response = request.send(running.port(Position::Upstream));
    assert_eq!((response.status, response.text()), (200, "content".into()));
}
