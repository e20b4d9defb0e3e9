//! What the operator is told of an error of OSS: the log, the counters and the header; on both
//! hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use hosts::asked::{CONFIGURATION, respond, sent, with};
use hosts::node::{Node, OssAnswer};
use hosts::world::{Fleet, Solo, World};
use oss_origin_auth_core::oss::error::xml_header;

on_both_hosts! {
    the_line_has_all_that_it_takes_to_find_the_request
    an_ec_that_is_new_comes_with_the_address_that_explains_it
    the_right_endpoint_is_named
    a_denial_names_the_kind_of_policy
    an_expired_token_that_was_thought_good_is_told_with_the_times
    what_a_client_does_by_itself_is_counted_and_not_logged
    what_fails_in_oss_is_counted_by_its_cause
    what_envoy_itself_answers_is_not_counted
    nothing_of_a_body_is_logged_but_words
    what_is_no_request_id_is_not_shown
    each_cause_has_its_own_line_every_ten_seconds
    a_head_is_told_of_by_the_header_that_explains
}

/// What is logged of an error, once its body has ended.
fn logged<W: World>(answer: OssAnswer) -> String {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    world.first(Node::logged);
    respond(&mut world, stream, answer);
    world.first(Node::logged)
}

fn denied(ec: &str, more: &str) -> OssAnswer {
    let body = format!("<Error><Code>AccessDenied</Code>{more}<EC>{ec}</EC></Error>");
    OssAnswer::error(403, ec).piece(&body)
}

fn the_line_has_all_that_it_takes_to_find_the_request<W: World>() {
    let log = logged::<W>(denied("0003-00000101", ""));
    let want = "Warn: OSS refused: bucket_policy (settings defaults, bucket my-bucket, \
                credentials default, request id 5C3D9175B6FC201293AD0001, EC 0003-00000101, \
                code AccessDenied): check the Deny in the bucket's policy and its conditions \
                (SourceVpc, SourceIp).";
    assert_eq!(log, want);
}

fn an_ec_that_is_new_comes_with_the_address_that_explains_it<W: World>() {
    let log = logged::<W>(denied("0003-00000999", ""));
    let address = " OSS explains its EC: https://api.aliyun.com/troubleshoot?q=0003-00000999";
    assert!(
        log.contains("OSS refused: unknown (") && log.ends_with(address),
        "{log}"
    );
    let log = logged::<W>(OssAnswer::error(503, "0055-00000999"));
    assert!(log.contains("OSS refused: service_unavailable ("), "{log}");
    assert!(log.ends_with("troubleshoot?q=0055-00000999"), "{log}");
}

fn the_right_endpoint_is_named<W: World>() {
    let endpoint = "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>";
    let log = logged::<W>(denied("0003-00001403", endpoint));
    assert!(log.contains("OSS refused: wrong_endpoint ("), "{log}");
    let named = "The bucket's endpoint is oss-cn-beijing.aliyuncs.com.";
    assert!(log.ends_with(named), "{log}");
}

fn a_denial_names_the_kind_of_policy<W: World>() {
    let detail = "<AccessDeniedDetail><PolicyType>ControlPolicy</PolicyType>\
                  <NoPermissionType>ExplicitDeny</NoPermissionType>\
                  <EncodedDiagnosticMessage>sesame</EncodedDiagnosticMessage>\
                  </AccessDeniedDetail>";
    let log = logged::<W>(denied("0003-00000201", detail));
    let named = "OSS says PolicyType ControlPolicy, NoPermissionType ExplicitDeny.";
    assert!(log.ends_with(named), "{log}");
    assert!(!log.contains("sesame"), "{log}");
}

fn an_expired_token_that_was_thought_good_is_told_with_the_times<W: World>() {
    // START is 2025-12-05T14:48:03Z (Python's datetime), and credentials are good for an hour.
    let answer = OssAnswer::error(403, "0002-00000007");
    let log = logged::<W>(
        answer
            .clone()
            .header("date", "Fri, 05 Dec 2025 16:00:00 GMT"),
    );
    let times = "The token expires at Fri, 05 Dec 2025 15:48:03 GMT; OSS's time is Fri, 05 Dec 2025 \
                 16:00:00 GMT, this machine's is Fri, 05 Dec 2025 14:48:03 GMT.";
    assert!(log.contains(times), "{log}");
    let log = logged::<W>(answer.header("date", "sesame"));
    assert!(
        log.contains("OSS's time is not known, this machine's is Fri"),
        "{log}"
    );
    // Of other causes the times say nothing.
    let log = logged::<W>(OssAnswer::error(403, "0002-00000006"));
    assert!(
        log.contains("token_invalid (") && !log.contains("GMT"),
        "{log}"
    );
}

fn counted<W: World>(world: &mut W, word: &str) -> u64 {
    let name = format!("oss_errors.{word}");
    world.first(move |node| node.counted(&name))
}

fn what_a_client_does_by_itself_is_counted_and_not_logged<W: World>() {
    for (status, code, word) in [
        (404, "NoSuchKey", "no_such_key"),
        (404, "NoSuchVersion", "no_such_version"),
        (404, "NoSuchStyle", "no_such_style"),
        (416, "InvalidRange", "range_not_satisfiable"),
        (400, "InvalidObjectName", "bad_object_name"),
        (412, "PreconditionFailed", "precondition_failed"),
        (405, "MethodNotAllowed", "method_not_supported"),
        (409, "FileAlreadyExists", "bad_request"),
    ] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        world.first(Node::logged);
        let body = format!("<Error><Code>{code}</Code></Error>");
        respond(
            &mut world,
            stream,
            OssAnswer::error(status, "").piece(&body),
        );
        assert_eq!(counted(&mut world, word), 1, "{word}");
        assert_eq!(world.first(Node::logged), "", "{word}");
    }
}

fn what_fails_in_oss_is_counted_by_its_cause<W: World>() {
    for (status, ec, code, word) in [
        (429, "", "QpsLimitExceeded", "throttled_qps"),
        (
            503,
            "0004-00000302",
            "TotalQpsLimitExceeded",
            "throttled_qps",
        ),
        (
            503,
            "0004-00000304",
            "DownloadTrafficRateLimitExceeded",
            "throttled_traffic",
        ),
        (503, "", "CpuLimitExceeded", "throttled_cpu"),
        (503, "", "ServiceUnavailable", "service_unavailable"),
        (500, "", "InternalError", "server_error"),
        (502, "", "BadGateway", "server_error"),
        // An EC of credentials says nothing of them here.
        (
            503,
            "0002-00000007",
            "ServiceUnavailable",
            "service_unavailable",
        ),
        (424, "0041-00000101", "MirrorFailed", "mirror_failed"),
    ] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        world.first(Node::logged);
        let body = format!("<Error><Code>{code}</Code></Error>");
        let answer = OssAnswer::error(status, ec).piece(&body);
        respond(&mut world, stream, answer);
        assert_eq!(counted(&mut world, word), 1, "{word}");
        let log = world.first(Node::logged);
        assert!(log.contains(&format!("OSS refused: {word} (")), "{log}");
        world.pass(1_000);
        assert_eq!(world.fetching(), 0, "{word}");
    }
}

fn what_envoy_itself_answers_is_not_counted<W: World>() {
    for status in [429, 500, 503] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        world.first(Node::logged);
        respond(
            &mut world,
            stream,
            OssAnswer::new(status).piece("upstream connect error"),
        );
        for word in [
            "throttled",
            "service_unavailable",
            "server_error",
            "unknown",
        ] {
            assert_eq!(counted(&mut world, word), 0, "{status} {word}");
        }
        assert_eq!(world.first(Node::logged), "", "{status}");
    }
}

fn nothing_of_a_body_is_logged_but_words<W: World>() {
    let body = "<Error><Code>SignatureDoesNotMatch\nWarn: sesame</Code>\
                <StringToSign>GET sesame<Endpoint>sesame</Endpoint></StringToSign>\
                <SignatureProvided>sesame</SignatureProvided><EC>\u{1b}sesame</EC>\
                <OSSAccessKeyId>sesame</OSSAccessKeyId><Message>sesame</Message></Error>";
    for ec in ["", "0002-00000201"] {
        let log = logged::<W>(OssAnswer::error(403, ec).piece(body));
        assert!(
            !log.contains("\nWarn: sesame") && !log.contains('\u{1b}'),
            "{log}"
        );
        assert!(
            log.contains("OSS refused: ") && !log.contains("sesame"),
            "{log}"
        );
    }
}

fn what_is_no_request_id_is_not_shown<W: World>() {
    for id in ["a".repeat(10_000), "STS.sesame".into(), "a\u{1b}b".into()] {
        let log = logged::<W>(OssAnswer::new(403).header("x-oss-request-id", &id));
        assert!(log.contains("request id none"), "{log}");
        assert!(!log.contains("sesame") && log.len() < 1_000, "{log}");
    }
}

fn each_cause_has_its_own_line_every_ten_seconds<W: World>() {
    let (mut world, _) = sent::<W>(CONFIGURATION);
    world.first(Node::logged);
    let lines = |world: &mut W, ec: &'static str| {
        let stream = world.first(|node| node.request("/a"));
        respond(world, stream, denied(ec, ""));
        world.first(Node::logged).matches("OSS refused: ").count()
    };
    assert_eq!(lines(&mut world, "0003-00000101"), 1);
    assert_eq!(lines(&mut world, "0003-00000101"), 0);
    assert_eq!(lines(&mut world, "0003-00000201"), 1);
    // Of the unknown, each EC.
    assert_eq!(lines(&mut world, "0017-00000999"), 1);
    assert_eq!(lines(&mut world, "0017-00000999"), 0);
    assert_eq!(lines(&mut world, "0003-00000999"), 1);
    world.pass(10_000);
    assert_eq!(lines(&mut world, "0003-00000101"), 1);
}

fn a_head_is_told_of_by_the_header_that_explains<W: World>() {
    let xml = "<Error><Code>AccessDenied</Code><EC>0003-00001403</EC>\
               <Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>";
    let header = String::from_utf8(xml_header(xml.as_bytes())).unwrap();
    let (mut world, stream) = sent::<W>(&with(r#""cause_header": true"#));
    world.first(Node::logged);
    let answer = OssAnswer::error(403, "0003-00001403").header("x-oss-err", &header);
    let seen = respond(&mut world, stream, answer);
    let cause = ("x-oss-origin-auth".to_owned(), "wrong_endpoint".to_owned());
    assert!(seen[0].edited().set.contains(&cause));
    assert_eq!(counted(&mut world, "wrong_endpoint"), 1);
    let log = world.first(Node::logged);
    assert!(
        log.contains("endpoint is oss-cn-beijing.aliyuncs.com"),
        "{log}"
    );
}
