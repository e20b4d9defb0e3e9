use super::*;

const MINIMAL: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou"}}"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.as_bytes(), |name| match name {
        "ID" => Some("LTAIexample".into()),
        "SECRET" => Some(" sesame\n".into()),
        "EMPTY" => Some(String::new()),
        "SPACED" => Some("a b".into()),
        _ => None,
    })
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parse(MINIMAL).unwrap();
    let route = config.route(b"whatever").unwrap();
    assert_eq!(route.bucket, "my-bucket");
    assert_eq!(route.signature_version, Version::V4);
    assert_eq!((config.wait_timeout_ms, config.max_waiting), (5_000, 1_000));
    match &config.credentials[0].source {
        Source::Sidecar(sidecar) => {
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
            "defaults": {"region": "cn-hangzhou", "credentials": "a"},
            "routes": {"one": {"bucket": "bucket-one"},
                       "two": {"bucket": "bucket-two", "region": "cn-beijing",
                               "signature_version": "v1", "credentials": "b"}},
            "wait_timeout_ms": 1, "max_waiting": 2}"#,
    )
    .unwrap();
    let one = config.route(b"one").unwrap();
    assert_eq!(
        (one.bucket.as_str(), one.region.as_str()),
        ("bucket-one", "cn-hangzhou")
    );
    assert_eq!(one.credentials, 0);
    let two = config.route(b"two").unwrap();
    assert_eq!((two.region.as_str(), two.credentials), ("cn-beijing", 1));
    assert_eq!(two.signature_version, Version::V1);
    match &config.credentials[1].source {
        Source::AccessKey(key) => assert_eq!(key.access_key_secret.expose(), "sesame"),
        other => panic!("{other:?}"),
    }
    assert_eq!(config.route(b"three"), None, "the defaults lack a bucket");
    assert_eq!(config.route(b"\xff"), None);
}

#[test]
fn v1_needs_no_region() {
    let text = MINIMAL.replace(r#""region": "cn-hangzhou""#, r#""signature_version": "v1""#);
    assert_eq!(parse(&text).unwrap().route(b"").unwrap().region, "");
}

/// Each wrong in one way; the message is the operator's only help.
pub const WRONG: &[(&str, &str)] = &[
    ("", "the configuration is empty; it must be a JSON object"),
    ("{", "the configuration is not JSON: EOF"),
    ("[]", "must be an object, not a list"),
    (
        r#"{"defaults": {}, "defaults": {}}"#,
        "`defaults` is given twice",
    ),
    (
        r#"{"default": {}}"#,
        "default: unknown field; did you mean `defaults`?",
    ),
    (
        r#"{"verbose": 1}"#,
        "verbose: unknown field; known are `credentials`",
    ),
    (r#"{"defaults": {}}"#, "credentials: missing; for example"),
    (
        r#"{"credentials": []}"#,
        "credentials: must be an object, not a list",
    ),
    (r#"{"credentials": {}}"#, "credentials: has no entry"),
    (
        r#"{"credentials": {"a b": {}}}"#,
        "credentials.a b: the name must be",
    ),
    (
        r#"{"credentials": {"a": {}}}"#,
        "credentials.a: needs a source",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {}, "access_key": {}}}}"#,
        "credentials.a: has both",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {}}}}"#,
        "credentials.a.sidecar.cluster: missing",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": 5}}}}"#,
        "credentials.a.sidecar.cluster: must be a string, not a number",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": ""}}}}"#,
        "credentials.a.sidecar.cluster: must not be empty",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c", "path": "x"}}}}"#,
        "credentials.a.sidecar.path: must begin with `/`",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c", "authority": "http://h"}}}}"#,
        "credentials.a.sidecar.authority: must be a host",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c", "timeout_ms": 0}}}}"#,
        "credentials.a.sidecar.timeout_ms: must be a whole number from 1 to 60000",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c", "timeout_ms": 1.5}}}}"#,
        "credentials.a.sidecar.timeout_ms: must be a whole number",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c", "timeout_ms": "1s"}}}}"#,
        "credentials.a.sidecar.timeout_ms: must be a whole number, not a string",
    ),
    (
        r#"{"credentials": {"a": {"access_key": {"id_env": "ID"}}}}"#,
        "credentials.a.access_key.secret_env: missing",
    ),
    (
        r#"{"credentials": {"a": {"access_key": {"id_env": "NO", "secret_env": "SECRET"}}}}"#,
        "credentials.a.access_key.id_env: names a variable that is unset",
    ),
    (
        r#"{"credentials": {"a": {"access_key": {"id_env": "EMPTY", "secret_env": "SECRET"}}}}"#,
        "credentials.a.access_key.id_env: names a variable that is unset or empty",
    ),
    (
        r#"{"credentials": {"a": {"access_key": {"id_env": "ID", "secret_env": "SPACED"}}}}"#,
        "credentials.a.access_key.secret_env: names a variable whose value",
    ),
    (
        r#"{"credentials": {"a": {"access_key": {"access_key_secret": "sesame"}}}}"#,
        "credentials.a.access_key.access_key_secret: a key does not belong here",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c"}}}}"#,
        "defaults: missing; without `routes`",
    ),
    (
        r#"{"credentials": {"a": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "bbb", "region": "r"}}"#,
        "defaults.credentials: missing; there is no `default`",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"region": "r"}}"#,
        "defaults.bucket: missing",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "bbb"}}"#,
        "defaults.region: missing; V4 signs it",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "b.oss-cn-hangzhou.aliyuncs.com"}}"#,
        "defaults.bucket: must be 3 to 63",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "-bb"}}"#,
        "defaults.bucket: must neither begin",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"region": "oss-cn-hangzhou"}}"#,
        "defaults.region: must be the general region id, without `oss-`",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"region": "cn-hangzhou-internal"}}"#,
        "without `-internal`",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"a": {"bucket": "bbb"}}}"#,
        "routes.a.region: missing",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"a": {"buket": "bbb"}}}"#,
        "routes.a.buket: unknown field; did you mean `bucket`?",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"a": {"bucket": null}}}"#,
        "routes.a.bucket: must be a string, not null",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"": {}}}"#,
        "a route needs a name",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"a": {"signature_version": "v2"}}}"#,
        r#"routes.a.signature_version: must be "v4" or "v1""#,
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "routes": {"a": {"credentials": "b"}}}"#,
        "routes.a.credentials: is no name under `credentials`; known are `default`",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "bbb", "region": "r"}, "max_waiting": -1}"#,
        "max_waiting: must be a whole number from 1",
    ),
    (
        r#"{"credentials": {"default": {"sidecar": {"cluster": "c"}}}, "defaults": {"bucket": "bbb", "region": "r"}, "wait_timeout_ms": true}"#,
        "wait_timeout_ms: must be a whole number, not a boolean",
    ),
];

#[test]
fn a_wrong_setting_is_named_with_its_fix() {
    for (text, want) in WRONG {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(want), "{text}\n got: {error}\nwant: {want}");
        assert!(!error.contains("sesame"), "{error}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let text = "[".repeat(1_000_000);
    assert!(parse(&text).is_err());
}
