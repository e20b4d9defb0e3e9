//! What `check` says of routes that are selected by headers, with the filter among the
//! listener's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{by_name, manager, routes, set_settings, to_app, warned};
use serde_json::{Value, json};

const MATCH: &str = "routes_match_on_changed_headers";

/// The fields of which it warns, without the manager's name.
fn fields(config: &Value) -> Vec<String> {
    let fields = warned(&config.to_string(), MATCH).into_iter();
    let manager = "http_connection_manager[ingress].";
    fields
        .map(|field| field.strip_prefix(manager).unwrap().to_owned())
        .collect()
}

#[test]
fn each_way_to_match_by_a_header_counts() {
    for (name, value) in [
        ("grpc", json!({})),
        ("headers", json!([{"name": "x-a", "present_match": true}])),
        ("cookies", json!([{"name": "a"}])),
    ] {
        for route in ["app", "objects"] {
            let mut config = by_name();
            let index = usize::from(route == "objects");
            routes(&mut config)[index]["match"][name] = value.clone();
            assert_eq!(fields(&config), [format!("routes[{route}].match.{name}")]);
        }
    }
}

#[test]
fn a_signed_route_chooses_its_cluster_by_no_changed_header() {
    let two = json!([{"name": "oss", "weight": 1}, {"name": "app", "weight": 1}]);
    let one = json!([{"name": "oss", "weight": 1}]);
    let by_header = json!([{"header": {"header_name": "X-A"}}]);
    let by_cookie = json!([{"cookie": {"name": "a"}}]);
    let by_address = json!([{"connection_properties": {"source_ip": true}}]);
    let weighted = |clusters: &Value, name: &str, value: Value| json!({"weighted_clusters": {"clusters": clusters, name: value}});
    let hashed = |clusters: &Value, used: bool, policy: &Value| {
        let mut action = weighted(clusters, "use_hash_policy", json!(used));
        action["hash_policy"] = policy.clone();
        action
    };
    let header_name = "route.weighted_clusters.header_name";
    let hash_policy = "route.hash_policy";
    for (action, place) in [
        (
            json!({"cluster_header": "x-a"}),
            Some("route.cluster_header"),
        ),
        (json!({"cluster_header": ":path"}), None),
        (
            weighted(&two, "header_name", json!("x-a")),
            Some(header_name),
        ),
        (weighted(&one, "header_name", json!("x-a")), None),
        (weighted(&two, "runtime_key_prefix", json!("a")), None),
        (hashed(&two, true, &by_header), Some(hash_policy)),
        (hashed(&two, true, &by_cookie), Some(hash_policy)),
        (hashed(&two, true, &by_address), None),
        // It chooses the host.
        (hashed(&two, false, &by_header), None),
        (json!({"cluster": "oss", "hash_policy": by_header}), None),
    ] {
        for (index, name) in ["app", "objects"].into_iter().enumerate() {
            let mut config = by_name();
            let route = &mut routes(&mut config)[index];
            route["route"] = action.clone();
            route["route"]["host_rewrite_literal"] = json!("my-bucket.example.com");
            let expected = place.filter(|_| name == "objects");
            let expected = expected.map(|place| format!("routes[{name}].{place}"));
            assert_eq!(fields(&config), Vec::from_iter(expected), "{action}");
        }
    }
}

#[test]
fn a_scope_is_found_by_no_changed_header() {
    for (name, said) in [("x-scope", 1), ("user-agent", 0)] {
        let mut config = by_name();
        let manager = manager(&mut config);
        let table = manager["route_config"].take();
        manager["scoped_routes"] = json!({
            "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": name}}]},
            "scoped_route_configurations_list": {"scoped_route_configurations": [
                {"name": "a", "route_configuration": table}]}});
        let fields = fields(&config);
        assert_eq!(fields, vec!["scoped_routes.scope_key_builder"; said]);
    }
}

/// `/media/` is signed; the app has a canary by header.
fn canary(path: &Value, cluster: &str) -> Value {
    let mut config = by_name();
    let mut canary = to_app();
    canary["name"] = json!("canary");
    canary["match"] = path.clone();
    canary["match"]["headers"] = json!([{"name": "x-version", "present_match": true}]);
    canary["route"]["cluster"] = json!(cluster);
    let routes = routes(&mut config);
    routes[1]["match"] = json!({"prefix": "/media/"});
    routes.insert(0, canary);
    config
}

#[test]
fn a_header_that_moves_no_signed_request_is_good() {
    for (path, overlaps) in [
        (json!({"prefix": "/api/"}), false),
        (json!({"prefix": "/media/a/"}), true),
        (json!({"prefix": "/MEDIA/"}), true),
        (json!({"prefix": "/"}), true),
        (json!({"path": "/media/a"}), true),
        (json!({"path": "/media"}), false),
        (json!({"path_separated_prefix": "/api"}), false),
        (json!({"path_separated_prefix": "/media"}), true),
        (json!({"safe_regex": {"regex": "/api/.*"}}), true),
        (json!({"path_match_policy": {"name": "a"}}), true),
    ] {
        let field = vec!["routes[canary].match.headers"; usize::from(overlaps)];
        assert_eq!(fields(&canary(&path, "canary")), field, "{path}");
        // All signed requests leave for one cluster.
        assert!(fields(&canary(&path, "oss")).is_empty(), "{path}");
    }
    let all = json!({"prefix": "/"});
    // Another virtual host has other requests.
    let mut config = canary(&all, "canary");
    let route = routes(&mut config).remove(0);
    let hosts = &mut manager(&mut config)["route_config"]["virtual_hosts"];
    let host = json!({"name": "other", "domains": ["other.example.com"], "routes": [route]});
    hosts.as_array_mut().unwrap().push(host);
    assert!(fields(&config).is_empty());
    // Its own clusters are its own choice.
    let mut config = canary(&all, "canary");
    let mut only = routes(&mut config)[2].clone();
    only["match"]["headers"] = json!([{"name": "x-version", "present_match": true}]);
    only["route"].as_object_mut().unwrap().remove("cluster");
    only["route"]["weighted_clusters"] = json!({"clusters": [{"name": "oss"}, {"name": "app"}]});
    *routes(&mut config) = vec![only];
    assert!(fields(&config).is_empty());
    // Nothing leaves.
    let mut config = canary(&all, "canary");
    let route = routes(&mut config)[0].as_object_mut().unwrap();
    route.remove("route");
    route.insert("direct_response".into(), json!({"status": 503}));
    assert!(fields(&config).is_empty());
}

#[test]
fn a_name_under_routes_is_what_signs() {
    let mut config = canary(&json!({"prefix": "/app/"}), "canary");
    assert!(fields(&config).is_empty());
    set_settings(&mut config, |all| {
        let objects = all["routes"]["objects"].clone();
        all["routes"]["canary"] = objects;
    });
    assert_eq!(fields(&config), ["routes[canary].match.headers"]);
}

/// The routes as documents of their own.
fn by_rds(config: &mut Value, names: &[&str]) -> String {
    let manager = manager(config).as_object_mut().unwrap();
    let mut table = manager.remove("route_config").unwrap();
    manager.insert("rds".into(), json!({"route_config_name": "wanted"}));
    table["@type"] = json!("type.googleapis.com/envoy.config.route.v3.RouteConfiguration");
    let mut text = config.to_string();
    for name in names {
        table["name"] = json!(name);
        text += &format!("\n---\n{}", json!({"resources": [table]}));
    }
    text
}

#[test]
fn routes_of_rds_in_the_same_file_are_read() {
    for (names, said) in [
        (vec!["wanted"], 1),
        (vec!["other", "wanted"], 1),
        (vec!["only"], 1),
        (vec!["other", "another"], 0),
        (vec![], 0),
    ] {
        let mut config = canary(&json!({"prefix": "/"}), "canary");
        let text = by_rds(&mut config, &names);
        assert_eq!(warned(&text, MATCH).len(), said, "{names:?}");
    }
    let mut config = by_name();
    routes(&mut config)[1]["response_headers_to_add"] =
        json!([{"header": {"key": "x-a", "value": "%REQ(AUTHORIZATION)%"}}]);
    let text = by_rds(&mut config, &["wanted"]);
    assert_eq!(warned(&text, "logs_print_the_signature").len(), 1);
}
