//! Shipped configurations, whole and changed, and what is said of them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;

use oss_origin_auth_checker::{Finding, Severity, check};
use serde_json::{Value, json};

pub fn shipped(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// How many configurations were checked, or the first error.
pub fn check_text(text: &str) -> Result<usize, String> {
    let report = check(text);
    match report.findings.first() {
        Some(finding) if finding.severity == Severity::Error => Err(finding.to_string()),
        _ => Ok(report.checked),
    }
}

/// All findings, as they are printed.
pub fn said(text: &str) -> Vec<String> {
    let findings = check(text).findings;
    findings.iter().map(Finding::to_string).collect()
}

/// A shipped configuration after some replacements, each of which must be one.
pub fn changed(name: &str, replacements: &[(&str, &str)]) -> String {
    let mut text = shipped(name);
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// Rules of what runs, but clients suffer from, which have tests of their own.
pub const RUNNING: [&str; 6] = [
    "retries_heal_nothing",
    "timeouts_cut_downloads",
    "tries_end_before_credentials_come",
    "few_retries_at_a_time",
    "rewrites_are_not_described",
    "prefixes_match_more",
];

/// The fields of which a rule warns; all findings must be this rule's warnings, or those
/// of what only runs badly.
pub fn warned(text: &str, rule: &str) -> Vec<String> {
    let mut findings = check(text).findings;
    findings.retain(|finding| finding.rule == rule || !RUNNING.contains(&finding.rule));
    let shown: Vec<_> = findings.iter().map(Finding::to_string).collect();
    for finding in &findings {
        assert_eq!(finding.rule, rule, "{shown:#?}");
        assert_eq!(finding.severity, Severity::Warning, "{shown:#?}");
    }
    findings.into_iter().map(|one| one.place.field).collect()
}

/// `minimal.yaml` with the filter among the listener's filters.
pub fn listener() -> Value {
    let mut config: Value = serde_yaml_ng::from_str(&shipped("envoy/minimal.yaml")).unwrap();
    let cluster = &mut config["static_resources"]["clusters"][0];
    let options = cluster["typed_extension_protocol_options"]
        ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
        .as_object_mut();
    let ours = options.unwrap().remove("http_filters").unwrap()[0].clone();
    let filters = manager(&mut config)["http_filters"].as_array_mut();
    filters.unwrap().insert(0, ours);
    config
}

/// The only manager of a configuration.
pub fn manager(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The routes of its only virtual host.
pub fn routes(config: &mut Value) -> &mut Vec<Value> {
    let routes = &mut manager(config)["route_config"]["virtual_hosts"][0]["routes"];
    routes.as_array_mut().unwrap()
}

/// Gives the filter among the listener's other settings than `defaults`.
pub fn set_settings(config: &mut Value, adapt: impl Fn(&mut Value)) {
    let ours = &mut manager(config)["http_filters"][0]["typed_config"]["config"];
    let text = ours["configuration"]["value"].as_str().unwrap();
    let mut settings = serde_json::from_str(text).unwrap();
    adapt(&mut settings);
    ours["configuration"]["value"] = json!(settings.to_string());
}

/// A route to another cluster.
pub fn to_app() -> Value {
    json!({"name": "app", "match": {"prefix": "/app/"},
           "route": {"cluster": "app", "host_rewrite_literal": "app.example.com"}})
}

/// The filter among the listener's, which signs the route `objects` alone.
pub fn by_name() -> Value {
    let mut config = listener();
    routes(&mut config).insert(0, to_app());
    set_settings(&mut config, |settings| {
        settings["routes"]["objects"] = settings["defaults"].take();
        settings["routes"]["objects"]["enabled"] = json!(true);
        settings["defaults"] = json!({"enabled": false});
    });
    config
}

/// `minimal.yaml` as it is.
pub fn minimal() -> Value {
    serde_yaml_ng::from_str(&shipped("envoy/minimal.yaml")).unwrap()
}

/// Settings that check signed URLs, and nothing else.
pub fn signed_urls() -> Value {
    json!({"url_keys": {"default": {"key_env": "URL_KEY"}},
           "defaults": {"access": {"url_signing": {"type": "A"}}}})
}

/// The filter that checks, with these settings.
pub fn checker(settings: &Value) -> Value {
    json!({"name": "oss_access", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "oss_access",
            "failure_policy": "FAIL_RELOAD",
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue",
                              "value": settings.to_string()},
            "vm_config": {
                "vm_id": "oss_access", "runtime": "envoy.wasm.runtime.v8",
                "environment_variables": {"host_env_keys": ["URL_KEY"]},
                "code": {"local": {"filename": "/etc/envoy/oss_origin_auth.wasm"}}}}}})
}

/// Puts a filter among those of the only manager.
pub fn insert(config: &mut Value, place: usize, filter: Value) {
    let filters = manager(config)["http_filters"].as_array_mut();
    filters.unwrap().insert(place, filter);
}

/// `minimal.yaml` with a filter in front that checks.
pub fn checked(settings: &Value) -> Value {
    let mut config = minimal();
    insert(&mut config, 0, checker(settings));
    config
}

/// A filter of this name and type.
pub fn filter(name: &str, kind: &str) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}");
    json!({"name": name, "typed_config": {"@type": kind}})
}

/// A cache.
pub fn cache() -> Value {
    filter("cache", "cache_v2.v3.CacheV2Config")
}

/// A check by tokens.
pub fn jwt() -> Value {
    filter("jwt", "jwt_authn.v3.JwtAuthentication")
}

/// What leaves a filter out on a route.
pub fn left_out() -> Value {
    json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true})
}

/// Settings that check signed URLs of a type.
pub fn signing_by(kind: &str) -> Value {
    let mut settings = signed_urls();
    settings["defaults"]["access"]["url_signing"]["type"] = json!(kind);
    settings
}

/// The filters of the only cluster of `minimal.yaml` that has some.
pub fn of_cluster(config: &mut Value) -> &mut Vec<Value> {
    let clusters = config["static_resources"]["clusters"].as_array_mut();
    let oss = clusters
        .unwrap()
        .iter_mut()
        .find(|one| one["name"] == "oss");
    let options = &mut oss.unwrap()["typed_extension_protocol_options"];
    let options = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    options["http_filters"].as_array_mut().unwrap()
}

/// `minimal.yaml` with these settings besides, for the filter of its cluster.
pub fn on_cluster(settings: &Value) -> Value {
    let mut config = minimal();
    let ours = &mut of_cluster(&mut config)[0]["typed_config"]["config"];
    let text = ours["configuration"]["value"].as_str().unwrap();
    let mut all: Value = serde_json::from_str(text).unwrap();
    for (name, value) in settings.as_object().unwrap() {
        let given = all[name].as_object().cloned().unwrap_or_default();
        let given = given.into_iter().chain(value.as_object().unwrap().clone());
        all[name] = Value::Object(given.collect());
    }
    ours["configuration"]["value"] = json!(all.to_string());
    ours["vm_config"]["environment_variables"] = json!({"host_env_keys": ["URL_KEY"]});
    config
}

/// The fields of the findings of a rule, each of which is this bad.
pub fn of_rule(config: &Value, rule: &str, severity: Severity) -> Vec<String> {
    let findings = check(&config.to_string()).findings.into_iter();
    let of_rule = findings.filter(|finding| finding.rule == rule);
    let alike = of_rule.inspect(|one| assert_eq!(one.severity, severity, "{one}"));
    alike.map(|finding| finding.place.field).collect()
}

/// That nothing is said.
pub fn assert_good(config: &Value) {
    let said = said(&config.to_string());
    assert!(said.is_empty(), "{said:#?}");
}

/// The cluster of OSS.
pub fn cluster(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["clusters"][0]
}

/// What a rule says of `minimal.yaml`, adapted.
pub fn warned_on_cluster(adapt: impl Fn(&mut Value), rule: &str) -> Vec<String> {
    let mut config = minimal();
    adapt(&mut config);
    of_rule(&config, rule, Severity::Warning)
}

/// What a rule says of the filter among the listener's, adapted.
pub fn warned_among_listeners(adapt: impl Fn(&mut Value), rule: &str) -> Vec<String> {
    let mut config = listener();
    adapt(&mut config);
    of_rule(&config, rule, Severity::Warning)
}

/// What the only route does.
pub fn action(config: &mut Value) -> &mut Value {
    &mut routes(config)[0]["route"]
}

/// Takes a field out.
pub fn remove(message: &mut Value, field: &str) {
    message.as_object_mut().unwrap().remove(field).unwrap();
}
