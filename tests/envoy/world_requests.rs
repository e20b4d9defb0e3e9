//! Requests that OSS turns away, whoever asks: too many, at the wrong place, on a
//! connection that it has closed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use testkit::process::wait_until;
use testkit::{FakeAlibaba, Position, Request};

use crate::common::Stack;
use crate::world::{POSITIONS, stack};

#[test]
fn throttling_reaches_the_client_as_it_is() {
    let stack = stack(json!({"cause_header": true}));
    for (code, status) in [
        ("QpsLimitExceeded", 429),
        ("TotalQpsLimitExceeded", 503),
        ("DownloadTrafficRateLimitExceeded", 503),
        ("ActiveRequestLimitExceeded", 503),
        ("CpuLimitExceeded", 503),
    ] {
        for position in POSITIONS {
            for method in ["GET", "HEAD"] {
                let throttle = json!({"code": code, "times": 1, "retry_after": 3});
                stack.alibaba.set("throttle", throttle);
                let ask = || Request::new(method, "/a").send(stack.envoy.port(position));
                let refused = ask();
                assert_eq!(refused.status, status, "{code}: {refused:?}");
                assert_eq!(refused.header("retry-after"), Some("3"), "{code}");
                assert!(!refused.text().contains("Limit"), "{refused:?}");
                assert_eq!(ask().status, 200, "{code}");
            }
        }
    }
    assert_eq!(stack.stub.hits(), 1, "no newer credentials");
    let output = stack.envoy.process.output();
    assert!(output.contains("OSS refused: throttled"), "{output}");
}

/// What the filter never sends, and the fake must know all the same.
#[test]
fn oss_itself_is_strict() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("STS.example", "secret", Some("token"), None);
    alibaba.add_key("LTAIexample", "secret", None, None);
    let send = |request: Request| request.send(alibaba.oss_port);
    let aws = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=c&X-Amz-Date=d\
               &X-Amz-SignedHeaders=host&X-Amz-Signature=s";
    let signed_by = |id: &str| {
        let request = Request::get("/a").header("authorization", format!("OSS {id}:x"));
        request.header("date", "Tue, 20 Dec 2022 08:48:18 GMT")
    };
    for (request, status, code, ec) in [
        (Request::get("/a"), 403, "AccessDenied", "0003-00000001"),
        (
            Request::get(format!("/a?{aws}")),
            400,
            "InvalidArgument",
            "0002-00000416",
        ),
        (
            Request::get(format!("/a?{aws}&X-Amz-Expires=60")),
            403,
            "SignatureDoesNotMatch",
            "0002-00000040",
        ),
        (
            signed_by("STS.example"),
            403,
            "InvalidAccessKeyId",
            "0002-00000003",
        ),
        (
            signed_by("LTAIexample"),
            403,
            "RequestTimeTooSkewed",
            "0002-00000504",
        ),
    ] {
        let answer = send(request);
        assert_eq!(
            (answer.status, answer.header("x-oss-ec")),
            (status, Some(ec))
        );
        assert!(
            answer.text().contains(&format!("<Code>{code}</Code>")),
            "{answer:?}"
        );
        assert!(
            answer.text().contains(&format!("<EC>{ec}</EC>")),
            "{answer:?}"
        );
    }
    // OSS tells its time, which is not this machine's.
    alibaba.set("clock_offset", json!(400 * 86_400));
    let skewed = send(signed_by("LTAIexample"));
    for element in [
        "<RequestTime>2022-12-20T08:48:18.000Z",
        "<ServerTime>",
        "<MaxAllowedSkew",
    ] {
        assert!(skewed.text().contains(element), "{skewed:?}");
    }
    let date = send(Request::get("/a")).header("date").map(str::to_owned);
    let year = date.expect("a Date")[12..16]
        .parse::<u64>()
        .expect("a year");
    let today = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time");
    assert!(year > 1970 + today.as_secs() / 31_557_600, "{year}");
    alibaba.set("clock_offset", json!(0));

    let target = alibaba.presign("v4", "a", "LTAIexample");
    let twice = Request::get(&target).header("range", "bytes=0-1");
    let twice = send(twice.header("range", "bytes=3-4"));
    assert_eq!((twice.status, twice.text().as_str()), (200, "content"));
}

#[test]
fn a_public_endpoint_that_is_forbidden() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["endpoint"] = json!("oss-cn-hangzhou.aliyuncs.com");
        builder.oss_host = Some("demo-bucket.oss-cn-hangzhou.aliyuncs.com".into());
    });
    for position in POSITIONS {
        let ask = |method| Request::new(method, "/a").send(stack.envoy.port(position));
        stack.alibaba.set("public_endpoint", json!("forbidden"));
        for refused in [ask("GET"), ask("HEAD")] {
            assert_eq!(refused.status, 400);
            assert_eq!(refused.header("x-oss-ec"), Some("0048-00000401"));
            assert!(!refused.text().contains("Endpoint"), "{refused:?}");
        }
        // Accounts from before that.
        stack.alibaba.set("public_endpoint", json!("allowed"));
        assert_eq!(ask("GET").text(), "content");
    }
}

#[test]
fn a_connection_that_oss_has_reset_is_a_503_unless_envoy_tries_again() {
    for (policy, status) in [
        (json!(null), 503),
        (
            json!({"retry_on": "reset-before-request,connect-failure,reset"}),
            200,
        ),
    ] {
        let stack = Stack::start_with(|builder| {
            builder.workers = 1;
            builder.retry_policy = policy.clone();
        });
        for position in POSITIONS {
            for method in ["GET", "HEAD"] {
                let ask = || Request::new(method, "/a").send(stack.envoy.port(position));
                assert_eq!(ask().status, 200);
                let before = stack.alibaba.resets();
                stack.alibaba.set("reset_reused", json!(1));
                let answer = ask();
                assert_eq!(answer.status, status, "{position:?} {method}: {answer:?}");
                assert_eq!(stack.alibaba.resets(), before + 1);
                assert_eq!(ask().status, 200, "the next one");
            }
        }
    }
}

#[test]
fn an_idle_connection_that_oss_closes_is_not_used_again() {
    let stack = Stack::start_with(|builder| builder.workers = 1);
    stack.alibaba.set("idle_timeout", json!(0.3));
    for (position, cluster) in [
        (Position::Upstream, "oss_signed"),
        (Position::Downstream, "oss_plain"),
    ] {
        for closed in 1..=3 {
            let answer = Request::get("/a").send(stack.envoy.port(position));
            assert_eq!(answer.text(), "content");
            let by_oss = format!("cluster.{cluster}.upstream_cx_destroy_remote");
            wait_until(&by_oss, || stack.envoy.stat(&by_oss) == closed);
        }
    }
}

#[test]
fn thirty_kilobytes_of_cookies_stay_here() {
    let stack = stack(json!({}));
    let cookies = (0..300).map(|n| format!("cookie-{n:03}={}", "v".repeat(90)));
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    assert!(cookies.len() > 30_000);
    for position in POSITIONS {
        stack.alibaba.clear_log();
        let request = Request::get("/a").header("cookie", &cookies);
        let answer = request.send(stack.envoy.port(position));
        assert_eq!((answer.status, answer.text().as_str()), (200, "content"));
        let seen = stack.alibaba.seen();
        assert!(seen[0].header("cookie").is_empty());
        let sent: usize = seen[0].headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        assert!(sent < 3000, "{sent} bytes: {:?}", seen[0].headers);
    }
}
