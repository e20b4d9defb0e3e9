//! `oss-origin-auth doctor --envoy`: what an Envoy serves, and what it must not.

use serde_json::{Value, json};
use testkit::stub::Behaviour;
use testkit::{Envoy, EnvoyBuilder, FakeAlibaba, Position, StubSidecar};

use crate::common::doctor::{Doctor, Said, alibaba};
use crate::common::{SECRET, TOKEN, filter, good_answer};

/// What the doctor says of an Envoy whose filter has these settings in its defaults.
fn said(more: &Value, adapt: impl FnOnce(&mut EnvoyBuilder)) -> Said {
    let alibaba = alibaba();
    let (_stub, envoy) = start(&alibaba, good_answer(), more, adapt);
    ask(&alibaba, envoy.port(Position::Upstream))
}

fn start(
    alibaba: &FakeAlibaba,
    sidecar: Behaviour,
    more: &Value,
    adapt: impl FnOnce(&mut EnvoyBuilder),
) -> (StubSidecar, Envoy) {
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(sidecar);
    let mut settings = filter();
    settings["defaults"]["forced_download"] = json!("remove");
    for (name, value) in more.as_object().unwrap() {
        settings["defaults"][name] = value.clone();
    }
    settings["wait_timeout_ms"] = json!(500);
    let mut builder = EnvoyBuilder::new(settings, alibaba.oss_port, stub.port);
    adapt(&mut builder);
    (stub, builder.start())
}

fn ask(alibaba: &FakeAlibaba, port: u16) -> Said {
    let url = format!("http://127.0.0.1:{port}");
    let doctor = Doctor::of_file(alibaba, &json!({}));
    doctor.with(&["--envoy", &url]).json()
}

#[test]
fn what_envoy_must_refuse_is_tried() {
    let good = said(&json!({}), |_| {});
    assert_eq!(good.code, 0, "{}", good.text);
    good.assert("envoy_get", "ok", "200, the same 21 bytes");
    good.assert("envoy_list", "ok", "403 bucket_operation");
    good.assert("envoy_acl", "ok", "403 parameter_not_allowed");
    good.assert("envoy_delete", "ok", "405 method_not_allowed");

    let open = json!({"operations": ["list", "acl"], "methods": ["GET", "HEAD", "DELETE"],
                      "forced_download": "keep"});
    let open = said(&open, |_| {});
    open.assert("envoy_list", "failed", "take it off `operations`");
    open.assert("envoy_acl", "failed", "take it off `operations`");
    open.assert("envoy_delete", "failed", "take DELETE off `methods`");
    open.assert("envoy_download", "failed", "`forced_download`: \"remove\"");
}

#[test]
fn an_envoy_that_does_not_serve_is_told_apart() {
    let other = said(&json!({"key_prefix": "other/"}), |_| {});
    other.assert("envoy_get", "failed", "404");
    other.assert("envoy_get", "failed", "Envoy asks for another object");
    let wrong = said(&json!({"region": "cn-beijing"}), |_| {});
    wrong.assert("envoy_get", "failed", "400");
    assert_eq!(
        wrong.check("envoy_get")["cause"],
        "wrong_region",
        "{}",
        wrong.text
    );
    let denied = said(&json!({"deny": true}), |_| {});
    denied.assert("envoy_get", "failed", "route_denied");
    // Nobody signs: the filter is not there.
    let bare = {
        let alibaba = alibaba();
        let port = alibaba.oss_port;
        let (_stub, envoy) = start(&alibaba, good_answer(), &json!({}), |builder| {
            builder.bare = Some(port);
        });
        ask(&alibaba, envoy.bare_port())
    };
    bare.assert("envoy_get", "failed", "403 AccessDenied");
    bare.assert(
        "envoy_delete",
        "failed",
        "see that the route has the filter",
    );
    let alibaba = alibaba();
    let refusing = Behaviour::body(502, "{}");
    let (stub, envoy) = start(&alibaba, refusing, &json!({}), |_| {});
    let said = ask(&alibaba, envoy.port(Position::Upstream));
    said.assert("envoy_get", "failed", "no_credentials");
    said.assert("envoy_get", "failed", "sidecar");
    let said = ask(&alibaba, stub.port);
    said.assert("envoy_get", "failed", "502");
    let nobody = testkit::free_port();
    let said = ask(&alibaba, nobody);
    said.assert("envoy_get", "failed", "see that Envoy runs");
    said.assert("get", "ok", "200");
}
