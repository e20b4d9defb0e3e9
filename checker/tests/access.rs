//! What `check` says of the role that checks who may read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    assert_good, cache, checked, checker, filter, insert, jwt, listener, manager, minimal, of_rule,
    routes, set_settings, shipped, signed_urls, to_app,
};
use oss_origin_auth_checker::Severity;
use serde_json::{Value, json};

const HITS: &str = "hits_are_not_checked";

#[test]
fn a_filter_that_checks_stands_before_the_cache() {
    for kind in ["cache_v2.v3.CacheV2Config", "cache.v3.CacheConfig"] {
        for (place, said) in [(0, 1), (1, 0)] {
            let mut config = checked(&signed_urls());
            insert(&mut config, place, filter("cache", kind));
            let fields = of_rule(&config, HITS, Severity::Error);
            assert_eq!(fields.len(), said, "{fields:?}");
            let field = "http_connection_manager[ingress].http_filters[cache]";
            assert!(fields.iter().all(|one| one == field), "{fields:?}");
        }
    }
    // Where everybody may read, there is nothing to check.
    let mut config = checked(&json!({"defaults": {"access": {"public": true}}}));
    insert(&mut config, 0, cache());
    assert_good(&config);
}

/// Lets the filter of the cluster check, by its defaults or on a route.
fn check_on_the_cluster(config: &mut Value, route: Option<&str>) {
    let clusters = config["static_resources"]["clusters"].as_array_mut();
    let mut clusters = clusters.unwrap().iter_mut();
    let oss = clusters.find(|cluster| cluster["name"] == "oss").unwrap();
    let options = &mut oss["typed_extension_protocol_options"];
    let options = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    let text = &mut options["http_filters"][0]["typed_config"]["config"]["configuration"]["value"];
    let mut settings: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let access = json!({"referer": {"allow": ["example.com"], "allow_empty": true}});
    match route {
        None => settings["defaults"]["access"] = access,
        Some(route) => settings["routes"][route]["access"] = access,
    }
    *text = json!(settings.to_string());
}

#[test]
fn a_cluster_behind_a_cache_checks_no_hits() {
    let mut config = minimal();
    check_on_the_cluster(&mut config, None);
    assert_good(&config);
    insert(&mut config, 0, cache());
    let fields = of_rule(&config, HITS, Severity::Warning);
    assert_eq!(fields, ["configuration.defaults.access"]);
    // A cache before another cluster is none before this one, unless it fetches from it.
    for (fetches, said) in [("app", 0), ("oss", 1)] {
        let mut config = minimal();
        check_on_the_cluster(&mut config, None);
        let mut other = config["static_resources"]["listeners"][0].clone();
        let manager = &mut other["filter_chains"][0]["filters"][0]["typed_config"];
        manager["route_config"]["virtual_hosts"][0]["routes"] = json!([to_app()]);
        let mut cache = cache();
        cache["typed_config"]["override_upstream_cluster"] = json!(fetches);
        manager["http_filters"]
            .as_array_mut()
            .unwrap()
            .insert(0, cache);
        let listeners = config["static_resources"]["listeners"].as_array_mut();
        listeners.unwrap().push(other);
        let fields = of_rule(&config, HITS, Severity::Warning);
        assert_eq!(fields.len(), said, "{fetches}: {fields:?}");
    }
    // In cached.yaml there is a way past the cache.
    let cached = shipped("envoy/cached.yaml");
    for (route, said) in [
        (None, true),
        (Some("objects"), true),
        (Some("uncached"), false),
    ] {
        let mut config: Value = serde_yaml_ng::from_str(&cached).unwrap();
        check_on_the_cluster(&mut config, route);
        let fields = of_rule(&config, HITS, Severity::Warning);
        assert_eq!(!fields.is_empty(), said, "{route:?}: {fields:?}");
    }
}

#[test]
fn a_listener_behind_a_cache_checks_no_hits() {
    for (listener, said) in [("public", false), ("origin", true), ("whole", true)] {
        let mut config: Value = serde_yaml_ng::from_str(&shipped("envoy/cached.yaml")).unwrap();
        let listeners = config["static_resources"]["listeners"].as_array_mut();
        let mut listeners = listeners.unwrap().iter_mut();
        let one = listeners.find(|one| one["name"] == listener).unwrap();
        let manager = &mut one["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array_mut().unwrap();
        filters.insert(0, checker(&signed_urls()));
        let fields = of_rule(&config, HITS, Severity::Warning);
        assert_eq!(!fields.is_empty(), said, "{listener}: {fields:?}");
    }
}

#[test]
fn paths_that_change_need_alike_routes() {
    for (kind, said) in [("A", false), ("C2", false), ("B", true), ("C1", true)] {
        let mut settings = signed_urls();
        settings["defaults"]["access"]["url_signing"]["type"] = json!(kind);
        settings["routes"]["other"]["access"]["referer"] =
            json!({"deny": ["example.com"], "allow_empty": true});
        let fields = of_rule(&checked(&settings), "settings_are_wrong", Severity::Error);
        let mut want = vec!["configuration.routes.other"];
        want.retain(|_| said);
        assert_eq!(fields, want, "{kind}");
    }
}

const PARAMETERS: &str = "routes_match_on_url_signatures";

#[test]
fn no_route_is_selected_by_the_signature_of_a_url() {
    for (signing, name, said) in [
        (json!({"type": "A"}), "auth_key", true),
        (json!({"type": "A"}), "KEY1", false),
        (json!({"type": "C2"}), "KEY1", true),
        (json!({"type": "C2"}), "KEY2", true),
        (json!({"type": "C2"}), "auth_key", false),
        (json!({"type": "F"}), "sign", true),
        (json!({"type": "F"}), "time", true),
        (json!({"type": "F", "time_parameter": "t"}), "t", true),
        (json!({"type": "F", "time_parameter": "t"}), "time", false),
        (json!({"type": "B"}), "auth_key", false),
    ] {
        let mut settings = signed_urls();
        settings["defaults"]["access"]["url_signing"] = signing.clone();
        let mut config = checked(&settings);
        let mut app = to_app();
        app["match"]["query_parameters"] = json!([{"name": name, "present_match": true}]);
        routes(&mut config).insert(0, app.clone());
        let field = "http_connection_manager[ingress].routes[app].match.query_parameters";
        let mut want = vec![field.to_owned()];
        want.retain(|_| said);
        let fields = of_rule(&config, PARAMETERS, Severity::Error);
        assert_eq!(fields, want, "{signing} {name}");
        // On the cluster the route is not selected again.
        let mut config = minimal();
        routes(&mut config).insert(0, app);
        check_on_the_cluster(&mut config, None);
        assert!(of_rule(&config, PARAMETERS, Severity::Error).is_empty());
    }
    let by_client = json!({"user_agent": {"deny": ["x"]}});
    let signed = |kind: &str| json!({"url_signing": {"type": kind}});
    for (access, said) in [(signed("A"), 1), (signed("C1"), 1), (by_client, 0)] {
        let mut settings = signed_urls();
        settings["defaults"]["access"] = access;
        let mut config = checked(&settings);
        let mut app = to_app();
        app["match"]["headers"] = json!([{"name": ":path", "present_match": true},
                                         {"name": ":method", "present_match": true}]);
        routes(&mut config).insert(0, app);
        let fields = of_rule(&config, PARAMETERS, Severity::Error);
        assert_eq!(fields.len(), said, "{fields:?}");
    }
    let mut config = checked(&signed_urls());
    let input = json!({"name": "by", "typed_config": {
        "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestQueryParamMatchInput",
        "query_param": "auth_key"}});
    let host = &mut manager(&mut config)["route_config"]["virtual_hosts"][0];
    host["matcher"] = json!({"matcher_tree": {"input": input}});
    let field = "http_connection_manager[ingress].route_config.virtual_hosts.matcher";
    assert_eq!(of_rule(&config, PARAMETERS, Severity::Error), [field]);
}

#[test]
fn what_is_right_for_a_signer_is_no_matter_of_a_filter_that_only_checks() {
    // Other clusters, a check behind it, logs and redirects: it sets no header.
    let mut config = checked(&signed_urls());
    insert(&mut config, 1, jwt());
    let mut app = to_app();
    app["match"]["headers"] = json!([{"name": "x-version", "present_match": true}]);
    let route = &mut routes(&mut config)[0]["route"];
    route
        .as_object_mut()
        .unwrap()
        .remove("host_rewrite_literal");
    routes(&mut config).insert(0, app);
    assert_good(&config);
    // Where nobody signs, nothing of a signature is carried on or printed.
    let mut config = checked(&signed_urls());
    let clusters = config["static_resources"]["clusters"].as_array_mut();
    let options = clusters.unwrap()[0].as_object_mut();
    options.unwrap().remove("typed_extension_protocol_options");
    routes(&mut config)[0]["route"]["internal_redirect_policy"] = json!({});
    manager(&mut config)["access_log"] =
        json!([{"name": "log", "typed_config": {"log_format": "%REQ(AUTHORIZATION)%"}}]);
    let filter = &mut manager(&mut config)["http_filters"][0];
    filter["typed_config"]["config"]["vm_config"]["vm_id"] = json!("");
    assert_good(&config);
}

#[test]
fn a_signer_is_found_behind_a_filter_that_checks() {
    // A token is checked between the two: before the signer.
    let mut config = listener();
    insert(&mut config, 0, jwt());
    insert(&mut config, 0, checker(&signed_urls()));
    assert_good(&config);
    // One that signs and checks is before whatever stands behind it.
    let mut config = listener();
    insert(&mut config, 1, jwt());
    set_settings(&mut config, |settings| {
        settings["defaults"]["access"] = signed_urls()["defaults"]["access"].clone();
        settings["url_keys"] = signed_urls()["url_keys"].clone();
    });
    let fields = of_rule(
        &config,
        "the_filter_stands_before_the_checks",
        Severity::Warning,
    );
    assert_eq!(
        fields,
        ["http_connection_manager[ingress].http_filters[jwt]"]
    );
    // What takes a signature off may stand between them, too.
    let mut config = listener();
    let removed = ["authorization", "x-oss-security-token"].map(|name| json!({"remove": name}));
    let mut mutation = filter("off", "header_mutation.v3.HeaderMutation");
    mutation["typed_config"]["mutations"]["request_mutations"] = json!(removed);
    insert(&mut config, 0, mutation);
    insert(&mut config, 0, checker(&signed_urls()));
    routes(&mut config)[0]["route"]["internal_redirect_policy"] = json!({});
    assert_good(&config);
}

#[test]
fn a_plugin_that_only_checks_may_stand_before_the_authorization() {
    let manifest = json!({"kind": "WasmPlugin", "metadata": {"name": "oss-origin-auth"},
        "spec": {"phase": "AUTHN", "pluginConfig": signed_urls(),
                 "vmConfig": {"env": [{"name": "URL_KEY", "valueFrom": "HOST"}]}}});
    assert_good(&manifest);
}

const CACHED: &str = "signed_urls_are_cached";

#[test]
fn a_cache_asks_for_no_signature_of_oss() {
    for (word, said) in [
        ("pass", true),
        ("require", true),
        ("strip", false),
        ("refuse", false),
    ] {
        let mut config = minimal();
        insert(&mut config, 0, cache());
        let text = config.to_string();
        let text = text.replace(
            "\\\"defaults\\\": {",
            &format!("\\\"defaults\\\": {{\\\"presigned_urls\\\": \\\"{word}\\\", "),
        );
        let config: Value = serde_json::from_str(&text).unwrap();
        let fields = of_rule(&config, CACHED, Severity::Warning);
        assert_eq!(!fields.is_empty(), said, "{word}: {fields:?}");
        // Among the listener's filters, behind the cache and before it.
        for place in [0, 1] {
            let mut config = listener();
            set_settings(&mut config, |settings| {
                settings["defaults"]["presigned_urls"] = json!(word);
            });
            insert(&mut config, place, cache());
            let fields = of_rule(&config, CACHED, Severity::Warning);
            assert_eq!(!fields.is_empty(), said && place == 0, "{word}: {fields:?}");
        }
    }
    // The route past the cache of cached.yaml.
    for (route, said) in [("objects", true), ("uncached", false)] {
        let text = shipped("envoy/cached.yaml").replace(
            "\"defaults\": {",
            &format!(
                "\"routes\": {{\"{route}\": {{\"presigned_urls\": \"require\"}}}}, \"defaults\": {{"
            ),
        );
        let config: Value = serde_yaml_ng::from_str(&text).unwrap();
        let fields = of_rule(&config, CACHED, Severity::Warning);
        assert_eq!(!fields.is_empty(), said, "{route}: {fields:?}");
    }
}
