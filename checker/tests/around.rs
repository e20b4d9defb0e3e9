//! What `check` says of what stands around the filter, wherever it sits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{changed, listener, manager, routes, shipped, warned};
use oss_origin_auth_checker::{Verdict, check};
use serde_json::{Value, json};

const REDIRECTS: &str = "redirects_carry_the_signature";

fn parsed(name: &str) -> Value {
    serde_yaml_ng::from_str(&shipped(name)).unwrap()
}

/// `minimal.yaml`, with the filter on the cluster or among the listener's.
fn both() -> [Value; 2] {
    [parsed("envoy/minimal.yaml"), listener()]
}

fn mutation(removed: &[&str]) -> Value {
    let mutations: Vec<_> = removed.iter().map(|name| json!({"remove": name})).collect();
    json!({"name": "mutation", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": mutations}}})
}

#[test]
fn custom_response_takes_a_header_mutation_in_front() {
    for (from, to, good) in [
        ("remove: authorization", "remove: Authorization", true),
        ("remove: authorization", "remove: x-other", false),
        ("remove: x-oss-security-token", "remove: x-other", false),
        ("mutations:", "disabled_mutations:", false),
        (
            "- name: envoy.filters.http.header_mutation",
            "- name: envoy.filters.http.header_mutation\n            disabled: true",
            false,
        ),
        ("request_mutations:", "response_mutations:", false),
        ("request_mutations:", "requestMutations:", true),
    ] {
        let fields = warned(&changed("envoy/site.yaml", &[(from, to)]), REDIRECTS);
        let place =
            "http_connection_manager[ingress].http_filters[envoy.filters.http.custom_response]";
        match good {
            true => assert!(fields.is_empty(), "{to}: {fields:?}"),
            false => assert_eq!(fields, [place], "{to}"),
        }
    }
}

#[test]
fn internal_redirects_take_a_header_mutation_in_front() {
    let place = "http_connection_manager[ingress].routes[objects].route.internal_redirect_policy";
    for mut config in both() {
        routes(&mut config)[0]["route"]["internal_redirect_policy"] = json!({});
        assert_eq!(warned(&config.to_string(), REDIRECTS), [place]);
        let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
        let both = mutation(&["authorization", "x-oss-security-token"]);
        filters.insert(0, both);
        assert!(warned(&config.to_string(), REDIRECTS).is_empty());
    }
    // Behind the filter it would take off the signature itself.
    let mut config = listener();
    routes(&mut config)[0]["route"]["internal_redirect_policy"] = json!({});
    let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
    filters.insert(1, mutation(&["authorization", "x-oss-security-token"]));
    assert_eq!(warned(&config.to_string(), REDIRECTS), [place]);
}

#[test]
fn a_redirect_that_starts_at_another_cluster_carries_nothing() {
    let mut config = parsed("envoy/minimal.yaml");
    let mut app = common::to_app();
    app["route"]["internal_redirect_policy"] = json!({});
    routes(&mut config).insert(0, app.clone());
    assert_eq!(check(&config.to_string()).verdict(), Verdict::Good);
    // Which cluster it is, shows with the request.
    let route = app["route"].as_object_mut().unwrap();
    route.remove("cluster");
    app["route"]["cluster_header"] = json!("x-cluster");
    routes(&mut config)[0] = app;
    assert_eq!(warned(&config.to_string(), REDIRECTS).len(), 1);
}

#[test]
fn a_redirect_policy_of_a_route_counts() {
    let mut config = parsed("envoy/site.yaml");
    let custom = manager(&mut config)["http_filters"][1]["typed_config"].take();
    manager(&mut config)["http_filters"] = json!([]);
    routes(&mut config)[1]["typed_per_filter_config"] = json!({"custom": custom});
    let fields = warned(&config.to_string(), REDIRECTS);
    let place = "http_connection_manager[ingress].routes[objects].typed_per_filter_config";
    assert_eq!(fields, [place]);
}

const LOGS: &str = "logs_print_the_signature";

fn coalesce(command: &str, param: &str) -> String {
    let operators = json!({"operators": ["PROTOCOL", {"command": command, "param": param}]});
    format!("%COALESCE({operators}):10%")
}

fn log(config: &Value) -> Value {
    json!([{"name": "log", "typed_config": config}])
}

#[test]
fn no_log_prints_the_signature() {
    let text =
        |format: &str| json!({"log_format": {"text_format_source": {"inline_string": format}}});
    let json_format =
        |format: &str| json!({"log_format": {"json_format": {"deep": {"a": format}}}});
    for (format, printed) in [
        ("%REQ(AUTHORIZATION)%", 1),
        ("%REQ(authorization):8%", 1),
        ("%REQ(X-A?Authorization)%", 1),
        ("a %REQ(X-A)% %REQ(x-oss-security-token?X-B):20% b", 1),
        ("%REQUEST_HEADER(Authorization)%", 1),
        ("%REQ(AUTHORIZATION)% %REQ(X-OSS-SECURITY-TOKEN)%", 2),
        ("%REQ(X-OSS-DATE)% %REQ(X-AUTHORIZATION)%", 0),
        ("%RESP(AUTHORIZATION)% authorization", 0),
        ("%CEL(request.headers[\"authorization\"])%", 1),
        ("%CEL(request.headers['x-oss-security-token'])% a", 1),
        ("%CEL(request.headers.authorization)%", 1),
        ("%CEL(response.headers['authorization'])%", 0),
        ("%CEL(request.headers['x-authorization'])%", 0),
        (&coalesce("REQ", "x-a?Authorization"), 1),
        (&coalesce("RESP", "authorization"), 0),
        (&coalesce("REQ", "range"), 0),
    ] {
        for (name, written) in [("text", text(format)), ("json", json_format(format))] {
            for mut config in both() {
                manager(&mut config)["access_log"] = log(&written);
                let fields = warned(&config.to_string(), LOGS);
                assert_eq!(fields.len(), printed, "{name} {format}: {fields:?}");
            }
        }
    }
    let mut config = listener();
    manager(&mut config)["accessLog"] = log(&json_format("%REQ(AUTHORIZATION)%"));
    let place = "http_connection_manager[ingress].accessLog[0].typed_config.log_format.\
                 json_format.deep.a";
    assert_eq!(warned(&config.to_string(), LOGS), [place]);
}

#[test]
fn no_list_of_headers_names_the_signature() {
    for name in [
        "additional_request_headers_to_log",
        "additionalRequestHeadersToLog",
    ] {
        let mut config = listener();
        manager(&mut config)["access_log"] =
            log(&json!({name: ["range", "Authorization", "x-oss-security-token"]}));
        assert_eq!(warned(&config.to_string(), LOGS).len(), 2, "{name}");
    }
    let mut config = listener();
    manager(&mut config)["tracing"] =
        json!({"custom_tags": [{"tag": "a", "request_header": {"name": "authorization"}}]});
    assert_eq!(warned(&config.to_string(), LOGS).len(), 1);
    let mut config = listener();
    let router = &mut manager(&mut config)["http_filters"][1]["typed_config"];
    router["upstream_log"] = log(&json!({"format": "%REQ(AUTHORIZATION)%"}));
    assert_eq!(warned(&config.to_string(), LOGS).len(), 1);
    // What goes to OSS tells it nothing new.
    let mut config = parsed("envoy/minimal.yaml");
    routes(&mut config)[0]["request_headers_to_add"] =
        json!([{"header": {"key": "x-of-client", "value": "%REQ(AUTHORIZATION)%"}}]);
    assert_eq!(check(&config.to_string()).verdict(), Verdict::Good);
}

#[test]
fn no_answer_and_no_other_header_repeats_the_signature() {
    let copied = json!([{"header": {"key": "x-copy", "value": "%REQ(x-oss-security-token)%"}}]);
    let body = json!({"text_format_source": {"inline_string": "%REQ(AUTHORIZATION)%"}});
    for (index, mut config) in both().into_iter().enumerate() {
        let among_listeners = index == 1;
        let plain = config.clone();
        routes(&mut config)[0]["request_headers_to_add"] = copied.clone();
        let fields = warned(&config.to_string(), LOGS);
        assert_eq!(fields.len(), usize::from(among_listeners), "{fields:?}");

        let mut config = plain.clone();
        routes(&mut config)[0]["response_headers_to_add"] = copied.clone();
        assert_eq!(warned(&config.to_string(), LOGS).len(), 1);

        let mut config = plain.clone();
        manager(&mut config)["local_reply_config"] = json!({"body_format": body});
        assert_eq!(warned(&config.to_string(), LOGS).len(), 1);

        let mut config = plain;
        let policy = json!({"name": "custom", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy",
            "body_format": body}});
        routes(&mut config)[0]["typed_per_filter_config"] = json!({"custom": policy});
        assert_eq!(warned(&config.to_string(), LOGS).len(), 1);
    }
}

#[test]
fn the_header_of_addresses_is_no_address() {
    for (name, said) in [("X-Forwarded-For", 1), ("x-team", 0)] {
        let mut config = parsed("envoy/minimal.yaml");
        let header = json!({"header": {"name": name, "string_match": {"prefix": "10."}}});
        let rbac = json!({"name": "rbac", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"policies": {"a": {"permissions": [header], "principals": [{"any": true}]}}}}});
        let filters = manager(&mut config)["http_filters"].as_array_mut().unwrap();
        filters.insert(0, rbac);
        let place = "http_connection_manager[ingress].http_filters";
        assert_eq!(warned(&config.to_string(), ADDRESSES), vec![place; said]);
    }
}

const ADDRESSES: &str = "addresses_can_be_forged";
const ASKS_THE_CONNECTION: &str = "use_remote_address: true";

#[test]
fn an_address_that_is_checked_is_not_the_clients_to_choose() {
    let cidrs = "original_ip_detection_extensions: [{name: xff, typed_config: \
                 {xff_trusted_cidrs: {cidrs: []}}}]";
    for (written, good) in [
        ("use_remote_address: false", false),
        ("use_remote_address: null", false),
        ("xff_num_trusted_hops: 0", false),
        ("useRemoteAddress: true", true),
        ("xff_num_trusted_hops: 1", true),
        ("skip_xff_append: true", false),
        (cidrs, true),
    ] {
        let text = changed("envoy/protected.yaml", &[(ASKS_THE_CONNECTION, written)]);
        let fields = warned(&text, ADDRESSES);
        match good {
            true => assert!(fields.is_empty(), "{written}"),
            false => assert_eq!(
                fields,
                ["http_connection_manager[ingress].use_remote_address"],
                "{written}"
            ),
        }
    }
    let direct = [
        (ASKS_THE_CONNECTION, ""),
        ("remote_ip:", "direct_remote_ip:"),
    ];
    assert!(warned(&changed("envoy/protected.yaml", &direct), ADDRESSES).is_empty());
}

#[test]
fn a_manager_without_the_filter_is_no_matter_of_ours() {
    let mut config = parsed("envoy/minimal.yaml");
    let mut other = parsed("envoy/protected.yaml");
    let of_other = manager(&mut other);
    of_other["use_remote_address"] = json!(false);
    of_other["access_log"] = log(&json!({"format": "%REQ(AUTHORIZATION)%"}));
    let hosts = &mut of_other["route_config"]["virtual_hosts"];
    for route in hosts[0]["routes"].as_array_mut().unwrap() {
        route["route"]["cluster"] = json!("another");
        route["route"]["internal_redirect_policy"] = json!({});
    }
    let listener = other["static_resources"]["listeners"][0].take();
    let listeners = config["static_resources"]["listeners"].as_array_mut();
    listeners.unwrap().push(listener);
    let report = check(&config.to_string());
    assert_eq!(report.verdict(), Verdict::Good, "{:?}", report.findings);
    // Its routes may come from elsewhere.
    let last = &mut config["static_resources"]["listeners"][1]["filter_chains"][0];
    let manager = last["filters"][0]["typed_config"].as_object_mut().unwrap();
    manager.remove("route_config");
    manager.insert("rds".into(), json!({"route_config_name": "routes"}));
    let findings = check(&config.to_string()).findings;
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [LOGS, ADDRESSES]);
}
