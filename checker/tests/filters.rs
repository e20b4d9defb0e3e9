//! What `check` says of the filters that stand around one that checks who may read, and of
//! what its settings name.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    assert_good, checked, checker, filter, insert, jwt, left_out, listener, manager, minimal,
    of_cluster, of_rule, on_cluster, routes, said, shipped, signed_urls, signing_by,
};
use oss_origin_auth_checker::Severity;
use serde_json::{Value, json};

/// An rbac with one permission.
fn rbac(permission: Value) -> Value {
    let mut rbac = filter("rbac", "rbac.v3.RBAC");
    rbac["typed_config"]["rules"]["policies"]["a"] =
        json!({"permissions": [permission], "principals": [{"any": true}]});
    rbac
}

const ANOTHER: &str = "checks_see_another_path";

/// The fields of the warnings of a rule.
fn warned(config: &Value, rule: &str) -> Vec<String> {
    of_rule(config, rule, Severity::Warning)
}

#[test]
fn a_check_before_the_cluster_sees_the_path_with_the_signature() {
    let any = json!({"any": true});
    let path = json!({"url_path": {"path": {"prefix": "/members/"}}});
    let header = json!({"not_rule": {"header": {"name": ":path", "present_match": true}}});
    let method = json!({"header": {"name": ":method", "present_match": true}});
    let address = json!({"remote_ip": {"address_prefix": "192.0.2.0", "prefix_len": 24}});
    for (check, said) in [
        (jwt(), true),
        (filter("authz", "ext_authz.v3.ExtAuthz"), true),
        (filter("lua", "lua.v3.Lua"), false),
        (rbac(path.clone()), true),
        (rbac(header), true),
        (rbac(method), false),
        (rbac(address), false),
        (rbac(any.clone()), false),
    ] {
        for (kind, moves) in [("A", false), ("B", true), ("C1", true), ("C2", false)] {
            let mut config = on_cluster(&signing_by(kind));
            insert(&mut config, 0, check.clone());
            let name = check["name"].as_str().unwrap();
            let mut want = vec![format!(
                "http_connection_manager[ingress].http_filters[{name}]"
            )];
            want.retain(|_| said && moves);
            assert_eq!(warned(&config, ANOTHER), want, "{kind} {check}");
        }
    }
    // Another rbac, behind the filter, has the path as it is then.
    let mut config = checked(&signing_by("B"));
    insert(&mut config, 0, rbac(any.clone()));
    insert(&mut config, 2, rbac(path));
    assert!(warned(&config, ANOTHER).is_empty());
    // The rules of a route are rules of its path.
    let mut config = on_cluster(&signing_by("B"));
    insert(&mut config, 0, rbac(any));
    routes(&mut config)[0]["typed_per_filter_config"]["rbac"] = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"});
    assert_eq!(warned(&config, ANOTHER).len(), 1);
}

#[test]
fn a_check_behind_the_filter_sees_the_path_without_the_signature() {
    for (place, said) in [(0, 1), (1, 0)] {
        let mut config = checked(&signing_by("C1"));
        insert(&mut config, place, jwt());
        assert_eq!(warned(&config, ANOTHER).len(), said, "{place}");
    }
    // A manager that leads elsewhere has nothing to do with it; one before an internal one has.
    for (cluster, said) in [("app", 0), ("oss", 1)] {
        let mut config = on_cluster(&signing_by("B"));
        insert(&mut config, 0, jwt());
        routes(&mut config)[0]["route"]["cluster"] = json!(cluster);
        assert_eq!(warned(&config, ANOTHER).len(), said, "{cluster}");
    }
    let mut config: Value = serde_yaml_ng::from_str(&shipped("envoy/cached.yaml")).unwrap();
    let ours = &mut of_cluster(&mut config)[0]["typed_config"]["config"]["configuration"]["value"];
    let mut settings: Value = serde_json::from_str(ours.as_str().unwrap()).unwrap();
    settings["url_keys"] = signed_urls()["url_keys"].clone();
    settings["defaults"]["access"] = signing_by("B")["defaults"]["access"].clone();
    *ours = json!(settings.to_string());
    let fields = warned(&config, ANOTHER);
    assert!(fields.iter().any(|one| one.contains("jwt")), "{fields:?}");
}

#[test]
fn a_check_of_ours_by_routes_sees_it_too() {
    let client = json!({"user_agent": {"deny": ["x"]}});
    for (routes, said) in [(json!({}), 0), (json!({"objects": {"access": client}}), 1)] {
        let mut config = on_cluster(&signing_by("B"));
        let settings = json!({"defaults": {"access": client}, "routes": routes});
        insert(&mut config, 0, checker(&settings));
        assert_eq!(warned(&config, ANOTHER).len(), said, "{routes}");
    }
}

const LEFT_OUT: &str = "filters_are_left_out_by_another_path";

#[test]
fn routes_leave_no_filter_out_where_the_path_changes() {
    let place = "http_connection_manager[ingress].route_config";
    let host = format!("{place}.virtual_hosts[objects]");
    let route = format!("{host}.routes[objects]");
    for (kind, said) in [("A", false), ("B", true), ("C1", true), ("F", false)] {
        for owner in [place, &host, &route] {
            let mut config = checked(&signing_by(kind));
            insert(&mut config, 1, jwt());
            let table = &mut manager(&mut config)["route_config"];
            let message = match owner {
                _ if owner == place => table,
                _ if owner == host => &mut table["virtual_hosts"][0],
                _ => &mut table["virtual_hosts"][0]["routes"][0],
            };
            message["typed_per_filter_config"]["jwt"] = left_out();
            let mut want = vec![format!("{owner}.typed_per_filter_config.jwt")];
            want.retain(|_| said);
            assert_eq!(warned(&config, LEFT_OUT), want, "{kind}");
        }
    }
    // The filter's own message is read when the filter runs.
    let own = json!({"@type":
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
        "disabled": true});
    for (optional, said) in [(false, 0), (true, 1)] {
        let mut config = checked(&signing_by("B"));
        let mut jwt = jwt();
        jwt["disabled"] = json!(optional);
        insert(&mut config, 1, jwt);
        routes(&mut config)[0]["typed_per_filter_config"]["jwt"] = own.clone();
        assert_eq!(warned(&config, LEFT_OUT).len(), said, "{optional}");
    }
}

#[test]
fn a_checker_and_a_signer_share_no_cluster() {
    let of_client = json!({"defaults": {"access": {"user_agent": {"deny": ["x"]}}}});
    for (settings, said) in [(signed_urls(), true), (of_client, false)] {
        let mut config = minimal();
        of_cluster(&mut config).insert(0, checker(&settings));
        let mut want = vec!["configuration.defaults.access.url_signing"];
        want.retain(|_| said);
        let fields = of_rule(&config, "retries_are_refused", Severity::Error);
        assert_eq!(fields, want);
    }
    assert_good(&checked(&signed_urls()));
    assert_good(&on_cluster(&signed_urls()));
    // A rule by the host is noted, too.
    for (condition, said) in [("_match_domain_", true), ("_match_route_", false)] {
        let access = json!({"user_agent": {"deny": ["x"]}});
        let rule = json!({condition: ["objects"], "access": access});
        let settings = json!({"defaults": {"access": access}, "_rules_": [rule]});
        let mut config = minimal();
        of_cluster(&mut config).insert(0, checker(&settings));
        // One filter with such a rule shares its note with nobody.
        let fields = of_rule(&config, "retries_are_refused", Severity::Error);
        assert_eq!(fields, Vec::<String>::new());
        of_cluster(&mut config).insert(0, checker(&settings));
        let mut want = vec!["configuration._rules_[0]._match_domain_"];
        want.retain(|_| said);
        let fields = of_rule(&config, "retries_are_refused", Severity::Error);
        assert_eq!(fields, want);
    }
}

const NO_ROUTE: &str = "settings_are_of_no_route";

/// Settings of a route besides.
fn with_route(name: &str) -> Value {
    let mut settings = signed_urls();
    settings["routes"][name] = json!({"access": {"public": true}});
    settings
}

#[test]
fn settings_are_of_a_route_that_exists() {
    for make in [checked, on_cluster] {
        assert_good(&make(&with_route("objects")));
        let config = make(&with_route("object"));
        assert_eq!(warned(&config, NO_ROUTE), ["configuration.routes.object"]);
        let said = said(&config.to_string());
        assert!(said[0].contains("(there are: objects)"), "{said:?}");
    }
    // It may be the name of a route that is not seen here.
    let config = checked(&with_route("object"));
    for adapt in [
        |manager: &mut Value| manager["route_config"]["vhds"] = json!({}),
        |manager: &mut Value| {
            let manager = manager.as_object_mut().unwrap();
            manager.remove("route_config");
            manager.insert("rds".to_owned(), json!({"route_config_name": "a"}));
        },
    ] {
        let mut config = config.clone();
        adapt(manager(&mut config));
        assert!(warned(&config, NO_ROUTE).is_empty());
    }
    assert_good(&with_route("object"));
    // A route in a matcher, and in a list there.
    let route = routes(&mut config.clone())[0].clone();
    let kind = |name: &str| format!("type.googleapis.com/envoy.config.route.v3.{name}");
    let mut one = route.clone();
    one["@type"] = json!(kind("Route"));
    one["name"] = json!("object");
    let mut listed = route;
    listed["name"] = json!("object");
    let list = json!({"@type": kind("RouteList"), "routes": [listed]});
    for action in [one, list] {
        let mut config = config.clone();
        let host = &mut manager(&mut config)["route_config"]["virtual_hosts"][0];
        host["matcher"]["on_no_match"]["action"]["typed_config"] = action;
        assert!(warned(&config, NO_ROUTE).is_empty());
    }
}

#[test]
fn a_filter_that_checks_is_not_left_out() {
    let field = "http_connection_manager[ingress].route_config.virtual_hosts[objects]\
                 .routes[objects].typed_per_filter_config";
    for (make, name) in [
        (checked as fn(&Value) -> Value, "oss_access"),
        (on_cluster, "oss_origin_auth"),
    ] {
        for (of, said) in [(name, true), ("other", false)] {
            let mut config = make(&signed_urls());
            routes(&mut config)[0]["typed_per_filter_config"][of] = left_out();
            let mut want = vec![format!("{field}.{of}")];
            want.retain(|_| said);
            assert_eq!(warned(&config, "routes_leave_the_filter_out"), want);
        }
    }
    // What signs and does not check is left out as one likes.
    let mut config = listener();
    routes(&mut config)[0]["typed_per_filter_config"]["oss_origin_auth"] = left_out();
    assert_good(&config);
    // The name is that of what stands around it.
    let mut config = checked(&signed_urls());
    let ours = &mut manager(&mut config)["http_filters"][0];
    *ours = json!({"name": "around", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": ours.clone()}});
    routes(&mut config)[0]["typed_per_filter_config"]["around"] = left_out();
    assert_eq!(warned(&config, "routes_leave_the_filter_out").len(), 1);
}

const SHOWN: &str = "config_dump_shows_the_keys";

#[test]
fn keys_are_not_in_the_configuration() {
    let sidecar = json!({"sidecar": {"cluster": "sts_sidecar", "token_env": "TOKEN"}});
    let key = json!({"access_key": {"id_env": "ID", "secret_env": "SECRET"}});
    let settings = json!({
        "credentials": {"default": sidecar, "other": key},
        "url_keys": {"default": {"key_env": "URL_KEY", "backup_key_env": "BACKUP"}}});
    for (name, said) in [
        ("URL_KEY", true),
        ("BACKUP", true),
        ("TOKEN", true),
        ("ID", true),
        ("SECRET", true),
        ("ZONE", false),
    ] {
        let mut config = on_cluster(&settings);
        let vm = &mut of_cluster(&mut config)[0]["typed_config"]["config"]["vm_config"];
        vm["environment_variables"]["key_values"] = json!({name: "sesame"});
        let field = format!("vm_config.environment_variables.key_values.{name}");
        let mut want = vec![field];
        want.retain(|_| said);
        assert_eq!(of_rule(&config, SHOWN, Severity::Error), want);
        let all = common::said(&config.to_string());
        assert!(!all.concat().contains("sesame"), "{all:?}");
    }
    for (from, said) in [("HOST", 0), ("INLINE", 1)] {
        let config = json!({"kind": "WasmPlugin", "metadata": {"name": "oss-origin-auth"},
            "spec": {"pluginConfig": signed_urls(), "vmConfig": {"env": [
                {"name": "URL_KEY", "valueFrom": from, "value": "sesame"}]}}});
        let fields = of_rule(&config, SHOWN, Severity::Error);
        assert_eq!(fields.len(), said, "{fields:?}");
    }
}
