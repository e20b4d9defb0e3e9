//! Higress's rules in a real Envoy: by what Envoy says of a request, in both places.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::alibaba::{HOST, Seen};
use testkit::{Envoy, EnvoyBuilder, FakeAlibaba, Position, Request, StubSidecar};

use crate::common::{SECRET, Stack, TOKEN, filter, good_answer};

/// A rule that signs, and adds a header by which it is known.
fn signing(condition: Value, name: &str) -> Value {
    let mut rule = condition;
    rule["enabled"] = json!(true);
    rule["add_headers"] = json!({"x-oss-rule": name});
    rule
}

fn rules() -> Value {
    json!([
        {"_match_route_": ["shut"], "deny": true, "enabled": true},
        signing(json!({"_match_route_prefix_": ["s"]}), "prefix"),
        signing(json!({"_match_domain_": ["*.img.example.com", "[::1]"]}), "domain"),
        signing(json!({"_match_service_": ["oss.dns:443"]}), "service"),
        signing(json!({"_match_route_": ["pair"], "_match_service_": ["oss.dns"]}), "pair"),
    ])
}

/// An Envoy whose routes lead to clusters with the names that Higress gives, with the filter
/// on them for the one listener and without it for the other.
fn start(alibaba: &FakeAlibaba, stub: &StubSidecar) -> Envoy {
    let mut builder = EnvoyBuilder::new(filter(), alibaba.oss_port, stub.port);
    builder.filter["defaults"]["enabled"] = json!(false);
    builder.filter["_rules_"] = rules();
    for (name, port) in [
        ("shut", None),
        ("site", None),
        ("oss", Some(443)),
        ("pair", Some(80)),
        ("port", Some(80)),
    ] {
        let mut route =
            json!({"name": name, "match": {"prefix": format!("/{name}/")}, "route": {}});
        if let Some(port) = port {
            route["route"]["cluster"] = json!(format!("outbound|{port}||oss.dns"));
            let plain = json!({"cluster": format!("outbound|{port}|plain|oss.dns")});
            route["of_listener"] = plain;
        }
        builder.routes.push(route);
    }
    let mut config = builder.config();
    let clusters = config["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap();
    for (of, subset) in [("oss_signed", ""), ("oss_plain", "plain")] {
        let cluster = clusters
            .iter()
            .find(|one| one["name"] == of)
            .unwrap()
            .clone();
        for port in [80, 443] {
            let mut cluster = cluster.clone();
            let name = format!("outbound|{port}|{subset}|oss.dns");
            cluster["load_assignment"]["cluster_name"] = json!(name);
            cluster["name"] = json!(name);
            clusters.push(cluster);
        }
    }
    builder.start_on(&config)
}

#[test]
fn the_first_rule_that_matches_says_what_becomes_of_a_request() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let envoy = start(&alibaba, &stub);
    let plain = "www.example.com";
    let pictures = "a.img.example.com";
    // The path, the client's host; the rule on the cluster, and among the listener's filters.
    for (path, host, on_cluster, among_listeners) in [
        ("/shut/a", pictures, "route_denied", "route_denied"),
        ("/site/a", plain, "prefix", "prefix"),
        ("/site/a", pictures, "prefix", "prefix"),
        ("/oss/a", plain, "service", "service"),
        ("/oss/a", pictures, "service", "domain"),
        ("/pair/a", plain, "pair", "pair"),
        ("/port/a", plain, "none", "none"),
        ("/a", plain, "none", "none"),
        // On the cluster the host is the one that leaves.
        ("/pair/a", pictures, "pair", "domain"),
        ("/a", pictures, "none", "domain"),
        ("/a", "A.IMG.example.com:8080", "none", "domain"),
        ("/a", "[::1]:80", "none", "domain"),
        ("/a", "img.example.com", "none", "none"),
        ("/a", "a.img.example.com.", "none", "none"),
        ("/a", "a.img.example.com.evil.com", "none", "none"),
    ] {
        for (position, want) in [
            (Position::Upstream, on_cluster),
            (Position::Downstream, among_listeners),
        ] {
            alibaba.clear_log();
            let request = Request::get(path).header("host", host);
            let response = request.send(envoy.port(position));
            let refused = response.header("x-oss-origin-auth").map(str::to_owned);
            let rule = refused.unwrap_or_else(|| match alibaba.seen().as_slice() {
                [seen] if seen.header("authorization").is_empty() => "none".into(),
                [seen] if is_signed_well(seen) => seen.header("x-oss-rule").concat(),
                other => panic!("{path} {host} {position:?}: {other:?}"),
            });
            assert_eq!(rule, want, "{path} {host} {position:?}");
        }
    }
}

fn is_signed_well(seen: &Seen) -> bool {
    seen.code.is_empty() || seen.code == "NoSuchKey"
}

/// What no route's name tells: the service alone.
#[test]
fn a_rule_is_for_a_service() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let mut builder = EnvoyBuilder::new(filter(), alibaba.oss_port, stub.port);
    builder.filter["defaults"]["enabled"] = json!(false);
    builder.filter["_rules_"] = json!([signing(
        json!({"_match_service_": ["oss.dns:443"]}),
        "service"
    )]);
    let config = builder.config().to_string();
    for (name, plain, signs) in [
        ("outbound|443||oss.dns", "outbound|443|plain|oss.dns", true),
        ("outbound|80||oss.dns", "outbound|80|plain|oss.dns", false),
        ("oss.dns", "443|plain|oss.dns", false),
    ] {
        let config = config.replace("oss_signed", name);
        let config = config.replace("oss_plain", plain);
        let envoy = builder.start_on(&serde_json::from_str(&config).unwrap());
        for position in [Position::Upstream, Position::Downstream] {
            alibaba.clear_log();
            Request::get("/a").send(envoy.port(position));
            let seen = alibaba.seen();
            assert_eq!(
                seen[0].header("x-oss-rule").len(),
                usize::from(signs),
                "{name} {position:?}"
            );
        }
    }
}

/// On a cluster the filter sets the host, and another attempt sees that one.
#[test]
fn another_attempt_has_the_rule_of_the_first() {
    let stack = Stack::start_with(|builder| {
        builder.oss_host = None;
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 2,
                                      "retriable_status_codes": [403]});
        builder.filter["defaults"]["enabled"] = json!(false);
        builder.filter["_rules_"] = json!([signing(
            json!({"_match_domain_": ["objects.example.com"]}),
            "domain"
        )]);
    });
    let get = |host: &str| {
        let request = Request::get("/a").header("host", host);
        request.send(stack.envoy.port(Position::Upstream)).status
    };
    assert_eq!(get("objects.example.com"), 200);
    stack.give_others("STS.second", Duration::ZERO);
    stack.alibaba.set_key_state("STS.example", "revoked");
    stack.alibaba.clear_log();
    assert_eq!(get("objects.example.com"), 200);
    let seen = stack.alibaba.seen();
    assert!(seen.len() > 1, "it was tried again: {seen:?}");
    for attempt in &seen {
        assert_eq!(attempt.header("x-oss-rule"), ["domain"], "{seen:?}");
        assert_eq!(attempt.header("host"), [HOST]);
    }
    // Of a request that has no rule, no attempt has one.
    stack.alibaba.clear_log();
    assert_eq!(get(HOST), 403);
    let seen = stack.alibaba.seen();
    assert!(seen.len() > 1 && seen.iter().all(|one| one.header("x-oss-rule").is_empty()));
}
