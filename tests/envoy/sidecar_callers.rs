//! Who gets credentials from a sidecar that needs no token: programs of this machine,
//! and nobody by way of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};

use common::filter;
use common::sidecar::{CALLER_SECRET, Configured, alibaba, start};
use serde_json::json;
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, Position, Request, Response};

const METADATA: &str = "/latest/meta-data/ram/security-credentials/";
const METADATA_TOKEN: &str = "X-aliyun-ecs-metadata-token";

#[test]
fn browsers_and_proxies_get_nothing() {
    let alibaba = alibaba();
    let (sidecar, port) = start(&alibaba, CALLER_SECRET);
    let paths = [
        "/v1/credentials/default",
        METADATA,
        &format!("{METADATA}default"),
    ];
    for path in paths {
        let refused = |request: Request| {
            let answer = request.send(port);
            assert_eq!(answer.status, 403, "{request:?}");
            assert_eq!(answer.json()["Code"], "Forwarded", "{request:?}");
            assert!(!answer.text().contains("AccessKey"), "{}", answer.text());
        };
        for host in [
            "evil.example.com",
            "evil.example.com:8181",
            "127.0.0.1.evil.example.com",
        ] {
            refused(Request::get(path).header("host", host));
        }
        for (name, value) in [
            ("Origin", "http://evil.example.com"),
            ("Origin", "null"),
            ("Referer", "http://localhost/"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Accept-Language", "en"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Host", "localhost"),
            ("X-Real-IP", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
            ("Via", "1.1 proxy"),
        ] {
            refused(Request::local(path).header(name, value));
        }
        refused(Request::local(format!("http://evil.example.com{path}")));
        for host in ["localhost", "127.0.0.1:8181", "[::1]", "sts_sidecar"] {
            let answer = Request::get(path).header("host", host).send(port);
            assert_eq!(answer.status, 200, "{path} {host}");
        }
    }
    // Without any Host at all.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream
        .write_all(b"GET /v1/credentials/default HTTP/1.0\r\n\r\n")
        .unwrap();
    assert_eq!(Response::read(stream, false).unwrap().status, 403);
    assert!(!sidecar.output().contains("sesame"));
}

#[test]
fn envoys_own_callout_is_served_whatever_its_client_sends() {
    let alibaba = alibaba();
    alibaba.put("a", "content");
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let envoy = EnvoyBuilder::new(filter(), alibaba.oss_port, port).start();
    let request = Request::get("/a")
        .header("origin", "http://elsewhere.example.com")
        .header("x-forwarded-for", "192.0.2.1")
        .header("cookie", "a=b");
    let response = request.send(envoy.port(Position::Upstream));
    assert_eq!((response.status, response.text()), (200, "content".into()));
}

#[test]
fn a_foreign_name_in_the_filters_settings_is_said() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let mut configuration = filter();
    configuration["credentials"]["default"]["sidecar"]["authority"] = json!("sts.example.com");
    let envoy = EnvoyBuilder::new(configuration, alibaba.oss_port, port).start();
    let response = Request::get("/a").send(envoy.port(Position::Upstream));
    assert_eq!(response.status, 503);
    assert!(
        response.text().contains("`authority` must be"),
        "{}",
        response.text()
    );
}

#[test]
fn a_metadata_token_is_looked_at() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let asked = |life: &str| {
        let request = Request::new("PUT", "/latest/api/token").header("host", "localhost");
        let request = request.header("X-aliyun-ecs-metadata-token-ttl-seconds", life);
        request.send(port)
    };
    let read = |token: &str| {
        let request = Request::local(format!("{METADATA}default"));
        request.header(METADATA_TOKEN, token).send(port).status
    };
    for life in ["0", "21601", "x", ""] {
        assert_eq!(asked(life).status, 400, "{life}");
    }
    for token in ["not-needed", "", "9999999999.00", "sesame"] {
        assert_eq!(read(token), 401, "{token}");
    }
    let token = asked("21600").text();
    assert_eq!(read(&token), 200);
    let short = asked("1").text();
    wait_until("the end of a token", || read(&short) == 401);
    assert_eq!(read(&token), 200);
}

#[test]
fn who_shows_no_token_learns_what_is_wrong_in_a_word() {
    let alibaba = alibaba();
    alibaba.set("sts_failure", json!([403, "NoPermission", "sesame"]));
    let sidecar = Configured::new(&alibaba, "listen = \"0.0.0.0:0\"");
    let (_process, port) = testkit::sidecar::start(
        sidecar
            .command("")
            .env("STS_SIDECAR_TOKEN", "sesame-bearer"),
    );
    let problem = |token: &str| {
        let ready = Request::local("/readyz")
            .header("authorization", token)
            .send(port);
        ready.json()["credentials"]["default"]["problem"].clone()
    };
    wait_until("the first failure", || problem("").is_string());
    assert_eq!(problem(""), "SourceRefused");
    assert_eq!(problem("Bearer sesame"), "SourceRefused");
    let detail = problem("Bearer sesame-bearer");
    assert!(
        detail.as_str().unwrap().contains("refused: NoPermission"),
        "{detail}"
    );
}
