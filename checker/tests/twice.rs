//! Two filters that sign one after the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    action, assert_good, by_name, insert, left_out, listener, manager, minimal, of_cluster,
    of_rule, routes, set_settings,
};
use oss_origin_auth_checker::Severity::{Error, Warning};
use serde_json::{Value, json};

const RULE: &str = "requests_are_signed_twice";

const FIELD: &str = "http_connection_manager[ingress].routes[objects].route.cluster";

/// The filter of a listener, and that of the cluster behind it.
fn both() -> Value {
    let mut config = minimal();
    insert(
        &mut config,
        0,
        manager(&mut listener())["http_filters"][0].clone(),
    );
    config
}

/// Gives the filter of the cluster another setting.
fn set_on_cluster(config: &mut Value, name: &str, value: Value) {
    let ours = &mut of_cluster(config)[0]["typed_config"]["config"];
    let text = ours["configuration"]["value"].as_str().unwrap();
    let mut settings: Value = serde_json::from_str(text).unwrap();
    settings["defaults"][name] = value;
    ours["configuration"]["value"] = json!(settings.to_string());
}

#[test]
fn the_listener_and_its_cluster_sign_once() {
    let mut config = both();
    assert_eq!(of_rule(&config, RULE, Warning), [FIELD]);
    set_on_cluster(&mut config, "enabled", json!(false));
    assert!(of_rule(&config, RULE, Warning).is_empty());
    let mut config = both();
    set_settings(&mut config, |settings| {
        settings["defaults"]["enabled"] = json!(false)
    });
    assert!(of_rule(&config, RULE, Warning).is_empty());
    // Left out on the route, or on all of them.
    let mut config = both();
    let off = json!({"oss_origin_auth": left_out()});
    routes(&mut config)[0]["typed_per_filter_config"] = off;
    assert!(of_rule(&config, RULE, Warning).is_empty());
    let mut config = both();
    manager(&mut config)["http_filters"][0]["disabled"] = json!(true);
    assert!(of_rule(&config, RULE, Warning).is_empty());
    assert_good(&by_name());
}

#[test]
fn equal_filters_in_one_chain_are_one_too_many() {
    let mut config = minimal();
    let ours = of_cluster(&mut config)[0].clone();
    of_cluster(&mut config).insert(0, ours);
    assert_eq!(of_rule(&config, RULE, Warning), [FIELD]);
    let mut config = listener();
    let ours = manager(&mut config)["http_filters"][0].clone();
    insert(&mut config, 0, ours);
    assert_eq!(of_rule(&config, RULE, Warning), [FIELD]);
}

#[test]
fn a_path_is_mapped_once() {
    for (name, value) in [
        ("strip_prefix", "/media/"),
        ("key_prefix", "site/"),
        ("index_document", "index.html"),
    ] {
        let mut config = minimal();
        set_on_cluster(&mut config, name, json!(value));
        assert!(of_rule(&config, RULE, Error).is_empty());
        let ours = of_cluster(&mut config)[0].clone();
        of_cluster(&mut config).insert(0, ours);
        assert_eq!(of_rule(&config, RULE, Error), [FIELD], "{name}");
        // The route maps it for the listener's filter.
        let mut config = both();
        set_on_cluster(&mut config, name, json!(value));
        assert_eq!(of_rule(&config, RULE, Warning), [FIELD], "{name}");
        action(&mut config)["prefix_rewrite"] = json!("/site/");
        assert_eq!(of_rule(&config, RULE, Error), [FIELD], "{name}");
    }
}
