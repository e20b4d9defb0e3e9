//! Higress's `matchRules`, and the rules that they become.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{changed, shipped};
use oss_origin_auth_checker::{Report, Verdict, check, settings};
use serde_json::{Value, json};

const HIGRESS: &str = "deploy/higress/wasm-plugin.yaml";
const BY_INGRESS: &str = "  - ingress: [objects]\n";

/// The field and the rule of each finding.
fn found(report: &Report) -> Vec<(&str, &str)> {
    let findings = report.findings.iter();
    findings
        .map(|one| (one.place.field.as_str(), one.rule))
        .collect()
}

/// What the module gets of the shipped manifest, changed so.
fn handed_over(replaced: &[(&str, &str)]) -> Value {
    let all = settings(&changed(HIGRESS, replaced)).unwrap();
    serde_json::from_str(&all[0].1).unwrap()
}

/// As `convertIstioWasmPlugin` of alibaba/higress, pkg/ingress/config/ingress_config.go.
#[test]
fn match_rules_become_what_higress_makes_of_them() {
    let shipped = handed_over(&[]);
    let rule = &shipped["_rules_"][0];
    assert_eq!(rule["_match_route_"], json!(["objects"]));
    assert_eq!(rule["bucket"], "my-bucket");
    assert_eq!(shipped["defaults"], json!({"enabled": false}));
    assert_eq!(shipped["_rules_"].as_array().unwrap().len(), 1);

    let others = "  - ingress: []\n    domain: [a.example.com]\n    service: [oss.dns]\n";
    let rule = &handed_over(&[(BY_INGRESS, others)])["_rules_"][0];
    assert_eq!(rule.get("_match_route_"), None, "an empty list is none");
    assert_eq!(rule["_match_domain_"], json!(["a.example.com"]));
    assert_eq!(rule["_match_service_"], json!(["oss.dns"]));

    // A rule that is off is left out, and so is what is off for all.
    let disabled = (
        BY_INGRESS,
        "  - ingress: [objects]\n    configDisable: true\n",
    );
    assert_eq!(handed_over(&[disabled]).get("_rules_"), None);
    let without_defaults = ("defaultConfigDisable: false", "defaultConfigDisable: true");
    let left = handed_over(&[without_defaults]);
    assert_eq!(
        left.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["_rules_"]
    );
    // What stands in the settings is replaced by `matchRules`.
    let written = (
        "    defaults:\n",
        "    _rules_: [{_match_route_: [x]}]\n    defaults:\n",
    );
    assert_eq!(handed_over(&[written]), shipped);
}

#[test]
fn what_is_wrong_is_named_as_it_stands_in_the_manifest() {
    let other = "  - ingress: [other]\n    configDisable: true\n    config: {bucket: 1}\n";
    let before = &[other, BY_INGRESS].concat();
    for (replaced, field) in [
        (
            vec![("bucket: my-", "bucket: My-")],
            "matchRules[0].config.bucket",
        ),
        (
            vec![("bucket: my-", "bucket: My-"), (BY_INGRESS, before)],
            "matchRules[1].config.bucket",
        ),
        (
            vec![(BY_INGRESS, "  - service: [\"oss|dns\"]\n")],
            "matchRules[0].service[0]",
        ),
        (
            vec![(BY_INGRESS, "  - domain: [a.com, \"a.*.com\"]\n")],
            "matchRules[0].domain[1]",
        ),
        (
            vec![(BY_INGRESS, "  - ingress: objects\n")],
            "matchRules[0].ingress",
        ),
        (vec![(BY_INGRESS, "  - phase: 1\n")], "matchRules[0].config"),
        (
            vec![(
                "      enabled: true\n",
                "      enabled: true\n      url_keys: {}\n",
            )],
            "matchRules[0].config.url_keys",
        ),
        (
            vec![("ConfigDisable: false", "ConfigDisable: true")],
            "defaultConfig.credentials",
        ),
        (
            vec![
                ("ConfigDisable: false", "ConfigDisable: true"),
                (
                    BY_INGRESS,
                    "  - ingress: [objects]\n    configDisable: true\n",
                ),
            ],
            "defaultConfig",
        ),
    ] {
        let report = check(&changed(HIGRESS, &replaced));
        let errors = report
            .findings
            .iter()
            .filter(|one| one.rule == "settings_are_wrong");
        let errors: Vec<_> = errors.map(|one| one.place.field.as_str()).collect();
        assert_eq!(errors, [field], "{replaced:?}: {report:#?}");
    }
    let off = check(&changed(
        HIGRESS,
        &[("ConfigDisable: false", "ConfigDisable: true")],
    ));
    assert!(
        off.findings[0].message.contains("`defaultConfig`"),
        "{off:?}"
    );
}

#[test]
fn a_rule_that_is_never_reached_is_a_warning() {
    let twice =
        "  - ingress: [objects]\n    config: {deny: true, enabled: true}\n  - ingress: [objects]\n";
    let report = check(&changed(HIGRESS, &[(BY_INGRESS, twice)]));
    assert_eq!(
        found(&report),
        [("matchRules[1].config", "rules_are_never_reached")]
    );
    assert!(
        report.findings[0].message.contains("the rule [0]"),
        "{report:?}"
    );
    assert_eq!(report.verdict(), Verdict::Warnings);

    let own = json!({
        "credentials": {"default": {"sidecar": {"cluster": "sts"}}},
        "_rules_": [{"_match_domain_": ["*"], "enabled": false},
                    {"_match_service_": ["oss.dns"], "deny": true}],
    });
    let report = check(&own.to_string());
    assert_eq!(found(&report), [("_rules_[1]", "rules_are_never_reached")]);
}

#[test]
fn the_ingress_of_a_rule_is_looked_for() {
    let report = check(&changed(
        HIGRESS,
        &[(BY_INGRESS, "  - ingress: [objects, object]\n")],
    ));
    let want = [("matchRules[0].ingress[1]", "settings_are_of_no_route")];
    assert_eq!(found(&report), want);
}

/// What a rule signs is compared with what the `Ingress` rewrites.
#[test]
fn the_rule_of_an_ingress_is_known_by_each_of_its_conditions() {
    let other = ("upstream-vhost: my-bucket.", "upstream-vhost: other.");
    let field = "Ingress[objects].spec.annotations.higress.io/upstream-vhost";
    for (condition, is_its) in [
        (BY_INGRESS, true),
        ("  - domain: [\"*.example.com\"]\n", true),
        ("  - domain: [\"objects.*\"]\n", true),
        ("  - domain: [\"img.example.com\"]\n", false),
        ("  - service: [oss.dns]\n", true),
        ("  - service: [other.dns]\n", false),
        ("  - ingress: [objects]\n    service: [oss.dns]\n", true),
        ("  - ingress: [objects]\n    service: [other.dns]\n", false),
    ] {
        let report = check(&changed(HIGRESS, &[(BY_INGRESS, condition), other]));
        let want = [(field, "rewrites_are_not_described")];
        assert_eq!(found(&report), &want[..usize::from(is_its)], "{condition}");
    }
    assert_eq!(check(&shipped(HIGRESS)).verdict(), Verdict::Good);
}

/// Where every host is checked, none is better off with another one.
#[test]
fn a_check_that_the_client_chooses_is_a_warning() {
    let check_with = |defaults: serde_json::Value, other: serde_json::Value| {
        let access = json!({"referer": {"allow": ["example.com"], "allow_empty": false}});
        let own = json!({
            "defaults": defaults,
            "_rules_": [{"_match_domain_": ["private.example.com"], "access": access}, other],
        });
        let report = check(&own.to_string());
        let mut findings = report.findings.iter();
        findings.any(|finding| finding.rule == "clients_choose_the_check")
    };
    let checked = || json!({"access": {"user_agent": {"deny": ["bad"]}}});
    let open = || json!({"access": {"public": true}});
    let by_route = |block: serde_json::Value| {
        let mut rule = block;
        rule["_match_route_"] = json!(["other"]);
        rule
    };
    let refused = || json!({"deny": true});
    assert!(!check_with(checked(), by_route(checked())));
    assert!(!check_with(refused(), by_route(refused())));
    assert!(!check_with(json!({}), by_route(checked())));
    assert!(check_with(open(), by_route(checked())));
    assert!(check_with(checked(), by_route(open())));
}

#[test]
fn a_bucket_that_the_defaults_keep_unsigned_is_a_warning() {
    let own = |more: serde_json::Value| {
        let mut rule = json!({"_match_route_": ["objects"], "bucket": "my-bucket",
                              "region": "cn-hangzhou", "endpoint": "oss"});
        let fields = more.as_object().unwrap().clone();
        rule.as_object_mut().unwrap().extend(fields);
        let settings = json!({
            "credentials": {"default": {"sidecar": {"cluster": "sts"}}},
            "defaults": {"enabled": false}, "_rules_": [rule],
        });
        let report = check(&settings.to_string());
        let findings = report.findings.iter().map(|finding| finding.rule);
        findings.collect::<Vec<_>>()
    };
    assert_eq!(own(json!({})), ["buckets_are_not_signed"]);
    assert_eq!(own(json!({"enabled": true})), Vec::<&str>::new());
}

#[test]
fn the_fields_of_a_rule_are_named_as_in_the_manifest() {
    let prefix = "  - config: {_match_route_prefix_: [\"\"], bucket: my-bucket}\n";
    let report = check(&changed(HIGRESS, &[(BY_INGRESS, prefix)]));
    let fields: Vec<_> = report
        .findings
        .iter()
        .map(|one| one.place.field.as_str())
        .collect();
    assert!(
        fields.iter().all(|field| !field.contains("ingressprefix")),
        "{fields:?}"
    );
    let report = check(&changed(
        HIGRESS,
        &[("  matchRules:\n", "  matchRules: {}\n  other:\n")],
    ));
    assert!(
        report
            .findings
            .iter()
            .any(|one| one.message.contains("list of rules")),
        "{report:?}"
    );
}

/// The open rule is the one that the client chooses.
#[test]
fn a_host_that_avoids_the_check_of_all_others_is_a_warning() {
    let own = json!({
        "defaults": {"access": {"user_agent": {"deny": ["bad"]}}},
        "_rules_": [{"_match_domain_": ["public.example.com"], "access": {"public": true}}],
    });
    let report = check(&own.to_string());
    let rules: Vec<_> = report.findings.iter().map(|one| one.rule).collect();
    assert_eq!(rules, ["clients_choose_the_check"]);
}
