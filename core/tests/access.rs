//! Requests that are checked before they may read, on both hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use std::rc::Rc;

use hosts::node::{Seen, untouched};
use hosts::world::{Fleet, START, Solo, World};
use oss_origin_auth_core::access::{Keys, UrlSigning, UrlType};
use oss_origin_auth_core::config::Config;
use oss_origin_auth_core::credentials::Secret;
use oss_origin_auth_core::exchange::Event;
use oss_origin_auth_core::host::Note;
use oss_origin_auth_core::policy::reply::Reason;
use oss_origin_auth_core::words::Word;

on_both_hosts! {
    who_is_checked_leaves_without_the_signature
    who_may_not_read_is_told_why
    who_may_not_read_is_sent_elsewhere
    a_retry_has_been_checked
    a_retry_needs_no_header_that_was_checked
    metadata_alone_checks_nobody
    what_cannot_be_noted_does_not_leave
    a_path_that_cannot_be_edited_does_not_leave
    what_is_checked_is_signed_in_the_same_filter
    no_spelling_leads_round_a_check
    a_host_without_a_clock_lets_nobody_in
    metadata_moves_no_path
    metadata_has_one_format_for_a_key
    nothing_secret_is_shown
}

/// Nothing is signed.
const CHECKS: &str = r#"{"url_keys": {"default": {"key_env": "MAIN", "backup_key_env": "BACKUP"}},
    "defaults": {"access": {"url_signing": {"type": "A"},
                            "user_agent": {"deny": ["wget"]},
                            "referer": {"allow": ["example.com"], "allow_empty": true}}}}"#;

/// As the environment of the hosts has them.
fn sign(kind: UrlType, key: &str, target: &str, seconds_ago: u64) -> String {
    let keys = Keys {
        name: "default".into(),
        main: Secret::new(format!("{key}-of-the-environment")),
        backup: None,
    };
    let signing = UrlSigning::new(kind, Rc::new(keys), 1_800);
    let time = START / 1000 - seconds_ago;
    let signed = signing.sign(&signing.keys.main, target, time, "r-0");
    signed.unwrap()
}

fn signed(target: &str) -> String {
    sign(UrlType::A, "MAIN", target, 0)
}

fn ask<W: World>(world: &mut W, path: &str) -> u32 {
    let path = path.to_owned();
    world.first(move |node| node.request(&path))
}

fn fate<W: World>(world: &mut W, path: &str) -> Seen {
    let stream = ask(world, path);
    world.first(move |node| node.fate(stream)).unwrap()
}

fn counted<W: World>(world: &mut W, name: &'static str) -> u64 {
    world.first(move |node| node.counted(name))
}

fn among_the_listeners_filters<W: World>(configuration: &str) -> W {
    let mut world = W::new(configuration);
    world.first(|node| node.worker.host.on_cluster = false);
    world
}

fn path_of(seen: &Seen) -> String {
    let mut set = seen.edited().set.iter();
    let path = set.find(|(name, _)| name == ":path");
    path.unwrap().1.clone()
}

fn who_is_checked_leaves_without_the_signature<W: World>() {
    let mut world = among_the_listeners_filters::<W>(CHECKS);
    for (key, count) in [("MAIN", "url_keys.main"), ("BACKUP", "url_keys.backup")] {
        for target in ["/a", "/a%2Fb?x=1&&y", "/"] {
            let seen = fate(&mut world, &sign(UrlType::A, key, target, 1_800));
            assert_eq!(path_of(&seen), target);
            assert_eq!(seen.edited().set.len(), 1);
            assert!(seen.edited().added.is_empty() && seen.edited().remove.is_empty());
        }
        assert_eq!(counted(&mut world, count), 3);
    }
    assert_eq!(counted(&mut world, "requests.unsigned"), 6);
}

fn who_may_not_read_is_told_why<W: World>() {
    let mut world = among_the_listeners_filters::<W>(CHECKS);
    let wrong = sign(UrlType::A, "ANOTHER", "/a", 0);
    for (path, reason) in [
        ("/a".to_owned(), Reason::UrlSignatureMissing),
        ("/a?auth_key=1".into(), Reason::UrlSignatureMalformed),
        (
            sign(UrlType::A, "MAIN", "/a", 1_801),
            Reason::UrlSignatureExpired,
        ),
        (wrong, Reason::UrlSignatureWrong),
        (signed("/a").replace("/a", "/b"), Reason::UrlSignatureWrong),
    ] {
        let refusal = fate(&mut world, &path).refusal().clone();
        assert_eq!((refusal.reason, refusal.status()), (reason, 403), "{path}");
        let header = refusal
            .headers()
            .into_iter()
            .find(|(name, _)| *name == "x-oss-origin-auth");
        assert_eq!(header.unwrap().1, reason.word());
    }
    for (name, value, reason) in [
        ("user-agent", "Wget", Some(Reason::UserAgentNotAllowed)),
        ("user-agent", "curl", None),
        (
            "referer",
            "https://evil.test/",
            Some(Reason::RefererNotAllowed),
        ),
        ("referer", "https://www.example.com/", None),
    ] {
        let stream = ask(&mut world, "/a");
        let seen = world.first(move |node| {
            let path = signed("/a");
            let headers: &[(&[u8], &[u8])] = &[
                (b":path", path.as_bytes()),
                (name.as_bytes(), value.as_bytes()),
            ];
            node.again(stream, Event::RequestHeaders(headers))
        });
        match reason {
            Some(reason) => assert_eq!(seen.refusal().reason, reason),
            None => assert_eq!(path_of(&seen), "/a"),
        }
    }
    assert_eq!(counted(&mut world, "refused.url_signature_wrong"), 2);
    assert_eq!(counted(&mut world, "refused.referer_not_allowed"), 1);
}

fn who_may_not_read_is_sent_elsewhere<W: World>() {
    let page = "https://www.example.com/sorry.html";
    let own = format!(r#"{{"redirect": "{page}", "url_signing""#);
    let mut world = among_the_listeners_filters::<W>(&CHECKS.replace(r#"{"url_signing""#, &own));
    let refusal = fate(&mut world, "/a").refusal().clone();
    assert_eq!(
        (refusal.status(), refusal.reason),
        (302, Reason::UrlSignatureMissing)
    );
    assert!(refusal.headers().contains(&("location", page.into())));
    // What is wrong with the path is not about who may read.
    let public = r#"{"access": {"redirect": "https://x", "user_agent": {"deny": ["x"]}}}"#;
    let mut world = W::new(&format!(r#"{{"defaults": {public}}}"#));
    let refusal = fate(&mut world, "/%61").refusal().clone();
    assert_eq!(
        (refusal.status(), refusal.reason),
        (400, Reason::AmbiguousPath)
    );
}

/// Meanwhile its signature is gone, or has expired.
fn a_retry_has_been_checked<W: World>() {
    for configuration in [CHECKS.to_owned(), signs()] {
        let mut world = W::new(&configuration);
        world.tick();
        if configuration != CHECKS {
            world.give("STS.first-of-them");
        }
        let first = ask(&mut world, &signed("/a"));
        assert_eq!(
            path_of(&world.first(move |node| node.fate(first)).unwrap()),
            "/a"
        );
        let seen = world.first(move |node| node.fate(first)).unwrap();
        let original = "x-envoy-original-path".to_owned();
        assert_eq!(
            seen.edited().remove.contains(&original),
            configuration == CHECKS
        );
        world.pass(3_000_000);
        let second = world.first(move |node| node.retry(first));
        let seen = world.first(move |node| node.fate(second)).unwrap();
        assert!(
            seen.edited().set.iter().all(|(name, _)| name != ":path"),
            "{seen:?}"
        );
        let noted = world
            .first(move |node| node.noted(second, Note::Mapped))
            .unwrap();
        assert_eq!(noted, [b"/a\0", signed("/a").as_bytes()].concat());
        assert_eq!(counted(&mut world, "url_keys.main"), 1);
        // A redirect within the host is a request of its own, and so is its retry.
        let third = world.first(move |node| node.redirect(first, "/a"));
        let fourth = world.first(move |node| node.retry(third));
        for stream in [third, fourth] {
            let seen = world.first(move |node| node.fate(stream)).unwrap();
            assert_eq!(seen.refusal().reason, Reason::UrlSignatureMissing);
        }
        let other = world.first(move |node| node.retry_as(first, "/b"));
        let seen = world.first(move |node| node.fate(other)).unwrap();
        assert_eq!(seen.refusal().reason, Reason::UrlSignatureMissing);
    }
}

/// The first attempt has removed `referer`, which means nothing to OSS.
fn a_retry_needs_no_header_that_was_checked<W: World>() {
    let by_page = r#""access": {"referer": {"allow": ["example.com"], "allow_empty": false}}"#;
    let settings = r#""bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss""#;
    for (mapping, path) in [
        ("", "/a"),
        (r#", "key_prefix": "site/""#, "/a"),
        (
            r#", "presigned_urls": "pass""#,
            "/a?OSSAccessKeyId=a&Expires=1&Signature=b",
        ),
    ] {
        let mut world = W::new(&format!(
            r#"{{"credentials": {{"default": {{"sidecar": {{"cluster": "sts"}}}}}},
                 "defaults": {{{settings}, {by_page}{mapping}}}}}"#
        ));
        world.tick();
        world.give("STS.first-of-them");
        let first = ask(&mut world, path);
        let fate = world.first(move |node| node.fate(first)).unwrap();
        assert_eq!(fate.refusal().reason, Reason::RefererNotAllowed);
        let headers: [(&[u8], &[u8]); 3] = [
            (b":method", b"GET"),
            (b":path", path.as_bytes()),
            (b"referer", b"https://example.com/"),
        ];
        let seen = world.first(move |node| node.again(first, Event::RequestHeaders(&headers)));
        assert!(seen.edited().remove.contains(&"referer".to_owned()));
        let second = world.first(move |node| node.retry(first));
        let seen = world.first(move |node| node.fate(second)).unwrap();
        assert!(matches!(seen, Seen::Passes(_)), "{path}: {seen:?}");
        // Another path is a request of its own.
        let other = world.first(move |node| node.retry_as(first, "/b"));
        let fate = world.first(move |node| node.fate(other)).unwrap();
        assert_eq!(fate.refusal().reason, Reason::RefererNotAllowed);
    }
}

/// The other routes could not know that they have to guard a path.
fn metadata_alone_checks_nobody<W: World>() {
    let own = br#"{"access": {"user_agent": {"deny": ["x"]}}}"#;
    let bucket = r#""bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss""#;
    for (known, passes) in [("", false), (r#", "access": {"public": true}"#, true)] {
        let mut world = W::new(&format!(
            r#"{{"credentials": {{"default": {{"sidecar": {{"cluster": "sts"}}}}}},
                 "metadata": ["route"], "defaults": {{{bucket}{known}}}}}"#
        ));
        world.tick();
        world.give("STS.first-of-them");
        let odd = fate(&mut world, "/%61");
        assert_eq!(matches!(odd, Seen::Reply(_)), passes, "guarded: {odd:?}");
        world.first(|node| node.worker.host.route_metadata = own.to_vec());
        match fate(&mut world, "/a") {
            Seen::Reply(refusal) => {
                assert!(!passes);
                assert_eq!(refusal.reason, Reason::RouteMisconfigured);
                let log = world.first(|node| node.logged());
                assert!(log.contains("route metadata.access: restricts who may read"));
            }
            seen => assert!(passes, "{seen:?}"),
        }
    }
}

fn what_cannot_be_noted_does_not_leave<W: World>() {
    let mut world = W::new(CHECKS);
    world.first(|node| node.worker.host.can_note = false);
    let seen = fate(&mut world, &signed("/a"));
    assert_eq!(seen.refusal().reason, Reason::InternalError);
}

fn a_path_that_cannot_be_edited_does_not_leave<W: World>() {
    let mut world = among_the_listeners_filters::<W>(CHECKS);
    let stream = ask(&mut world, &signed("/a"));
    let seen = world.first(move |node| node.on(stream, Event::EditsFailed));
    assert_eq!(seen.refusal().reason, Reason::InternalError);
    let rest = world.first(move |node| node.on(stream, Event::RequestRest));
    assert_eq!(rest, Seen::Held);
    let stream = ask(&mut world, &signed("/a"));
    let rest = world.first(move |node| node.on(stream, Event::RequestRest));
    assert_eq!(rest, untouched());
}

/// Checks as in `CHECKS`, and signs.
fn signs() -> String {
    let own = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}}, "url_keys""#;
    let bucket = r#""bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss", "access""#;
    CHECKS
        .replace(r#"{"url_keys""#, own)
        .replace(r#""access""#, bucket)
}

fn what_is_checked_is_signed_in_the_same_filter<W: World>() {
    for on_cluster in [true, false] {
        let mut world = W::new(&signs());
        world.first(move |node| node.worker.host.on_cluster = on_cluster);
        world.tick();
        world.give("STS.first-of-them");
        let seen = fate(&mut world, &signed("/a"));
        assert_eq!(
            (path_of(&seen).as_str(), seen.key().as_str()),
            ("/a", "STS.first-of-them")
        );
        // The same as of a path that came so.
        let open = signs().replace(r#""url_signing": {"type": "A"},"#, "");
        assert!(open.contains("user_agent"));
        let mut other = W::new(&open);
        other.tick();
        other.give("STS.first-of-them");
        assert_eq!(fate(&mut other, "/a").edited().added, seen.edited().added);
        let refusal = fate(&mut world, "/a").refusal().clone();
        assert_eq!(refusal.reason, Reason::UrlSignatureMissing);
        // What is left of the query is judged as ever.
        let refusal = fate(&mut world, &signed("/a?acl")).refusal().clone();
        assert_eq!(refusal.reason, Reason::ParameterNotAllowed);
    }
}

fn no_spelling_leads_round_a_check<W: World>() {
    let free = r#"{"routes": {"route": {"access": {"public": true}},
                              "members": {"access": {"user_agent": {"deny": ["x"]}}}}}"#;
    let mut world = among_the_listeners_filters::<W>(free);
    for (path, passes) in [
        ("/a/b-c~d", true),
        ("/%E4%BD%A0?%61&&", true),
        ("/%6dembers/x", false),
        ("/a%2Fb", false),
        ("/a%2fb", false),
        ("/a\\b", false),
        ("/a/../members/x", false),
        ("/a/./b", false),
        ("/a/..b/c.", true),
        ("/..", false),
    ] {
        let seen = fate(&mut world, path);
        assert_eq!(seen == untouched(), passes, "{path}: {seen:?}");
    }
    // Whose spelling is signed may spell as it likes.
    let mut world = among_the_listeners_filters::<W>(CHECKS);
    assert_eq!(path_of(&fate(&mut world, &signed("/%61"))), "/%61");
    // Where nothing is checked, nothing is asked.
    let mut world = W::new(r#"{"url_keys": {}, "defaults": {"access": {"public": true}}}"#);
    assert_eq!(fate(&mut world, "/%61"), untouched());
}

fn a_host_without_a_clock_lets_nobody_in<W: World>() {
    let mut world = W::new(CHECKS);
    world
        .process()
        .clock
        .store(0, std::sync::atomic::Ordering::SeqCst);
    let seen = fate(&mut world, &signed("/a"));
    assert_eq!(seen.refusal().reason, Reason::InternalError);
}

fn metadata_moves_no_path<W: World>() {
    let configuration = r#"{"url_keys": {"default": {"key_env": "MAIN"}}, "metadata": ["route"]}"#;
    let mut world = among_the_listeners_filters::<W>(configuration);
    for (kind, moves) in [("A", false), ("B", true), ("C1", true), ("F", false)] {
        let settings = format!(r#"{{"access": {{"url_signing": {{"type": "{kind}"}}}}}}"#);
        world.first(|node| node.worker.host.route_metadata = settings.into_bytes());
        let seen = fate(&mut world, "/a").refusal().reason;
        let log = world.first(|node| node.logged());
        match moves {
            true => {
                assert_eq!(seen, Reason::RouteMisconfigured);
                assert!(
                    log.contains("route metadata.access: with `url_signing`"),
                    "{log}"
                );
            }
            false => assert_eq!(seen, Reason::UrlSignatureMissing),
        }
    }
}

/// The same key for two formats, each of which is known with its first request alone.
fn metadata_has_one_format_for_a_key<W: World>() {
    let routes = r#""routes": {"x": {"access": {"url_signing": {"type": "C2", "keys": "hex"}}}}"#;
    let configuration = format!(
        r#"{{"url_keys": {{"hex": {{"key_env": "HEX"}}, "free": {{"key_env": "FREE"}},
                           "same": {{"key_env": "OTHER", "backup_key_env": "HEX"}}}},
            "metadata": ["route"], {routes}}}"#
    );
    let mut world = among_the_listeners_filters::<W>(&configuration);
    for (settings, passes) in [
        (r#""C1", "keys": "hex""#, false),
        (r#""F", "time_format": "hex", "keys": "hex""#, true),
        (r#""F", "keys": "hex""#, false),
        (r#""F", "keys": "free""#, true),
        (r#""C2", "keys": "free""#, false),
        (r#""A", "keys": "free""#, true),
        (r#""A", "keys": "hex""#, true),
        (r#""F", "keys": "same""#, false),
        (r#""C2", "keys": "same""#, false),
    ] {
        let settings = format!(r#"{{"access": {{"url_signing": {{"type": {settings}}}}}}}"#);
        let metadata = settings.clone().into_bytes();
        world.first(|node| node.worker.host.route_metadata = metadata);
        let reason = fate(&mut world, "/a").refusal().reason;
        assert_eq!(reason == Reason::UrlSignatureMissing, passes, "{settings}");
    }
}

fn nothing_secret_is_shown<W: World>() {
    let mut world = among_the_listeners_filters::<W>(&signs());
    ask(&mut world, &signed("/a"));
    ask(&mut world, &sign(UrlType::A, "ANOTHER", "/a", 0));
    let shown = world.first(|node| [node.shown(), node.logged()].concat());
    assert!(!shown.contains("of-the-environment"), "{shown}");
    let config = Config::parse(CHECKS.as_bytes(), |_| Some("sesame-key".into()));
    assert!(!format!("{config:?}").contains("sesame"));
}
