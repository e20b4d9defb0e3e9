//! What a route's settings make of paths, hosts and answers, in a real Envoy.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use crate::common;

use common::Stack;
use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, ENDPOINT, HOST};
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, Position, Request, Response};

const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

/// A route of this name for all that begins with `/name/`, and its settings. On the
/// listener the route rewrites what they describe.
fn add_route(builder: &mut EnvoyBuilder, name: &str, settings: Value) {
    let mut route = json!({"name": name, "match": {"prefix": format!("/{name}/")}, "route": {}});
    if settings.get("strip_prefix").is_some() {
        let key_prefix = settings["key_prefix"].as_str().unwrap_or_default();
        route["of_listener"] = json!({"prefix_rewrite": format!("/{key_prefix}")});
    }
    builder.filter["routes"][name] = settings;
    builder.routes.push(route);
}

#[test]
fn paths_become_keys_that_stay_in_the_routes_prefix() {
    let stack = Stack::start_with(|builder| {
        add_route(
            builder,
            "media",
            json!({"strip_prefix": "/media/", "key_prefix": "site/", "index_document": "index.html"}),
        );
        add_route(
            builder,
            "strict",
            json!({"dot_segments": "refuse", "path_encoding": "canonical"}),
        );
        builder.filter["routes"]["default"] = json!({"index_document": "index.html"});
    });
    let refused = Err::<&str, _>;
    for (path, want) in [
        ("/media/x", Ok("/site/x")),
        ("/media/x?a=b", Ok("/site/x")),
        ("/media/", Ok("/site/index.html")),
        ("/media/dir/", Ok("/site/dir/index.html")),
        ("/media/dir", Ok("/site/dir")),
        ("/media/%2Fx", Ok("/site//x")),
        ("/media/a%2Fb", Ok("/site/a/b")),
        ("/media/a%252Fb", Ok("/site/a%252Fb")),
        // OSS is flat: the prefix stays, and the dots are letters of the key.
        ("/media/../x", Ok("/site/../x")),
        ("/media/%2e%2e/x", Ok("/site/../x")),
        ("/media/..%2f..%2fx", Ok("/site/../../x")),
        ("/media/..\\x", Ok("/site/..%5Cx")),
        ("/media/a;b=c", Ok("/site/a%3Bb%3Dc")),
        ("/media/%00", Ok("/site/%00")),
        ("/media//x", Ok("/site//x")),
        ("/media/?list-type=2", Ok("/site/index.html")),
        ("/media/?acl", refused((403, "parameter_not_allowed"))),
        ("/", Ok("/index.html")),
        ("/dir/", Ok("/dir/index.html")),
        ("/dir/?prefix=x", Ok("/dir/index.html")),
        // What Envoy matched as another route is not in this one's prefix.
        ("/med%69a/x", Ok("/media/x")),
        ("/strict/a%20b/~c", Ok("/strict/a%20b/~c")),
        ("/strict/a|b", refused((400, "path_not_canonical"))),
        ("/strict/a%2Fb", refused((400, "path_not_canonical"))),
        ("/strict/%61", refused((400, "path_not_canonical"))),
        ("/strict/a%3ab", refused((400, "path_not_canonical"))),
        ("/strict/../a", refused((400, "dot_segment"))),
        ("/strict/a/.", refused((400, "dot_segment"))),
        ("/strict/..a/.b", Ok("/strict/..a/.b")),
    ] {
        stack.alibaba.clear_log();
        let response = Request::get(path).send(stack.envoy.port(Position::Upstream));
        let seen = stack.alibaba.seen();
        match want {
            Ok(target) => {
                let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
                assert_eq!(targets, [target], "{path}: {}", response.text());
                assert_eq!(seen[0].code, "NoSuchKey", "{path}: signed well");
            }
            Err((status, reason)) => {
                let reply = (response.status, response.header("x-oss-origin-auth"));
                assert_eq!(reply, (status, Some(reason)), "{path}");
                assert!(seen.is_empty(), "{path}");
            }
        }
    }
}

#[test]
fn a_path_outside_the_prefix_is_not_found() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["strip_prefix"] = json!("/media/");
    });
    for position in POSITIONS {
        for path in ["/", "/media", "/mediax/a", "/Media/a", "//media/a"] {
            let response = Request::get(path).send(stack.envoy.port(position));
            let reply = (response.status, response.header("x-oss-origin-auth"));
            assert_eq!(reply, (404, Some("outside_prefix")), "{path}");
        }
    }
    assert!(stack.alibaba.seen().is_empty());
}

#[test]
fn the_bucket_is_addressed_as_the_settings_say() {
    let stack = Stack::start_with(|builder| {
        // On the cluster the filter sets the host.
        builder.oss_host = None;
        for (name, host, settings) in [
            (
                "host",
                "demo-bucket.oss-cn-hongkong.aliyuncs.com",
                json!({"endpoint": "oss-cn-hongkong.aliyuncs.com"}),
            ),
            (
                "path",
                ENDPOINT,
                json!({"endpoint": ENDPOINT, "addressing": "path_style"}),
            ),
            (
                "cname",
                "static.example.com",
                json!({"endpoint": "static.example.com", "addressing": "cname"}),
            ),
            ("default", HOST, json!({})),
        ] {
            let mut both = settings.clone();
            both["strip_prefix"] = json!(format!("/{name}/"));
            let path = if name == "path" { "/demo-bucket/" } else { "/" };
            let rewrite = json!({"host_rewrite_literal": host, "prefix_rewrite": path});
            add_route(builder, name, both.clone());
            builder.routes.last_mut().unwrap()["of_listener"] = rewrite.clone();
            let v1 = format!("{name}-v1");
            both["strip_prefix"] = json!(format!("/{v1}/"));
            both["signature_version"] = json!("v1");
            add_route(builder, &v1, both);
            builder.routes.last_mut().unwrap()["of_listener"] = rewrite;
        }
    });
    for position in POSITIONS {
        for (name, host, target) in [
            (
                "host",
                format!("{BUCKET}.oss-cn-hongkong.aliyuncs.com"),
                "/a".to_owned(),
            ),
            ("path", ENDPOINT.into(), format!("/{BUCKET}/a")),
            ("cname", "static.example.com".into(), "/a".into()),
            ("default", HOST.into(), "/a".into()),
        ] {
            for suffix in ["", "-v1"] {
                stack.alibaba.clear_log();
                let response =
                    Request::get(format!("/{name}{suffix}/a")).send(stack.envoy.port(position));
                assert_eq!(response.text(), "content", "{name}{suffix} {position:?}");
                let seen = &stack.alibaba.seen()[0];
                assert_eq!(
                    (seen.header("host"), &seen.target),
                    (vec![host.as_str()], &target)
                );
            }
        }
    }
}

#[test]
fn a_client_sees_no_more_of_an_error_than_the_settings_say() {
    let stack = Stack::start_with(|builder| {
        add_route(builder, "neutral", json!({"strip_prefix": "/neutral/"}));
        add_route(builder, "presigned", json!({"presigned_urls": "pass"}));
        add_route(
            builder,
            "cause",
            json!({"cause_header": true, "errors": "oss", "strip_prefix": "/cause/"}),
        );
        add_route(
            builder,
            "bare",
            json!({"strip_response_headers": ["x-oss-*", "etag"], "strip_prefix": "/bare/"}),
        );
    });
    stack.alibaba.put("dir/a", "content");
    stack.encrypt();
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        let get = |path: &str| Request::get(path).send(port);
        let plain = get("/a");
        assert!(plain.header("x-oss-request-id").is_some() && plain.header("etag").is_some());
        assert_headers_are_stripped(&get("/bare/a"));

        for (state, status, path, cause, error) in [
            ("ok", 404, "absent", "no_such_key", "not_found"),
            ("denied", 403, "a", "access_denied", "forbidden"),
            // OSS has no EC for it: only its text tells.
            ("kms", 403, "a", "unknown", "forbidden"),
        ] {
            stack.alibaba.set_key_state("STS.example", state);
            let neutral = get(&format!("/neutral/{path}"));
            assert_eq!(neutral.status, status);
            assert_eq!(neutral.json(), json!({"error": error}), "{state}");
            assert_nothing_of_oss_is_shown(&neutral);
            let head = Request::new("HEAD", format!("/neutral/{path}")).send(port);
            assert_eq!(head.status, status);
            assert_cause_is_told(port, &format!("/cause/{path}"), cause);
        }
        stack.alibaba.set_key_state("STS.example", "ok");
        assert_eq!(get("/neutral/dir/a").text(), "content");
        // What passes with the client's own signature is no exception.
        let passed = get("/presigned/a?OSSAccessKeyId=i&Expires=9999999999&Signature=s");
        assert_eq!(passed.json(), json!({"error": "forbidden"}));
        assert!(passed.header("x-oss-request-id").is_some(), "for support");
    }
    let log = stack.envoy.process.output();
    let line = "OSS refused: kms_forbidden (settings routes.neutral, bucket demo-bucket, \
                credentials default, request id 6A";
    assert!(log.contains(line), "{log}");
}

fn assert_headers_are_stripped(bare: &Response) {
    assert_eq!(bare.text(), "content");
    let left: Vec<_> = bare.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.starts_with("x-oss") || *name == "etag"),
        "{left:?}"
    );
    assert_eq!(bare.header("accept-ranges"), Some("bytes"));
}

fn assert_nothing_of_oss_is_shown(neutral: &Response) {
    let mut neutral = neutral.clone();
    // By these support finds the request.
    neutral
        .headers
        .retain(|(name, _)| !matches!(name.as_str(), "x-oss-request-id" | "x-oss-ec"));
    let shown = format!("{neutral:?}").to_lowercase();
    for word in ["bucket", "oss", "sts.", "aliyun", "hostid"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
}

fn assert_cause_is_told(port: u16, path: &str, cause: &str) {
    let told = Request::get(path).send(port);
    assert_eq!(told.header("x-oss-origin-auth"), Some(cause), "{told:?}");
    assert!(told.text().contains("<Code>"));
    // To a HEAD the text comes in a header.
    let told = Request::new("HEAD", path).send(port);
    let cause = cause.replace("unknown", "kms_forbidden");
    assert_eq!(told.header("x-oss-origin-auth"), Some(cause.as_str()));
}

#[test]
fn a_large_error_is_replaced_whole() {
    // An error body of several pieces, longer than what is read of it.
    let stack = Stack::start();
    let key = "k".repeat(900);
    stack.alibaba.set("refusal", json!({"padding": 200_000}));
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        for state in ["ok", "denied"] {
            stack.alibaba.set_key_state("STS.example", state);
            let response = Request::get(format!("/{key}")).send(port);
            let error = if state == "ok" {
                "not_found"
            } else {
                "forbidden"
            };
            assert_eq!(response.json(), json!({"error": error}));
        }
    }
}

#[test]
fn counters_tell_what_happened() {
    let stack = Stack::start();
    let port = stack.envoy.port(Position::Upstream);
    for _ in 0..3 {
        assert_eq!(Request::get("/a").send(port).status, 200);
    }
    Request::new("DELETE", "/a").send(port);
    Request::get("/absent").send(port);
    stack.alibaba.set_key_state("STS.example", "kms");
    stack.encrypt();
    Request::get("/a").send(port);
    for (name, count) in [
        ("requests.signed", 5),
        ("refused.method_not_allowed", 1),
        ("oss_errors.no_such_key", 1),
        ("oss_errors.kms_forbidden", 1),
    ] {
        wait_until(name, || stack.envoy.filter_stat(name) == count);
    }
}

#[test]
fn settings_in_metadata_win_and_fail_closed() {
    let stack = Stack::start_with(add_settings_in_metadata);
    for position in POSITIONS {
        // The listener of the downstream filter has a cluster with the same
        // metadata.
        let port = stack.envoy.port(position);
        for _ in 0..3 {
            for (path, want) in [
                ("/plain/x", "/of-cluster/plain/x"),
                ("/named/x", "/of-routes/named/x"),
                ("/both/x", "/of-metadata/both/x"),
            ] {
                stack.alibaba.clear_log();
                Request::get(path).send(port);
                let seen = &stack.alibaba.seen()[0];
                assert_eq!(seen.target, want, "{position:?}");
                assert_eq!(seen.code, "NoSuchKey", "signed as such");
            }
            stack.alibaba.clear_log();
            let denied = Request::get("/denied/x").send(port);
            assert_eq!(denied.header("x-oss-origin-auth"), Some("route_denied"));
            for name in ["typo", "garbage", "secret"] {
                let wrong = Request::get(format!("/{name}/x")).send(port);
                assert_eq!(wrong.status, 500, "{name}");
                assert_eq!(
                    wrong.header("x-oss-origin-auth"),
                    Some("route_misconfigured")
                );
            }
            assert!(stack.alibaba.seen().is_empty());
        }
    }
    let log = stack.envoy.process.output();
    for problem in [
        "route metadata.key_prefx: unknown field; did you mean `key_prefix`?",
        "route metadata: the configuration is not JSON",
        "route metadata.credentials: is no name under",
    ] {
        let line = format!("settings in metadata refused: {problem}");
        let times = log.matches(&line).count();
        assert!((1..=4).contains(&times), "{times} of {line}: {log}");
    }
    assert!(!log.contains("sesame"));
    let counter = "refused.route_misconfigured";
    wait_until(counter, || stack.envoy.filter_stat(counter) == 18);
}

fn add_settings_in_metadata(builder: &mut EnvoyBuilder) {
    let metadata = |text: &str| json!({"filter_metadata": {"oss_origin_auth": {"config": text}}});
    builder.filter = json!({
        "credentials": {"default": {"sidecar": {"cluster": "sts_sidecar"}}},
        "metadata": ["route", "cluster"],
        "routes": {"named": {"key_prefix": "of-routes/"}},
    });
    builder.cluster_metadata = metadata(
        r#"{"bucket": "demo-bucket", "region": "cn-hangzhou", "key_prefix": "of-cluster/",
            "endpoint": "oss-cn-hangzhou-internal.aliyuncs.com"}"#,
    );
    for (name, text) in [
        ("plain", None),
        ("named", None),
        ("both", Some(r#"{"key_prefix": "of-metadata/"}"#)),
        ("denied", Some(r#"{"deny": true}"#)),
        ("typo", Some(r#"{"key_prefx": "sesame"}"#)),
        ("garbage", Some("{")),
        ("secret", Some(r#"{"credentials": "sesame"}"#)),
    ] {
        let mut route =
            json!({"name": name, "match": {"prefix": format!("/{name}/")}, "route": {}});
        if let Some(text) = text {
            route["metadata"] = metadata(text);
        }
        let place = match name {
            "plain" => "cluster",
            "named" => "routes",
            _ => "metadata",
        };
        route["of_listener"] = json!({"prefix_rewrite": format!("/of-{place}/{name}/")});
        builder.routes.push(route);
    }
    // Metadata of the route wins over the settings under its name, too.
    builder.filter["routes"]["both"] = json!({"key_prefix": "of-routes/"});
}

#[test]
fn smuggling_has_its_stated_answers() {
    let stack = Stack::start();
    // Such as `//`, which OSS itself refuses: what counts here is what reaches it.
    stack.alibaba.set("key_rules", json!("any"));
    for (request, want) in smuggling() {
        for position in POSITIONS {
            stack.alibaba.clear_log();
            let response = request.send(stack.envoy.port(position));
            let seen = stack.alibaba.seen();
            let context = format!("{position:?} {:.300}", format!("{request:?}"));
            let want = match position {
                Position::Upstream => want,
                Position::Downstream => on_the_listener(&request, want),
            };
            match want {
                Ok(target) => {
                    assert_eq!(seen.len(), 1, "{context}: {response:?}");
                    assert_eq!(seen[0].target, target, "{context}");
                    assert!(
                        matches!(seen[0].status, 200 | 404),
                        "{context}: {}",
                        seen[0].code
                    );
                    assert_eq!(seen[0].header("authorization").len(), 1, "{context}");
                }
                Err(refused) => {
                    let told = response.header("x-oss-origin-auth").unwrap_or_default();
                    assert_eq!((response.status, told), refused, "{context}");
                    assert!(seen.is_empty(), "{context}");
                }
            }
        }
    }
    // Envoy allows a hundred headers unless it is told otherwise.
    let many = (0..200).fold(Request::get("/a"), |request, number| {
        request.header(&format!("x-many-{number}"), "v")
    });
    for position in POSITIONS {
        assert_eq!(many.send(stack.envoy.port(position)).status, 431);
    }
}

/// The target that reaches OSS, signed well; or the status and the reason of a
/// refusal (one by Envoy itself has no reason).
type Stated = Result<&'static str, (u16, &'static str)>;

/// There nothing is rewritten: it leaves as it is, or not at all.
fn on_the_listener(request: &Request, stated: Stated) -> Stated {
    let target = String::from_utf8_lossy(&request.target).into_owned();
    match (stated, target.as_str()) {
        (Ok(_), "/a%2Fb" | "/%2F" | "/a\\b" | "/a%") => Err((400, "ambiguous_path")),
        (Ok(_), "/a%26acl=?") => Ok("/a%26acl=?"),
        (Ok(_), _) if target.contains('?') => Err((403, "parameter_not_allowed")),
        (stated, _) => stated,
    }
}

/// What a client may try in order to be read in two ways.
fn smuggling() -> Vec<(Request, Stated)> {
    let long = "a".repeat(32 * 1024);
    vec![
        (Request::get("/a%2Fb"), Ok("/a/b")),
        (Request::get("/a%252Fb"), Ok("/a%252Fb")),
        (Request::get("/../a"), Ok("/../a")),
        (Request::get("/%00"), Ok("/%00")),
        (Request::get("/a;x?y;z"), Ok("/a%3Bx")),
        (Request::get("/a\\b"), Ok("/a%5Cb")),
        (Request::get("/a?b=c?d#e"), Err((400, ""))),
        (Request::get("/a%"), Ok("/a%25")),
        (Request::get("/a%3Facl"), Ok("/a%3Facl")),
        (Request::get("/a%26acl=?"), Ok("/a%26acl%3D")),
        (Request::get("/a?x%26acl"), Ok("/a")),
        (
            Request::get("/a?%61%63%6c"),
            Err((403, "parameter_not_allowed")),
        ),
        (
            Request::get("/a?acl=&"),
            Err((403, "parameter_not_allowed")),
        ),
        (Request::get("/a?ACL"), Ok("/a")),
        (Request::get("//"), Ok("//")),
        (Request::get("/%2F"), Ok("//")),
        (Request::get("/?"), Err((403, "bucket_operation"))),
        (Request::get(format!("/{long}")), Err((414, "key_too_long"))),
        (Request::get(format!("/a?q={long}")), Ok("/a")),
        (Request::get("http://other.example/a"), Ok("/a")),
        (Request::new("get", "/a"), Err((400, ""))),
        (
            Request::new("TRACE", "/a"),
            Err((405, "method_not_allowed")),
        ),
        (
            Request::get("/a")
                .header("Authorization", "a")
                .header("authorization", "b"),
            Ok("/a"),
        ),
        (
            Request::get("/a")
                .header("X-OSS-Security-Token", "x")
                .header("X-oSs-DATE", "x"),
            Ok("/a"),
        ),
        (
            Request::get("/a")
                .header("content-length", "3")
                .header("transfer-encoding", "chunked"),
            Err((400, "")),
        ),
    ]
}
