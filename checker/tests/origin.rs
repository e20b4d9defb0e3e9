//! Rules of the way to OSS, and of what Envoy and the VM of the filter are given.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    changed, cluster, of_rule, remove, said, shipped, warned_among_listeners as warned_there,
    warned_on_cluster as warned,
};
use oss_origin_auth_checker::{Severity, Verdict, check};
use serde_json::{Value, json};

#[test]
fn retries_have_room() {
    let rule = "few_retries_at_a_time";
    let field = "cluster[oss].circuit_breakers.thresholds.max_retries";
    for (breakers, good) in [
        (json!({"thresholds": [{"max_retries": 1000}]}), true),
        (json!({"thresholds": [{"maxRetries": 100}]}), true),
        (json!({"thresholds": [{"retry_budget": {}}]}), true),
        // Envoy takes one for a list of it, a text for a number, and names in any case.
        (json!({"thresholds": {"max_retries": "100"}}), true),
        (
            json!({"thresholds": [{"priority": "default", "max_retries": 100}]}),
            true,
        ),
        (json!({"thresholds": [{"max_retries": 3}]}), false),
        (json!({"thresholds": [{"max_requests": 1000}]}), false),
        (
            json!({"thresholds": [{"priority": "HIGH", "max_retries": 1000}]}),
            false,
        ),
        (json!(null), false),
    ] {
        let adapt = |config: &mut Value| cluster(config)["circuit_breakers"] = breakers.clone();
        let want = Vec::from_iter((!good).then_some(field));
        assert_eq!(warned(adapt, rule), want, "{breakers}");
    }
}

/// A place in the cluster's TLS, and what it is set to; `null` takes it out.
#[test]
fn oss_is_known_by_its_certificate() {
    let rule = "oss_is_not_verified";
    let verification = "cluster[oss].transport_socket.common_tls_context.validation_context";
    let sni = "cluster[oss].transport_socket.sni";
    let tls = |config: &mut Value, field: &str, value: &Value| {
        cluster(config)["transport_socket"]["typed_config"][field] = value.clone();
    };
    let ca = json!({"filename": "ca.crt"});
    let names = json!([{"san_type": "DNS", "matcher": {"exact": "a"}}]);
    for (field, value, want) in [
        ("sni", json!(null), Some(sni)),
        ("sni", json!(""), Some(sni)),
        ("common_tls_context", json!(null), Some(verification)),
        (
            "common_tls_context",
            json!({"validation_context": {"trusted_ca": ca}}),
            Some(verification),
        ),
        (
            "common_tls_context",
            json!({"validation_context": {"match_typed_subject_alt_names": names}}),
            Some(verification),
        ),
        (
            "common_tls_context",
            json!({"validation_context": {"trusted_ca": ca, "match_typed_subject_alt_names": names,
                   "trust_chain_verification": "ACCEPT_UNTRUSTED"}}),
            Some(verification),
        ),
        (
            "common_tls_context",
            json!({"validationContext": {"trustedCa": ca, "matchSubjectAltNames": names}}),
            None,
        ),
        (
            "common_tls_context",
            json!({"validation_context_sds_secret_config": {"name": "ca"}}),
            None,
        ),
        (
            "common_tls_context",
            json!({"validation_context": {"system_root_certs": {}},}),
            Some(verification),
        ),
    ] {
        let said = warned(|config| tls(config, field, &value), rule);
        assert_eq!(said, Vec::from_iter(want), "{field}: {value}");
    }
    let by_sni = |config: &mut Value| {
        let context = json!({"validation_context": {"system_root_certs": {}}});
        tls(config, "common_tls_context", &context);
        tls(config, "auto_sni_san_validation", &json!(true));
    };
    assert!(warned(by_sni, rule).is_empty());
    let typed = |config: &mut Value| {
        let socket = &mut cluster(config)["transport_socket"]["typed_config"];
        let kind = socket["@type"].take();
        let value = json!({"common_tls_context": socket["common_tls_context"]});
        *socket = json!({"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
                         "type_url": kind, "value": value});
    };
    assert_eq!(warned(typed, rule), [sni]);
    // Among the listener's filters the route says which cluster it is.
    let there = warned_there(|config| tls(config, "sni", &json!(null)), rule);
    assert_eq!(there, [sni]);
}

#[test]
fn no_signature_leaves_for_the_world_without_tls() {
    let rule = "oss_is_not_verified";
    for (host, good) in [
        ("my-bucket.oss-cn-hangzhou.aliyuncs.com", false),
        ("my-bucket.oss-cn-hangzhou-internal.aliyuncs.com", true),
        ("127.0.0.1", true),
    ] {
        let adapt = |config: &mut Value| {
            let cluster = cluster(config);
            remove(cluster, "transport_socket");
            cluster["load_assignment"] = json!({"endpoints": [{"lb_endpoints": [{"endpoint":
                {"address": {"socket_address": {"address": host, "port_value": 80}}}}]}]});
        };
        let want = Vec::from_iter((!good).then_some("cluster[oss].transport_socket"));
        assert_eq!(warned(adapt, rule), want, "{host}");
    }
}

#[test]
fn the_admin_page_stays_here() {
    let rule = "the_admin_page_is_open";
    let field = "admin.address.socket_address.address";
    let at = |address: &str| json!({"address": {"socket_address": {"address": address}}});
    for (admin, good) in [
        (at("127.0.0.1"), true),
        (at("127.1.2.3"), true),
        (at("::1"), true),
        (at("localhost"), true),
        (
            json!({"address": {"pipe": {"path": "/run/admin.sock"}}}),
            true,
        ),
        (json!({}), true),
        (at("0.0.0.0"), false),
        (at("::"), false),
        (at("10.0.0.1"), false),
        (at(""), false),
    ] {
        let adapt = |config: &mut Value| config["admin"] = admin.clone();
        let want = Vec::from_iter((!good).then_some(field));
        assert_eq!(warned(adapt, rule), want, "{admin}");
    }
}

#[test]
fn variables_are_handed_over() {
    let rule = "variables_are_not_handed_over";
    let field = "vm_config.environment_variables.host_env_keys";
    let token = "{\"cluster\": \"sts_sidecar\", \"token_env\": \"TOKEN\"}";
    let key = "{\"access_key\": {\"id_env\": \"ID\", \"secret_env\": \"SECRET\"}}";
    let sidecar = "{\"sidecar\": {\"cluster\": \"sts_sidecar\"}}";
    for (from, to, handed, missing) in [
        ("{\"cluster\": \"sts_sidecar\"}", token, "", 1),
        ("{\"cluster\": \"sts_sidecar\"}", token, "TOKEN", 0),
        ("{\"cluster\": \"sts_sidecar\"}", token, "OTHER", 1),
        (sidecar, key, "ID", 1),
        (sidecar, key, "ID, SECRET", 0),
        (sidecar, key, "", 2),
    ] {
        let vm =
            format!("vm_id: oss_origin_auth, environment_variables: {{host_env_keys: [{handed}]}}");
        let vm = vm.replace(", ", "\n                ").replacen(
            "\n                SECRET",
            ", SECRET",
            1,
        );
        let text = changed(
            "envoy/minimal.yaml",
            &[(from, to), ("vm_id: oss_origin_auth", &vm)],
        );
        let config: Value = serde_yaml_ng::from_str(&text).unwrap();
        let said = of_rule(&config, rule, Severity::Error);
        assert_eq!(said, vec![field; missing], "{to} {handed}");
    }
    for (name, from, field) in [
        (
            "deploy/istio/wasm-plugin.yaml",
            "valueFrom: HOST",
            "vmConfig.env",
        ),
        (
            "deploy/envoy-gateway/extension-policy.yaml",
            "env: {hostKeys: [STS_SIDECAR_TOKEN]}",
            "env.hostKeys",
        ),
    ] {
        let findings = check(&changed(name, &[(from, "other: a")])).findings;
        let mut fields = findings.iter().filter(|one| one.rule == rule);
        // A value in the manifest is another finding.
        let inline = findings
            .iter()
            .any(|one| one.rule == "config_dump_shows_the_keys");
        let said = fields.any(|one| one.place.field == field);
        assert!(said || inline, "{name}: {findings:?}");
    }
}

#[test]
fn a_configuration_has_a_vm_of_its_own() {
    let rule = "configurations_share_a_vm";
    let adapt = |bucket: &'static str, id: &'static str| {
        move |config: &mut Value| {
            let mut other = cluster(config).clone();
            other["name"] = json!("other");
            let text = other.to_string().replace("my-bucket", bucket);
            let text = text.replace(
                "\"vm_id\":\"oss_origin_auth\"",
                &format!("\"vm_id\":\"{id}\""),
            );
            let clusters = config["static_resources"]["clusters"]
                .as_array_mut()
                .unwrap();
            clusters.push(serde_json::from_str(&text).unwrap());
        }
    };
    assert_eq!(
        warned(adapt("their-bucket", "oss_origin_auth"), rule),
        ["vm_config.vm_id"]
    );
    assert!(warned(adapt("their-bucket", "other"), rule).is_empty());
    assert!(warned(adapt("my-bucket", "oss_origin_auth"), rule).is_empty());
}

#[test]
fn an_option_that_is_not_needed_is_told() {
    let rule = "iteration_stops_for_nothing";
    for (value, said) in [("true", 1), ("false", 0)] {
        let policy = "failure_policy: FAIL_RELOAD";
        let with = format!("{policy}\n              allow_on_headers_stop_iteration: {value}");
        let text = changed("envoy/minimal.yaml", &[(policy, &with)]);
        let config: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(
            of_rule(&config, rule, Severity::Warning).len(),
            said,
            "{value}"
        );
    }
}

#[test]
fn a_public_endpoint_of_the_mainland_is_a_note() {
    let rule = "public_endpoints_are_refused";
    let text = shipped("envoy/minimal.yaml").replace("-internal.aliyuncs", ".aliyuncs");
    let report = check(&text);
    let rules: Vec<_> = report.findings.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [rule]);
    assert_eq!(report.count(Severity::Note), 1);
    assert_eq!(report.verdict(), Verdict::Good);
    let abroad = text.replace("cn-hangzhou", "ap-southeast-1");
    assert_eq!(said(&abroad), Vec::<String>::new());
}

#[test]
fn an_endpoint_of_another_region_is_told() {
    let rule = "the_endpoint_is_of_another_region";
    let region = "\"region\": \"cn-hangzhou\"";
    let other = "\"region\": \"cn-shanghai\"";
    let text = changed("envoy/minimal.yaml", &[(region, other)]);
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(of_rule(&config, rule, Severity::Warning).len(), 1);
    let finance = "\"region\": \"cn-hangzhou-finance\"";
    let text = changed("envoy/minimal.yaml", &[(region, finance)]);
    assert_eq!(said(&text), Vec::<String>::new());
}

#[test]
fn routes_that_inherit_an_endpoint_say_nothing_more_of_it() {
    let rule = "the_endpoint_is_of_another_region";
    let fields = |settings: Value| -> Vec<String> {
        let settings = json!({"credentials": {"default": {"sidecar": {"cluster": "c"}}}})
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .chain(settings.as_object().unwrap().clone());
        of_rule(&Value::Object(settings.collect()), rule, Severity::Warning)
    };
    let wrong = json!({"bucket": "my-bucket", "region": "cn-shanghai",
                       "endpoint": "oss-cn-hangzhou-internal.aliyuncs.com"});
    let inherits = json!({"key_prefix": "a/"});
    let routes = json!({"a": inherits, "b": inherits});
    let field = "defaults.endpoint";
    assert_eq!(
        fields(json!({"defaults": wrong, "routes": routes})),
        [field]
    );
    // Also where the defaults are not complete.
    let place = json!({"region": "cn-shanghai", "endpoint": wrong["endpoint"]});
    let routes = json!({"a": {"bucket": "bucket-a"}, "b": {"bucket": "bucket-b"}});
    assert_eq!(
        fields(json!({"defaults": place, "routes": routes})),
        [field]
    );
    let good =
        json!({"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": wrong["endpoint"]});
    let routes = json!({"a": {"region": "cn-shanghai"},
                        "b": {"endpoint": "oss-cn-beijing.aliyuncs.com"}, "c": inherits});
    let both = ["routes.a.region", "routes.b.endpoint"];
    assert_eq!(fields(json!({"defaults": good, "routes": routes})), both);
}

#[test]
fn a_cluster_is_that_of_the_host_that_is_signed_for() {
    let rule = "the_cluster_is_of_another_host";
    let address = |config: &mut Value, host: &str| {
        let endpoints = &mut cluster(config)["load_assignment"]["endpoints"][0];
        let endpoint = &mut endpoints["lb_endpoints"][0]["endpoint"];
        endpoint["address"]["socket_address"]["address"] = json!(host);
    };
    let sni = |config: &mut Value, host: &str| {
        cluster(config)["transport_socket"]["typed_config"]["sni"] = json!(host);
    };
    let verified = |config: &mut Value, host: &str| {
        let tls = &mut cluster(config)["transport_socket"]["typed_config"];
        let context = &mut tls["common_tls_context"]["validation_context"];
        context["match_typed_subject_alt_names"][0]["matcher"]["exact"] = json!(host);
    };
    type Set<'a> = &'a dyn Fn(&mut Value, &str);
    let settings: [(Set, &str); 3] = [
        (&address, "load_assignment"),
        (&sni, "transport_socket.sni"),
        (
            &verified,
            "transport_socket.common_tls_context.validation_context.match_typed_subject_alt_names",
        ),
    ];
    for (set, field) in settings {
        for (host, good) in [
            ("oss-cn-hangzhou-internal.aliyuncs.com", true),
            ("MY-bucket.oss-cn-hangzhou-internal.aliyuncs.com", true),
            // A proxy, an address, a domain of the bucket's owner.
            ("proxy.example.com", true),
            ("10.0.0.1", true),
            ("other.oss-cn-hangzhou-internal.aliyuncs.com", false),
            ("my-bucket.oss-cn-hangzhou.aliyuncs.com", false),
            ("my-bucket.oss-cn-beijing-internal.aliyuncs.com", false),
        ] {
            let field = format!("cluster[oss].{field}");
            let want = Vec::from_iter((!good).then_some(field));
            assert_eq!(warned(|config| set(config, host), rule), want, "{host}");
            assert_eq!(
                warned_there(|config| set(config, host), rule),
                want,
                "{host}"
            );
        }
    }
    // What is signed for a domain of the owner's may go anywhere.
    let text = changed(
        "envoy/minimal.yaml",
        &[(
            "\"endpoint\": \"oss-cn-hangzhou-internal.aliyuncs.com\"",
            "\"endpoint\": \"img.example.com\", \"addressing\": \"cname\"",
        )],
    );
    let config: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert!(of_rule(&config, rule, Severity::Warning).is_empty());
}
