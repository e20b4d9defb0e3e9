//! What `check` says of the filter as a native module of Envoy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    action, assert_good, checker, insert, listener, minimal, of_cluster, of_rule, remove, routes,
    said, shipped,
};
use oss_origin_auth_checker::{File, Severity, check, check_files, settings};
use serde_json::{Value, json};

const FIELD: &str = "dynamic_module_config.name";

/// `envoy/native.yaml`, with the filter on the cluster.
fn native() -> Value {
    serde_yaml_ng::from_str(&shipped("envoy/native.yaml")).unwrap()
}

/// The message of its filter.
fn ours(config: &mut Value) -> &mut Value {
    &mut of_cluster(config)[0]["typed_config"]
}

/// The findings of a rule in `envoy/native.yaml`, adapted: how bad, and the field.
fn found(adapt: impl Fn(&mut Value), rule: &str) -> Vec<(Severity, String)> {
    let mut config = native();
    adapt(&mut config);
    let findings = check(&config.to_string()).findings.into_iter();
    let of_rule = findings.filter(|one| one.rule == rule);
    of_rule.map(|one| (one.severity, one.place.field)).collect()
}

fn error(field: &str) -> Vec<(Severity, String)> {
    vec![(Severity::Error, field.to_owned())]
}

/// The native filter in place of a wasm filter of the same settings.
fn of_wasm(filter: &Value) -> Value {
    let settings = &filter["typed_config"]["config"]["configuration"];
    json!({"name": filter["name"], "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": "oss_origin_auth_native"},
        "filter_name": "oss_origin_auth", "filter_config": settings}})
}

#[test]
fn what_is_shipped_is_good_in_both_places() {
    assert_good(&native());
    let mut config = native();
    let ours = of_cluster(&mut config).remove(0);
    insert(&mut config, 0, ours);
    assert_good(&config);
}

#[test]
fn it_is_found_wherever_it_stands() {
    let whole = native();
    // In a TypedStruct, in camel case, under another name.
    let mut config = native();
    let message = ours(&mut config).clone();
    let mut fields = message.as_object().unwrap().clone();
    let kind = fields.remove("@type").unwrap();
    *ours(&mut config) = json!({"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                                "type_url": kind, "value": fields});
    let mut camel = native();
    let message = ours(&mut camel);
    for (snake, name) in [
        ("dynamic_module_config", "dynamicModuleConfig"),
        ("filter_name", "filterName"),
        ("filter_config", "filterConfig"),
    ] {
        message[name] = message[snake].take();
    }
    let mut renamed = native();
    of_cluster(&mut renamed)[0]["name"] = json!("other");
    // A patch of Istio.
    let patch = json!({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "native"}, "spec": {"configPatches": [
            {"applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE",
             "value": of_cluster(&mut native())[0]}}]}});
    for config in [whole, config, camel, renamed, patch] {
        let text = config.to_string();
        let report = check(&text);
        assert_eq!(report.checked, 1, "{:?}", report.findings);
        let found = settings(&text).unwrap();
        assert!(found[0].1.contains("\"my-bucket\""), "{found:?}");
    }
    // A module of somebody else is none of ours.
    let mut other = native();
    let message = ours(&mut other);
    message["filter_name"] = json!("other");
    message["dynamic_module_config"]["name"] = json!("other");
    of_cluster(&mut other)[0]["name"] = json!("other");
    assert_eq!(check(&other.to_string()).checked, 0);
}

#[test]
fn settings_are_read_as_envoy_hands_them_over() {
    let rule = "settings_are_wrong";
    let text = "google.protobuf.StringValue";
    for (value, good) in [
        (
            json!({"@type": text, "value": "{\"defaults\": {\"access\": {\"public\": true}}}"}),
            true,
        ),
        (
            json!({"@type": "google.protobuf.Struct", "value": {"defaults": {"access": {"public": true}}}}),
            true,
        ),
        (
            json!({"@type": "google.protobuf.BytesValue",
                "value": "eyJkZWZhdWx0cyI6IHsiYWNjZXNzIjogeyJwdWJsaWMiOiB0cnVlfX19"}),
            true,
        ),
        (json!({"@type": "google.protobuf.Struct"}), false),
        (
            json!({"@type": "google.protobuf.Int64Value", "value": 1}),
            false,
        ),
        (json!(null), false),
    ] {
        let said = found(|config| ours(config)["filter_config"] = value.clone(), rule);
        let want = if good {
            Vec::new()
        } else {
            error("filter_config")
        };
        assert_eq!(said, want, "{value}");
    }
    // The rules of all filters: what is wrong is named by its field.
    let wrong = |config: &mut Value| {
        ours(config)["filter_config"]["value"] = json!("{\"defaults\": {\"bucket\": 1}}");
    };
    let fields = found(wrong, rule);
    assert!(fields[0].1.starts_with("filter_config."), "{fields:?}");
    let forward = |config: &mut Value| {
        let value = &mut ours(config)["filter_config"]["value"];
        let changed = value.as_str().unwrap().replacen(
            "\"bucket\"",
            "\"unknown_parameters\": \"forward\", \"bucket\"",
            1,
        );
        *value = json!(changed);
    };
    assert_eq!(found(forward, "unknown_parameters_leave").len(), 1);
}

#[test]
fn an_old_envoy_does_not_load_it() {
    for (version, severity) in [
        ("1.36", Some(Severity::Error)),
        ("1.37.0", Some(Severity::Error)),
        ("1.38", Some(Severity::Note)),
        ("1.39.3", Some(Severity::Note)),
        ("1.40", None),
    ] {
        let text = shipped("envoy/native.yaml");
        let file = File {
            name: "native.yaml",
            text: &text,
        };
        let findings = check_files(&[file], version.parse().unwrap()).findings;
        let rule = "envoy_does_not_load_the_module";
        let mut said = findings.iter().filter(|one| one.rule == rule);
        let said = said.next().map(|one| one.severity);
        assert_eq!(said, severity, "{version}: {findings:?}");
    }
}

#[test]
fn envoy_finds_the_file_and_the_filter() {
    let rule = "the_module_is_loaded_wrongly";
    let named = |name: &'static str| {
        move |config: &mut Value| ours(config)["dynamic_module_config"]["name"] = json!(name)
    };
    assert_eq!(found(named("oss_origin_auth_native_0.1.0"), rule), []);
    assert_eq!(
        found(named("liboss_origin_auth_native"), rule),
        error(FIELD)
    );
    assert_eq!(
        found(named("oss_origin_auth_native.so"), rule),
        error(FIELD)
    );
    assert_eq!(
        found(named("signer"), rule),
        [(Severity::Warning, FIELD.to_owned())]
    );
    let missing = |config: &mut Value| remove(ours(config), "dynamic_module_config");
    assert_eq!(found(missing, rule), error(FIELD));
    let filter = |config: &mut Value| ours(config)["filter_name"] = json!("signer");
    assert_eq!(found(filter, rule), error("filter_name"));
    let terminal = |config: &mut Value| ours(config)["terminal_filter"] = json!(true);
    assert_eq!(found(terminal, rule), error("terminal_filter"));
    // Envoy 1.40 serves without the filter where it cannot fetch it.
    for (source, want) in [
        (json!({"local": {"filename": "/opt/x.so"}}), vec![]),
        (
            json!({"remote": {"http_uri": {}, "sha256": "a"}}),
            error("dynamic_module_config.module.remote"),
        ),
    ] {
        let given = |config: &mut Value| {
            ours(config)["dynamic_module_config"] = json!({"module": source.clone()});
        };
        assert_eq!(found(given, rule), want);
    }
}

#[test]
fn a_route_configures_no_module() {
    let rule = "routes_configure_the_module";
    let with = |name: &'static str, kind: &'static str| {
        move |config: &mut Value| {
            routes(config)[0]["typed_per_filter_config"][name] = json!({
                "@type": format!("type.googleapis.com/envoy.{kind}"),
                "per_route_config_name": "x"});
        }
    };
    let per_route = "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute";
    let said = found(with("oss_origin_auth", per_route), rule);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, Severity::Error);
    assert!(
        said[0]
            .1
            .ends_with("typed_per_filter_config.oss_origin_auth"),
        "{said:?}"
    );
    assert_eq!(found(with("other", per_route), rule), []);
    assert_eq!(
        found(
            with("oss_origin_auth", "config.route.v3.FilterConfig"),
            rule
        ),
        []
    );
}

#[test]
fn rules_of_a_vm_say_nothing_of_it() {
    // It would lack a vm_id, a failure_policy and the variables.
    let settings = json!({"url_keys": {"default": {"key_env": "URL_KEY"}},
                          "defaults": {"access": {"url_signing": {"type": "A"}}}});
    let mut config = native();
    insert(&mut config, 0, of_wasm(&checker(&settings)));
    let said = said(&config.to_string());
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn a_redirect_has_no_signature_where_the_answer_has_taken_it_off() {
    let rule = "redirects_carry_the_signature";
    let redirect = |config: &mut Value| action(config)["internal_redirect_policy"] = json!({});
    let mut on_cluster = native();
    redirect(&mut on_cluster);
    assert_good(&on_cluster);
    let mut among_listeners = native();
    let ours = of_cluster(&mut among_listeners).remove(0);
    insert(&mut among_listeners, 0, ours);
    redirect(&mut among_listeners);
    for wasm_or_native in [&mut among_listeners, &mut minimal(), &mut listener()] {
        redirect(wasm_or_native);
        assert_eq!(of_rule(wasm_or_native, rule, Severity::Warning).len(), 1);
    }
}

#[test]
fn a_log_still_prints_the_signature_of_what_nobody_answers() {
    let rule = "logs_print_the_signature";
    let mut text = shipped("envoy/native.yaml");
    text = text.replace("%DURATION%", "%REQ(AUTHORIZATION)%");
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(of_rule(&config, rule, Severity::Warning).len(), 1);
}
