//! Settings of sources that do as they say, or are an error: proxies, profiles of the
//! CLI, variables, and what `default` stands for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::certificate::self_signed;
use common::sidecar::{CALLER_SECRET, ROLE, alibaba};
use serde_json::{Value, json};
use testkit::process::scratch;
use testkit::{FakeAlibaba, free_port, tools};

/// A proxy that hands on whatever it is asked for, to this machine whatever the host.
struct Proxy {
    port: u16,
    /// The request lines, and what authorizes them.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || hand_on(client, &log));
            }
        });
        Proxy { port, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn hand_on(mut client: TcpStream, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line);
    }
    let target = lines.first()?.split(' ').nth(1)?.to_owned();
    log.lock()
        .unwrap()
        .push(lines.first()?.trim_end().to_owned());
    let authorization = lines
        .iter()
        .filter(|line| line.starts_with("proxy-authorization"));
    log.lock()
        .unwrap()
        .extend(authorization.map(|line| line.trim_end().to_owned()));
    let (is_tunnel, authority) = match target.strip_prefix("http://") {
        Some(rest) => (false, rest.split('/').next()?.to_owned()),
        None => (true, target),
    };
    let port = authority.rsplit(':').next()?.parse().ok()?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 go on\r\n\r\n").ok()?;
    } else {
        server.write_all(lines.concat().as_bytes()).ok()?;
        server.write_all(b"\r\n").ok()?;
    }
    server.write_all(reader.buffer()).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut server, &mut client).ok()?;
    let _ = client.shutdown(std::net::Shutdown::Both);
    Some(())
}

/// Runs `check` with these settings and with no variables but those; its output.
fn check(settings: &str, variables: &[(&str, &str)]) -> String {
    let file = scratch("sources.toml");
    std::fs::write(&file, settings).unwrap();
    let output = tools::sidecar()
        .env_clear()
        .envs(variables.iter().copied())
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("sesame"), "{text}");
    text
}

/// A role with the caller's key, at this STS.
fn role(name: &str, endpoint: &str) -> String {
    format!(
        "[credentials.{name}]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n\
         sts_endpoint = \"{endpoint}\"\n"
    )
}

const KEY: [(&str, &str); 2] = [
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", CALLER_SECRET),
];

fn line<'a>(table: &'a str, name: &str) -> &'a str {
    let mut lines = table.lines();
    let line = lines.find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {table}"))
}

#[test]
fn only_sts_is_asked_by_a_proxy() {
    let alibaba = alibaba();
    alibaba.set("ecs_role", json!("instance-role"));
    let proxy = Proxy::start();
    let port = alibaba.sts_port;
    let settings = format!(
        "{}{}[credentials.ecs]\ntype = \"ecs_ram_role\"\nendpoint = \"http://127.0.0.1:{port}\"\n\
         [credentials.uri]\ntype = \"credentials_uri\"\n\
         uri = \"http://127.0.0.1:{port}/credentials-uri\"\n",
        role("sts", &format!("http://sts.test:{port}")),
        role("near", &format!("http://127.0.0.1:{port}")),
    );
    let address = format!("http://user:p%40ss@127.0.0.1:{}", proxy.port);
    for names in [
        ["HTTP_PROXY", "NO_PROXY"],
        ["http_proxy", "no_proxy"],
        ["ALL_PROXY", "NO_PROXY"],
    ] {
        proxy.seen.lock().unwrap().clear();
        let variables = [
            (names[0], address.as_str()),
            (names[1], "127.0.0.0/8"),
            KEY[0],
            KEY[1],
        ];
        let table = check(&settings, &variables);
        for name in ["sts", "near", "ecs", "uri"] {
            assert!(
                line(&table, name).contains("ok, a token until"),
                "{names:?}: {table}"
            );
        }
        let seen = proxy.seen();
        assert!(
            seen[0].starts_with(&format!("POST http://sts.test:{port}/?")),
            "{seen:?}"
        );
        assert_eq!(
            seen[1..],
            ["proxy-authorization: Basic dXNlcjpwQHNz"],
            "{seen:?}"
        );
    }
}

#[test]
fn sts_is_reached_by_tls_and_through_a_tunnel_and_only_if_it_is_sts() {
    let (good, of_another) = (self_signed("localhost"), self_signed("other.example.com"));
    let alibaba = FakeAlibaba::start_with_tls(&good.folder.join("both.pem"));
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    let proxy = Proxy::start();
    let port = alibaba.sts_tls_port.unwrap();
    let settings = role("sts", &format!("localhost:{port}"));
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let file = |certificate: &common::certificate::Certificate| {
        certificate.folder.join("tls.crt").display().to_string()
    };
    let (trusted, untrusted) = (file(&good), file(&of_another));
    for (certificates, by_proxy, want) in [
        (&trusted, "", "ok, a token until"),
        (&trusted, address.as_str(), "ok, a token until"),
        (&untrusted, "", "cannot be reached: TLS failed"),
        (
            &untrusted,
            address.as_str(),
            "cannot be reached: TLS failed",
        ),
    ] {
        proxy.seen.lock().unwrap().clear();
        let variables = [
            ("SSL_CERT_FILE", certificates.as_str()),
            ("https_proxy", by_proxy),
            KEY[0],
            KEY[1],
        ];
        let table = check(&settings, &variables);
        assert!(line(&table, "sts").contains(want), "{table}");
        let seen = proxy.seen();
        let tunnel = format!("CONNECT localhost:{port} HTTP/1.1");
        assert_eq!(
            seen,
            if by_proxy.is_empty() {
                vec![]
            } else {
                vec![tunnel]
            }
        );
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_said() {
    let settings = role("sts", "https://sts.test");
    let with = |value: &str| check(&settings, &[("HTTPS_PROXY", value), KEY[0], KEY[1]]);
    let table = with("socks5://user:sesame@127.0.0.1:1");
    assert!(table.contains("HTTPS_PROXY: must be http://"), "{table}");
    let port = free_port();
    let table = with(&format!("http://user:sesame@127.0.0.1:{port}"));
    let want = "AssumeRole at sts.test: cannot be reached: the proxy that the environment names";
    assert!(table.contains(want), "{table}");
}

/// A file of the CLI with one profile.
fn profile(fields: &Value) -> String {
    let file = scratch("cli.json");
    let config = json!({"current": "p", "profiles": [fields]});
    std::fs::write(&file, config.to_string()).unwrap();
    format!("[credentials.p]\ntype = \"profile\"\nfile = {file:?}\n")
}

#[test]
fn what_a_profile_of_the_cli_says_is_done() {
    let alibaba = alibaba();
    let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
    let variables = [("ALIBABA_CLOUD_STS_ENDPOINT", sts.as_str())];
    alibaba.set("oidc_token", json!("eyJ.sesame"));
    let token = scratch("oidc");
    std::fs::write(&token, "eyJ.sesame").unwrap();
    // Nobody is asked outside of this machine.
    let proxy = Proxy::start();
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let narrow = "{\"Version\": \"1\", \"Statement\": []}";
    for fields in [
        json!({"mode": "RamRoleArn", "access_key_id": "LTAIcaller",
               "access_key_secret": CALLER_SECRET}),
        json!({"mode": "OIDC", "oidc_token_file": token,
               "oidc_provider_arn": "acs:ram::1234567890:oidc-provider/ack-rrsa"}),
    ] {
        let mut fields = fields;
        let common = json!({"name": "p", "ram_role_arn": ROLE, "policy": narrow,
                            "expired_seconds": 1000, "ram_session_name": "of-the-profile"});
        fields
            .as_object_mut()
            .unwrap()
            .extend(common.as_object().unwrap().clone());
        let table = check(&profile(&fields), &variables);
        assert!(line(&table, "p").contains("ok, a token until"), "{table}");
        let log = alibaba.sts_log();
        let asked = log.last().unwrap();
        assert_eq!(asked["Policy"], narrow, "{asked}");
        assert_eq!(asked["DurationSeconds"], "1000", "{asked}");
        assert_eq!(asked["RoleSessionName"], "of-the-profile", "{asked}");

        // The profile's own region, and not the STS of the environment.
        fields["sts_region"] = json!("cn-nowhere");
        fields["enable_vpc"] = json!(true);
        let by_proxy = [variables[0], ("https_proxy", address.as_str())];
        let table = check(&profile(&fields), &by_proxy);
        let want = "at sts-vpc.cn-nowhere.aliyuncs.com: ";
        assert!(line(&table, "p").contains(want), "{table}");
        let tunnel = "CONNECT sts-vpc.cn-nowhere.aliyuncs.com:443 HTTP/1.1";
        assert!(proxy.seen().iter().any(|line| line == tunnel));

        fields["mfa_serial"] = json!("sesame");
        let table = check(&profile(&fields), &variables);
        assert!(
            line(&table, "p").contains("profile `p`: mfa_serial: is not known"),
            "{table}"
        );
    }
}

#[test]
fn a_variable_has_an_effect_or_is_named() {
    let settings = format!("[credentials.a]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n");
    let proxy = Proxy::start();
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let by_proxy = [("https_proxy", address.as_str())];
    let with = |variables: &[(&str, &str)]| {
        check(&settings, &[KEY.as_slice(), &by_proxy, variables].concat())
    };
    let region = ("ALIBABA_CLOUD_STS_REGION", "cn-nowhere");
    let table = with(&[region]);
    assert!(table.contains("at sts.cn-nowhere.aliyuncs.com"), "{table}");
    let table = with(&[region, ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true")]);
    assert!(
        table.contains("at sts-vpc.cn-nowhere.aliyuncs.com"),
        "{table}"
    );
    let table = with(&[("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true")]);
    assert!(
        table.contains("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED: needs"),
        "{table}"
    );

    let table = with(&[
        region,
        ("ALIBABA_CLOUD_PROFILE", "p"),
        ("STS_SIDECAR_LISTNE", "x"),
    ]);
    for name in ["ALIBABA_CLOUD_PROFILE", "STS_SIDECAR_LISTNE"] {
        assert!(
            table.contains(&format!("{name}: is set but has no effect here")),
            "{table}"
        );
    }
    for name in [
        "ALIBABA_CLOUD_STS_REGION: is set",
        "ALIBABA_CLOUD_ACCESS_KEY_ID: is set",
    ] {
        assert!(!table.contains(name), "{table}");
    }
}

/// `default`, with what RRSA of ACK sets, a metadata server, and a home folder.
fn default_with(alibaba: &FakeAlibaba, token: &Path, more: &[(&str, &str)]) -> String {
    let fake = format!("http://127.0.0.1:{}", alibaba.sts_port);
    let token = token.display().to_string();
    let variables = [
        ("ALIBABA_CLOUD_STS_ENDPOINT", fake.as_str()),
        ("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &fake),
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1234567890:oidc-provider/ack-rrsa",
        ),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &token),
        ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "of-the-pod"),
    ];
    let variables = variables.iter().chain(more).copied();
    let variables: Vec<(&str, &str)> = variables.filter(|(_, value)| !value.is_empty()).collect();
    check("[credentials.a]\ntype = \"default\"\n", &variables)
}

#[test]
fn what_default_finds_set_and_failing_is_not_passed_over() {
    let alibaba = alibaba();
    alibaba.set("ecs_role", json!("of-the-node"));
    alibaba.set("oidc_token", json!("eyJ.sesame"));
    let token = scratch("oidc");
    std::fs::write(&token, "eyJ.sesame").unwrap();
    let table = default_with(&alibaba, &token, &[]);
    assert!(line(&table, "a").contains("ok, a token until"), "{table}");
    let log = alibaba.sts_log();
    assert_eq!(log.last().unwrap()["RoleSessionName"], "of-the-pod");

    // STS refuses the pod's role; the node's may do more.
    std::fs::write(&token, "eyJ.sesame.of-another").unwrap();
    let table = default_with(&alibaba, &token, &[]);
    assert!(
        line(&table, "a").contains("AuthenticationFail.OIDCToken.Invalid"),
        "{table}"
    );
    let table = default_with(&alibaba, &token, &[KEY[0]]);
    assert!(line(&table, "a").contains("needs the variables"), "{table}");

    // With an AccessKey all else has no effect, and is named.
    let mut table = default_with(&alibaba, &token, &[KEY[0], KEY[1]]);
    assert!(
        line(&table, "a").contains("ok, a key without an end"),
        "{table}"
    );
    for name in [
        "ROLE_ARN",
        "OIDC_TOKEN_FILE",
        "ROLE_SESSION_NAME",
        "STS_ENDPOINT",
    ] {
        let want = format!("ALIBABA_CLOUD_{name}: is set but has no effect here");
        assert!(table.contains(&want), "{name}: {table}");
    }
    // Wrong, though it is not what is chosen.
    let wrong = ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "ja");
    table = default_with(&alibaba, &token, &[wrong]);
    assert!(
        table.contains("CLI_PROFILE_DISABLED: must be true or false"),
        "{table}"
    );

    // A profile of the CLI, which may be switched off.
    let home = scratch("home");
    std::fs::create_dir_all(home.join(".aliyun")).unwrap();
    std::fs::write(home.join(".aliyun/config.json"), "{").unwrap();
    let home = home.display().to_string();
    let nowhere = Path::new("");
    let table = default_with(&alibaba, nowhere, &[("HOME", &home)]);
    assert!(
        line(&table, "a").contains("is no configuration of the CLI"),
        "{table}"
    );
    let config = Path::new(&home).join(".aliyun/config.json");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/nowhere", &config).unwrap();
    let table = default_with(&alibaba, nowhere, &[("HOME", &home)]);
    assert!(
        line(&table, "a").contains("config.json: No such file"),
        "{table}"
    );
    let actions = |alibaba: &FakeAlibaba| {
        let log = alibaba.sts_log();
        log.iter().any(|entry| entry["action"] == "ecs")
    };
    assert!(!actions(&alibaba), "the node's role was asked for");
    let off = ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true");
    let table = default_with(&alibaba, nowhere, &[("HOME", &home), off]);
    assert!(line(&table, "a").contains("ok, a token until"), "{table}");
    assert!(actions(&alibaba));
}

/// Runs `check` without settings; its output.
fn check_environment(variables: &[(&str, &str)]) -> String {
    let mut command = tools::sidecar();
    command.env_clear().envs(variables.iter().copied());
    let output = command.arg("check").output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains("sesame"), "{text}");
    text
}

#[test]
fn a_role_in_the_environment_is_assumed_whatever_else_is_set() {
    let alibaba = alibaba();
    let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
    let table = check_environment(&[
        KEY[0],
        KEY[1],
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        ("ALIBABA_CLOUD_STS_ENDPOINT", &sts),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/nowhere"),
        (
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
            "acs:ram::1:oidc-provider/p",
        ),
    ]);
    assert!(line(&table, "default").contains("assume_role"), "{table}");
    assert!(
        line(&table, "default").contains("ok, a token until"),
        "{table}"
    );
    for name in ["OIDC_TOKEN_FILE", "OIDC_PROVIDER_ARN"] {
        let want = format!("ALIBABA_CLOUD_{name}: is set but has no effect here");
        assert!(table.contains(&want), "{name}: {table}");
    }
}

#[test]
fn a_token_belongs_to_a_profile_of_its_mode_alone() {
    let alibaba = alibaba();
    let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
    let with = |fields: Value| {
        let mut fields = fields;
        let key = json!({"name": "p", "access_key_id": "LTAIcaller",
                         "access_key_secret": CALLER_SECRET, "ram_role_arn": ROLE});
        fields
            .as_object_mut()
            .unwrap()
            .extend(key.as_object().unwrap().clone());
        let variables = [("ALIBABA_CLOUD_STS_ENDPOINT", sts.as_str())];
        check(&profile(&fields), &variables)
    };
    // What the CLI has left there of another mode.
    let table = with(json!({"mode": "RamRoleArn", "sts_token": "sesame-stale"}));
    assert!(line(&table, "p").contains("ok, a token until"), "{table}");
    let table = with(json!({"mode": "StsToken"}));
    assert!(
        line(&table, "p").contains("sts_token: is missing"),
        "{table}"
    );
}
