//! What `check` says of configurations: those shipped, and wrong ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{changed, check_text, said, shipped};
use oss_origin_auth_checker::{Report, Severity, Verdict, check};

#[test]
fn what_is_shipped_is_good() {
    for (name, filters) in [
        ("envoy/minimal.yaml", 1),
        ("envoy/edge.yaml", 1),
        ("envoy/site.yaml", 1),
        ("envoy/protected.yaml", 1),
        ("envoy/cached.yaml", 2),
        ("envoy/signed-urls.yaml", 2),
        ("envoy/accounts.yaml", 2),
        ("envoy/cors.yaml", 1),
        ("envoy/spa.yaml", 1),
        ("envoy/domain.yaml", 1),
        ("deploy/istio/envoy-filter.yaml", 1),
        ("deploy/istio/wasm-plugin.yaml", 1),
        ("deploy/higress/wasm-plugin.yaml", 1),
        ("deploy/envoy-gateway/extension-policy.yaml", 1),
    ] {
        assert_eq!(
            check(&shipped(name)),
            Report::new(filters, Vec::new()),
            "{name}"
        );
    }
}

const CLASS: &str =
    "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput";

/// The shipped `match_delegate` after some replacements, in both spellings.
fn spellings(replacements: &[(&str, &str)]) -> [String; 2] {
    let text = changed("envoy/edge.yaml", replacements);
    let mut camel = text.clone();
    for (from, to) in [
        ("xds_matcher:", "xdsMatcher:"),
        ("matcher_tree:", "matcherTree:"),
        ("on_no_match:", "onNoMatch:"),
        ("exact_match_map:", "exactMatchMap:"),
        ("extension_config:", "extensionConfig:"),
        ("typed_config:", "typedConfig:"),
        ("type_url:", "typeUrl:"),
        ("vm_config:", "vmConfig:"),
    ] {
        camel = camel.replace(from, to);
    }
    [text, camel]
}

#[test]
fn match_delegate_may_skip_good_answers_alone() {
    let typed_struct = format!(
        "{{\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: {CLASS}, \
         value: {{}}}}"
    );
    let input = format!("{{\"@type\": {CLASS}}}");
    let deprecated = ("xds_matcher:", "matcher:");
    let of_4xx = ("2xx: {", "4xx: {");
    let good: [&[(&str, &str)]; 4] = [
        &[],
        &[(&input, &typed_struct)],
        &[(
            "exact_match_map:",
            "on_no_match: null\n                exact_match_map:",
        )],
        &[deprecated],
    ];
    for text in good.into_iter().flat_map(spellings) {
        assert_eq!(check_text(&text), Ok(1), "{text}");
    }
    let bad: [&[(&str, &str)]; 9] = [
        &[of_4xx],
        &[deprecated, of_4xx],
        &[("xds_matcher:", "other:")],
        &[("2xx: {", "3xx: {")],
        &[("2xx: {", "4xx: {}\n                    2xx: {")],
        &[("HttpResponseStatusCodeClassMatchInput", "SomeOtherInput")],
        &[(
            "matcher_tree:",
            "on_no_match: {action: {}}\n              matcher_tree:",
        )],
        &[(
            "exact_match_map:",
            "on_no_match: {action: {}}\n                exact_match_map:",
        )],
        &[("exact_match_map:", "prefix_match_map:")],
    ];
    for text in bad.into_iter().flat_map(spellings) {
        let problem = check_text(&text).unwrap_err();
        assert!(problem.contains("2xx alone"), "{text}: {problem}");
    }
}

#[test]
fn every_match_delegate_around_the_filter_is_checked() {
    let inner = r#"{"name": "oss_origin_auth", "typed_config": {"config": {"configuration":
        {"@type": "type.googleapis.com/google.protobuf.StringValue", "value":
        "{\"credentials\": {\"default\": {\"sidecar\": {\"cluster\": \"sts\"}}}, \"defaults\": {\"bucket\": \"my-bucket\", \"region\": \"cn-hangzhou\", \"endpoint\": \"oss-cn-hangzhou.aliyuncs.com\"}}"}}}}"#;
    let delegate = |name: &str, class: &str, inner: &str| {
        format!(
            r#"{{"name": "{name}", "typed_config": {{"xds_matcher": {{"matcher_tree": {{
            "input": {{"typed_config": {{"@type": "{CLASS}"}}}},
            "exact_match_map": {{"map": {{"{class}": {{}}}}}}}}}},
            "extension_config": {inner}}}}}"#
        )
    };
    let nested = |outer, within| delegate("outer", outer, &delegate("inner", within, inner));
    assert_eq!(check_text(&nested("2xx", "2xx")), Ok(1));
    for (outer, within) in [("2xx", "4xx"), ("4xx", "2xx")] {
        let problem = check_text(&nested(outer, within)).unwrap_err();
        assert!(problem.contains("2xx alone"), "{outer} {within}: {problem}");
    }
    // Beside our filter it may skip what it likes.
    let beside = format!("[{}, {inner}]", delegate("other", "4xx", "{}"));
    assert_eq!(check_text(&beside), Ok(1));
}

#[test]
fn the_matcher_of_a_route_is_checked() {
    for (name, class, good) in [
        ("envoy.filters.http.match_delegate", "2xx", true),
        ("envoy.filters.http.match_delegate", "4xx", false),
        ("another", "4xx", true),
    ] {
        let of_route = format!(
            "{{match: {{prefix: /}}, typedPerFilterConfig: {{{name}: {{\"@type\": \
             type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute, \
             xdsMatcher: {{matcherTree: {{input: \
             {{typedConfig: {{\"@type\": {CLASS}}}}}, exactMatchMap: {{map: {{{class}: \
             {{}}}}}}}}}}}}}}}}"
        );
        let text = format!(
            "{}\n---\nroutes: [{of_route}]\n",
            shipped("envoy/edge.yaml")
        );
        let checked = check_text(&text);
        match good {
            true => assert_eq!(checked, Ok(1), "{name} {class}"),
            false => {
                let problem = checked.unwrap_err();
                assert!(
                    problem.contains("typed_per_filter_config.envoy"),
                    "{problem}"
                );
                assert!(problem.contains("2xx alone"), "{problem}");
            }
        }
    }
}

#[test]
fn the_filter_is_found_under_any_name_and_its_text_in_any_message() {
    let wrong = "\"buckets\"";
    let of_code = changed(
        "envoy/minimal.yaml",
        &[
            ("name: oss_origin_auth", "name: signer"),
            ("\"bucket\"", wrong),
        ],
    );
    let of_filter = of_code.replacen("name: signer", "name: oss_origin_auth", 1);
    let of_filter = of_filter.replace("oss_origin_auth.wasm", "signer.wasm");
    for text in [of_code, of_filter] {
        let problem = check_text(&text).unwrap_err();
        assert!(problem.contains("defaults.buckets"), "{problem}");
    }

    let of = |kind: &str, value: &str| {
        format!(
            r#"{{"name": "oss_origin_auth", "configuration":
            {{"@type": "type.googleapis.com/google.protobuf.{kind}", "value": {value}}}}}"#
        )
    };
    // {"a":1}
    for text in [
        of("StringValue", r#""{\"a\":1}""#),
        of("BytesValue", r#""eyJhIjoxfQ==""#),
        of("BytesValue", r#""eyJhIjoxfQ""#),
    ] {
        let problem = check_text(&text).unwrap_err();
        assert!(problem.contains("configuration.a: "), "{problem}");
    }
    for text in [
        of("BytesValue", r#""/w==""#),
        of("BytesValue", "{}"),
        of("StringValue", "{}"),
        of("Struct", r#"{"a":1}"#),
        of("Int32Value", "1"),
        r#"{"name": "oss_origin_auth", "configuration": "{}"}"#.to_owned(),
        r#"{"vm_config": {"code": {"local": {"filename": "oss_origin_auth.wasm"}}}}"#.to_owned(),
    ] {
        let problem = check_text(&text).unwrap_err();
        assert!(problem.contains("BytesValue"), "{problem}");
    }
}

#[test]
fn no_setting_that_acts_on_good_answers_stands_in_match_delegate() {
    let strips = r#""strip_response_headers": ["server"], "bucket""#;
    let minimal = shipped("envoy/minimal.yaml").replace("\"bucket\"", strips);
    assert_eq!(check_text(&minimal), Ok(1), "alone it may");
    let edge = shipped("envoy/edge.yaml");
    let own = edge.replace("\"bucket\"", strips);
    assert!(
        check_text(&own)
            .unwrap_err()
            .contains("strip_response_headers")
    );
    let shows = edge.replace("\"bucket\"", r#""forced_download": "remove", "bucket""#);
    assert!(check_text(&shows).unwrap_err().contains("forced_download"));
    let nothing = edge.replace("\"bucket\"", r#""strip_response_headers": [], "bucket""#);
    assert_eq!(check_text(&nothing), Ok(1));

    let metadata = "- name: objects\n                metadata: {filter_metadata: \
                    {oss_origin_auth: {config: '{\"strip_response_headers\": [\"server\"]}'}}}";
    let unread = edge.replacen(
        "- name: objects\n                match",
        &format!("{metadata}\n                match"),
        1,
    );
    assert_ne!(unread, edge);
    assert_eq!(check_text(&unread), Ok(1), "metadata is not read");
    let read = unread.replace("\"defaults\"", "\"metadata\": [\"route\"], \"defaults\"");
    for metadata in ["filter_metadata", "filterMetadata"] {
        let problem = check_text(&read.replace("filter_metadata", metadata)).unwrap_err();
        assert!(problem.contains("strip_response_headers"), "{problem}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    let wrong = shipped("envoy/minimal.yaml").replace("\"bucket\"", "\"buckets\"");
    let problem = check_text(&wrong).unwrap_err();
    assert!(
        problem.contains("configuration.defaults.buckets: "),
        "{problem}"
    );
    let problem = check_text("a: [1").unwrap_err();
    assert!(
        problem.starts_with("error: it cannot be read: "),
        "{problem}"
    );
    let problem = check_text("name: other").unwrap_err();
    assert!(
        problem.starts_with("error: no filter in it is ours"),
        "{problem}"
    );
    let problem = check_text("{\"credentials\": 1}").unwrap_err();
    assert!(problem.starts_with("error: credentials: "), "{problem}");
}

const RELOAD: &str = "failure_policy: FAIL_RELOAD";

#[test]
fn a_failure_that_lets_requests_pass_is_an_error() {
    for open in [
        "failure_policy: FAIL_OPEN",
        "failurePolicy: FAIL_OPEN",
        "failure_policy: 3",
        "failure_policy: \"3\"",
        "failure_policy: fail_open",
        "fail_open: true",
        "failOpen: \"true\"",
    ] {
        let report = check(&changed("envoy/minimal.yaml", &[(RELOAD, open)]));
        assert_eq!(report.verdict(), Verdict::Errors, "{open}");
        assert!(report.findings[0].message.contains("unsigned"), "{open}");
    }
    let unknown = changed("envoy/minimal.yaml", &[(RELOAD, "failure_policy: RELOAD")]);
    assert!(
        check_text(&unknown)
            .unwrap_err()
            .contains("no policy RELOAD")
    );
    for (name, from, to) in [
        ("deploy/istio/wasm-plugin.yaml", "FAIL_CLOSE", "FAIL_OPEN"),
        ("deploy/higress/wasm-plugin.yaml", "FAIL_CLOSE", "FAIL_OPEN"),
        (
            "deploy/envoy-gateway/extension-policy.yaml",
            "rootID: oss_origin_auth",
            "failOpen: true",
        ),
    ] {
        let problem = check_text(&changed(name, &[(from, to)])).unwrap_err();
        assert!(problem.contains("unsigned"), "{name}: {problem}");
    }
}

#[test]
fn a_failure_that_lasts_is_a_warning() {
    for closed in [
        "failure_policy: FAIL_CLOSED",
        "failurePolicy: UNSPECIFIED",
        "failure_policy: 2",
        "fail_open: false",
    ] {
        let report = check(&changed("envoy/minimal.yaml", &[(RELOAD, closed)]));
        assert_eq!(report.verdict(), Verdict::Warnings, "{closed}");
        let finding = &report.findings[0];
        assert_eq!(finding.place.field, "failure_policy", "{closed}");
        assert!(finding.message.contains("FAIL_RELOAD"), "{closed}");
    }
    let reload = changed("envoy/minimal.yaml", &[(RELOAD, "failure_policy: 1")]);
    assert_eq!(check(&reload).verdict(), Verdict::Good);
}

#[test]
fn a_vm_id_that_others_have_too_is_a_warning() {
    for (from, to) in [
        ("vm_id: oss_origin_auth", "vm_id: \"\""),
        ("vm_id: oss_origin_auth\n", "\n"),
    ] {
        let said = said(&changed("envoy/minimal.yaml", &[(from, to)]));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0]
                .starts_with("warning: filter oss_origin_auth in oss: vm_config.vm_id: there is"),
            "{said:?}"
        );
    }
    let other = |id: &str| {
        format!(
            "- name: counter\n          typed_config:\n            config:\n              \
             vmConfig: {{vmId: {id}, code: {{local: {{filename: counter.wasm}}}}}}\n        \
             - name: oss_origin_auth"
        )
    };
    let beside = |id: &str| {
        changed(
            "envoy/minimal.yaml",
            &[("- name: oss_origin_auth", &other(id))],
        )
    };
    let said = said(&beside("oss_origin_auth"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("the wasm filter counter has the same"),
        "{said:?}"
    );
    assert_eq!(check(&beside("another")).verdict(), Verdict::Good);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let accounts = shipped("envoy/accounts.yaml");
    let wrong = accounts.replace("\"bucket\"", "\"buckets\"");
    assert_ne!(wrong, accounts);
    let errors = said(&wrong);
    assert_eq!(errors.len(), 2, "{errors:?}");

    let mixed = changed(
        "envoy/minimal.yaml",
        &[
            (RELOAD, ""),
            ("vm_id: oss_origin_auth", ""),
            ("\"bucket\"", "\"buckets\""),
        ],
    );
    let report = check(&format!("{}---\n{mixed}", shipped("envoy/minimal.yaml")));
    assert_eq!(report.checked, 2);
    let severities: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.severity)
        .collect();
    use Severity::{Error, Warning};
    assert_eq!(severities, [Error, Warning, Warning]);
    assert_eq!((report.count(Error), report.count(Warning)), (1, 2));
    assert_eq!(report.verdict(), Verdict::Errors);
    let first = &report.findings[0];
    assert_eq!(first.place.document, Some(2));
    assert_eq!(
        first.place.filter.as_deref(),
        Some("oss_origin_auth in oss")
    );
    assert_eq!(first.place.field, "configuration.defaults.buckets");
    let shown =
        "error: document 2: filter oss_origin_auth in oss: configuration.defaults.buckets: ";
    assert!(first.to_string().starts_with(shown), "{first}");
}
