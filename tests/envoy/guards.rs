//! What the shipped configurations keep apart: clients from what they may not read,
//! signatures from clusters that are not OSS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use serde_json::{Value, json};
use testkit::shipped::Shipped;
use testkit::tools::Host;
use testkit::{FakeAlibaba, Request, StubSidecar, tools};

use crate::common::{SECRET, TOKEN, good_answer};
use crate::manifests::documents;
use crate::shipped::{jwt, start};
use crate::shipped_cache::start_cached;

/// What a client writes to look like another.
fn forged() -> Vec<(&'static str, String)> {
    let of_members = jwt(&json!({
        "iss": "https://login.example.com", "aud": "objects", "exp": 1_000_000_000
    }));
    let payload = of_members.split('.').nth(1).unwrap().to_owned();
    let mut forged = Vec::new();
    for name in [
        "x-forwarded-for",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "x-envoy-external-address",
        "x-envoy-internal",
        "x-envoy-downstream-service-node",
    ] {
        for value in [
            "10.1.2.3",
            "10.1.2.3, 127.0.0.1",
            "127.0.0.1, 10.1.2.3",
            "203.0.113.1, 10.1.2.3",
            "10.1.2.3:80",
            "::ffff:10.1.2.3",
            "true",
        ] {
            forged.push((name, value.to_owned()));
        }
    }
    for value in [
        "for=10.1.2.3",
        "for=\"10.1.2.3:80\";by=10.0.0.1;proto=https",
    ] {
        forged.push(("forwarded", value.to_owned()));
    }
    for name in [
        "x-envoy-original-path",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-uri",
        "x-envoy-original-dst-host",
    ] {
        forged.push((name, "/open".to_owned()));
    }
    for name in ["x-forwarded-host", "x-original-host", "origin"] {
        forged.push((name, "https://www.example.com/".to_owned()));
    }
    for value in [
        "https://www.example.com.evil.example/",
        "https://www.example.com@evil.example/",
        "https://www.example.com",
        "http://www.example.com/",
        "https://evil.example/?https://www.example.com/",
        "https://evil.example/https://www.example.com/",
        "//www.example.com/",
    ] {
        forged.push(("referer", value.to_owned()));
    }
    forged.push(("referrer", "https://www.example.com/".to_owned()));
    for name in [
        "x-jwt-payload",
        "x-endpoint-api-userinfo",
        "x-auth-request-user",
    ] {
        forged.push((name, payload.clone()));
    }
    for value in [
        format!("Bearer {of_members}"),
        format!("Bearer {}", unsigned(&payload)),
        "Bearer".to_owned(),
        "Basic bWVtYmVyOm1lbWJlcg==".to_owned(),
    ] {
        forged.push(("authorization", value));
    }
    forged
}

/// A token that says that it needs no signature.
fn unsigned(payload: &str) -> String {
    // {"alg":"none"}
    format!("eyJhbGciOiJub25lIn0.{payload}.")
}

#[test]
fn forged_headers_pass_no_check_of_the_protected_one() {
    let (alibaba, _stub, envoy) = start("protected.yaml", &["a", "members/a"]);
    for (name, value) in forged() {
        for (path, want) in [("/a", 403), ("/members/a", 401)] {
            let request = Request::get(path).header(name, &value);
            let status = request.send(envoy.port).status;
            assert_eq!(status, want, "{path} {name}: {value}");
        }
    }
    // Given twice, too.
    let twice = Request::get("/a").header("x-forwarded-for", "10.1.2.3");
    let twice = twice.header("x-forwarded-for", "10.1.2.3");
    assert_eq!(twice.send(envoy.port).status, 403);
    assert!(alibaba.seen().is_empty(), "none of these reached OSS");
}

#[test]
fn forged_headers_get_no_copy_from_the_cache() {
    let (alibaba, _stub, envoy) = start_cached();
    for (name, value) in forged() {
        let request = Request::get("/members/a").header(name, &value);
        let status = request.send(envoy.port).status;
        assert_eq!(status, 401, "{name}: {value}");
    }
    assert!(alibaba.seen().is_empty(), "none of these reached OSS");
}

/// An Envoy with `site.yaml`, in which the error document comes from a cluster
/// without the filter.
fn with_a_plain_cluster(adapt: impl Fn(&mut Value)) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    alibaba.put("404.html", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("site.yaml", port, stub.port, &[], |text| {
        let mut config: Value = serde_yaml_ng::from_str(&text).unwrap();
        let mut plain = config["static_resources"]["clusters"][0].clone();
        plain["name"] = json!("plain");
        plain["load_assignment"]["cluster_name"] = json!("plain");
        plain
            .as_object_mut()
            .unwrap()
            .remove("typed_extension_protocol_options");
        let clusters = config["static_resources"]["clusters"].as_array_mut();
        clusters.unwrap().push(plain);
        let routes = &mut manager(&mut config)["route_config"]["virtual_hosts"][0]["routes"];
        let of_document = json!({"name": "plain", "match": {"path": "/404.html"},
                                 "route": {"cluster": "plain"}});
        routes.as_array_mut().unwrap().insert(0, of_document);
        adapt(manager(&mut config));
        config.to_string()
    });
    (alibaba, stub, envoy)
}

/// The only `HttpConnectionManager` of a configuration.
fn manager(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The headers by which a request is signed.
const SIGNED: [&str; 4] = [
    "authorization",
    "x-oss-security-token",
    "x-oss-date",
    "x-oss-content-sha256",
];

#[test]
fn a_redirect_carries_no_signature_to_another_cluster() {
    for taken_off in [true, false] {
        let (alibaba, _stub, envoy) = with_a_plain_cluster(|manager| {
            if !taken_off {
                let filters = manager["http_filters"].as_array_mut().unwrap();
                filters.retain(|filter| filter["name"] != "envoy.filters.http.header_mutation");
            }
        });
        assert_eq!(Request::get("/absent").send(envoy.port).status, 404);
        let seen = alibaba.seen();
        let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(targets, ["/absent", "/404.html"]);
        for name in SIGNED {
            assert_eq!(seen[0].header(name).len(), 1, "{name}");
            let arrived = seen[1].header(name);
            // A wasm filter cannot take them off. Without the header_mutation they do
            // arrive: the test sees them.
            let taken_off = taken_off || tools::host() == Host::Native;
            assert_eq!(arrived.is_empty(), taken_off, "{name}: {arrived:?}");
        }
    }
}

/// `minimal.yaml` with the filter among the listener's, and these filters before and
/// behind it.
fn among_the_listeners(
    before: Vec<Value>,
    behind: Vec<Value>,
) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let port = alibaba.oss_port;
    let envoy = Shipped::start_with("minimal.yaml", port, stub.port, &[], |text| {
        let mut config: Value = serde_yaml_ng::from_str(&text).unwrap();
        let cluster = &mut config["static_resources"]["clusters"][0];
        let options = &mut cluster["typed_extension_protocol_options"];
        let options = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        let ours = options["http_filters"][0].clone();
        options.as_object_mut().unwrap().remove("http_filters");
        let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
        let router = filters.pop().unwrap();
        filters.extend(before.iter().cloned());
        filters.push(ours);
        filters.extend(behind.iter().cloned());
        filters.push(router);
        config.to_string()
    });
    (alibaba, stub, envoy)
}

#[test]
fn the_manifests_for_wasm_plugins_stand_behind_the_authorization() {
    // "Only who has an Authorization": the filter brings one, for everybody.
    let rbac = json!({"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"who-is-known": {
            "permissions": [{"any": true}],
            "principals": [{"header": {"name": "authorization", "present_match": true}}]}}}}});
    for (phase, want) in [("AUTHZ", 200), ("STATS", 403)] {
        // Istio, pilot/pkg/networking/core/listener_builder.go: AUTHN, its filters of
        // authentication, AUTHZ, its filters of authorization, STATS.
        let (before, behind) = match phase {
            "STATS" => (vec![rbac.clone()], Vec::new()),
            _ => (Vec::new(), vec![rbac.clone()]),
        };
        let (_alibaba, _stub, envoy) = among_the_listeners(before, behind);
        assert_eq!(Request::get("/a").send(envoy.port).status, want, "{phase}");
    }
    for file in ["istio/wasm-plugin.yaml", "higress/wasm-plugin.yaml"] {
        let documents = documents(file);
        let plugin = documents.iter().find(|one| one["kind"] == "WasmPlugin");
        assert_eq!(plugin.unwrap()["spec"]["phase"], "STATS", "{file}");
    }
}
