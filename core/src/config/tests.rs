use super::*;
use crate::fetch::account::AccountId;
use crate::fetch::source::SourceKind;
use crate::signing::{Product, Scheme};
use crate::words::Word;
use choices::Method;

const MINIMAL: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou",
    "endpoint": "oss-cn-hangzhou.aliyuncs.com"}}"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.as_bytes(), |name| match name {
        "ID" => Some("LTAIexample".into()),
        "STS_ID" => Some("STS.sesame".into()),
        "SECRET" => Some(" sesame\n".into()),
        "EMPTY" => Some(String::new()),
        "SPACED" => Some("a b".into()),
        _ => None,
    })
}

/// The settings that sign the requests of a route.
fn route<'a>(config: &'a Config, name: &[u8]) -> &'a Route {
    match config.treatment(&Facts::of_route(name)) {
        Some(Treatment::Sign(route)) => route,
        other => panic!("{other:?}"),
    }
}

fn v4(region: &str) -> Scheme {
    let region = region.to_owned();
    let product = Product::Oss;
    Scheme::V4 { region, product }
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parse(MINIMAL).unwrap();
    let route = route(&config, b"whatever");
    assert_eq!(route.bucket, "my-bucket");
    assert_eq!(route.scheme, v4("cn-hangzhou"));
    assert_eq!((config.wait_timeout_ms, config.max_waiting), (5_000, 1_000));
    match &config.credentials[0].kind {
        SourceKind::Sidecar(sidecar) => {
            assert_eq!(sidecar.path, "/v1/credentials/default");
            assert_eq!(sidecar.authority, "sts");
            assert_eq!(sidecar.timeout_ms, 2_000);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_route_lies_over_the_defaults() {
    let config = parse(
        r#"{"credentials": {"a": {"sidecar": {"cluster": "sts", "path": "/x?y", "authority": "h:1",
                                              "timeout_ms": 5.0}},
                            "b": {"access_key": {"id_env": "ID", "secret_env": "SECRET"}}},
            "defaults": {"region": "cn-hangzhou", "credentials": "a", "endpoint": "oss"},
            "routes": {"one": {"bucket": "bucket-one"},
                       "two": {"bucket": "bucket-two", "region": "cn-beijing",
                               "signature_version": "v1", "credentials": "b"}},
            "wait_timeout_ms": 1, "max_waiting": 2}"#,
    )
    .unwrap();
    let one = route(&config, b"one");
    assert_eq!(one.bucket, "bucket-one");
    assert_eq!(one.scheme, v4("cn-hangzhou"));
    assert_eq!(one.account, AccountId(0));
    let two = route(&config, b"two");
    assert_eq!((&two.scheme, two.account), (&Scheme::V1, AccountId(1)));
    match &config.credentials[1].kind {
        SourceKind::AccessKey(key) => assert_eq!(key.access_key_secret.expose(), "sesame"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        config.treatment(&Facts::of_route(b"three")),
        None,
        "the defaults lack a bucket"
    );
    assert_eq!(config.treatment(&Facts::of_route(b"\xff")), None);
}

#[test]
fn v1_needs_no_region() {
    let text = MINIMAL.replace(r#""region": "cn-hangzhou""#, r#""signature_version": "v1""#);
    assert_eq!(route(&parse(&text).unwrap(), b"").scheme, Scheme::V1);
}

#[test]
fn a_wrong_setting_is_named_with_its_fix() {
    for Wrong {
        configuration: text,
        message: want,
    } in wrong_configurations()
    {
        let error = parse(&text).expect_err(&text).to_string();
        assert!(error.contains(&want), "{text}\n got: {error}\nwant: {want}");
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[test]
fn the_default_methods_are_the_documented_ones() {
    let methods = fields::ROUTE.iter().find(|field| field.name == "methods");
    let words = Method::DEFAULT.map(Method::word);
    match methods.unwrap().kind {
        fields::Kind::Choices { default, .. } => assert_eq!(default, words),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = "[".repeat(1_000_000);
    assert!(parse(&text).is_err());
}

/// A configuration with one error and its message, which is all the help that an operator gets.
/// tests/envoy/configuration.rs gives the same ones to a real Envoy.
#[derive(serde::Deserialize)]
struct Wrong {
    configuration: String,
    message: String,
}

fn wrong_configurations() -> Vec<Wrong> {
    let file = include_str!("../../../tests/data/wrong-configurations.json");
    serde_json::from_str(file).unwrap()
}

/// The checks of a route in a configuration that signs nothing.
fn access(config: &Config, name: &[u8]) -> Option<std::rc::Rc<crate::access::Access>> {
    match config.treatment(&Facts::of_route(name)) {
        Some(Treatment::PassUnsigned(access)) => access.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_configuration_may_check_alone() {
    let config = parse(
        r#"{"url_keys": {"default": {"key_env": "SECRET", "backup_key_env": "ID"}},
            "defaults": {"access": {"url_signing": {"type": "F", "time_parameter": "t"}}},
            "routes": {"free": {"access": {"public": true}}, "off": {"enabled": false},
                       "shut": {"deny": true},
                       "pages": {"access": {"referer": {"deny": ["Example.COM"], "allow_empty": false},
                                            "user_agent": {"allow": ["*FireFox*"]}}}}}"#,
    )
    .unwrap();
    assert!(config.credentials.is_empty() && config.checks_access);
    let signing = access(&config, b"whatever")
        .unwrap()
        .url_signing
        .clone()
        .unwrap();
    assert_eq!(
        (signing.valid_seconds, signing.keys.main.expose()),
        (1_800, "sesame")
    );
    assert_eq!(
        (&*signing.signature_parameter, &*signing.time_parameter),
        ("sign", "t")
    );
    assert_eq!(access(&config, b"free"), None);
    assert_eq!(access(&config, b"off").unwrap().url_signing, Some(signing));
    assert_eq!(
        config.treatment(&Facts::of_route(b"shut")),
        Some(&Treatment::Deny)
    );
    let pages = access(&config, b"pages").unwrap();
    assert_eq!(pages.url_signing, None, "it replaces that of the defaults");
    assert_eq!(pages.user_agent.as_ref().unwrap().0.entries, ["*firefox*"]);
    assert_eq!(
        pages.referer.as_ref().unwrap().list.entries,
        ["example.com"]
    );
}

#[test]
fn a_key_is_for_times_of_one_format() {
    let with = |one: &str, other: &str| {
        parse(&format!(
            r#"{{"url_keys": {{"a": {{"key_env": "SECRET"}}, "b": {{"key_env": "ID"}}}}, "routes": {{
                "one": {{"access": {{"url_signing": {{"type": {one}}}}}}},
                "other": {{"access": {{"url_signing": {{"type": {other}}}}}}}}}}}"#
        ))
    };
    for (one, other, fits) in [
        (r#""F", "keys": "a""#, r#""F", "keys": "a""#, true),
        (
            r#""F", "keys": "a""#,
            r#""F", "keys": "a", "time_format": "hex""#,
            false,
        ),
        (
            r#""F", "keys": "b""#,
            r#""F", "keys": "a", "time_format": "hex""#,
            true,
        ),
        (
            r#""C2", "keys": "a""#,
            r#""F", "keys": "a", "time_format": "hex""#,
            true,
        ),
        (r#""C2", "keys": "a""#, r#""F", "keys": "a""#, false),
        (r#""A", "keys": "a""#, r#""C2", "keys": "a""#, true),
        (r#""A", "keys": "a""#, r#""F", "keys": "a""#, true),
    ] {
        assert_eq!(with(one, other).is_ok(), fits, "{one} {other}");
        assert_eq!(with(other, one).is_ok(), fits, "{one} {other}");
    }
}

#[test]
fn where_the_path_moves_all_routes_are_alike() {
    let with = |own: &str| {
        parse(&format!(
            r#"{{"url_keys": {{"default": {{"key_env": "SECRET"}}}},
                 "defaults": {{"access": {{"url_signing": {{"type": "B"}}}}}}, "routes": {{"x": {own}}}}}"#
        ))
    };
    for own in [
        "{}",
        r#"{"access": {"public": true}}"#,
        r#"{"access": {"url_signing": {"type": "B", "keys": "default"}}}"#,
    ] {
        assert!(with(own).is_ok(), "{own}");
    }
    for own in [
        r#"{"deny": true}"#,
        r#"{"access": {"url_signing": {"type": "B", "valid_seconds": 1}}}"#,
        r#"{"access": {"url_signing": {"type": "A"}}}"#,
        r#"{"access": {"user_agent": {"deny": ["x"]}}}"#,
    ] {
        assert!(with(own).is_err(), "{own}");
    }
    let signs = MINIMAL.replace(
        r#""bucket""#,
        r#""access": {"url_signing": {"type": "C1"}}, "bucket""#,
    );
    let keys = r#", "url_keys": {"default": {"key_env": "SECRET"}}, "routes": {"x": OWN}}"#;
    let signs = [signs.strip_suffix('}').unwrap(), keys].concat();
    assert!(parse(&signs.replace("OWN", "{}")).is_ok());
    assert!(parse(&signs.replace("OWN", r#"{"bucket": "other-bucket"}"#)).is_err());
    assert!(parse(&signs.replace("OWN", r#"{"methods": ["GET"]}"#)).is_err());
}
