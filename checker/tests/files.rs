//! What is read, and what is looked at together.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{changed, minimal, said, shipped};
use oss_origin_auth_checker::{File, Finding, Report, Severity, Verdict, Version, check_files};
use serde_json::{Value, json};

fn check(files: &[(&str, &str)]) -> Report {
    let files = files.iter().map(|(name, text)| File { name, text });
    check_files(&files.collect::<Vec<_>>(), Version::default())
}

fn shown(report: &Report) -> Vec<String> {
    report.findings.iter().map(Finding::to_string).collect()
}

/// The field and the rule of each finding.
fn found(report: &Report) -> Vec<(&str, &str)> {
    let findings = report.findings.iter();
    findings
        .map(|one| (one.place.field.as_str(), one.rule))
        .collect()
}

/// A manifest's documents as two files: that with the filter, and the others.
fn apart(text: &str) -> [String; 2] {
    let (filter, others) = text.split_once("\n---\n").unwrap();
    [filter.to_owned(), others.to_owned()]
}

const ISTIO: &str = "deploy/istio/wasm-plugin.yaml";
const GATEWAY: &str = "deploy/envoy-gateway/extension-policy.yaml";
const HIGRESS: &str = "deploy/higress/wasm-plugin.yaml";

/// The manifest, what stands there, what it becomes; the field and the rule that are said.
const OF_ROUTES: [[&str; 5]; 12] = [
    [
        ISTIO,
        "rewrite: {authority: ",
        "rewrite: {uri: /site/, authority: ",
        "VirtualService[objects].http[objects].rewrite.uri",
        "rewrites_are_not_described",
    ],
    [
        GATEWAY,
        "urlRewrite: {hostname: ",
        "urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /site}, hostname: ",
        "HTTPRoute[objects].rules[0].filters.urlRewrite.path",
        "rewrites_are_not_described",
    ],
    [
        ISTIO,
        "rewrite: {authority: my-bucket.",
        "rewrite: {authority: other.",
        "VirtualService[objects].http[objects].rewrite.authority",
        "rewrites_are_not_described",
    ],
    [
        ISTIO,
        "retries:",
        "timeout: 30s\n    retries:",
        "VirtualService[objects].http[objects].timeout",
        "timeouts_cut_downloads",
    ],
    [
        ISTIO,
        "rewrite: {authority: ",
        "rewrite: {other: ",
        "VirtualService[objects].http[objects].rewrite.authority",
        "routes_keep_the_clients_host",
    ],
    [
        ISTIO,
        "- name: objects\n    rewrite",
        "- name: object\n    rewrite",
        "pluginConfig.routes.objects",
        "settings_are_of_no_route",
    ],
    [
        ISTIO,
        "- name: objects\n    rewrite",
        "- name: objects\n    match: [{uri: {prefix: /media}}]\n    rewrite",
        "VirtualService[objects].http[objects].match.uri.prefix",
        "prefixes_match_more",
    ],
    [
        GATEWAY,
        "urlRewrite: {hostname: my-bucket.",
        "urlRewrite: {hostname: other.",
        "HTTPRoute[objects].rules[0].filters.urlRewrite.hostname",
        "rewrites_are_not_described",
    ],
    [
        GATEWAY,
        "timeouts: {request: 0s}",
        "other: {}",
        "HTTPRoute[objects].rules[0].timeouts.request",
        "timeouts_cut_downloads",
    ],
    [
        GATEWAY,
        "hostnames: [objects.",
        "hostnames: [other.",
        "config.routes.httproute/default/objects/rule/0/match/0/objects_example_com",
        "settings_are_of_no_route",
    ],
    [
        HIGRESS,
        "upstream-vhost: my-bucket.",
        "upstream-vhost: other.",
        "Ingress[objects].spec.annotations.higress.io/upstream-vhost",
        "rewrites_are_not_described",
    ],
    [
        HIGRESS,
        "higress.io/destination",
        "higress.io/timeout: \"30\"\n    higress.io/destination",
        "Ingress[objects].spec.annotations.higress.io/timeout",
        "timeouts_cut_downloads",
    ],
];

#[test]
fn a_plugin_and_its_routes_are_looked_at_together() {
    for [name, from, to, field, rule] in OF_ROUTES {
        let text = changed(name, &[(from, to)]);
        let [filter, others] = apart(&text);
        let report = check(&[("filter.yaml", &filter), ("routes.yaml", &others)]);
        assert_eq!(
            found(&report),
            [(field, rule)],
            "{to}: {:#?}",
            shown(&report)
        );
        let file = report.findings[0].place.file.as_deref();
        let of_filter = rule == "settings_are_of_no_route";
        let want = if of_filter {
            "filter.yaml"
        } else {
            "routes.yaml"
        };
        assert_eq!(file, Some(want), "{to}");
        // The order is no matter, and both may stand in one file.
        let turned = check(&[("routes.yaml", &others), ("filter.yaml", &filter)]);
        assert_eq!(found(&turned), found(&report), "{to}");
        assert_eq!(found(&check(&[("", &text)])), found(&report), "{to}");
        // By itself the filter is good: its routes may be anywhere.
        assert_eq!(check(&[("filter.yaml", &filter)]).verdict(), Verdict::Good);
    }
}

#[test]
fn the_cluster_of_an_envoy_filter_is_looked_at_with_its_routes() {
    for (from, to, field, rule) in [
        (
            "timeout: 0s",
            "timeout: 20s",
            "EnvoyFilter[oss-origin-auth].routes[objects].route.timeout",
            "timeouts_cut_downloads",
        ),
        (
            ", max_retries: 1000",
            "",
            "cluster[oss].circuit_breakers.thresholds.max_retries",
            "few_retries_at_a_time",
        ),
        (
            "x-origin-auth-retry",
            "x-other",
            "EnvoyFilter[oss-origin-auth].routes[objects].route.retry_policy",
            "retries_heal_nothing",
        ),
    ] {
        let report = check(&[(
            "a.yaml",
            &changed("deploy/istio/envoy-filter.yaml", &[(from, to)]),
        )]);
        assert_eq!(found(&report), [(field, rule)], "{:#?}", shown(&report));
    }
}

#[test]
fn istio_verifies_oss_by_a_manifest_of_its_own() {
    let public = |text: &str| text.replace("-internal.aliyuncs", ".aliyuncs");
    let shipped = shipped(ISTIO);
    let skipped = shipped.replace(
        "mode: SIMPLE",
        "mode: SIMPLE\n      insecureSkipVerify: true",
    );
    let plain = shipped.replace("mode: SIMPLE", "mode: DISABLE");
    for (text, said) in [
        (skipped, Some("insecureSkipVerify")),
        // The internal endpoint may be without TLS.
        (plain.clone(), None),
        (public(&plain), Some("mode")),
        (public(&shipped), None),
    ] {
        let report = check(&[("", &text)]);
        let mut found = found(&report);
        found.retain(|(_, rule)| *rule != "public_endpoints_are_refused");
        let field = said.map(|name| format!("DestinationRule[oss].trafficPolicy.tls.{name}"));
        let want = field
            .iter()
            .map(|field| (field.as_str(), "oss_is_not_verified"));
        assert_eq!(found, Vec::from_iter(want), "{:#?}", shown(&report));
    }
}

#[test]
fn routes_of_other_gateways_have_other_names() {
    // An HTTPRoute says nothing of a WasmPlugin's routes, nor the other way round.
    let [istio, services] = apart(&shipped(ISTIO));
    let [gateway, routes] = apart(&shipped(GATEWAY));
    for [filter, others] in [[&istio, &routes], [&gateway, &services]] {
        let report = check(&[("filter.yaml", filter), ("routes.yaml", others)]);
        assert_eq!(report, Report::new(1, Vec::new()));
    }
}

#[test]
fn configurations_of_envoy_are_looked_at_one_by_one() {
    let files = [
        "envoy/minimal.yaml",
        "envoy/cached.yaml",
        "envoy/signed-urls.yaml",
    ];
    let texts = files.map(|name| (name, shipped(name)));
    let files = texts.each_ref().map(|(name, text)| (*name, text.as_str()));
    assert_eq!(check(&files), Report::new(5, Vec::new()));
    // One of them has none of ours.
    let other = ("other.yaml", "static_resources: {clusters: []}");
    let report = check(&[files[0], other]);
    assert_eq!(report.checked, 1);
    assert_eq!(report.findings[0].place.file.as_deref(), Some("other.yaml"));
    assert_eq!(report.verdict(), Verdict::Errors);
}

#[test]
fn an_envoy_and_the_files_that_it_reads_are_looked_at_together() {
    let mut config = minimal();
    let clusters = config["static_resources"]["clusters"].take();
    config["dynamic_resources"] = json!({"cds_config": {"path": "cds.json"}});
    let mut resources = clusters.as_array().unwrap().clone();
    for one in &mut resources {
        one["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
    }
    resources[0]["circuit_breakers"].take();
    let cds = json!({"resources": resources}).to_string();
    let report = check(&[("envoy.json", &config.to_string()), ("cds.json", &cds)]);
    let rules: Vec<_> = found(&report);
    let field = "cluster[oss].circuit_breakers.thresholds.max_retries";
    assert_eq!(
        rules,
        [(field, "few_retries_at_a_time")],
        "{:#?}",
        shown(&report)
    );
}

#[test]
fn a_config_map_may_hold_an_envoy() {
    let map = |text: &str| json!({"kind": "ConfigMap", "metadata": {"name": "envoy"}, "data": {"envoy.yaml": text}});
    let good = map(&shipped("envoy/minimal.yaml"));
    assert_eq!(
        check(&[("", &good.to_string())]),
        Report::new(1, Vec::new())
    );
    let bad = map(&changed(
        "envoy/minimal.yaml",
        &[("timeout: 0s", "timeout: 9s")],
    ));
    let list = json!({"kind": "List", "items": [{"kind": "Deployment"}, bad]});
    for text in [bad.to_string(), list.to_string()] {
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(
            said[0].starts_with("warning: envoy.yaml of envoy: filter oss_origin_auth in oss: "),
            "{said:?}"
        );
    }
    let broken = map("static_resources: [");
    let said = said(&broken.to_string());
    assert!(said[0].contains("it cannot be read"), "{said:?}");
    // With the manifests of the deployment beside it.
    let deployment = shipped("deploy/kubernetes/envoy-with-sidecar.yaml");
    let text = format!("{deployment}\n---\n{good}");
    assert_eq!(check(&[("all.yaml", &text)]), Report::new(1, Vec::new()));
}

#[test]
fn every_shipped_file_is_good() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let mut folders = vec![root.join("envoy"), root.join("deploy")];
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if [".yaml", ".yml", ".json"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                all.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(all.len() > 15, "{}", all.len());
    let mut filters = 0;
    for (name, text) in &all {
        let report = check(&[(name, text)]);
        filters += report.checked;
        match report.checked {
            // Not ours: what stands around it in a deployment.
            0 => assert!(
                report.findings.iter().all(|one| one.rule.is_empty()),
                "{name}"
            ),
            _ => assert!(report.findings.is_empty(), "{name}: {:#?}", shown(&report)),
        }
    }
    assert!(filters > 15, "{filters}");
    // And all at once.
    let all = all
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let all: Vec<_> = all.filter(|(name, _)| !name.contains("grafana")).collect();
    let report = check(&all);
    assert_eq!((report.checked, shown(&report)), (filters, Vec::new()));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    // Another application beside ours, as others write their Envoy.
    let mut config = minimal();
    let host = &mut common::manager(&mut config)["route_config"]["virtual_hosts"];
    let app = json!({"name": "app", "domains": ["app.example.com", "*.app.example.com"], "routes": [
        {"match": {"prefix": "/content"}, "route": {"cluster": "app", "idle_timeout": "15s",
            "prefix_rewrite": "/", "host_rewrite_literal": "www.example.com"}},
        {"match": {"prefix": "/old"}, "redirect": {"path_redirect": "/new"}},
        {"match": {"safe_regex": {"regex": "/a.*"}}, "route": {"cluster_header": "x-cluster"}},
        {"match": {"prefix": "/grpc", "grpc": {}}, "route": {"cluster": "app", "timeout": "5s",
            "retry_policy": {"retry_on": "5xx", "retriable_status_codes": [403]}}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 403,
            "body": {"inline_string": "denied"}}}]});
    host.as_array_mut().unwrap().insert(0, app);
    let clusters = config["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap();
    clusters.push(json!({"name": "app", "type": "LOGICAL_DNS", "dns_lookup_family": "V4_ONLY",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint":
            {"address": {"socket_address": {"address": "www.example.com", "port_value": 443}}}}]}]},
        "transport_socket": {"name": "tls", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"}},
        "typed_extension_protocol_options":
            {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
                {"explicit_http_config": {"http2_protocol_options": {}}}}}));
    let listeners = config["static_resources"]["listeners"]
        .as_array_mut()
        .unwrap();
    listeners.push(
        json!({"name": "tcp", "internal_listener": {}, "filter_chains": [{"filters": [
        {"name": "tcp", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "tcp", "cluster": "app"}}]}]}),
    );
    assert_eq!(said(&config.to_string()), Vec::<String>::new());
}

#[test]
fn a_version_of_envoy_has_its_fields() {
    let of = |name: &str, version: &str| {
        let text = shipped(name);
        let version = version.parse().unwrap();
        check_files(&[File { name, text: &text }], version)
    };
    for version in ["1.36", "1.36.4", "v1.37.0", "1.38", "1.39.3", "1.40"] {
        assert_eq!(of("envoy/minimal.yaml", version).verdict(), Verdict::Good);
        let new = !version.contains("1.36") && !version.contains("1.37");
        let report = of("envoy/cached.yaml", version);
        assert_eq!(report.findings.is_empty(), new, "{version}");
        if let Some(finding) = report.findings.first() {
            assert_eq!(finding.severity, Severity::Error);
            assert!(
                finding.place.field.ends_with("weaken_etag_on_compress"),
                "{finding}"
            );
        }
    }
    // Not tried.
    for version in ["1.41", "2.0"] {
        let report = of("envoy/minimal.yaml", version);
        assert_eq!(report.findings[0].severity, Severity::Note);
        assert_eq!(report.verdict(), Verdict::Good);
    }
    let old = of("envoy/minimal.yaml", "1.32");
    assert_eq!(old.verdict(), Verdict::Errors);
    assert!(
        old.findings[0]
            .message
            .contains("failure_policy since 1.33")
    );
    for wrong in ["", "1", "a.b", "1.36.4.5", "1.-3", "latest"] {
        assert!(wrong.parse::<Version>().is_err(), "{wrong}");
    }
}

#[test]
fn yaml_is_read_as_others_write_it() {
    // As editors of other systems write it.
    let text = format!(
        "\u{feff}{}",
        shipped("envoy/minimal.yaml").replace('\n', "\r\n")
    );
    assert_eq!(said(&text), Vec::<String>::new());
    assert_eq!(
        said(&format!("\u{feff}{}", minimal())),
        Vec::<String>::new()
    );
    // Tabs, and all that JSON may have.
    let pretty = serde_json::to_string_pretty(&minimal()).unwrap();
    assert_eq!(said(&pretty.replace("  ", "\t")), Vec::<String>::new());
    // Envoy passes over what has this tag.
    let ignored = "!ignore templates: &a {b: 1}\nother: !ignore [1]\n".to_owned();
    let text = ignored + &shipped("envoy/minimal.yaml");
    assert_eq!(said(&text), Vec::<String>::new());
    // Empty documents, and keys that are no texts.
    let text = format!(
        "---\n---\n{}\n---\n1: a\ntrue: b\n~: c\n",
        shipped("envoy/minimal.yaml")
    );
    assert_eq!(said(&text), Vec::<String>::new());
    // Envoy knows no merge keys. Kubernetes does.
    let merged = "name: objects\n                <<: {metadata: {}}\n                match";
    let text = changed(
        "envoy/minimal.yaml",
        &[("name: objects\n                match", merged)],
    );
    let findings = common::said(&text);
    assert!(
        findings[0].contains("[merge_keys_are_not_read]"),
        "{findings:?}"
    );
    let merged = "failStrategy: FAIL_CLOSE\n  <<: {vmConfig: {env: [{name: STS_SIDECAR_TOKEN, valueFrom: HOST}]}}\n";
    let text = shipped("deploy/istio/wasm-plugin.yaml");
    let text = text.replace("failStrategy: FAIL_CLOSE\n", merged);
    let text = text.replace(
        "  vmConfig:\n    env:\n    - {name: STS_SIDECAR_TOKEN, valueFrom: HOST}\n",
        "",
    );
    assert_eq!(said(&text), Vec::<String>::new());
}

#[test]
fn a_report_is_json_for_programs() {
    let text = changed("envoy/minimal.yaml", &[("timeout: 0s", "timeout: 9s")]);
    let report: Value = check(&[("a.yaml", &text)]).to_json();
    assert_eq!(report["checked"], 1);
    assert_eq!(
        [&report["errors"], &report["warnings"], &report["notes"]],
        [0, 1, 0]
    );
    let finding = &report["findings"][0];
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["rule"], "timeouts_cut_downloads");
    assert_eq!(finding["file"], "a.yaml");
    assert_eq!(finding["filter"], "oss_origin_auth in oss");
    let field = "http_connection_manager[ingress].routes[objects].route.timeout";
    assert_eq!(finding["field"], field);
}
