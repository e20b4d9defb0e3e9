//! docs/SECURITY.md says which settings bring back what the filter keeps from happening,
//! and what `check` says of each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{
    cache, changed, checked, insert, jwt, left_out, listener, manager, on_cluster, routes,
    set_settings, shipped, signed_urls, signing_by, to_app,
};
use oss_origin_auth_checker::{Finding, check, rules};
use serde_json::{Value, json};

/// The rows of a table under a heading, by column.
fn table(heading: &str) -> Vec<Vec<String>> {
    let document = shipped("docs/SECURITY.md");
    let section = document.split(heading).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    // Without the head.
    rows.skip(1)
        .map(|row| {
            let columns = row.trim_matches('|').split(" | ");
            columns.map(|column| column.trim().to_owned()).collect()
        })
        .collect()
}

const SETTINGS: &str = "\n## Settings that bring it back\n";

/// Adds fields that are written as YAML to a message.
fn set(message: &mut Value, written: &str) {
    let fields: Value = serde_yaml_ng::from_str(written).unwrap();
    let fields = fields.as_object().unwrap().clone();
    message.as_object_mut().unwrap().extend(fields);
}

/// Lets a route choose its cluster.
fn choose(route: &mut Value, written: &str) {
    let action = &mut route["route"];
    action.as_object_mut().unwrap().remove("cluster");
    if written.starts_with("cluster_header: ") {
        return set(action, written);
    }
    let mut weighted = json!({"clusters": [{"name": "oss"}, {"name": "app"}]});
    set(&mut weighted, written);
    action["weighted_clusters"] = weighted;
}

/// The same of the rules of who may read, and of what a cache makes of them.
fn with_access(setting: &str) -> Option<Value> {
    let mut config = checked(&signed_urls());
    match setting {
        of_query if of_query.starts_with("query_parameters: ") => {
            let mut app = to_app();
            set(&mut app["match"], setting);
            routes(&mut config).insert(0, app);
        }
        "cache_v2" => insert(&mut config, 0, cache()),
        "\"presigned_urls\": \"require\"" => {
            config = listener();
            set_settings(&mut config, |settings| {
                settings["defaults"]["presigned_urls"] = json!("require");
            });
            insert(&mut config, 0, cache());
        }
        "{\"type\": \"B\"}" => {
            config = on_cluster(&signing_by("B"));
            insert(&mut config, 0, jwt());
        }
        "{\"type\": \"C1\"}" => {
            config = checked(&signing_by("C1"));
            insert(&mut config, 1, jwt());
            routes(&mut config)[0]["typed_per_filter_config"]["jwt"] = left_out();
        }
        "\"routes\": {\"mebmers\": …}" => {
            let mut settings = signed_urls();
            settings["routes"]["mebmers"] = settings["defaults"].clone();
            config = checked(&settings);
        }
        r#"{"_match_domain_": ["private.example.com"], "access": …}"# => {
            let mut settings = signed_urls();
            let access = settings["defaults"]["access"].clone();
            settings["defaults"]["access"] = json!({"public": true});
            settings["_rules_"] =
                json!([{"_match_domain_": ["private.example.com"], "access": access}]);
            settings.as_object_mut().unwrap().remove("routes");
            config = checked(&settings);
        }
        "FilterConfig" => {
            routes(&mut config)[0]["typed_per_filter_config"]["oss_access"] = left_out();
        }
        "key_values: {URL_KEY: a-key}" => {
            let vm = &mut manager(&mut config)["http_filters"][0]["typed_config"]["config"];
            set(&mut vm["vm_config"]["environment_variables"], setting);
        }
        _ => return None,
    }
    Some(config)
}

/// A configuration with a setting, which is good without it.
fn with(setting: &str) -> String {
    if let Some(config) = with_access(setting) {
        return config.to_string();
    }
    let mut config = listener();
    let route = &mut routes(&mut config)[0];
    match setting {
        of_match if of_match.starts_with("match: ") => {
            let mut app = to_app();
            set(&mut app, setting);
            routes(&mut config).insert(0, app);
        }
        "cluster_header: x-cluster" | "header_name: x-weight" => choose(route, setting),
        "header_value_extractor: {name: x-scope}" => {
            let mut fragment = json!({});
            set(&mut fragment, setting);
            manager(&mut config)["scoped_routes"] =
                json!({"scope_key_builder": {"fragments": [fragment]}});
        }
        of_headers if of_headers.contains("_headers_to_add: ") => set(route, setting),
        of_body if of_body.starts_with("body_format: ") => {
            let replies = &mut manager(&mut config)["local_reply_config"];
            *replies = json!({});
            set(replies, setting);
        }
        of_rbac if of_rbac.starts_with("header: ") => {
            let mut permission = json!({});
            set(&mut permission, setting);
            let rbac = json!({"name": "rbac", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                "rules": {"policies": {"a": {"permissions": [permission]}}}}});
            let filters = manager(&mut config)["http_filters"].as_array_mut();
            filters.unwrap().insert(0, rbac);
        }
        "defaults" => routes(&mut config).insert(0, to_app()),
        "request_mirror_policies: [{cluster: copy}]" => {
            route["route"]["request_mirror_policies"] = json!([{"cluster": "copy"}]);
        }
        "\"strip_prefix\": \"/media/\"" => set_settings(&mut config, |settings| {
            settings["defaults"]["strip_prefix"] = json!("/media/");
        }),
        "host_rewrite_literal" => {
            let action = route["route"].as_object_mut().unwrap();
            action.remove("host_rewrite_literal").unwrap();
        }
        "internal_redirect_policy: {}" => {
            route["route"]["internal_redirect_policy"] = json!({});
        }
        "%REQ(AUTHORIZATION)%" => {
            manager(&mut config)["access_log"] = json!([{"name": "log", "typed_config": {"log_format": {"json_format": {"a": setting}}}}]);
        }
        "use_remote_address: false" => {
            return changed(
                "envoy/protected.yaml",
                &[("use_remote_address: true", setting)],
            );
        }
        "phase: AUTHZ" => {
            return changed(
                "deploy/istio/wasm-plugin.yaml",
                &[("phase: STATS", setting)],
            );
        }
        "vm_id: \"\"" => {
            return changed("envoy/minimal.yaml", &[("vm_id: oss_origin_auth", setting)]);
        }
        of_route if of_route.starts_with('"') => {
            let defaults = "\"defaults\": {";
            let written = format!("{defaults}{setting}, ");
            return changed("envoy/minimal.yaml", &[(defaults, &written)]);
        }
        other => panic!("no test knows how to set {other}"),
    }
    config.to_string()
}

#[test]
fn each_setting_has_the_warning_that_is_named() {
    let mut named = BTreeSet::new();
    for row in table(SETTINGS) {
        let [number, setting, warning] = row.try_into().unwrap();
        if setting == "none" {
            assert_eq!(warning, "none", "{number}");
            continue;
        }
        let setting = setting.split('`').nth(1).unwrap().to_owned();
        let warning = warning.trim_matches('`').to_owned();
        let findings = check(&with(&setting)).findings;
        let said: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(
            findings.iter().any(|finding| finding.rule == warning),
            "{number}: {setting}: {said:#?}"
        );
        named.insert(warning);
    }
    // Rules of settings that are wrong, or that only cost answers, and of what stands around
    // the filter: docs/CHECK-CONFIG.md has all.
    let others = [
        "settings_are_wrong",
        "match_delegates_skip_more",
        "routes_skip_more",
        "skipped_answers_are_stripped",
        "a_failure_lasts_or_lets_pass",
        "signed_urls_are_not_stripped",
        "retries_are_refused",
        "variables_are_not_handed_over",
        "merge_keys_are_not_read",
        "envoy_does_not_know_it",
        "envoy_does_not_load_the_module",
        "the_module_is_loaded_wrongly",
        "routes_configure_the_module",
        "retries_heal_nothing",
        "timeouts_cut_downloads",
        "tries_end_before_credentials_come",
        "few_retries_at_a_time",
        "oss_is_not_verified",
        "rewrites_are_not_described",
        "prefixes_match_more",
        "caches_stand_behind_the_signer",
        "the_old_cache_mixes_parts",
        "the_admin_page_is_open",
        "configurations_share_a_vm",
        "iteration_stops_for_nothing",
        "public_endpoints_are_refused",
        "the_sidecars_cluster_is_missing",
        "the_endpoint_is_of_another_region",
        "the_cluster_is_of_another_host",
        "rules_are_never_reached",
        "buckets_are_not_signed",
        "requests_are_signed_twice",
    ];
    let known = rules().filter(|rule| !others.contains(rule));
    assert_eq!(named, known.map(str::to_owned).collect());
}

#[test]
fn both_tables_have_every_number() {
    for heading in ["\n## What goes astray\n", SETTINGS] {
        let numbers: BTreeSet<u8> = table(heading)
            .iter()
            .map(|row| row[0].parse().unwrap())
            .collect();
        assert_eq!(numbers, (1..=16).collect(), "{heading}");
    }
}
