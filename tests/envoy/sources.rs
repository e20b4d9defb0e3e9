//! Every source of credentials that the sidecar knows, against fakes that
//! speak the real protocols; STS's signatures are judged by Alibaba's own SDK.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::filter;
use serde_json::{Value, json};
use testkit::process::{PATIENCE, scratch, wait_until};
use testkit::{EnvoyBuilder, FakeAlibaba, Position, Process, Request, free_port, tools};

const SECRET: &str = "sesame-of-the-caller";
const ROLE: &str = "acs:ram::1234567890:role/oss-reader";
/// It narrows what the token may to reading the bucket.
const POLICY: &str = r#"{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:GetObject", "Resource": "acs:oss:*:*:demo-bucket/*"}]}"#;
const SECOND_ROLE: &str = "acs:ram::987:role/of-the-other-account";
const OIDC_TOKEN: &str = "eyJ.sesame.oidc";

/// A sidecar with every source, and what they need.
struct Sources {
    alibaba: FakeAlibaba,
    sidecar: Process,
    port: u16,
    oidc_file: PathBuf,
}

impl Sources {
    fn start() -> Sources {
        Sources::start_with(3_600, 30_000)
    }

    /// `token_life`: of all tokens that are issued, in seconds.
    fn start_with(token_life: u64, timeout_ms: u64) -> Sources {
        let alibaba = FakeAlibaba::start();
        alibaba.set("token_life", json!(token_life));
        alibaba.put("a", "content");
        alibaba.add_key("LTAIcaller", SECRET, None, None);
        alibaba.add_key("STS.cli", SECRET, Some("sesame-token-of-the-cli"), None);
        alibaba.add_role(ROLE, None);
        alibaba.add_role(SECOND_ROLE, Some("of-our-partner"));
        alibaba.set("oidc_token", json!(OIDC_TOKEN));
        alibaba.set("ecs_role", json!("instance-role"));
        let oidc_file = scratch("oidc-token");
        std::fs::write(&oidc_file, format!("{OIDC_TOKEN}\n")).unwrap();
        let fake = format!("http://127.0.0.1:{}", alibaba.sts_port);
        let file = scratch("sources.toml");
        let cli = cli_profiles(&fake, &oidc_file);
        std::fs::write(&file, settings(timeout_ms, &fake, &oidc_file, &cli)).unwrap();
        let mut command = tools::sidecar();
        command
            .arg("--config")
            .arg(&file)
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller")
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
            .env("ALIBABA_CLOUD_STS_ENDPOINT", &fake)
            .env("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &fake);
        let (sidecar, port) = testkit::sidecar::start(&mut command);
        Sources {
            alibaba,
            sidecar,
            port,
            oidc_file,
        }
    }

    fn ask(&self, name: &str) -> testkit::Response {
        let request = Request::local(format!("/v1/credentials/{name}"));
        request.header("cache-control", "no-cache").send(self.port)
    }
}

const NAMES: [&str; 17] = [
    "static",
    "environment",
    "assume_role",
    "external",
    "chained",
    "oidc",
    "ecs",
    "ecs_hardened",
    "uri",
    "first",
    "cli-ak",
    "cli-sts",
    "cli-role",
    "cli-chain",
    "cli-ecs",
    "cli-oidc",
    "cli-uri",
];

fn settings(timeout_ms: u64, fake: &str, oidc_file: &Path, cli: &Path) -> String {
    let sts = format!("sts_endpoint = \"{fake}\"");
    let mut text = format!(
        r#"
listen = "127.0.0.1:0"
timeout_ms = {timeout_ms}
[credentials.static]
type = "static"
[credentials.environment]
type = "environment"
[credentials.assume_role]
type = "assume_role"
role_arn = "{ROLE}"
session_name = "gateway-1"
policy = '{POLICY}'
duration_seconds = 900
{sts}
[credentials.external]
type = "assume_role"
role_arn = "{SECOND_ROLE}"
external_id = "of-our-partner"
{sts}
[credentials.chained]
type = "assume_role"
from = "assume_role"
role_arn = "{SECOND_ROLE}"
external_id = "of-our-partner"
{sts}
[credentials.oidc]
type = "assume_role_with_oidc"
role_arn = "{ROLE}"
oidc_provider_arn = "acs:ram::1234567890:oidc-provider/ack-rrsa"
oidc_token_file = {oidc_file:?}
{sts}
[credentials.ecs]
type = "ecs_ram_role"
endpoint = "{fake}/"
[credentials.ecs_hardened]
type = "ecs_ram_role"
role_name = "instance-role"
hardened = true
[credentials.uri]
type = "credentials_uri"
uri = "{fake}/credentials-uri"
[credentials.first]
type = "default"
"#
    );
    for profile in ["ak", "sts", "role", "chain", "ecs", "oidc", "uri"] {
        text += &format!(
            "[credentials.cli-{profile}]\ntype = \"profile\"\nprofile = \"{profile}\"\n\
             file = {cli:?}\n"
        );
    }
    text
}

/// As `aliyun configure` writes it.
fn cli_profiles(fake: &str, oidc_file: &Path) -> PathBuf {
    let file = scratch("cli.json");
    let key = |mut profile: Value| {
        profile["access_key_id"] = json!("LTAIcaller");
        profile["access_key_secret"] = json!(SECRET);
        profile
    };
    let config = json!({"current": "ak", "profiles": [
        key(json!({"name": "ak", "mode": "AK", "region_id": "cn-hangzhou"})),
        {"name": "sts", "mode": "StsToken", "access_key_id": "STS.cli",
         "access_key_secret": SECRET, "sts_token": "sesame-token-of-the-cli"},
        key(json!({"name": "role", "mode": "RamRoleArn", "ram_role_arn": ROLE,
                   "ram_session_name": "cli", "expired_seconds": 900})),
        {"name": "chain", "mode": "ChainableRamRoleArn", "source_profile": "role",
         "ram_role_arn": SECOND_ROLE, "external_id": "of-our-partner"},
        {"name": "ecs", "mode": "EcsRamRole", "ram_role_name": "instance-role"},
        {"name": "oidc", "mode": "OIDC", "ram_role_arn": ROLE, "oidc_token_file": oidc_file,
         "oidc_provider_arn": "acs:ram::1234567890:oidc-provider/ack-rrsa"},
        {"name": "uri", "mode": "CredentialsURI",
         "credentials_uri": format!("{fake}/credentials-uri")},
        {"name": "sso", "mode": "CloudSSO"},
    ]});
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

#[test]
fn every_source_opens_an_object_through_envoy() {
    let sources = Sources::start();
    let mut configuration = filter();
    let mut routes = Vec::new();
    for name in NAMES {
        configuration["credentials"][name] = json!({"sidecar": {"cluster": "sts_sidecar"}});
        configuration["routes"][name] =
            json!({"credentials": name, "strip_prefix": format!("/{name}/")});
        routes.push(json!({"name": name, "match": {"prefix": format!("/{name}/")}, "route": {}}));
    }
    configuration["credentials"]
        .as_object_mut()
        .unwrap()
        .remove("default");
    configuration["defaults"]["credentials"] = json!("static");
    let mut builder = EnvoyBuilder::new(configuration, sources.alibaba.oss_port, sources.port);
    builder.routes = routes;
    let envoy = builder.start();
    for name in NAMES {
        let response = Request::get(format!("/{name}/a")).send(envoy.port(Position::Upstream));
        assert_eq!(
            (response.status, response.text()),
            (200, "content".into()),
            "{name}: {}",
            sources
                .ask(name)
                .text()
                .split("AccessKeySecret")
                .next()
                .unwrap()
        );
    }
    let log = sources.alibaba.sts_log();
    let asked = |wanted: &dyn Fn(&Value) -> bool| log.iter().any(wanted);
    assert!(asked(&|entry| entry["RoleSessionName"] == "gateway-1"
        && entry["DurationSeconds"] == "900"
        && entry["Policy"] == POLICY));
    assert!(asked(
        &|entry| entry["RoleArn"] == SECOND_ROLE && entry["RoleSessionName"] == "oss-origin-auth"
    ));
    assert!(asked(&|entry| entry["action"] == "AssumeRoleWithOIDC"));
    for secret in ["sesame", "CAIS"] {
        assert!(!sources.sidecar.output().contains(secret));
        assert!(!envoy.process.output().contains(secret));
    }
}

#[test]
fn the_metadata_server_is_asked_in_the_mode_that_it_has() {
    let sources = Sources::start();
    let statuses = || ["ecs", "ecs_hardened"].map(|name| sources.ask(name).status);
    // It insists on tokens.
    sources.alibaba.set("ecs_hardened", json!(true));
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(statuses(), [200, 200]);
    // It is an old one that gives none. What is held is short-lived, so that
    // it does not hide the failure.
    sources.alibaba.set("ecs_hardened", json!(false));
    sources.alibaba.set("token_life", json!(2));
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(statuses(), [200, 200]);
    sources.alibaba.set("ecs_tokens", json!(false));
    wait_until("the end of the token", || statuses() == [200, 502]);
    let answer = sources.ask("ecs_hardened").json();
    assert!(
        answer["Step"]
            .as_str()
            .unwrap()
            .starts_with("PUT /latest/api/token"),
        "{answer}"
    );
}

#[test]
fn the_filter_reads_a_credentials_uri_server_that_is_not_ours() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    let mut configuration = filter();
    configuration["credentials"]["default"]["sidecar"]["path"] = json!("/credentials-uri");
    let envoy = EnvoyBuilder::new(configuration, alibaba.oss_port, alibaba.sts_port).start();
    let response = Request::get("/a").send(envoy.port(Position::Upstream));
    assert_eq!((response.status, response.text()), (200, "content".into()));
}

#[test]
fn each_step_that_fails_is_named() {
    // Nothing lives long enough to be held and to stand in the way.
    let sources = Sources::start_with(1, 30_000);
    let alibaba = &sources.alibaba;
    let host = format!("127.0.0.1:{}", alibaba.sts_port);
    let expect = |name: &str, code: &str, step: &str, source_code: &str| {
        let want = step.replace("HOST", &host);
        expect(&sources, name, (code, &want), source_code);
    };
    alibaba.set("sts_failure", json!([403, "NoPermission", "sesame"]));
    expect(
        "external",
        "SourceRefused",
        "AssumeRole at HOST",
        "NoPermission",
    );
    expect(
        "oidc",
        "SourceRefused",
        "AssumeRoleWithOIDC at HOST",
        "NoPermission",
    );
    alibaba.set("sts_failure", json!(null));

    alibaba.set("sts_garbage", json!("<html>sesame"));
    expect("external", "SourceMalformed", "AssumeRole at HOST", "");
    expect("uri", "SourceMalformed", "GET /credentials-uri at HOST", "");
    alibaba.set(
        "sts_garbage",
        json!("{\"Credentials\": {\"AccessKeyId\": \"sesame\"}}"),
    );
    expect("external", "SourceMalformed", "AssumeRole at HOST", "");
    alibaba.set("sts_garbage", json!(null));

    alibaba.set("ecs_hardened", json!(true));
    alibaba.set("ecs_role", json!("another-role"));
    expect(
        "ecs_hardened",
        "SourceMalformed",
        "GET /latest/meta-data/ram/security-credentials/instance-role at HOST",
        "",
    );
    alibaba.set("ecs_role", json!(null));
    expect(
        "ecs_hardened",
        "SourceMalformed",
        "PUT /latest/api/token at HOST",
        "",
    );

    // The token of a pod is replaced in its file, and read anew each time.
    alibaba.set("oidc_token", json!("eyJ.sesame.second"));
    expect(
        "oidc",
        "SourceRefused",
        "AssumeRoleWithOIDC at HOST",
        "AuthenticationFail.OIDCToken.Invalid",
    );
    std::fs::write(&sources.oidc_file, "eyJ.sesame.second").unwrap();
    alibaba.set("token_life", json!(5));
    wait_until("the new OIDC token", || sources.ask("oidc").status == 200);
    alibaba.set("token_life", json!(1));
    std::fs::remove_file(&sources.oidc_file).unwrap();
    expect("oidc", "SourceIncomplete", "", "");

    // A clock that is off by more than STS allows.
    alibaba.set("clock_offset", json!(3600));
    expect(
        "external",
        "SourceRefused",
        "AssumeRole at HOST",
        "InvalidTimeStamp.Expired",
    );
    alibaba.set("clock_offset", json!(0));

    assert!(!sources.sidecar.output().contains("sesame"));
}

#[test]
fn a_source_that_is_slow_is_named() {
    let sources = Sources::start_with(1, 500);
    sources.alibaba.set("sts_delay", json!(3));
    let step = format!("AssumeRole at 127.0.0.1:{}", sources.alibaba.sts_port);
    expect(&sources, "external", ("SourceTimedOut", &step), "");
}

/// Asks for credentials until the answer has this code and step: what was told
/// before, or is held, has its time.
fn expect(sources: &Sources, name: &str, (code, step): (&str, &str), source_code: &str) {
    let begin = Instant::now();
    let (text, body) = loop {
        let answer = sources.ask(name);
        let (text, body) = (answer.text(), answer.json());
        let found = body["Code"] == code && body["Step"].as_str().unwrap_or("") == step;
        if found || begin.elapsed() > PATIENCE {
            break (text, body);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(body["Code"], code, "{name}: {text}");
    assert_eq!(body["Step"].as_str().unwrap_or(""), step, "{name}: {text}");
    if !source_code.is_empty() {
        assert_eq!(body["SourceCode"], source_code, "{name}: {text}");
        assert!(body["SourceRequestId"].is_string(), "{name}: {text}");
    }
    assert!(!text.contains("sesame"), "{text}");
}

#[test]
fn what_a_source_lacks_is_said() {
    let file = scratch("lacking.toml");
    let cli = cli_profiles("http://127.0.0.1:9", Path::new("/nowhere"));
    let port = free_port();
    let settings = format!(
        "timeout_ms = 1000\n\
         [credentials.environment]\ntype = \"environment\"\n\
         [credentials.oidc]\ntype = \"assume_role_with_oidc\"\n\
         [credentials.uri]\ntype = \"credentials_uri\"\n\
         [credentials.nobody]\ntype = \"credentials_uri\"\nuri = \"http://127.0.0.1:{port}/\"\n\
         [credentials.profile]\ntype = \"profile\"\nprofile = \"none\"\nfile = {cli:?}\n\
         [credentials.sso]\ntype = \"profile\"\nprofile = \"sso\"\nfile = {cli:?}\n\
         [credentials.file]\ntype = \"profile\"\nfile = \"/nowhere\"\n\
         [credentials.garbage]\ntype = \"profile\"\nfile = {file:?}\n"
    );
    std::fs::write(&file, settings).unwrap();
    let output = tools::sidecar()
        .env_clear()
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    for (name, want) in [
        (
            "environment",
            "FAILED: needs the variables ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        ("oidc", "FAILED: needs role_arn, oidc_provider_arn"),
        ("uri", "FAILED: needs uri, or the variable"),
        (
            "nobody",
            "cannot be reached: no connection; is the endpoint right?",
        ),
        ("profile", "has no profile `none`"),
        ("sso", "mode `CloudSSO`: AK, StsToken"),
        ("file", "/nowhere: No such file"),
        ("garbage", "line 1: is no configuration of the CLI"),
    ] {
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name}: {table}"));
        assert!(line.contains(want), "{line}\nwant: {want}");
    }
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("8 of 8 sources gave no credentials"),
        "{errors}"
    );
}
