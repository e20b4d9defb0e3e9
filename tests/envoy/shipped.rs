//! The configurations in `envoy/` as they are shipped.

use crate::common::certificate::self_signed;
use crate::common::{SECRET, TOKEN, good_answer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use testkit::alibaba::HOST;
use testkit::envoy::stat;
use testkit::process::{scratch, wait_until};
use testkit::shipped::{EXAMPLES, Shipped, URL_KEYS, render, users_of_refresh};
use testkit::{FakeAlibaba, Process, Request, StubSidecar, host, tools};

/// The files in `envoy/`.
fn files() -> Vec<&'static str> {
    let files = EXAMPLES.iter().map(|(name, _)| *name);
    let mut files: Vec<_> = files
        .filter_map(|name| name.strip_prefix("envoy/"))
        .collect();
    files.sort_unstable();
    files
}

#[test]
fn every_file_is_here() {
    let folder = tools::root().join("envoy");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    found.sort();
    assert_eq!(found, files());
}

#[test]
fn each_is_valid_as_it_is_shipped() {
    let tls = self_signed("media.example.com");
    let tls = tls.folder.display().to_string();
    let cache = scratch("cache").display().to_string();
    let users = users_of_refresh();
    for name in files() {
        let settings = [
            ("OSS_BUCKET", "my-bucket"),
            ("OSS_REGION", "cn-hangzhou"),
            ("TLS_FOLDER", &tls),
            ("CACHE_FOLDER", &cache),
            ("REFRESH_USERS", &users),
        ];
        let mut command = host::envoy(&tools::envoy(), &render(name, &settings));
        command.args(["--mode", "validate"]).envs(URL_KEYS);
        let mut envoy = Process::start("envoy", &mut command);
        assert_eq!(envoy.wait(), Some(0), "{name}: {}", envoy.output());
    }
}

#[test]
fn the_smallest_serves_an_object() {
    let (_alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
    let response = Request::get("/a").send(envoy.port);
    assert_eq!(
        (response.status, response.text()),
        (200, "content of a".into())
    );
}

#[test]
fn the_site_has_index_and_error_documents() {
    let (alibaba, _stub, envoy) = start("site.yaml", &["index.html", "dir/index.html", "404.html"]);
    for (path, status, text) in [
        ("/", 200, "content of index.html"),
        ("/dir/", 200, "content of dir/index.html"),
        ("/absent", 404, "content of 404.html"),
        ("/absent/", 404, "content of 404.html"),
        ("/404.html", 200, "content of 404.html"),
    ] {
        let response = Request::get(path).send(envoy.port);
        assert_eq!(
            (response.status, response.text()),
            (status, text.into()),
            "{path}"
        );
    }
    // A refusal of ours is no error document.
    let refused = Request::new("DELETE", "/absent").send(envoy.port);
    assert_eq!(refused.status, 405);
    // OSS's own errors stay behind.
    alibaba.set_key_state("STS.example", "denied");
    let denied = Request::get("/").send(envoy.port);
    assert_eq!(
        (denied.status, denied.json()),
        (403, json!({"error": "forbidden"}))
    );
}

#[test]
fn the_protected_one_serves_only_those_who_may_read() {
    let (alibaba, _stub, envoy) = start("protected.yaml", &["a", "members/a"]);
    let get = |path: &str, header: Option<(&str, String)>| {
        let request = Request::get(path);
        let request = match header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        request.send(envoy.port).status
    };
    let referer = |page: &str| Some(("referer", page.to_owned()));
    let bearer = |claims: Value| Some(("authorization", format!("Bearer {}", jwt(&claims))));
    let good =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    let expired =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 1_000_000_000});

    assert_eq!(get("/a", None), 403);
    assert_eq!(get("/a", referer("https://evil.example.com/")), 403);
    assert_eq!(get("/members/a", None), 401);
    assert_eq!(
        get("/members/a", referer("https://www.example.com/page")),
        401
    );
    assert_eq!(get("/members/a", bearer(expired)), 401);
    // Other spellings of the protected path.
    for path in [
        "/members%2Fa",
        "/%6Dembers/a",
        "//members/a",
        "/x/../members/a",
        "/x/%2e%2e/members/a",
    ] {
        let status = get(path, referer("https://www.example.com/page"));
        assert!(matches!(status, 400 | 401), "{path}: {status}");
    }
    assert!(alibaba.seen().is_empty(), "none of these reached OSS");

    assert_eq!(get("/a", referer("https://www.example.com/page")), 200);
    assert_eq!(get("/members/a", bearer(good)), 200);
    assert!(
        alibaba
            .seen()
            .iter()
            .all(|seen| !seen.header("authorization")[0].starts_with("Bearer")),
        "the client's token stays here"
    );
}

#[test]
fn several_buckets_and_accounts_are_told_apart_in_log_and_statistics() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content of ours");
    alibaba.put_into("their-bucket", "a", "content of theirs");
    alibaba.add_key("LTAIours", "sesame-1", None, None);
    alibaba.add_key("LTAItheirs", "sesame-2", None, None);
    let file = scratch("sidecar.toml");
    let source = |name: &str, variable: &str| {
        format!(
            "[credentials.{name}]\ntype = \"static\"\naccess_key_id_env = \"{variable}_ID\"\n\
             access_key_secret_env = \"{variable}_SECRET\"\n"
        )
    };
    let sources = [source("default", "OURS"), source("partner", "THEIRS")].concat();
    std::fs::write(&file, sources).unwrap();
    let (_sidecar, sidecar_port) = testkit::sidecar::start(
        tools::sidecar()
            .arg("--config")
            .arg(&file)
            .args(["--listen", "127.0.0.1:0"])
            .envs([
                ("OURS_ID", "LTAIours"),
                ("OURS_SECRET", "sesame-1"),
                ("THEIRS_ID", "LTAItheirs"),
                ("THEIRS_SECRET", "sesame-2"),
            ]),
    );
    let envoy = Shipped::start("accounts.yaml", alibaba.oss_port, sidecar_port);
    let get = |path: &str| Request::get(path).send(envoy.port);
    assert_eq!(get("/a").text(), "content of ours");
    assert_eq!(get("/partner/a").text(), "content of theirs");
    assert_eq!(get("/a?acl").status, 403);
    alibaba.set_key_state("LTAItheirs", "denied");
    assert_eq!(get("/partner/a").status, 403);
    assert_eq!(
        alibaba.seen().last().unwrap().header("host"),
        ["their-bucket.oss-cn-hangzhou-internal.aliyuncs.com"]
    );

    let mut lines: Vec<Value> = Vec::new();
    wait_until("the access log", || {
        let output = envoy.process.output();
        lines = output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.len() >= 4
    });
    assert_eq!(lines[0]["credentials"], "default", "{lines:?}");
    assert_eq!(lines[0]["cause"], json!(null));
    assert_eq!(lines[1]["credentials"], "partner");
    assert_eq!(lines[2]["details"], "oss_origin_auth_parameter_not_allowed");
    assert_eq!(lines[3]["cause"], "access_denied");
    assert!(lines[3]["oss_request_id"].is_string());

    let mut metrics = String::new();
    for want in [
        "oss_origin_auth_requests{kind=\"signed\"} ",
        "oss_origin_auth_refused{reason=\"parameter_not_allowed\"} 1",
        "oss_origin_auth_oss_errors{cause=\"access_denied\"} ",
        "oss_origin_auth_callouts{result=\"ok\"} 2",
        "oss_origin_auth_credentials_valid{credentials=\"partner\"} 1",
    ] {
        wait_until(want, || {
            metrics = host::metrics(envoy.admin_port);
            metrics.contains(want)
        });
    }
    assert!(!envoy.process.output().contains("sesame"));
    assert!(!metrics.contains("sesame"));
}

#[test]
fn oss_is_reached_by_tls_and_only_if_it_is_oss() {
    let domain = "media.example.org";
    let (good, of_another) = (self_signed(HOST), self_signed("other.example.com"));
    let of_domain = self_signed(domain);
    for (name, host, certificate, trusted, want) in [
        ("minimal.yaml", HOST, &good, &good, 200),
        // Signed by somebody whom we do not trust.
        ("minimal.yaml", HOST, &good, &of_another, 503),
        // Trusted, but somebody else.
        ("minimal.yaml", HOST, &of_another, &of_another, 503),
        ("domain.yaml", domain, &of_domain, &of_domain, 200),
        ("domain.yaml", domain, &good, &good, 503),
    ] {
        let alibaba = FakeAlibaba::start_with_tls(&certificate.folder.join("both.pem"));
        let tls_port = alibaba.oss_tls_port.unwrap();
        alibaba.put("a", "content of a");
        alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
        let stub = StubSidecar::start(good_answer());
        let ca = trusted.folder.join("tls.crt").display().to_string();
        let more = [
            ("OSS_TLS", "on"),
            ("OSS_HOST", host),
            ("CA_FILE", ca.as_str()),
        ];
        let envoy = Shipped::start_with(name, tls_port, stub.port, &more, |text| text);
        let response = Request::get("/a").send(envoy.port);
        assert_eq!(response.status, want, "{name}");
        // A domain of the bucket's own has no downloads that OSS has forced.
        let forced = (want == 200 && name != "domain.yaml").then_some("attachment");
        assert_eq!(response.header("content-disposition"), forced, "{name}");
        let refused = ["fail_verify_error", "fail_verify_san"];
        let refused = refused.map(|name| format!("cluster.oss.ssl.{name}"));
        let refused = refused.iter().any(|name| stat(envoy.admin_port, name) > 0);
        assert_eq!(refused, want != 200, "{name}: for its certificate");
        assert!(alibaba.server_names().iter().all(|name| name == host));
        assert_eq!(alibaba.seen().len(), usize::from(want == 200));
    }
}

/// A token of a member, under the key of testkit's configurations.
pub fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "example"});
    let text = format!("{}.{}", part(&header), part(claims));
    let key = b"example-key-of-the-documentation-only";
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

pub fn start(name: &str, keys: &[&str]) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    for key in keys {
        alibaba.put(key, format!("content of {key}"));
    }
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let envoy = Shipped::start(name, alibaba.oss_port, stub.port);
    (alibaba, stub, envoy)
}
