//! OSS repeats in its errors what was signed: the token, the key's id, the string to
//! sign. No client sees that, whatever the settings, in whatever form the error comes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use testkit::recorder::{Answer, Received};
use testkit::{Position, Recorder, Request, Response};

use crate::common::{TOKEN, good_answer};
use crate::stage::Stage;

in_both_positions!(
    the_body_is_not_shown_by_default,
    the_body_is_not_shown_to_an_sdk,
    the_answer_to_a_head_is_not_shown,
    the_body_of_a_redirect_is_not_shown,
    the_body_in_pieces_is_not_shown,
);

/// What OSS says of a signature that it does not find right.
fn xml() -> String {
    let canonical = format!(
        "GET\n/demo-bucket/a\n\nx-oss-date:20260101T000000Z\nx-oss-security-token:{TOKEN}\n\n\
         UNSIGNED-PAYLOAD"
    );
    let bytes: Vec<String> = TOKEN.bytes().map(|byte| format!("{byte:02X}")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  \
         <Code>SignatureDoesNotMatch</Code>\n  \
         <Message>The request signature we calculated does not match.</Message>\n  \
         <RequestId>6A00000000000000000000AA</RequestId>\n  \
         <HostId>demo-bucket.oss-cn-hangzhou.aliyuncs.com</HostId>\n  \
         <OSSAccessKeyId>STS.example</OSSAccessKeyId>\n  \
         <SignatureProvided>0123sesame-signature</SignatureProvided>\n  \
         <StringToSign>OSS4-HMAC-SHA256\nsesame-string-to-sign</StringToSign>\n  \
         <CanonicalRequest>{canonical}</CanonicalRequest>\n  \
         <StringToSignBytes>{}</StringToSignBytes>\n  \
         <SecurityToken>{TOKEN}</SecurityToken>\n  <EC>0002-00000201</EC>\n</Error>\n",
        bytes.join(" ")
    )
}

/// An OSS that refuses all, with the status that the path begins with.
fn refusing_oss() -> Recorder {
    Recorder::answering(|request| {
        let mut parts = request.target.split('/').skip(2);
        let status = parts.next().unwrap().parse().unwrap();
        let form = parts.next().unwrap_or_default();
        answer(request, status, form)
    })
}

fn answer(request: &Received, status: u16, form: &str) -> Answer {
    let xml = xml();
    let encoded = BASE64_STANDARD.encode(&xml);
    let content_type = match form {
        "untyped" => "text/plain",
        _ => "application/xml",
    };
    let mut headers = vec![
        ("content-type", content_type),
        ("x-oss-request-id", "6A00000000000000000000AA"),
        ("x-oss-ec", "0002-00000201"),
    ];
    if (300..400).contains(&status) {
        headers.push(("location", "http://demo.example/elsewhere"));
    }
    if form == "encoded" {
        headers.push(("content-encoding", "gzip"));
    }
    if request.method == "HEAD" {
        headers.push(("x-oss-err", encoded.as_str()));
        return Answer::head(status, &headers);
    }
    let (first, last) = xml.split_at(xml.find(TOKEN).unwrap() + 5);
    match form {
        "pieces" => Answer::chunked(status, &headers, &[first.as_bytes(), last.as_bytes()]),
        "bytes" => {
            let pieces: Vec<&[u8]> = xml.as_bytes().chunks(97).collect();
            Answer {
                pause: Duration::from_millis(1),
                ..Answer::chunked(status, &headers, &pieces)
            }
        }
        "late" => Answer {
            pause: Duration::from_millis(200),
            ..Answer::chunked(status, &headers, &[b"\n", b" ", xml.as_bytes()])
        },
        "padded" => {
            let padding = vec![b' '; 200_000];
            Answer::new(status, &headers, &[&padding, xml.as_bytes()].concat())
        }
        _ => Answer::new(status, &headers, xml.as_bytes()),
    }
}

fn start() -> Stage {
    Stage::between(refusing_oss(), good_answer(), |builder| {
        builder.filter["routes"] = json!({"sdk": {"errors": "oss"}});
        builder.routes = vec![json!({"name": "sdk", "match": {"prefix": "/sdk/"}, "route": {}})];
    })
}

/// Asks, and fails if the answer tells anything of what was signed.
fn ask(stage: &Stage, position: Position, method: &str, path: &str) -> Response {
    let response = Request::new(method, path).send(stage.envoy.port(position));
    let mut texts = vec![response.text()];
    for (name, value) in &response.headers {
        texts.push(format!("{name}: {value}"));
        let decoded = BASE64_STANDARD.decode(value).unwrap_or_default();
        texts.push(String::from_utf8(decoded).unwrap_or_default());
    }
    let told = texts.join("\n");
    for secret in [
        TOKEN,
        "STS.example",
        "sesame",
        "43 41 49 53",
        "StringToSign",
        "CanonicalRequest",
        "SecurityToken",
    ] {
        assert!(
            !told.contains(secret),
            "{method} {path} tells `{secret}`:\n{told}"
        );
    }
    let id = response.header("x-oss-request-id");
    assert_eq!(
        id,
        Some("6A00000000000000000000AA"),
        "{method} {path}: status {}, and for support:\n{told}",
        response.status
    );
    response
}

fn the_body_is_not_shown_by_default(position: Position) {
    let stage = start();
    for status in [400, 403, 404, 409, 500, 503] {
        for form in ["whole", "untyped", "encoded", "padded"] {
            let path = format!("/default/{status}/{form}");
            let response = ask(&stage, position, "GET", &path);
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.header("x-oss-ec"), Some("0002-00000201"), "{path}");
            assert!(response.json()["error"].is_string(), "{path}");
        }
    }
}

fn the_body_is_not_shown_to_an_sdk(position: Position) {
    let stage = start();
    for status in [400, 403, 404, 409, 500, 503] {
        for form in ["whole", "untyped", "encoded", "padded"] {
            let path = format!("/sdk/{status}/{form}");
            let response = ask(&stage, position, "GET", &path);
            assert_eq!(response.status, status, "{path}");
            if form == "whole" {
                let text = response.text();
                let code = "<Code>SignatureDoesNotMatch</Code>";
                assert!(text.contains(code), "{path}: what an SDK reads: {text}");
            }
        }
    }
}

fn the_answer_to_a_head_is_not_shown(position: Position) {
    let stage = start();
    for settings in ["default", "sdk"] {
        for status in [307, 400, 403, 404, 500] {
            ask(&stage, position, "HEAD", &format!("/{settings}/{status}"));
        }
    }
}

fn the_body_of_a_redirect_is_not_shown(position: Position) {
    let stage = start();
    for settings in ["default", "sdk"] {
        for status in [301, 302, 307] {
            for form in ["whole", "untyped", "pieces"] {
                let path = format!("/{settings}/{status}/{form}");
                let response = ask(&stage, position, "GET", &path);
                assert_eq!(response.status, status, "{path}");
                let location = Some("http://demo.example/elsewhere");
                assert_eq!(response.header("location"), location, "{path}");
            }
        }
    }
}

fn the_body_in_pieces_is_not_shown(position: Position) {
    let stage = start();
    for settings in ["default", "sdk"] {
        for status in [403, 500] {
            for form in ["pieces", "bytes", "late"] {
                let path = format!("/{settings}/{status}/{form}");
                let response = ask(&stage, position, "GET", &path);
                assert_eq!(response.status, status, "{path}");
            }
        }
    }
}
