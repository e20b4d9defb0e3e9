//! Responses of OSS: what they do to the credentials, what the operator is told, and what
//! a client sees; on both hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use hosts::asked::{CONFIGURATION, key_of, respond, sent, with};
use hosts::node::{Edited, Node, OssAnswer, Seen, untouched};
use hosts::world::{Fleet, Solo, World};
use oss_origin_auth_core::exchange::Event;
use oss_origin_auth_core::host::Note;
use oss_origin_auth_core::oss::error::{header_xml, xml_header};

on_both_hosts! {
    rejected_credentials_are_dropped_and_the_retry_is_signed_with_newer_ones
    a_storm_of_refusals_is_one_fetch
    newer_credentials_survive_a_refusal_of_the_old_ones
    a_retry_after_a_riddle_waits_for_newer_credentials
    a_retry_after_a_riddle_takes_the_old_ones_if_there_are_no_others
    only_the_retry_waits_for_newer_credentials
    a_denial_is_no_fault_of_the_credentials
    the_body_explains_and_is_counted_once
    the_header_explains_an_error_to_a_head
    as_much_of_a_body_is_read_as_is_of_use
    an_error_whose_body_does_not_end_is_told_too
    a_missing_object_is_counted_and_not_logged
    the_log_and_the_client_get_the_cause_if_the_settings_say_so
    a_neutral_error_names_nothing_however_its_body_comes
    a_neutral_error_without_a_body_is_over_at_once
    an_error_of_oss_tells_nothing_of_the_signature_however_its_body_comes
    what_is_no_error_of_oss_is_not_shown
    the_header_that_explains_to_a_head_tells_nothing_of_the_signature
    what_another_attempt_may_heal_is_marked
    a_signed_url_of_the_client_says_nothing_of_our_credentials
}

const TOKEN_EXPIRED: &str = "0002-00000007";
const SIGNATURE: &str = "0002-00000201";
const ACCESS_DENIED: &str = "0003-00000001";

fn retry<W: World>(world: &mut W, stream: u32) -> u32 {
    world.first(move |node| node.retry(stream))
}

fn xml(code: &str, message: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

fn rejected_credentials_are_dropped_and_the_retry_is_signed_with_newer_ones<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    respond(
        &mut world,
        stream,
        OssAnswer::error(403, TOKEN_EXPIRED).piece("x"),
    );
    let log = world.first(Node::logged);
    assert!(
        log.contains("dropped, since OSS says token_expired"),
        "{log}"
    );
    let second = retry(&mut world, stream);
    assert_eq!(key_of(&mut world, second), None, "it waits");
    world.pass(5);
    assert!(world.give("STS.second-of-them"), "no copy will do");
    assert_eq!(
        key_of(&mut world, second).as_deref(),
        Some("STS.second-of-them")
    );
}

fn a_storm_of_refusals_is_one_fetch<W: World>() {
    let (mut world, _) = sent::<W>(CONFIGURATION);
    for server in 0..world.servers() {
        world.on(server, |node| {
            let streams: Vec<_> = (0..5).map(|_| node.request("/a")).collect();
            for stream in streams {
                node.respond(stream, &OssAnswer::error(403, TOKEN_EXPIRED));
            }
        });
    }
    for _ in 0..10 {
        world.pass(5);
    }
    assert_eq!(world.fetching(), 1);
}

fn newer_credentials_survive_a_refusal_of_the_old_ones<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    world.pass(2_880_000);
    world.give("STS.second-of-them");
    respond(&mut world, stream, OssAnswer::error(403, TOKEN_EXPIRED));
    let second = retry(&mut world, stream);
    assert_eq!(
        key_of(&mut world, second).as_deref(),
        Some("STS.second-of-them")
    );
}

fn a_retry_after_a_riddle_waits_for_newer_credentials<W: World>() {
    for ec in ["", "0002-00000999"] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        respond(&mut world, stream, OssAnswer::error(403, ec));
        let second = retry(&mut world, stream);
        assert_eq!(key_of(&mut world, second), None);
        world.pass(5);
        assert!(world.give("STS.second-of-them"));
        assert_eq!(
            key_of(&mut world, second).as_deref(),
            Some("STS.second-of-them")
        );
    }
}

fn a_retry_after_a_riddle_takes_the_old_ones_if_there_are_no_others<W: World>() {
    for fails_by in ["an answer", "the same again", "silence"] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        respond(&mut world, stream, OssAnswer::error(401, ""));
        let second = retry(&mut world, stream);
        world.pass(5);
        match fails_by {
            "an answer" => {
                world.answer(500, String::new());
            }
            "the same again" => {
                world.give("STS.first-of-them");
            }
            _ => world.pass(5_000),
        }
        let key = key_of(&mut world, second);
        assert_eq!(key.as_deref(), Some("STS.first-of-them"), "{fails_by}");
    }
}

fn only_the_retry_waits_for_newer_credentials<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    respond(&mut world, stream, OssAnswer::error(403, ""));
    let other = world.first(|node| node.request("/b"));
    assert_eq!(
        key_of(&mut world, other).as_deref(),
        Some("STS.first-of-them")
    );
}

fn a_denial_is_no_fault_of_the_credentials<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    respond(&mut world, stream, OssAnswer::error(403, ACCESS_DENIED));
    world.pass(1_000);
    assert_eq!(world.fetching(), 0);
    let second = retry(&mut world, stream);
    assert_eq!(
        key_of(&mut world, second).as_deref(),
        Some("STS.first-of-them")
    );
}

fn the_body_explains_and_is_counted_once<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    let text = xml("AccessDenied", "This request is forbidden by kms.");
    let (begin, rest) = text.split_at(30);
    let answer = OssAnswer::error(403, ACCESS_DENIED)
        .piece(begin)
        .piece(rest);
    respond(&mut world, stream, answer);
    world.first(move |node| node.on(stream, Event::Gone));
    assert_eq!(
        world.first(|node| node.counted("oss_errors.kms_forbidden")),
        1
    );
    assert_eq!(
        world.first(|node| node.counted("oss_errors.access_denied")),
        0
    );
    let log = world.first(Node::logged);
    assert_eq!(
        log.matches("OSS refused: kms_forbidden").count(),
        1,
        "{log}"
    );
    for word in [
        "my-bucket",
        "defaults",
        "5C3D9175B6FC201293AD0001",
        "AliyunKMS",
    ] {
        assert!(log.contains(word), "{word}: {log}");
    }
}

fn the_header_explains_an_error_to_a_head<W: World>() {
    // <Code>SecurityTokenExpired</Code>
    let err = "PENvZGU+U2VjdXJpdHlUb2tlbkV4cGlyZWQ8L0NvZGU+";
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    respond(
        &mut world,
        stream,
        OssAnswer::new(403).header("x-oss-err", err),
    );
    assert_eq!(
        world.first(|node| node.counted("oss_errors.token_expired")),
        1
    );
    world.pass(5);
    assert_eq!(world.fetching(), 1);
}

fn as_much_of_a_body_is_read_as_is_of_use<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    let answer = OssAnswer::error(403, "9999-00000001")
        .piece(&"x".repeat(16 * 1024))
        .piece(&xml("NoSuchBucket", ""));
    respond(&mut world, stream, answer);
    assert_eq!(world.first(|node| node.counted("oss_errors.unknown")), 1);
}

fn an_error_whose_body_does_not_end_is_told_too<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    let text = xml("NoSuchBucket", "");
    let answer = OssAnswer::error(404, "").piece(&text).trailer("t");
    respond(&mut world, stream, answer);
    assert_eq!(
        world.first(|node| node.counted("oss_errors.no_such_bucket")),
        0
    );
    world.first(move |node| node.on(stream, Event::Gone));
    assert_eq!(
        world.first(|node| node.counted("oss_errors.no_such_bucket")),
        1
    );
}

fn a_missing_object_is_counted_and_not_logged<W: World>() {
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    world.first(Node::logged);
    respond(&mut world, stream, OssAnswer::error(404, ""));
    assert_eq!(
        world.first(|node| node.counted("oss_errors.no_such_key")),
        1
    );
    assert_eq!(world.first(Node::logged), "");
}

fn the_log_and_the_client_get_the_cause_if_the_settings_say_so<W: World>() {
    let settings = with(r#""cause_header": true, "access_log_fields": true"#);
    let (mut world, stream) = sent::<W>(&settings);
    let answer = OssAnswer::error(403, ACCESS_DENIED).piece(&xml("NoSuchBucket", ""));
    let seen = respond(&mut world, stream, answer);
    let edits = seen[0].edited();
    let cause = ("x-oss-origin-auth".to_owned(), "access_denied".to_owned());
    assert!(edits.set.contains(&cause));
    let noted = |note| move |node: &mut Node| node.noted(stream, note).unwrap();
    assert_eq!(
        world.first(noted(Note::Cause)),
        b"no_such_bucket",
        "the body tells more"
    );
    assert_eq!(world.first(noted(Note::Credentials)), b"default");
}

fn a_neutral_error_names_nothing_however_its_body_comes<W: World>() {
    let (mut world, stream) = sent::<W>(&with(r#""errors": "neutral""#));
    let answer = OssAnswer::error(403, ACCESS_DENIED)
        .header("content-length", "300")
        .header("vary", "origin")
        .piece(&xml("AccessDenied", ""))
        .piece("my-bucket")
        .trailer("x-oss-hash-crc64ecma");
    let seen = respond(&mut world, stream, answer);
    let edits = seen[0].edited();
    assert_eq!(edits.remove, ["content-length"], "the rest is for support");
    assert_eq!(
        seen[1],
        Seen::Replaced("{\"error\":\"forbidden\"}\n".into())
    );
    assert_eq!(seen[2], Seen::Replaced(String::new()));
    let trailers = Edited {
        remove: vec!["x-oss-hash-crc64ecma".into()],
        ..Edited::default()
    };
    assert_eq!(seen[3], Seen::Passes(trailers));
    world.first(move |node| node.on(stream, Event::Gone));
    let log = world.first(Node::logged);
    assert!(
        log.contains("OSS refused: access_denied"),
        "the operator knows: {log}"
    );
}

fn a_neutral_error_without_a_body_is_over_at_once<W: World>() {
    let (mut world, stream) = sent::<W>(&with(r#""errors": "neutral""#));
    let seen = respond(&mut world, stream, OssAnswer::error(503, ""));
    assert_eq!(seen.len(), 1);
    assert_ne!(seen[0], untouched());
    assert!(!world.first(move |node| node.wants_body(stream)));
}

/// That of SignatureDoesNotMatch, but longer.
fn revealing() -> String {
    xml("SignatureDoesNotMatch", "It does not match.").replace(
        "</Error>",
        "<StringToSign>GET sesame-token</StringToSign><SecurityToken>sesame-token\
         </SecurityToken><OSSAccessKeyId>STS.first-of-them</OSSAccessKeyId></Error>",
    )
}

/// All that a client sees of a body.
fn body(seen: &[Seen]) -> String {
    let pieces = seen.iter().map(|seen| match seen {
        Seen::Replaced(piece) => piece.as_str(),
        _ => "",
    });
    pieces.collect()
}

fn an_error_of_oss_tells_nothing_of_the_signature_however_its_body_comes<W: World>() {
    let revealing = revealing();
    for size in [1, 7, 100, revealing.len()] {
        for trailer in [false, true] {
            let (mut world, stream) = sent::<W>(&with(r#""errors": "oss""#));
            let mut answer = OssAnswer::error(403, SIGNATURE).header("content-length", "999");
            for piece in revealing.as_bytes().chunks(size) {
                answer = answer.piece(std::str::from_utf8(piece).unwrap());
            }
            if trailer {
                answer = answer.trailer("t");
            }
            let seen = respond(&mut world, stream, answer);
            assert_eq!(seen[0].edited().remove, ["content-length"]);
            let body = body(&seen);
            assert!(
                body.contains("<Code>SignatureDoesNotMatch</Code>"),
                "{body}"
            );
            assert!(!body.contains("sesame") && !body.contains("STS."), "{body}");
        }
    }
}

fn what_is_no_error_of_oss_is_not_shown<W: World>() {
    for (status, text) in [
        (302, "<a href='http://sesame/'>"),
        (403, "{\"sesame\": 1}"),
        (500, ""),
    ] {
        let (mut world, stream) = sent::<W>(&with(r#""errors": "oss""#));
        let answer = OssAnswer::new(status).header("location", "l").piece(text);
        let seen = respond(&mut world, stream, answer);
        assert_eq!(seen[0].edited().remove, [""; 0]);
        let body = body(&seen);
        assert!(
            body.contains("<Code>") && !body.contains("sesame"),
            "{body}"
        );
    }
}

fn the_header_that_explains_to_a_head_tells_nothing_of_the_signature<W: World>() {
    let err = |xml: &str| String::from_utf8(xml_header(xml.as_bytes())).unwrap();
    for (text, shown) in [(revealing().as_str(), true), ("sesame-token", false)] {
        let (mut world, stream) = sent::<W>(&with(r#""errors": "oss""#));
        let answer = OssAnswer::error(403, SIGNATURE).header("x-oss-err", &err(text));
        let seen = respond(&mut world, stream, answer);
        let edited = seen[0].edited();
        assert_eq!(edited.remove, ["x-oss-err"]);
        let mut set = edited.set.iter();
        let now = set.find(|(name, _)| name == "x-oss-err");
        assert_eq!(now.is_some(), shown);
        if let Some((_, now)) = now {
            let xml = String::from_utf8(header_xml(now.as_bytes())).unwrap();
            assert!(xml.contains("SignatureDoesNotMatch") && !xml.contains("sesame"));
        }
    }
}

fn what_another_attempt_may_heal_is_marked<W: World>() {
    for (ec, marked) in [
        (TOKEN_EXPIRED, true),
        ("", true),
        ("0002-00000504", true),
        (ACCESS_DENIED, false),
        (SIGNATURE, false),
    ] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        let seen = respond(&mut world, stream, OssAnswer::error(403, ec));
        let mark = ("x-origin-auth-retry".into(), "1".into());
        assert_eq!(seen[0].edited().set.contains(&mark), marked, "{ec}");
    }
    // It is no longer worth trying, if what it brought is refused without a reason, too.
    let (mut world, stream) = sent::<W>(CONFIGURATION);
    respond(&mut world, stream, OssAnswer::error(403, ""));
    world.pass(5);
    world.give("STS.second-of-them");
    for _ in 0..2 {
        let stream = world.first(|node| node.request("/a"));
        let seen = respond(&mut world, stream, OssAnswer::error(403, ""));
        let set = &seen[0].edited().set;
        assert!(
            !set.iter().any(|(name, _)| name == "x-origin-auth-retry"),
            "{set:?}"
        );
    }
}

fn a_signed_url_of_the_client_says_nothing_of_our_credentials<W: World>() {
    let settings = with(r#""presigned_urls": "pass", "errors": "neutral""#);
    let (mut world, _) = sent::<W>(&settings);
    let stream = world.first(|node| node.request("/a?OSSAccessKeyId=i&Expires=1&Signature=s"));
    let seen = world.first(move |node| node.fate(stream)).unwrap();
    assert_eq!(seen.edited().remove, ["authorization"]);
    assert_eq!(seen.edited().added, []);
    let answer = OssAnswer::error(403, TOKEN_EXPIRED).piece("secret");
    let seen = respond(&mut world, stream, answer);
    assert!(matches!(seen[1], Seen::Replaced(_)), "but is made neutral");
    world.pass(1_000);
    assert_eq!(world.fetching(), 0);
    assert_eq!(
        world.first(|node| node.counted("oss_errors.token_expired")),
        0
    );
}
