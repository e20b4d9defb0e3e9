//! What `check` says of the filter among a listener's filters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{by_name, changed, listener, manager, routes, set_settings, shipped, to_app, warned};
use oss_origin_auth_checker::{Verdict, check};
use serde_json::{Value, json};

#[test]
fn settings_by_route_and_a_rewritten_host_are_good() {
    for config in [listener(), by_name()] {
        let report = check(&config.to_string());
        assert_eq!(report.verdict(), Verdict::Good, "{:?}", report.findings);
    }
}

const BEFORE: &str = "the_filter_stands_before_the_checks";

#[test]
fn a_wasm_plugin_stands_behind_the_authorization() {
    for name in [
        "deploy/istio/wasm-plugin.yaml",
        "deploy/higress/wasm-plugin.yaml",
    ] {
        for (phase, fields) in [
            ("AUTHN", vec!["phase"]),
            ("AUTHZ", vec!["phase"]),
            ("STATS", vec![]),
            ("UNSPECIFIED_PHASE", vec![]),
        ] {
            let text = changed(name, &[("phase: STATS", &format!("phase: {phase}"))]);
            assert_eq!(warned(&text, BEFORE), fields, "{name} {phase}");
        }
    }
}

#[test]
fn checks_stand_before_the_filter() {
    let rbac = json!({"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"}});
    for (place, said) in [(0, 0), (1, 1)] {
        let mut config = listener();
        let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
        filters.insert(place, rbac.clone());
        let fields = warned(&config.to_string(), BEFORE);
        assert_eq!(fields.len(), said, "{fields:?}");
        assert!(fields.iter().all(|field| {
            field == "http_connection_manager[ingress].http_filters[envoy.filters.http.rbac]"
        }));
    }
    // Another filter may have it within.
    let matching = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher";
    let composed = json!({"name": "composed", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.composite.v3.ExecuteFilterAction",
        "typed_config": rbac}});
    let on_match = json!({"on_no_match": {"action": composed}});
    for within in [
        json!({"@type": matching, "extension_config": rbac}),
        json!({"@type": matching, "xds_matcher": on_match}),
    ] {
        let mut config = listener();
        let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
        filters.insert(1, json!({"name": "matched", "typed_config": within}));
        let field = "http_connection_manager[ingress].http_filters[matched]";
        assert_eq!(warned(&config.to_string(), BEFORE), [field]);
    }
    // On the cluster it is behind all of them anyway.
    let text = shipped("envoy/protected.yaml");
    assert_eq!(check(&text).verdict(), Verdict::Good);
}

const MATCH: &str = "routes_match_on_changed_headers";

#[test]
fn no_route_is_selected_by_what_the_filter_changes() {
    for (name, changed) in [
        ("x-version", true),
        ("X-Version", true),
        ("cookie", true),
        ("authorization", true),
        ("x-oss-date", true),
        ("x-oss-meta-a", true),
        ("content-type", true),
        (":method", false),
        (":authority", false),
        ("range", false),
        ("user-agent", false),
        ("x-forwarded-proto", false),
    ] {
        let mut config = by_name();
        routes(&mut config)[0]["match"]["headers"] = json!([{"name": name, "present_match": true}]);
        let fields = warned(&config.to_string(), MATCH);
        match changed {
            true => assert_eq!(
                fields,
                ["http_connection_manager[ingress].routes[app].match.headers"],
                "{name}"
            ),
            false => assert!(fields.is_empty(), "{name}: {fields:?}"),
        }
        // On the cluster the route has been selected.
        let mut config: Value = serde_yaml_ng::from_str(&shipped("envoy/minimal.yaml")).unwrap();
        routes(&mut config)[0]["match"]["headers"] = json!([{"name": name, "present_match": true}]);
        assert_eq!(check(&config.to_string()).verdict(), Verdict::Good);
    }
}

#[test]
fn a_header_that_is_forwarded_by_all_is_not_changed() {
    let with = |adapt: &dyn Fn(&mut Value)| {
        let mut config = by_name();
        routes(&mut config)[0]["match"]["headers"] =
            json!([{"name": "x-oss-meta-version", "present_match": true}]);
        let mut other = routes(&mut config)[1].clone();
        other["name"] = json!("other");
        other["match"]["prefix"] = json!("/other/");
        routes(&mut config).push(other);
        set_settings(&mut config, adapt);
        warned(&config.to_string(), MATCH).len()
    };
    let forwarded = json!(["x-oss-meta-*"]);
    assert_eq!(with(&|_| {}), 1);
    assert_eq!(
        with(&|all| all["defaults"]["forward_headers"] = forwarded.clone()),
        0
    );
    assert_eq!(
        with(&|all| all["routes"]["objects"]["forward_headers"] = json!(["x-oss-meta-version"])),
        0
    );
    // Another signed route does not forward it.
    let other = |all: &mut Value| {
        let objects = all["routes"]["objects"].clone();
        all["routes"]["objects"]["forward_headers"] = forwarded.clone();
        all["routes"]["other"] = objects;
    };
    assert_eq!(with(&other), 1);
    // Without a signed route nothing is changed.
    assert_eq!(
        with(&|all| all["routes"]["objects"]["enabled"] = json!(false)),
        0
    );
    assert_eq!(
        with(&|all| all["routes"]["objects"]["deny"] = json!(true)),
        0
    );
}

#[test]
fn other_ways_to_select_by_a_header_count() {
    let mut config = by_name();
    let host = &mut manager(&mut config)["route_config"]["virtual_hosts"][0];
    let routes = host["routes"].take();
    let action = |route: &Value| {
        let mut route = route.clone();
        route["@type"] = json!("type.googleapis.com/envoy.config.route.v3.Route");
        json!({"action": {"name": "route", "typed_config": route}})
    };
    let input = json!({"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                       "header_name": "x-version"});
    host["matcher"] = json!({
        "matcher_tree": {"input": {"name": "header", "typed_config": input},
                         "exact_match_map": {"map": {"1": action(&routes[0])}}},
        "on_no_match": action(&routes[1])});
    assert_eq!(warned(&config.to_string(), MATCH).len(), 1);
    host_of_matcher_is_read(&mut config);
}

/// Routes in a matcher are routes.
fn host_of_matcher_is_read(config: &mut Value) {
    let host = &mut manager(config)["route_config"]["virtual_hosts"][0];
    host["matcher"]["matcher_tree"]["input"]["typed_config"]["header_name"] = json!(":method");
    let objects = &mut host["matcher"]["on_no_match"]["action"]["typed_config"]["route"];
    objects
        .as_object_mut()
        .unwrap()
        .remove("host_rewrite_literal");
    assert_eq!(warned(&config.to_string(), HOST).len(), 1);
}

const HOST: &str = "routes_keep_the_clients_host";

#[test]
fn a_signed_route_rewrites_the_host() {
    let place = "http_connection_manager[ingress].routes[objects].route.host_rewrite_literal";
    for (name, value, good) in [
        ("host_rewrite_literal", json!("my-bucket.example.com"), true),
        ("hostRewriteLiteral", json!("my-bucket.example.com"), true),
        ("host_rewrite_literal", json!(""), false),
        ("auto_host_rewrite", json!(true), true),
        ("auto_host_rewrite", json!(false), false),
        ("host_rewrite_header", json!("x-host"), true),
        (
            "host_rewrite_path_regex",
            json!({"pattern": {"regex": "a"}}),
            true,
        ),
        ("append_x_forwarded_host", json!(true), false),
    ] {
        let mut config = by_name();
        let route = routes(&mut config)[1]["route"].as_object_mut().unwrap();
        route.remove("host_rewrite_literal");
        route.insert(name.into(), value.clone());
        let fields = warned(&config.to_string(), HOST);
        match good {
            true => assert!(fields.is_empty(), "{name}: {value}: {fields:?}"),
            false => assert_eq!(fields, [place], "{name}: {value}"),
        }
    }
    // A route that is not signed keeps what it likes.
    let mut config = by_name();
    let route = routes(&mut config)[0]["route"].as_object_mut().unwrap();
    route.remove("host_rewrite_literal");
    assert_eq!(check(&config.to_string()).verdict(), Verdict::Good);
    // Weighted clusters may each rewrite it.
    let mut config = by_name();
    routes(&mut config)[1]["route"] = json!({"weighted_clusters": {"clusters": [
        {"name": "oss", "weight": 1, "host_rewrite_literal": "my-bucket.example.com"}]}});
    assert!(warned(&config.to_string(), HOST).is_empty());
}

#[test]
fn settings_that_describe_a_rewritten_path_have_a_rewrite() {
    const PATH: &str = "routes_keep_the_clients_path";
    let place = "http_connection_manager[ingress].routes[objects].route.prefix_rewrite";
    for (name, value, maps) in [
        ("strip_prefix", "/media/", true),
        ("strip_prefix", "/", false),
        ("key_prefix", "site/", true),
        ("key_prefix", "", false),
        ("index_document", "index.html", true),
        ("addressing", "path_style", true),
        ("addressing", "virtual_hosted", false),
    ] {
        for (rewrite, rewritten) in [
            (json!(null), false),
            (json!({"prefix_rewrite": "/site/"}), true),
            (json!({"regex_rewrite": {"pattern": {"regex": "a"}}}), true),
            (json!({"path_rewrite_policy": {"name": "policy"}}), true),
        ] {
            let mut config = by_name();
            set_settings(&mut config, |all| {
                all["routes"]["objects"][name] = json!(value)
            });
            if let Some(fields) = rewrite.as_object() {
                let route = routes(&mut config)[1]["route"].as_object_mut().unwrap();
                route.extend(fields.clone());
            }
            let fields = warned(&config.to_string(), PATH);
            match maps && !rewritten {
                true => assert_eq!(fields, [place], "{name}: {value}"),
                false => assert!(fields.is_empty(), "{name}: {value} {rewrite}: {fields:?}"),
            }
        }
    }
}

#[test]
fn a_mirror_gets_no_signature() {
    let mut config = by_name();
    routes(&mut config)[0]["route"]["request_mirror_policies"] = json!([{"cluster": "copy"}]);
    assert_eq!(
        check(&config.to_string()).verdict(),
        Verdict::Good,
        "it is not signed"
    );
    routes(&mut config)[1]["route"]["request_mirror_policies"] = json!([{"cluster": "copy"}]);
    let place = "http_connection_manager[ingress].routes[objects].route.request_mirror_policies";
    assert_eq!(
        warned(&config.to_string(), "mirrors_carry_the_signature"),
        [place]
    );
}

const DEFAULTS: &str = "defaults_sign_other_routes";

#[test]
fn defaults_sign_for_one_cluster_alone() {
    let mut config = listener();
    assert!(
        warned(&config.to_string(), DEFAULTS).is_empty(),
        "one cluster"
    );
    routes(&mut config).insert(0, to_app());
    assert_eq!(
        warned(&config.to_string(), DEFAULTS),
        ["configuration.defaults"]
    );
    // Every route has settings of its own.
    let mut owned = config.clone();
    set_settings(&mut owned, |all| {
        all["routes"] = json!({"app": {"enabled": false}, "objects": {}})
    });
    assert!(warned(&owned.to_string(), DEFAULTS).is_empty());
    // The app's in its metadata.
    let mut by_metadata = config.clone();
    routes(&mut by_metadata)[0]["metadata"] =
        json!({"filter_metadata": {"oss_origin_auth": {"config": "{\"enabled\": false}"}}});
    let only = |config: &mut Value, metadata: &Value| {
        set_settings(config, |all| {
            all["routes"] = json!({"objects": {}});
            all["metadata"] = metadata.clone();
        });
        warned(&config.to_string(), DEFAULTS).len()
    };
    assert_eq!(only(&mut by_metadata, &json!([])), 1);
    assert_eq!(only(&mut by_metadata, &json!(["route"])), 0);
    // Routes that come from elsewhere may lead anywhere.
    let manager = manager(&mut config).as_object_mut().unwrap();
    manager.remove("route_config");
    manager.insert("rds".into(), json!({"route_config_name": "routes"}));
    assert_eq!(
        warned(&config.to_string(), DEFAULTS),
        ["configuration.defaults"]
    );
}

#[test]
fn defaults_of_a_gateway_sign_all_its_routes() {
    let by_name = "    defaults:\n      enabled: false\n    routes:\n      objects:\n";
    let off = "    defaults:\n      enabled: false\n";
    let complete = "    defaults: {bucket: my-bucket, region: cn-hangzhou, endpoint: \
                    oss-cn-hangzhou-internal.aliyuncs.com}\n";
    for (name, from, to, field) in [
        (
            "deploy/istio/wasm-plugin.yaml",
            by_name,
            "    defaults:\n",
            "pluginConfig.defaults",
        ),
        (
            "deploy/higress/wasm-plugin.yaml",
            off,
            complete,
            "defaultConfig.defaults",
        ),
    ] {
        let text = changed(name, &[(from, to)]);
        assert_eq!(warned(&text, DEFAULTS), [field], "{name}");
    }
    let name = "deploy/envoy-gateway/extension-policy.yaml";
    let route =
        "      routes:\n        httproute/default/objects/rule/0/match/0/objects_example_com:";
    let defaults = (route, "      defaults:");
    assert!(
        warned(&changed(name, &[defaults]), DEFAULTS).is_empty(),
        "of one HTTPRoute"
    );
    let of_gateway = (
        "kind: HTTPRoute, name: objects}",
        "kind: Gateway, name: gateway}",
    );
    let text = changed(name, &[defaults, of_gateway]);
    assert_eq!(warned(&text, DEFAULTS), ["config.defaults"]);
}

#[test]
fn a_signed_url_cannot_be_stripped_there() {
    const STRIPPED: &str = "signed_urls_are_not_stripped";
    for (value, said) in [("strip", 1), ("refuse", 0)] {
        let mut config = listener();
        set_settings(&mut config, |all| {
            all["defaults"]["presigned_urls"] = json!(value)
        });
        let fields = warned(&config.to_string(), STRIPPED);
        assert_eq!(fields, vec!["configuration.defaults.presigned_urls"; said]);
    }
    // In the metadata of a route.
    let mut config = listener();
    set_settings(&mut config, |all| all["metadata"] = json!(["route"]));
    let strip = json!({"presigned_urls": "strip"}).to_string();
    routes(&mut config)[0]["metadata"] =
        json!({"filter_metadata": {"oss_origin_auth": {"config": strip}}});
    assert_eq!(warned(&config.to_string(), STRIPPED).len(), 1);
    // On the cluster it strips.
    let defaults = "\"defaults\": {";
    let strips = format!("{defaults}\"presigned_urls\": \"strip\", ");
    let text = changed("envoy/minimal.yaml", &[(defaults, &strips)]);
    assert_eq!(check(&text).verdict(), Verdict::Good);
    let name = "deploy/istio/wasm-plugin.yaml";
    let enabled = "    defaults:\n      enabled: false\n";
    let strips = format!("{enabled}      presigned_urls: strip\n");
    let text = changed(name, &[(enabled, &strips)]);
    let field = "pluginConfig.defaults.presigned_urls";
    assert_eq!(warned(&text, STRIPPED), [field]);
}
