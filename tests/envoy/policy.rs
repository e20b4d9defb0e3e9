//! What may leave for OSS, seen from OSS: reads of objects, in the filter's
//! own name, and nothing that a client brings along to sign.

use crate::common;

use common::{SECRET, Stack, TOKEN};
use serde_json::json;
use testkit::tools::Host;
use testkit::{Position, Request, host, tools};

const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

#[test]
fn what_is_more_than_a_read_never_reaches_oss() {
    let stack = Stack::start();
    for position in POSITIONS {
        for (request, status, reason) in [
            (
                Request::new("PUT", "/a").body("x"),
                405,
                "method_not_allowed",
            ),
            (
                Request::new("POST", "/a").body("x"),
                405,
                "method_not_allowed",
            ),
            (Request::new("DELETE", "/a"), 405, "method_not_allowed"),
            (Request::new("OPTIONS", "/a"), 405, "method_not_allowed"),
            (Request::get("/"), 403, "bucket_operation"),
            (Request::new("HEAD", "/"), 403, "bucket_operation"),
            (
                Request::get("/?list-type=2&prefix=a"),
                403,
                "bucket_operation",
            ),
            (Request::get("/?acl"), 403, "parameter_not_allowed"),
            (Request::get("/a?acl"), 403, "parameter_not_allowed"),
            (Request::get("/a?a%63l"), 403, "parameter_not_allowed"),
            (
                Request::get("/a?response-content-type=text/html"),
                403,
                "parameter_not_allowed",
            ),
            (
                Request::get("/a?x-oss-process=image/info"),
                403,
                "parameter_not_allowed",
            ),
            (
                Request::get("/a?OSSAccessKeyId=i&Expires=9999999999&Signature=s"),
                403,
                "presigned_url",
            ),
            (
                Request::get(
                    "/a?x-oss-signature-version=OSS2&x-oss-access-key-id=i&x-oss-signature=s",
                ),
                403,
                "presigned_url",
            ),
            (
                Request::get(
                    "/a?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=c&x-oss-signature=s",
                ),
                403,
                "presigned_url",
            ),
        ] {
            let response = request.send(stack.envoy.port(position));
            let reply = (response.status, response.header("x-oss-origin-auth"));
            assert_eq!(reply, (status, Some(reason)), "{position:?} {request:?}");
        }
    }
    let seen = stack.alibaba.seen();
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn a_clients_authorization_and_oss_headers_are_never_forwarded() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["forward_headers"] = json!(["x-kept"]);
    });
    for position in POSITIONS {
        stack.alibaba.clear_log();
        let response = Request::get("/a")
            .header("Authorization", "Bearer of-the-client")
            .header("authorization", "OSS LTAIother:forged")
            .header("X-OSS-Security-Token", "forged")
            .header("x-oss-date", "20200101T000000Z")
            .header("x-oss-object-acl", "public-read-write")
            .header("x-oss-copy-source", "/other/secret")
            .header("X-Oss-Callback", "e30=")
            .header("x-oss-object-acl", "private")
            .header("x-kept", "yes")
            .send(stack.envoy.port(position));
        assert_eq!(response.status, 200, "{}", response.text());
        let seen = &stack.alibaba.seen()[0];
        let authorization = seen.header("authorization");
        assert_eq!(authorization.len(), 1, "{seen:?}");
        assert!(authorization[0].starts_with("OSS4-HMAC-SHA256 Credential=STS.example/"));
        let mut oss: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-oss-"))
            .collect();
        oss.sort();
        let names: Vec<_> = oss.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["x-oss-content-sha256", "x-oss-date", "x-oss-security-token"]
        );
        assert_eq!(seen.header("x-oss-security-token"), [TOKEN]);
        assert_eq!(seen.header("x-kept"), ["yes"]);
    }
}

#[test]
fn bytes_that_are_not_text_take_nothing_down() {
    let mut stack = Stack::start();
    let vms_before = stack.envoy.vms_created();
    assert_eq!(vms_before > 0, tools::host() == Host::Wasm);
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        for byte in (1..=255_u8).filter(|byte| !b"\r\n".contains(byte)) {
            // Envoy refuses some of these itself; none may end a worker.
            let header = Request::get("/a").header("x-any", [b'a', byte, b'b']);
            let signed = Request::get("/a").header("content-type", [b'a', byte, b'b']);
            let path = Request::get([b'/', byte, b'%', byte]);
            let query = Request::get([b'/', b'a', b'?', byte, b'=', byte]);
            for request in [header, signed, path, query] {
                let _ = request.try_send(port);
            }
        }
        let long = vec![b'a'; 40_000];
        let _ = Request::get([b"/", long.as_slice()].concat()).try_send(port);
        let response = Request::get("/a").header("x-any", b"\xff\xfe").send(port);
        assert_eq!(response.status, 200, "{}", response.text());
        for _ in 0..20 {
            assert_eq!(Request::get("/a").send(port).status, 200);
        }
    }
    stack.envoy.process.assert_running();
    let output = stack.envoy.process.output();
    assert!(!output.contains("panicked"), "{output}");
    assert_eq!(
        stack.envoy.vms_created(),
        vms_before,
        "no worker was restarted"
    );
}

#[test]
fn parameters_that_mean_nothing_to_a_read_are_not_forwarded() {
    let stack = Stack::start();
    let response =
        Request::get("/a?utm_source=x&list-type=2&v=1").send(stack.envoy.port(Position::Upstream));
    assert_eq!(response.status, 200);
    assert_eq!(stack.alibaba.seen()[0].target, "/a");
}

#[test]
fn no_secret_is_shown_anywhere() {
    let stack = Stack::start_with(|builder| builder.log_level = "trace");
    let port = stack.envoy.port(Position::Downstream);
    assert_eq!(Request::get("/a").send(port).status, 200);
    let refused = Request::get("/").send(port);
    for path in [
        "/config_dump?include_eds",
        "/stats",
        "/clusters",
        "/server_info",
    ] {
        let shown = stack.envoy.admin(path);
        assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{path}");
    }
    assert!(!refused.text().contains("STS."));
    // At trace level Envoy itself logs the headers and bodies that it carries,
    // the filter's own lines have a logger of their own.
    let output = stack.envoy.process.output();
    let own: Vec<&str> = output
        .lines()
        .filter(|line| line.contains(host::logger()))
        .collect();
    assert!(
        own.iter()
            .any(|line| line.contains("oss-origin-auth: credentials default")),
        "{own:?}"
    );
    for line in own {
        assert!(!line.contains(SECRET) && !line.contains(TOKEN), "{line}");
    }
}
