//! What `check` says of settings that let pass what is kept back without them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{changed, said, shipped};
use oss_origin_auth_checker::{Severity, check};

/// A setting, whether it is warned of, and the rule.
const CASES: [(&str, &str, bool); 20] = [
    ("errors_name_the_bucket", "\"errors\": \"oss\"", true),
    ("errors_name_the_bucket", "\"errors\": \"neutral\"", false),
    (
        "unknown_parameters_leave",
        "\"unknown_parameters\": \"forward\"",
        true,
    ),
    (
        "unknown_parameters_leave",
        "\"unknown_parameters\": \"strip\"",
        false,
    ),
    ("signed_urls_pass", "\"presigned_urls\": \"pass\"", true),
    ("signed_urls_pass", "\"presigned_urls\": \"strip\"", false),
    ("signed_urls_pass", "\"presigned_urls\": \"refuse\"", false),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"cookie\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-a\", \"x-forwarded-for\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-forwarded-*\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-envoy-internal\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-*\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-f*\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"c*\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"*\"]",
        true,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"cook*\"]",
        true,
    ),
    ("headers_of_clients_leave", "\"forward_headers\": []", false),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-oss-meta-*\"]",
        false,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"referer\"]",
        false,
    ),
    (
        "headers_of_clients_leave",
        "\"forward_headers\": [\"x-tenant\"]",
        false,
    ),
];

/// The fields of which a rule warns, whatever else is said.
fn warned(text: &str, rule: &str) -> Vec<String> {
    let findings = check(text).findings.into_iter();
    let of_rule = findings.filter(|finding| finding.rule == rule);
    let warnings = of_rule.inspect(|one| assert_eq!(one.severity, Severity::Warning));
    warnings.map(|finding| finding.place.field).collect()
}

const DEFAULTS: &str = "\"defaults\": {";

#[test]
fn each_place_is_named_once() {
    for (rule, setting, weak) in CASES {
        let name = setting.split('"').nth(1).unwrap();
        let of_defaults = format!("{DEFAULTS}{setting}, ");
        let of_route = format!("\"routes\": {{\"a.b\": {{{setting}}}}}, {DEFAULTS}");
        for (written, field) in [(of_defaults, "defaults"), (of_route, "routes.a.b")] {
            let text = changed("envoy/minimal.yaml", &[(DEFAULTS, &written)]);
            let mut want = vec![format!("configuration.{field}.{name}")];
            want.retain(|_| weak);
            assert_eq!(warned(&text, rule), want, "{setting}");
        }
        // In the filter's own configuration.
        let own = format!(
            "{{\"credentials\": {{\"default\": {{\"sidecar\": {{\"cluster\": \"a\"}}}}}}, \
             {DEFAULTS}{setting}, \"bucket\": \"my-bucket\", \"region\": \"cn-hangzhou\"}}}}"
        );
        let mut want = vec![format!("defaults.{name}")];
        want.retain(|_| weak);
        assert_eq!(warned(&own, rule), want, "{setting}");
    }
}

#[test]
fn both_places_are_named() {
    let written =
        "\"routes\": {\"objects\": {\"errors\": \"oss\"}}, \"defaults\": {\"errors\": \"oss\", ";
    let text = changed("envoy/minimal.yaml", &[(DEFAULTS, written)]);
    assert_eq!(
        warned(&text, "errors_name_the_bucket"),
        [
            "configuration.defaults.errors",
            "configuration.routes.objects.errors"
        ]
    );
}

#[test]
fn metadata_that_is_read_counts() {
    for (rule, setting, weak) in CASES {
        let route = "              - name: objects\n";
        let metadata = format!(
            "{route}                metadata: {{filter_metadata: {{oss_origin_auth: {{config: \
             '{{{setting}}}'}}}}}}\n"
        );
        let unread = changed("envoy/minimal.yaml", &[(route, &metadata)]);
        assert!(warned(&unread, rule).is_empty(), "{setting}");
        let read = unread.replace(DEFAULTS, &format!("\"metadata\": [\"route\"], {DEFAULTS}"));
        let name = setting.split('"').nth(1).unwrap();
        let mut want = vec![format!(
            "[objects].metadata.filter_metadata.oss_origin_auth.config.{name}"
        )];
        want.retain(|_| weak);
        assert_eq!(warned(&read, rule), want, "{setting}");
    }
}

#[test]
fn manifests_are_read_too() {
    let text = changed(
        "deploy/istio/wasm-plugin.yaml",
        &[(
            "        bucket: my-bucket",
            "        bucket: my-bucket\n        presigned_urls: pass",
        )],
    );
    let fields = warned(&text, "signed_urls_pass");
    assert_eq!(fields, ["pluginConfig.routes.objects.presigned_urls"]);
}

#[test]
fn a_finding_names_its_rule() {
    let text =
        shipped("envoy/minimal.yaml").replace(DEFAULTS, "\"defaults\": {\"errors\": \"oss\", ");
    let said = said(&text);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with(" [errors_name_the_bucket]"), "{said:?}");
}
