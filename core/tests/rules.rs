//! Higress's rules: which of them a request has, and what then holds for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use hosts::node::{Node, Process, Seen};
use oss_origin_auth_core::config::{
    Config, ConfigError, Facts, RouteCache, RuleInput, Settings, Treatment,
};
use oss_origin_auth_core::exchange::Event;
use oss_origin_auth_core::host::Note;
use oss_origin_auth_core::policy::reply::Reason;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

/// A configuration of these rules, whose defaults let all requests pass unsigned.
fn with(rules: &str) -> String {
    format!(
        r#"{{"credentials": {{"default": {{"access_key": {{"id_env": "ID", "secret_env": "SECRET"}}}}}},
            "defaults": {{"region": "cn-hangzhou", "endpoint": "oss", "enabled": false}},
            "_rules_": {rules}}}"#
    )
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.as_bytes(), |name| {
        Some(format!("{name}-of-the-environment"))
    })
}

/// A configuration of rules by these conditions, each of which signs.
fn by(conditions: &[&str]) -> Config {
    let rules = conditions
        .iter()
        .map(|condition| format!(r#"{{{condition}, "enabled": true, "bucket": "my-bucket"}}"#));
    let rules = rules.collect::<Vec<_>>().join(", ");
    parse(&with(&format!("[{rules}]"))).unwrap()
}

fn on_route(name: &str) -> RuleInput<'_> {
    RuleInput {
        route_name: name.as_bytes(),
        ..RuleInput::default()
    }
}

fn at_host(host: &[u8]) -> RuleInput<'_> {
    RuleInput {
        authority: Some(host),
        ..RuleInput::default()
    }
}

fn to_cluster(name: &str) -> RuleInput<'_> {
    RuleInput {
        cluster_name: name.as_bytes(),
        ..RuleInput::default()
    }
}

/// The cases of Higress's own tests are among them: higress-group/wasm-go,
/// pkg/matcher/rule_matcher_test.go (`TestHostMatch`, `TestServiceMatch`,
/// `TestParseRuleConfig`). Hosts are compared there with regard to their case.
#[test]
fn hosts_match_by_their_patterns() {
    let domain = |patterns: &str| by(&[&format!(r#""_match_domain_": [{patterns}]"#)]);
    for (patterns, host, matches) in [
        (r#""www.foo.com""#, "www.foo.com", true),
        (r#""www.foo.com""#, "www.foo.com:8080", true),
        (r#""www.foo.com""#, "www.foo.com:", true),
        (r#""www.foo.com""#, "WWW.Foo.COM", true),
        (r#""WWW.foo.com""#, "www.foo.com", true),
        (r#""www.foo.com""#, "awww.foo.com", false),
        (r#""www.foo.com""#, "www.foo.com.", false),
        (r#""www.foo.com""#, "www.foo.com.evil.com", false),
        (r#""www.foo.com""#, "www.foo.com:evil", false),
        (r#""www.foo.com""#, "www.foo.com:80:80", false),
        (r#""www.foo.com""#, "a@www.foo.com", false),
        (r#""www.foo.com""#, "", false),
        (r#""*.foo.com""#, "www.foo.com", true),
        (r#""*.foo.com""#, "www.foo.com:8080", true),
        (r#""*.foo.com""#, "a.b.FOO.com", true),
        (r#""*.foo.com""#, "foo.com", false),
        (r#""*.foo.com""#, "www.foo.com.cn", false),
        (r#""*.foo.com""#, "www.foo.com.", false),
        (r#""*.foo.com""#, "com", false),
        (r#""*.foo.com""#, "a:1.foo.com:80", false),
        (r#""www.*""#, "www.foo.com", true),
        (r#""www.*""#, "www.foo.com:8080", true),
        (r#""www.*""#, "WWW.foo.com", true),
        (r#""www.*""#, "www", false),
        (r#""www.*""#, "a.www.foo.com", false),
        (r#""*""#, "anything", true),
        (r#""*""#, "", true),
        (r#""a.com", "b.com""#, "b.com", true),
        (r#""[::1]""#, "[::1]:80", true),
        (r#""[::1]""#, "[::1]", true),
        (r#""[::1]""#, "::1", false),
        (r#""[2001:*""#, "[2001:db8::1]", true),
    ] {
        let found = domain(patterns).rule_of(at_host(host.as_bytes()));
        assert_eq!(found.is_some(), matches, "{patterns} {host}");
    }
    assert_eq!(
        domain(r#""*.foo.com""#).rule_of(at_host(b"\xff.foo.com")),
        Some(0)
    );
    assert_eq!(
        domain(r#""foo.com""#).rule_of(at_host(b"foo.com\xff")),
        None
    );
    // No host, or two of them.
    assert_eq!(
        domain(r#""*.com", "www.*""#).rule_of(RuleInput::default()),
        None
    );
    assert_eq!(domain(r#""*""#).rule_of(RuleInput::default()), Some(0));
}

#[test]
fn services_and_routes_match_by_their_names() {
    let service = |entry: &str| by(&[&format!(r#""_match_service_": ["{entry}"]"#)]);
    for (entry, cluster, matches) in [
        ("oss.dns", "outbound|443||oss.dns", true),
        ("oss.dns:443", "outbound|443||oss.dns", true),
        ("oss.dns:443", "outbound|443|subset|oss.dns", true),
        ("oss.dns:80", "outbound|443||oss.dns", false),
        ("oss.dns:44", "outbound|443||oss.dns", false),
        ("oss.dns", "outbound|443||oss.dns.cn", false),
        ("oss.dns", "outbound|443||my-oss.dns", false),
        ("oss.dns", "oss.dns", false),
        ("oss.dns", "outbound|443|oss.dns", false),
        ("oss.dns", "outbound|443||oss.dns|", false),
        ("oss.dns", "", false),
    ] {
        let found = service(entry).rule_of(to_cluster(cluster));
        assert_eq!(found.is_some(), matches, "{entry} {cluster}");
    }

    for (condition, route, matches) in [
        (r#""_match_route_": ["a", "b"]"#, "b", true),
        (r#""_match_route_": ["a", "b"]"#, "B", false),
        (r#""_match_route_": ["a", "b"]"#, "ab", false),
        (r#""_match_route_": ["a"]"#, "", false),
        (r#""_match_route_": ["a*"]"#, "ab", false),
        (r#""_match_route_prefix_": ["api-", "web-"]"#, "web-1", true),
        (r#""_match_route_prefix_": ["api-"]"#, "api-", true),
        (r#""_match_route_prefix_": ["api-"]"#, "api", false),
        (r#""_match_route_prefix_": ["api-"]"#, "my-api-1", false),
        (r#""_match_route_prefix_": ["api-"]"#, "", false),
    ] {
        let found = by(&[condition]).rule_of(on_route(route));
        assert_eq!(found.is_some(), matches, "{condition} {route}");
    }
}

#[test]
fn of_a_route_and_a_service_both_must_hold() {
    let config = by(&[r#""_match_route_": ["a"], "_match_service_": ["oss.dns"]"#]);
    let with = |route_name, cluster_name| {
        config.rule_of(RuleInput {
            route_name,
            cluster_name,
            authority: None,
        })
    };
    assert_eq!(with(b"a", b"outbound|443||oss.dns"), Some(0));
    assert_eq!(with(b"a", b"outbound|443||other.dns"), None);
    assert_eq!(with(b"b", b"outbound|443||oss.dns"), None);
}

#[test]
fn the_first_rule_that_matches_is_taken_and_else_the_defaults() {
    let config = parse(&with(
        r#"[{"_match_route_": ["shut"], "deny": true, "enabled": true},
            {"_match_route_prefix_": ["s"], "enabled": true, "bucket": "bucket-one"},
            {"_match_domain_": ["*.example.com"], "enabled": true, "bucket": "bucket-two", "region": "cn-beijing"},
            {"_match_service_": ["oss.dns:443"], "enabled": true, "bucket": "bucket-three"}]"#,
    ))
    .unwrap();
    let treatment = |route: &str, host: &str, cluster: &str| {
        let input = RuleInput {
            route_name: route.as_bytes(),
            cluster_name: cluster.as_bytes(),
            authority: Some(host.as_bytes()),
        };
        let facts = Facts {
            rule: config.rule_of(input),
            ..Facts::of_route(route.as_bytes())
        };
        match config.treatment(&facts) {
            Some(Treatment::Sign(route)) => format!("{} {}", route.name, route.bucket),
            other => format!("{other:?}"),
        }
    };
    let (oss, host) = ("outbound|443||oss.dns", "a.example.com");
    assert_eq!(treatment("shut", host, oss), "Some(Deny)");
    assert_eq!(treatment("site", host, oss), "_rules_[1] bucket-one");
    assert_eq!(treatment("other", host, oss), "_rules_[2] bucket-two");
    assert_eq!(treatment("other", "a.b", oss), "_rules_[3] bucket-three");
    assert_eq!(treatment("other", "a.b", "oss"), "Some(PassUnsigned(None))");
}

#[test]
fn nothing_is_asked_that_no_rule_looks_at() {
    for (condition, needs) in [
        (r#""_match_route_": ["a"]"#, [true, false, false]),
        (r#""_match_route_prefix_": ["a"]"#, [true, false, false]),
        (r#""_match_service_": ["a"]"#, [false, true, false]),
        (r#""_match_domain_": ["a"]"#, [false, false, true]),
    ] {
        let config = by(&[condition]);
        let asked = [
            config.needs_route_name(),
            config.needs_cluster_name(),
            config.needs_authority(),
        ];
        assert_eq!(asked, needs, "{condition}");
    }
}

/// An earlier rule, a later one; whether it matches all that the later one matches.
const COVERED: [(&str, &str, bool); 17] = [
    (
        r#""_match_route_": ["a", "b"]"#,
        r#""_match_route_": ["b"]"#,
        true,
    ),
    (
        r#""_match_route_": ["b"]"#,
        r#""_match_route_": ["a", "b"]"#,
        false,
    ),
    (
        r#""_match_route_prefix_": ["a"]"#,
        r#""_match_route_": ["ab", "a"]"#,
        true,
    ),
    (
        r#""_match_route_prefix_": ["a"]"#,
        r#""_match_route_prefix_": ["ab"]"#,
        true,
    ),
    (
        r#""_match_route_prefix_": ["ab"]"#,
        r#""_match_route_prefix_": ["a"]"#,
        false,
    ),
    (
        r#""_match_route_": ["ab"]"#,
        r#""_match_route_prefix_": ["ab"]"#,
        false,
    ),
    (
        r#""_match_domain_": ["*"]"#,
        r#""_match_route_": ["a"]"#,
        true,
    ),
    (
        r#""_match_domain_": ["*.com"]"#,
        r#""_match_domain_": ["*.a.COM", "b.com"]"#,
        true,
    ),
    (
        r#""_match_domain_": ["*.a.com"]"#,
        r#""_match_domain_": ["*.com"]"#,
        false,
    ),
    (
        r#""_match_domain_": ["www.*"]"#,
        r#""_match_domain_": ["www.a.*", "www.b"]"#,
        true,
    ),
    (
        r#""_match_domain_": ["*.com", "www.*"]"#,
        r#""_match_domain_": ["*"]"#,
        false,
    ),
    (
        r#""_match_domain_": ["a.com"]"#,
        r#""_match_domain_": ["A.com"]"#,
        true,
    ),
    (
        r#""_match_domain_": ["a.com"]"#,
        r#""_match_route_": ["a.com"]"#,
        false,
    ),
    (
        r#""_match_service_": ["a.dns"]"#,
        r#""_match_service_": ["a.dns:80"]"#,
        true,
    ),
    (
        r#""_match_service_": ["a.dns:80"]"#,
        r#""_match_service_": ["a.dns"]"#,
        false,
    ),
    (
        r#""_match_route_": ["a"]"#,
        r#""_match_route_": ["a"], "_match_service_": ["b"]"#,
        true,
    ),
    (
        r#""_match_route_": ["a"], "_match_service_": ["b"]"#,
        r#""_match_route_": ["a"]"#,
        false,
    ),
];

#[test]
fn a_rule_that_no_request_reaches_is_known() {
    for (earlier, later, covered) in COVERED {
        let found = by(&[earlier, later]).unreachable_rules();
        let want = if covered { vec![(1, 0)] } else { vec![] };
        assert_eq!(found, want, "{earlier} {later}");
    }
}

/// Metadata lie over a rule as over an entry of `routes`.
#[test]
fn metadata_lie_over_a_rule() {
    let text = with(
        r#"[{"_match_route_": ["a"], "enabled": true, "bucket": "bucket-one", "cause_header": true}]"#,
    );
    let text = text.replacen('{', r#"{"metadata": ["route", "cluster"], "#, 1);
    let config = parse(&text).unwrap();
    let mut cache = RouteCache::default();
    let mut signing = |rule, route: &str, cluster: &str| {
        let facts = Facts {
            route_name: b"a".to_vec(),
            rule,
            route_metadata: route.into(),
            cluster_metadata: cluster.into(),
        };
        match cache.settings(&config, facts) {
            Settings::Known(Treatment::Sign(route)) => (
                route.name.clone(),
                route.bucket.clone(),
                route.rules.cause_header,
            ),
            other => panic!("{other:?}"),
        }
    };
    let own = r#"{"enabled": true, "bucket": "bucket-two"}"#;
    let below = r#"{"enabled": true, "bucket": "bucket-three", "cause_header": false}"#;
    let of_a = "route metadata of a".to_owned();
    assert_eq!(
        signing(Some(0), own, ""),
        (of_a, "bucket-two".into(), false)
    );
    let of_rule = || "_rules_[0]".to_owned();
    assert_eq!(
        signing(Some(0), "", below),
        (of_rule(), "bucket-one".into(), true)
    );
    let of_cluster = "cluster metadata".to_owned();
    assert_eq!(
        signing(None, "", below),
        (of_cluster, "bucket-three".into(), false)
    );
}

/// What is said of the checks of `routes` holds for rules.
#[test]
fn the_checks_of_rules_count_as_those_of_routes() {
    let with = |defaults: &str, rule: &str| {
        parse(&format!(
            r#"{{"url_keys": {{"default": {{"key_env": "KEY"}}}}, "defaults": {defaults},
                "_rules_": [{{"_match_route_": ["x"]}}, {{"_match_route_": ["y"], {rule}}}]}}"#
        ))
    };
    let b = r#"{"access": {"url_signing": {"type": "B"}}}"#;
    let a = r#"{"access": {"public": true}}"#;
    assert!(with(b, r#""access": {"public": true}"#).is_ok());
    let wrong = with(b, r#""deny": true"#).unwrap_err();
    assert_eq!(wrong.field, "_rules_[1]");
    let wrong = with(a, r#""access": {"url_signing": {"type": "C1"}}"#).unwrap_err();
    assert!(wrong.field.starts_with("_rules_["), "{wrong}");
    let checks = with(a, r#""access": {"url_signing": {"type": "A"}}"#).unwrap();
    assert!(checks.checks_access, "other spellings would get round it");
    let unused = with(a, r#""deny": true"#).unwrap();
    assert!(!unused.checks_access);
    // A configuration without credentials, whose rules alone check.
    let alone = parse(
        r#"{"_rules_": [{"_match_route_": ["x"], "access": {"user_agent": {"deny": ["x"]}}}]}"#,
    );
    assert!(alone.unwrap().checks_access);
}

/// Of two hosts none is the request's.
#[test]
fn a_request_that_names_two_hosts_has_no_rule_by_its_host() {
    let rules =
        r#"[{"_match_domain_": ["a.com", "b.com"], "enabled": true, "bucket": "my-bucket"}]"#;
    let process = Process::default();
    process.clock.store(1_764_946_083_000, Ordering::SeqCst);
    let mut node = Node::new(&with(rules), &process, 1);
    let mut signs = |hosts: &[&[u8]]| {
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b":method", b"GET"), (b":path", b"/a")];
        headers.extend(hosts.iter().map(|host| (&b":authority"[..], *host)));
        let stream = node.request("/a");
        let seen = node.again(stream, Event::RequestHeaders(&headers));
        !seen.edited().added.is_empty()
    };
    assert!(signs(&[b"a.com"]));
    assert!(!signs(&[b"a.com", b"b.com"]));
    assert!(!signs(&[b"a.com", b"a.com"]));
    assert!(!signs(&[]));
    assert!(!signs(&[b"\xff"]));
}

/// On a cluster the filter sets the host, and another attempt sees that one.
#[test]
fn another_attempt_has_the_rule_of_the_first() {
    let text =
        with(r#"[{"_match_domain_": ["my-bucket.oss"], "enabled": true, "bucket": "my-bucket"}]"#);
    let process = Process::default();
    process.clock.store(1_764_946_083_000, Ordering::SeqCst);
    let mut node = Node::new(&text, &process, 1);
    let stream = node.request("/a");
    assert!(matches!(node.fate(stream), Some(Seen::Passes(seen)) if !seen.added.is_empty()));
    let noted = node.noted(stream, Note::Rule).unwrap();
    let noted = String::from_utf8(noted).unwrap();
    let (configuration, place) = noted.split_once(':').unwrap();
    assert_eq!(place, "0");
    // What was noted counts, and not the host; but not a note of another configuration.
    for (noted, signs) in [
        (format!("{configuration}:none"), Some(false)),
        (noted.clone(), Some(true)),
        (format!("{configuration}:1"), None),
        (format!("{configuration}:00"), None),
        (format!("1{configuration}:0"), None),
        (format!("1{configuration}:none"), None),
        ("0".into(), None),
        (String::new(), None),
    ] {
        node.set_note(stream, Note::Rule, noted.as_bytes());
        let retried = node.retry(stream);
        let seen = match node.fate(retried).unwrap() {
            Seen::Passes(seen) => Some(!seen.added.is_empty()),
            other => {
                assert_eq!(other.refusal().reason, Reason::InternalError);
                None
            }
        };
        assert_eq!(seen, signs, "{noted:?}");
    }
    // A redirect is a request of its own, with the host that it has now.
    let redirected = node.redirect(stream, "/b");
    assert!(matches!(node.fate(redirected), Some(Seen::Passes(seen)) if !seen.added.is_empty()));
    // What cannot be noted does not leave.
    node.worker.host.can_note = false;
    let stream = node.request("/a");
    assert_eq!(
        node.fate(stream).unwrap().refusal().reason,
        Reason::InternalError
    );
}

const RULES: &str = r#"{"credentials":{"default":{"sidecar":{"cluster":"c"}}},"defaults":{"enabled":false},
    "_rules_":[{"_match_route_":["x"],"enabled":true,"bucket":"bbb","region":"r","endpoint":"oss"},
    {"_match_domain_":["*.a.b","www.*","[::1]"],"deny":true,"enabled":true},{"_match_service_":["s.dns:80"]}]}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_rules_and_no_request_panic(
        edits in vec((0..RULES.len(), any::<u8>()), 0..3),
        route_name in vec(any::<u8>(), 0..4),
        authority in "(www\\.|\\[::1\\]|.)?[a.b:0]{0,8}",
        cluster_name in "[|os.dn80]{0,12}",
    ) {
        let mut text = RULES.as_bytes().to_vec();
        for (place, byte) in edits {
            text[place] = byte;
        }
        if let Ok(config) = Config::parse(&text, |_| None) {
            let input = RuleInput {
                route_name: &route_name,
                cluster_name: cluster_name.as_bytes(),
                authority: Some(authority.as_bytes()),
            };
            let rule = config.rule_of(input);
            prop_assert!(rule.is_none_or(|place| place < 3));
            let facts = Facts { rule, ..Facts::of_route(&route_name) };
            if let Some(Treatment::Sign(route)) = config.treatment(&facts) {
                prop_assert!(!route.bucket.is_empty());
            }
            prop_assert!(config.unreachable_rules().iter().all(|(later, earlier)| earlier < later));
        }
    }
}
