//! Each cause, by all the ways in which OSS tells it: what stands here is from OSS's "Error
//! codes" and the pages of the ECs, and not from the table that is tested.
#![allow(clippy::unwrap_used, reason = "test support")]

use std::collections::BTreeSet;

use oss_origin_auth_core::oss::error::{
    Alert, Cause, ErrorResponse, Verdict, diagnose, header_xml, help, verdict, xml_header,
};
use oss_origin_auth_core::words::Word;

/// The status, `Code`, EC (or nothing) and message of an error, and the word of its cause.
type Case = (u16, &'static str, &'static str, &'static str, &'static str);

const KMS: &str = "This request is forbidden by kms.";
const ENDPOINT: &str = "The bucket you are attempting to access must be addressed using the \
                        specified endpoint. Please send all future requests to this endpoint.";
const VPC: &str = "Access denied by VPC endpoint policy.";
const REGION: &str = "Invalid signing region in Authorization header.";

#[rustfmt::skip]
const CASES: &[Case] = &[
    (403, "SecurityTokenExpired", "0002-00000007", "", "token_expired"),
    (403, "InvalidSecurityToken", "0002-00000006", "", "token_invalid"),
    (403, "InvalidSecurityToken", "0002-00000008", "", "token_invalid"),
    (403, "AccessKeyIdAndSecurityTokenNotMatch", "0002-00000004", "", "token_invalid"),
    (403, "InvalidAccessKeyId", "0002-00000003", "", "token_missing"),
    (403, "InvalidAccessKeyId", "0002-00000002", "", "key_unknown"),
    (403, "InvalidAccessKeyId", "0002-00000902", "", "key_unknown"),
    (403, "SignatureDoesNotMatch", "0002-00000040", "", "signature_mismatch"),
    (403, "SignatureDoesNotMatch", "0002-00000201", "", "signature_mismatch"),
    (403, "RequestTimeTooSkewed", "0002-00000504", "", "clock_skew"),
    (400, "InvalidArgument", "0002-00000226", REGION, "wrong_region"),
    (403, "InvalidArgument", "0002-00000228", "", "wrong_region"),
    (400, "InvalidArgument", "0002-00000227", "", "wrong_product"),
    (400, "InvalidArgument", "0002-00000039", "", "two_signatures"),
    (403, "AccessDenied", "0003-00000001", "", "access_denied"),
    (403, "AccessDenied", "0003-00000101", "", "bucket_policy"),
    (403, "AccessDenied", "0003-00000201", "Access denied by bucket policy.", "explicit_deny"),
    (403, "AccessDenied", "0003-00000203", "", "explicit_deny"),
    (403, "AccessDenied", "0003-00000301", "", "session_policy"),
    (403, "AccessDenied", "0003-00000501", "", "bucket_referer"),
    (403, "AccessDenied", "0003-00000502", "", "bucket_referer"),
    (403, "AccessDenied", "0003-00000503", "", "bucket_referer"),
    (403, "AccessDenied", "0003-00000401", VPC, "vpc_policy"),
    (403, "UserDisable", "0003-00000801", "", "account_suspended"),
    (403, "AccessDenied", "0003-00000801", "", "account_suspended"),
    (403, "BucketDisable", "", "", "account_suspended"),
    (403, "InDebt", "0003-00000806", "", "account_suspended"),
    (403, "InDebtOverdue", "", "", "account_suspended"),
    (403, "SecondLevelDomainForbidden", "0003-00001401", "", "path_style_refused"),
    (403, "AccessDenied", "0003-00001403", ENDPOINT, "wrong_endpoint"),
    (403, "InvalidObjectState", "0016-00000404", "", "archived"),
    (403, "AccessDenied", "", KMS, "kms_forbidden"),
    (403, "KmsServiceNotEnabled", "0005-00000218", "", "kms_not_activated"),
    (409, "PendingDeletion", "0005-00000215", "", "kms_key_unusable"),
    (409, "Disabled", "0005-00000214", "", "kms_key_unusable"),
    (409, "KeyDisabled", "", "", "kms_key_unusable"),
    (409, "KeyPendingDeletion", "", "", "kms_key_unusable"),
    (404, "KeyNotFound", "", "", "kms_key_unusable"),
    (404, "NoSuchKey", "0026-00000001", "", "no_such_key"),
    (404, "NoSuchFile", "0040-00000024", "", "no_such_key"),
    (404, "NoSuchBucket", "0015-00000101", "", "no_such_bucket"),
    (404, "SymlinkTargetNotExist", "0026-00000012", "", "no_such_symlink_target"),
    (404, "NoSuchVersion", "", "", "no_such_version"),
    (404, "NoSuchStyle", "", "", "no_such_style"),
    (424, "MirrorFailed", "0041-00000104", "", "mirror_failed"),
    (416, "InvalidRange", "", "", "range_not_satisfiable"),
    (400, "InvalidObjectName", "0016-00000005", "", "bad_object_name"),
    (412, "PreconditionFailed", "", "", "precondition_failed"),
    (405, "MethodNotAllowed", "", "", "method_not_supported"),
    (400, "InvalidArgument", "0040-00000321", "", "bad_request"),
    (400, "InvalidArgument", "0017-00000251", "", "bad_request"),
    (400, "MissingArgument", "0016-00000502", "", "bad_request"),
    (400, "InvalidDigest", "0017-00000503", "", "bad_request"),
    (400, "BadRequest", "", "Input is not base64 decoding.", "bad_request"),
    (400, "ImageTooLarge", "", "", "bad_request"),
    (400, "WatermarkError", "", "", "bad_request"),
    (403, "ImageDamage", "", "", "bad_request"),
    (400, "EntityTooLarge", "", "", "bad_request"),
    (400, "EntityTooSmall", "", "", "bad_request"),
    (404, "NoSuchUpload", "", "", "bad_request"),
    (409, "FileAlreadyExists", "0026-00000002", "", "bad_request"),
    (409, "FileAlreadyExists", "0026-00000201", "", "bad_request"),
    (409, "FileImmutable", "", "", "bad_request"),
    (409, "PositionNotEqualToLength", "", "", "bad_request"),
    (409, "RestoreAlreadyInProgress", "", "", "bad_request"),
    (411, "MissingContentLength", "0017-00000101", "", "bad_request"),
    (411, "ObjectNotAppendable", "", "", "bad_request"),
    (501, "NotImplemented", "", "", "bad_request"),
    (400, "PublicEndpointForbidden", "0048-00000401", "", "public_endpoint"),
    (429, "QpsLimitExceeded", "", "", "throttled_qps"),
    (503, "TotalQpsLimitExceeded", "0004-00000302", "", "throttled_qps"),
    (503, "DownloadTrafficRateLimitExceeded", "0004-00000304", "", "throttled_traffic"),
    (503, "UploadTrafficRateLimitExceeded", "0004-00000304", "", "throttled_traffic"),
    (503, "ActiveRequestLimitExceeded", "", "", "throttled_requests"),
    (503, "CpuLimitExceeded", "", "", "throttled_cpu"),
    (503, "MetaOperationQpsLimitExceeded", "", "", "throttled"),
    (503, "ServiceUnavailable", "", "", "service_unavailable"),
    (500, "InternalError", "", "", "server_error"),
    (502, "", "", "", "server_error"),
    (504, "", "", "", "server_error"),
];

/// What the Code says without an EC, where that is less.
fn by_code_alone(code: &str, message: &str, word: &'static str) -> &'static str {
    match (code, message) {
        ("AccessDenied", KMS | ENDPOINT | VPC) => word,
        ("AccessDenied", _) => "access_denied",
        ("InvalidAccessKeyId", _) => "key_unknown",
        ("InvalidArgument", REGION) => word,
        ("InvalidArgument" | "Disabled", _) => "unknown",
        _ => word,
    }
}

fn xml(code: &str, message: &str, ec: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>{code}</Code>\n  \
         <Message>{message}</Message>\n  <RequestId>5C3D9175B6FC201293AD0001</RequestId>\n  \
         <EC>{ec}</EC>\n</Error>\n"
    )
    .into_bytes()
}

fn cause(status: u16, ec: &str, xml: &[u8]) -> &'static str {
    let ec = ec.as_bytes();
    diagnose(&ErrorResponse { status, ec, xml }).word()
}

#[test]
fn every_cause_is_known_by_its_code_and_ec() {
    for (status, code, ec, message, word) in CASES {
        assert_eq!(
            cause(*status, ec, &xml(code, message, ec)),
            *word,
            "{code} {ec}"
        );
    }
}

#[test]
fn every_cause_is_known_by_its_ec_while_the_body_is_not_seen() {
    for (status, _, ec, _, word) in CASES.iter().filter(|case| !case.2.is_empty()) {
        assert_eq!(cause(*status, ec, b""), *word, "{ec}");
    }
}

#[test]
fn every_cause_is_known_by_its_body() {
    for (status, code, ec, message, word) in CASES {
        let repeated = xml(code, message, ec);
        assert_eq!(cause(*status, "", &repeated), *word, "{code} {ec}");
        let bare = xml(code, message, "");
        let want = by_code_alone(code, message, word);
        assert_eq!(cause(*status, "", &bare), want, "{code}");
    }
}

#[test]
fn every_cause_is_known_by_the_header_that_explains_to_a_head() {
    for (status, code, ec, message, word) in CASES {
        let decoded = header_xml(&xml_header(&xml(code, message, ec)));
        assert_eq!(cause(*status, ec, &decoded), *word, "{code} {ec}");
    }
}

#[test]
fn every_cause_is_tried_and_has_a_fix() {
    let tried: BTreeSet<_> = CASES.iter().map(|case| case.4).collect();
    let known: BTreeSet<_> = Cause::WORDS.iter().copied().collect();
    let untried: Vec<_> = known.difference(&tried).collect();
    assert_eq!(untried, [&"unknown"]);
    for cause in Cause::ALL {
        let (meaning, fix) = (cause.meaning(), cause.fix());
        assert!(!meaning.starts_with(' ') && meaning.ends_with('.'));
        assert!(!fix.is_empty() && !fix.ends_with('.'), "{fix}");
    }
}

/// The headers come first, and decide what becomes of the credentials; the body must not tell
/// the operator another story.
#[test]
fn the_headers_and_the_body_say_the_same_where_the_ec_is_known() {
    let facts: Vec<_> = Cause::ALL.iter().map(|cause| cause.facts()).collect();
    let ecs = facts.iter().flat_map(|facts| facts.ecs);
    let ecs: Vec<_> = ecs.map(|ec| ec.replace('*', "00000001")).collect();
    let shared: BTreeSet<_> = facts.iter().flat_map(|facts| facts.shared).collect();
    for status in [400, 403, 404, 409] {
        for (ec, code) in ecs
            .iter()
            .flat_map(|ec| shared.iter().map(move |c| (ec, c)))
        {
            let by_headers = cause(status, ec, b"");
            if by_headers == "unknown" {
                continue;
            }
            let body = xml(code, "", ec);
            assert_eq!(cause(status, ec, &body), by_headers, "{status} {code} {ec}");
            assert_eq!(cause(status, "", &body), by_headers, "{status} {code} {ec}");
        }
    }
    // A Code that is of one cause, with the ECs of this cause.
    for (facts, cause_of) in facts.iter().zip(Cause::ALL) {
        for (code, ec) in facts
            .codes
            .iter()
            .flat_map(|c| facts.ecs.iter().map(move |ec| (c, ec)))
        {
            let (code, ec) = (code.replace('*', "X"), ec.replace('*', "00000001"));
            let status = facts.statuses[0];
            let body = xml(&code, "", &ec);
            for (ec, body) in [(&*ec, &b""[..]), (&ec, &body), ("", &body)] {
                let got = cause(status, ec, body);
                assert_eq!(got, cause_of.word(), "{status} {code} {ec}");
            }
        }
    }
}

#[test]
fn no_pattern_is_that_of_two_causes() {
    for pick in [
        |cause: &Cause| cause.facts().codes,
        |cause: &Cause| cause.facts().ecs,
    ] {
        let all: Vec<_> = Cause::ALL.iter().flat_map(pick).collect();
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), different.len(), "{all:?}");
    }
}

#[test]
fn the_credentials_are_to_blame_for_what_they_are() {
    for (status, code, ec, message, word) in CASES {
        let xml = xml(code, message, ec);
        let error = ErrorResponse {
            status: *status,
            ec: ec.as_bytes(),
            xml: &xml,
        };
        let theirs = [
            "token_expired",
            "token_invalid",
            "token_missing",
            "key_unknown",
        ];
        let want = match theirs.contains(word) {
            true => Verdict::Rejected(Cause::of(word).unwrap()),
            false => Verdict::Innocent,
        };
        assert_eq!(verdict(&error), want, "{word}");
    }
}

#[test]
fn what_a_client_does_by_itself_alerts_nobody() {
    let quiet = Cause::ALL
        .iter()
        .filter(|cause| cause.alert() == Alert::None);
    let quiet: Vec<_> = quiet.map(|cause| cause.word()).collect();
    let want = [
        "no_such_key",
        "no_such_version",
        "no_such_style",
        "range_not_satisfiable",
        "bad_object_name",
        "precondition_failed",
        "method_not_supported",
        "bad_request",
    ];
    assert_eq!(quiet, want);
}

#[test]
fn an_ec_of_another_kind_is_unknown_and_has_the_address_that_explains_it() {
    for (status, code, ec) in [
        (403, "AccessDenied", "0003-00000999"),
        (403, "", "0003-00000999"),
        (404, "", "0026-00000999"),
        (404, "NoSuchWebsiteConfiguration", "0015-00000999"),
        (400, "InvalidArgument", "0002-00000999"),
        (403, "AccessForbidden", ""),
        (413, "", ""),
        (400, "InvalidArgument", ""),
        // Of what a client may do, but with a status that says more.
        (403, "AccessDenied", "0016-00000999"),
    ] {
        let xml = match code {
            "" => Vec::new(),
            code => xml(code, "", ec),
        };
        assert_eq!(cause(status, ec, &xml), "unknown", "{status} {code} {ec}");
        let address = format!("https://api.aliyun.com/troubleshoot?q={ec}");
        let want = (!ec.is_empty()).then_some(address);
        assert_eq!(help(ec.as_bytes()), want);
    }
    for (_, _, ec, _, word) in CASES {
        assert_eq!(help(ec.as_bytes()), None, "{word}");
    }
}

#[test]
fn garbage_has_a_cause_too() {
    let mut bytes = 0_u32;
    for length in 0..200 {
        let mut garbage: Vec<u8> = Vec::new();
        for _ in 0..length {
            bytes = bytes.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            garbage.push((bytes >> 24) as u8);
        }
        let begun = [b"<Error><Code>AccessDenied</Code><Message>", &garbage[..]].concat();
        for xml in [&garbage, &begun, &header_xml(&garbage)] {
            for status in [0, 400, 403, 404, 429, 503, u16::MAX] {
                let ec = &garbage;
                let error = ErrorResponse { status, ec, xml };
                assert!(!diagnose(&error).word().is_empty());
                verdict(&error);
                help(ec);
            }
        }
    }
}
