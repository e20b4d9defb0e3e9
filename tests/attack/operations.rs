//! What is a sub-resource to OSS is none that the filter may overlook: what it does not
//! know passes neither to the bucket nor with a write, signed by us.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde_json::json;
use testkit::{Position, Request};

use crate::stage::{Stage, assert_refused};

in_both_positions!(
    newer_subresources_of_the_bucket_are_refused,
    newer_subresources_of_an_object_are_refused,
    a_subresource_beside_an_allowed_one_is_refused,
    an_unknown_argument_of_a_list_is_refused,
    a_write_with_an_unknown_parameter_writes_nothing,
);

/// Sub-resources of the last years, in OSS's API reference and not in the list of those
/// that signature V1 covers.
const NEWER: [&str; 14] = [
    "accessPointForObjectProcess",
    "accessPointConfigForObjectProcess",
    "accessPointPolicyForObjectProcess",
    "cleanRestoredObject",
    "dataPipeline",
    "legalHold",
    "objectWorm",
    "overwriteConfig",
    "policyStatus",
    "regions",
    "retention",
    "rtc",
    "seal",
    "userDefinedLogFieldsConfig",
];

/// Sends each, and expects that none leaves.
fn refuse_all(stage: &Stage, position: Position, attacks: &[(&str, String)]) {
    for (method, target) in attacks {
        let mut request = Request::new(method, target);
        if matches!(*method, "PUT" | "POST") {
            request = request.body("<LegalHold><Status>OFF</Status></LegalHold>");
        }
        let response = request.send(stage.envoy.port(position));
        let attack = format!("{method} {target}");
        stage.assert_nothing_left(&attack);
        assert_refused(&response, 403, "parameter_not_allowed", &attack);
    }
}

fn newer_subresources_of_the_bucket_are_refused(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["operations"] = json!(["list"]);
    });
    let mut attacks = Vec::new();
    for name in NEWER {
        attacks.push(("GET", format!("/?{name}")));
        attacks.push(("GET", format!("/?{name}=1&prefix=a")));
        attacks.push(("GET", format!("/?list-type=2&{name}")));
    }
    refuse_all(&stage, position, &attacks);
    let port = stage.envoy.port(position);
    let list = Request::get("/?list-type=2&prefix=a&max-keys=5").send(port);
    assert_eq!(list.status, 200, "a list itself");
}

fn newer_subresources_of_an_object_are_refused(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["unknown_parameters"] = json!("forward");
        builder.filter["defaults"]["methods"] = json!(["GET", "HEAD", "OPTIONS"]);
    });
    let mut attacks = Vec::new();
    for name in NEWER {
        attacks.push(("GET", format!("/a?{name}")));
        attacks.push(("HEAD", format!("/a?b=1&{name}=x")));
        attacks.push(("OPTIONS", format!("/a?{name}")));
    }
    refuse_all(&stage, position, &attacks);
    let forwarded = Request::get("/a?b=1").send(stage.envoy.port(position));
    assert_eq!(forwarded.status, 200, "what is unknown is forwarded");
}

fn a_subresource_beside_an_allowed_one_is_refused(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["operations"] = json!(["tagging"]);
        builder.filter["defaults"]["methods"] = json!(["GET", "PUT", "DELETE"]);
    });
    let mut attacks = Vec::new();
    for name in NEWER {
        attacks.push(("GET", format!("/a?tagging&{name}")));
        attacks.push(("PUT", format!("/a?{name}&tagging")));
    }
    attacks.push(("DELETE", "/a?tagging&b=1".to_owned()));
    refuse_all(&stage, position, &attacks);
    let tagging = Request::get("/a?tagging").send(stage.envoy.port(position));
    assert_eq!(tagging.status, 200, "the operation itself");
}

fn an_unknown_argument_of_a_list_is_refused(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["operations"] = json!(["list", "versions", "uploads"]);
        builder.filter["defaults"]["unknown_parameters"] = json!("forward");
    });
    let attacks = [
        "/?list-type=2&unheard=1",
        "/?prefix=a&unheard",
        "/?versions&unheard",
        "/?uploads&prefix=a&unheard=1",
    ];
    let attacks: Vec<_> = attacks.map(|target| ("GET", target.to_owned())).into();
    refuse_all(&stage, position, &attacks);
}

fn a_write_with_an_unknown_parameter_writes_nothing(position: Position) {
    let stage = Stage::start_with(|builder| {
        builder.filter["defaults"]["methods"] = json!(["GET", "PUT", "POST", "DELETE"]);
    });
    let mut attacks = Vec::new();
    for method in ["PUT", "POST", "DELETE"] {
        for name in NEWER.into_iter().chain(["unheard"]) {
            attacks.push((method, format!("/a?{name}")));
        }
        attacks.push((method, "/a?unheard=1&b".to_owned()));
    }
    refuse_all(&stage, position, &attacks);
    let put = Request::new("PUT", "/a").body("content");
    assert_eq!(put.send(stage.envoy.port(position)).status, 200);
}
