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

/// The settings by which the requests of a route are signed.
fn route<'a>(config: &'a Config, name: &[u8]) -> &'a Route {
    match config.treatment(name) {
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
        config.treatment(b"three"),
        None,
        "the defaults lack a bucket"
    );
    assert_eq!(config.treatment(b"\xff"), None);
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

/// Each wrong in one way; the message is the operator's only help. A real
/// Envoy is given the same ones in tests/envoy/configuration.rs.
#[derive(serde::Deserialize)]
struct Wrong {
    configuration: String,
    message: String,
}

fn wrong_configurations() -> Vec<Wrong> {
    let file = include_str!("../../../tests/data/wrong-configurations.json");
    serde_json::from_str(file).unwrap()
}
