//! `oss-origin-auth doctor` against the fake OSS: a good bucket, and what stands between a
//! machine and a bucket. Each fault is found, with its fix.

use std::net::TcpListener;

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, HOST, REGION};
use testkit::process::scratch;
use testkit::{EnvoyBuilder, FakeAlibaba, StubSidecar};

use crate::common::certificate::{Certificate, self_signed};
use crate::common::doctor::{Doctor, KEY, alibaba, prepared, settings};
use crate::common::sidecar::{CALLER_SECRET, ROLE};
use crate::common::{TOKEN, good_answer};

/// The fake OSS by TLS, and a doctor that trusts one certificate.
fn by_tls(certificate: &Certificate, trusted: &Certificate) -> (FakeAlibaba, Doctor) {
    let both = certificate.folder.join("both.pem");
    let alibaba = prepared(FakeAlibaba::start_with_tls(&both));
    let place = format!("127.0.0.1:{}", alibaba.oss_tls_port.unwrap());
    let ca = trusted.folder.join("tls.crt").display().to_string();
    let config = settings(&json!({}));
    let arguments = ["--config", &config, "--object", "a", "--connect", &place];
    let doctor = Doctor::new(&alibaba, &arguments).with(&["--ca", &ca]);
    (alibaba, doctor)
}

#[test]
fn a_good_bucket_is_green_in_every_check() {
    let certificate = self_signed(HOST);
    let (alibaba, doctor) = by_tls(&certificate, &certificate);
    alibaba.put_object("k", "encrypted", json!({"encrypted": "KMS"}));
    alibaba.put_object(
        "i",
        "restored",
        json!({"headers": {"x-oss-storage-class": "Archive"}}),
    );
    let stub = StubSidecar::start(good_answer());
    alibaba.add_key("STS.example", crate::common::SECRET, Some(TOKEN), None);
    let mut filter = crate::common::filter();
    filter["defaults"]["forced_download"] = json!("remove");
    let envoy = EnvoyBuilder::new(filter, alibaba.oss_port, stub.port).start();
    let url = format!(
        "http://127.0.0.1:{}",
        envoy.port(testkit::Position::Upstream)
    );
    let doctor = doctor.with(&[
        "--encrypted",
        "k",
        "--archived",
        "i",
        "--probe-write",
        "--envoy",
        &url,
    ]);
    let said = doctor.json();
    for others in ["failed", "warning", "unknown", "skipped"] {
        assert_eq!(said.that_are(others), Vec::<&str>::new(), "{}", said.text);
    }
    assert_eq!(
        (said.code, said.that_are("ok").len()),
        (0, 24),
        "{}",
        said.text
    );
    said.assert("credentials", "ok", "STS.…1234");
    said.assert("identity", "ok", ":assumed-role/oss-reader/");
    said.assert("kms", "ok", "encrypted by KMS");
    let (code, text) = doctor.text();
    assert_eq!((code, text.lines().count()), (0, 24), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
    // It has written nothing, and nothing but the probe has tried to.
    let seen = alibaba.seen();
    let writes = seen
        .iter()
        .filter(|seen| !["GET", "HEAD"].contains(&seen.method.as_str()));
    for write in writes {
        assert_eq!((write.method.as_str(), write.status), ("PUT", 403));
        assert!(write.target.starts_with("/.doctor-"), "{}", write.target);
        assert_eq!(write.header("x-oss-forbid-overwrite"), ["true"]);
    }
}

#[test]
fn flags_stand_for_settings() {
    let alibaba = alibaba();
    let place = format!("127.0.0.1:{}", alibaba.oss_port);
    let flags = [
        "--bucket",
        BUCKET,
        "--region",
        REGION,
        "--connect",
        &place,
        "--plain-http",
    ];
    let doctor = || Doctor::new(&alibaba, &flags);
    // Without an object, one is asked for that nobody has.
    let said = doctor().json();
    assert_eq!(said.code, 0, "{}", said.text);
    said.assert("get", "ok", "404 NoSuchKey");
    said.assert("range", "skipped", "--object");
    // Nobody knows what the filter does with it.
    let said = doctor().with(&["--object", "a"]).json();
    assert_eq!(said.code, 3, "{}", said.text);
    said.assert(
        "forced_download",
        "warning",
        "`forced_download`: \"remove\"",
    );
    let own = [
        "--endpoint",
        "img.example.com",
        "--addressing",
        "cname",
        "--object",
        "a",
    ];
    let said = doctor().with(&own).json();
    assert_eq!(said.code, 0, "{}", said.text);
    said.assert("public_endpoint", "ok", "domain of its own");
    let v1 = doctor()
        .with(&["--object", "a", "--signature-version", "v1"])
        .json();
    v1.assert("get", "ok", "200");
    let in_path = doctor()
        .with(&["--object", "a", "--addressing", "path_style"])
        .json();
    in_path.assert("get", "ok", "200");
}

#[test]
fn the_object_is_asked_for_as_a_client_does() {
    let alibaba = alibaba();
    alibaba.put("site/a b.txt", "content");
    let more = json!({"strip_prefix": "/media/", "key_prefix": "site/"});
    let said = |object: &str, more: &Value| {
        let doctor = Doctor::at(&alibaba, alibaba.oss_port, more);
        let doctor = doctor.set("URL_KEY", "sesame-key-of-urls");
        doctor.with(&["--object", object]).json()
    };
    said("/media/a%20b.txt", &more).assert("get", "ok", "200, 7 bytes");
    said("media/a b.txt", &more).assert("get", "ok", "200, 7 bytes");
    said("site/a b.txt", &more).assert("get", "ok", "200, 7 bytes");
    let one = json!({"strip_prefix": "/media/"});
    said("site/a b.txt", &one).assert("get", "ok", "200, 7 bytes");
    let other = json!({"key_prefix": "site/"});
    said("site/a b.txt", &other).assert("get", "ok", "200, 7 bytes");
    said("/other", &more).assert("get", "unknown", "outside_prefix");
    said("/media/other", &more).assert("get", "failed", "OSS was asked for /site/other");

    let access = json!({"access": {"url_signing": {"type": "A"}}});
    let unsigned = said("/a", &access);
    unsigned.assert("get", "unknown", "url_signature_missing");
    let now = testkit::signed_url::now();
    let signed = testkit::signed_url::sign("A", "sesame-key-of-urls", now, "/a");
    let signature = signed.split_once('=').unwrap().1;
    let allowed = said(&signed, &access);
    allowed.assert("get", "ok", "200");
    assert!(!allowed.text.contains(signature), "{}", allowed.text);

    let envoys = json!({"filters": [{"name": "oss_origin_auth", "typed_config": {
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue",
                          "value": std::fs::read_to_string(settings(&more)).unwrap()},
        "vm_config": {"vm_id": "x"}}}]});
    let file = scratch("envoy.json");
    std::fs::write(&file, envoys.to_string()).unwrap();
    let place = format!("127.0.0.1:{}", alibaba.oss_port);
    let said = Doctor::new(&alibaba, &["--config", file.to_str().unwrap()])
        .with(&[
            "--connect",
            &place,
            "--plain-http",
            "--object",
            "/media/a%20b.txt",
        ])
        .json();
    said.assert("get", "ok", "200, 7 bytes");
}

#[test]
fn a_wrong_flag_says_which_and_what_to_write() {
    let alibaba = alibaba();
    let said = |flags: &[&str]| Doctor::new(&alibaba, flags).json();
    for (flags, says) in [
        (
            &["--bucket", "my-bucket", "--region", "oss-cn-hangzhou"][..],
            "--region: ",
        ),
        (
            &["--bucket", "My_Bucket", "--region", "cn-hangzhou"],
            "--bucket: ",
        ),
        (&["--bucket", "my-bucket"], "--region: missing"),
        (
            &[
                "--bucket",
                "my-bucket",
                "--region",
                REGION,
                "--addressing",
                "host",
            ],
            "--addressing: ",
        ),
        (
            &[
                "--bucket",
                "my-bucket",
                "--region",
                REGION,
                "--ca",
                "/nowhere",
            ],
            "--ca: /nowhere",
        ),
        (&["--config", "/nowhere"], "/nowhere"),
        (
            &["--bucket", "b", "--route", "r"],
            "--route: is for --config",
        ),
        (
            &["--config", &settings(&json!({})), "--route", "other"],
            "--route: there are no settings of that name",
        ),
        (&["--config", &settings(&json!({"deny": true}))], "`deny`"),
        (
            &["--config", &settings(&json!({"region": 7}))],
            "defaults.region",
        ),
    ] {
        let said = said(flags);
        said.assert("settings", "failed", says);
        let is_argument = says.starts_with("--") || says == "/nowhere";
        assert_eq!(said.code, if is_argument { 2 } else { 1 }, "{}", said.text);
        assert_eq!(said.that_are("skipped").len(), 23, "{}", said.text);
    }
    for (flags, says) in [
        (&[][..], "--bucket"),
        (&["--bucket", "b", "--connect", "host"], "write HOST:PORT"),
        (
            &["--bucket", "b", "--envoy", "host"],
            "write http://HOST:PORT",
        ),
        (&["--bucket", "b", "--timeout", "0"], "--timeout"),
        (&["--bucket", "b", "--object", "/a b"], "percent-encoded"),
    ] {
        let (code, text) = Doctor::new(&alibaba, flags).text();
        assert!(code == 2 && text.contains(says), "{text}");
    }
}

#[test]
fn what_stands_on_the_way_is_found() {
    let alibaba = alibaba();
    let flags = |endpoint| {
        [
            "--bucket",
            BUCKET,
            "--region",
            REGION,
            "--endpoint",
            endpoint,
        ]
    };
    let said = Doctor::new(&alibaba, &flags("oss.no-such-name.invalid"))
        .with(&["--timeout", "3"])
        .json();
    said.assert("resolve", "failed", "compare `endpoint`");
    assert_eq!(said.check("connect")["result"], "skipped");
    // A port that was somebody's just now.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let closed = format!("127.0.0.1:{port}");
    let internal = "oss-cn-hangzhou-internal.aliyuncs.com";
    let said = Doctor::new(&alibaba, &flags(internal))
        .with(&["--connect", &closed])
        .json();
    said.assert("connect", "failed", "nobody listens there");
    said.assert("connect", "failed", "oss-cn-hangzhou.aliyuncs.com");
    let plain = format!("127.0.0.1:{}", alibaba.oss_port);
    let said = Doctor::new(&alibaba, &flags(internal))
        .with(&["--connect", &plain])
        .json();
    said.assert("tls", "failed", "does not speak TLS");
    said.assert("tls", "failed", "--plain-http");
    said.assert("get", "skipped", "OSS was not reached");
}

#[test]
fn a_bad_certificate_is_found() {
    let says = |certificate: &Certificate| by_tls(certificate, certificate).1.json();
    let said = says(&self_signed("somebody.example"));
    said.assert("tls", "failed", "for another name");
    said.assert("tls", "failed", "trusted_ca");
    says(&Certificate::ending(HOST, -1)).assert("tls", "failed", "has expired");
    says(&Certificate::ending(HOST, 2)).assert("tls", "warning", "renewed in time");
    let (_alibaba, doctor) = by_tls(&self_signed(HOST), &self_signed(HOST));
    doctor
        .json()
        .assert("tls", "failed", "certificate is not valid");
}

#[test]
fn a_clock_that_is_off_is_found_and_stops_nothing_else() {
    let alibaba = alibaba();
    let doctor = Doctor::of_file(&alibaba, &json!({}));
    for (offset, result) in [
        (1200, "failed"),
        (-1200, "failed"),
        (120, "warning"),
        (5, "ok"),
    ] {
        alibaba.set("clock_offset", json!(offset));
        let said = doctor.json();
        said.assert("clock", result, "this machine's");
        said.assert("get", "ok", "200");
        if result != "ok" {
            said.assert("clock", result, "synchronize this machine's clock");
        }
    }
}

/// A role of the fake STS.
fn assume_role(alibaba: &FakeAlibaba, secret: &str, role: &str) -> String {
    let file = scratch("secret");
    std::fs::write(&file, secret).unwrap();
    let id = scratch("id");
    std::fs::write(&id, "LTAIcaller").unwrap();
    format!(
        "[credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{role}\"\n\
         sts_endpoint = \"http://127.0.0.1:{}\"\naccess_key_id_file = {:?}\n\
         access_key_secret_file = {:?}\n",
        alibaba.sts_port, id, file
    )
}

#[test]
fn a_source_that_gives_nothing_is_named_with_its_fix() {
    let alibaba = alibaba();
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    alibaba.read_only(ROLE);
    let sts = alibaba.sts_port;
    let by = |settings: &str| Doctor::of_file(&alibaba, &json!({})).by_sidecar(settings);
    let good = assume_role(&alibaba, CALLER_SECRET, ROLE);
    let said = by(&good).json();
    assert_eq!(said.code, 0, "{}", said.text);
    said.assert("credentials", "ok", "default (assume_role): STS.…");
    said.assert("identity", "ok", "assumed-role/oss-reader");

    alibaba.plant("token_expired", json!({"key": "a"}));
    let expired = by(&good).json();
    let both = "The source says that the token is good until";
    expired.assert("get", "failed", both);
    alibaba.clear_faults();

    let role = |secret: &str, role: &str| assume_role(&alibaba, secret, role);
    let ecs = format!(
        "[credentials.default]\ntype = \"ecs_ram_role\"\nendpoint = \"http://127.0.0.1:{sts}\"\n"
    );
    let oidc_token = scratch("oidc");
    std::fs::write(&oidc_token, "sesame-of-oidc").unwrap();
    let oidc = format!(
        "[credentials.default]\ntype = \"assume_role_with_oidc\"\nrole_arn = \"{ROLE}\"\n\
         oidc_provider_arn = \"acs:ram::1:oidc-provider/ack\"\noidc_token_file = {oidc_token:?}\n\
         sts_endpoint = \"http://127.0.0.1:{sts}\"\n"
    );
    let uri = "[credentials.default]\ntype = \"credentials_uri\"\nuri = \"http://127.0.0.1:1/\"\n";
    let profile = "[credentials.default]\ntype = \"profile\"\nfile = \"/nowhere/config.json\"\n";
    let variables = "[credentials.default]\ntype = \"environment\"\n";
    let fixed = "[credentials.default]\ntype = \"static\"\naccess_key_id_env = \"UNSET\"\n\
                 access_key_secret_env = \"UNSET\"\n";
    for (settings, says, fix) in [
        (
            role("sesame", ROLE),
            "refused: SignatureDoesNotMatch",
            "AccessKey secret",
        ),
        (
            role(CALLER_SECRET, "acs:ram::1234567890:role/other"),
            "refused: EntityNotExist.Role",
            "compare role_arn",
        ),
        (ecs, "ecs_ram_role", "look at its log"),
        (oidc, "refused: AuthenticationFail", "OIDC token"),
        (uri.into(), "cannot be reached", "reaches the source"),
        (profile.into(), "/nowhere/config.json", "docs/SIDECAR.md"),
        (variables.into(), "needs the variables", "docs/SIDECAR.md"),
        (fixed.into(), "is unset or empty", "docs/SIDECAR.md"),
        (
            good.replace("default", "other"),
            "no credentials `default`",
            "--credentials",
        ),
        (good.replace("type", "kind"), "type", "docs/SIDECAR.md"),
    ] {
        let said = by(&settings).json();
        said.assert("credentials", "failed", says);
        said.assert("credentials", "failed", fix);
        // What needs none is tried all the same.
        said.assert("unsigned", "ok", "refused, as it should be");
        said.assert("get", "skipped", "there are no credentials");
    }
    let renamed = by(&good.replace("default", "other")).with(&["--credentials", "other"]);
    assert_eq!(renamed.json().code, 0);
}

#[test]
fn credentials_that_are_not_good_are_told_apart() {
    let alibaba = alibaba();
    let doctor = || Doctor::of_file(&alibaba, &json!({}));
    let said = |id: &str, secret: &str, token: &str| {
        let doctor = doctor().set("ALIBABA_CLOUD_ACCESS_KEY_ID", id);
        let doctor = doctor.set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
        doctor.set("ALIBABA_CLOUD_SECURITY_TOKEN", token).json()
    };
    let secret = crate::common::SECRET;
    alibaba.add_key(
        "STS.middle-of-the-key-past",
        secret,
        Some(TOKEN),
        Some(1_700_000_000),
    );
    for (id, secret, token, word, says) in [
        (
            KEY,
            secret,
            "CAISof-another-key",
            "token_invalid",
            "take id, secret and token",
        ),
        (
            KEY,
            "sesame-other",
            TOKEN,
            "signature_mismatch",
            "AccessKey secret",
        ),
        (
            "STS.middle-of-the-key-none",
            secret,
            TOKEN,
            "key_unknown",
            "deleted or disabled",
        ),
        (
            "STS.middle-of-the-key-past",
            secret,
            TOKEN,
            "token_expired",
            "has expired",
        ),
    ] {
        let said = said(id, secret, token);
        said.assert("identity", "failed", says);
        assert_eq!(said.check("get")["cause"], word, "{}", said.text);
        assert_eq!(said.check("head")["cause"], word, "{}", said.text);
        said.assert("list", "skipped", "a signed GET");
    }
    // OSS takes one that STS does not speak of.
    alibaba.set("sts_failure", json!([503, "ServiceUnavailable", "sesame"]));
    let unknown = doctor().json();
    assert_eq!(unknown.code, 3, "{}", unknown.text);
    unknown.assert("identity", "unknown", "ServiceUnavailable");
}
