//! Requests from their headers until they leave or are answered, on both hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use std::sync::atomic::Ordering;

use hosts::node::{Node, OssAnswer, Seen, untouched};
use hosts::world::{Fleet, START, Solo, World};
use oss_origin_auth_core::exchange::Event;
use oss_origin_auth_core::host::Note;
use oss_origin_auth_core::policy::reply::{Reason, Refusal};
use oss_origin_auth_core::words::Word;

on_both_hosts! {
    with_credentials_at_hand_it_leaves_at_once
    without_credentials_it_is_held_until_they_come
    every_worker_is_served_by_one_fetch
    a_wake_that_means_nothing_changes_nothing
    a_late_wake_is_not_signed_twice
    who_waited_too_long_is_told_what_the_sidecar_said
    a_clock_that_was_set_back_holds_nobody_for_long
    a_client_that_goes_away_leaves_nothing_behind
    there_is_room_for_so_many
    a_body_does_not_push_its_request_out
    what_is_refused_is_counted_and_answered_once
    what_passes_unsigned_is_left_alone
    wrong_metadata_is_told_once
    a_host_without_a_clock_signs_nothing
    edits_that_fail_are_answered
    a_mapping_that_cannot_be_noted_does_not_leave
    a_retry_is_mapped_once
    a_redirect_is_mapped_as_a_request_of_its_own
    a_key_of_the_environment_needs_no_fetch
    credentials_are_refreshed_while_the_old_ones_sign
    the_sidecar_is_asked_again_after_a_failure
    what_lives_too_short_is_asked_for_with_pauses
    who_waits_has_one_name_looked_at
    the_gauges_show_how_the_credentials_stand
    nothing_secret_is_shown
}

const CONFIGURATION: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss"}, "max_waiting": 3}"#;

/// As above, with these settings more.
fn with(defaults: &str) -> String {
    let region = r#""region": "cn-hangzhou""#;
    CONFIGURATION.replace(region, &format!("{region}, {defaults}"))
}

/// A host that has credentials.
fn ready<W: World>(configuration: &str) -> W {
    let mut world = W::new(configuration);
    world.tick();
    world.give("STS.first-of-them");
    world
}

fn key_of(fate: Option<Seen>) -> String {
    fate.unwrap().key()
}

fn reason_of(fate: Option<Seen>) -> Reason {
    fate.unwrap().refusal().reason
}

/// What becomes of a request for `/a`, in the first thread that serves.
fn ask<W: World>(world: &mut W) -> u32 {
    world.first(|node| node.request("/a"))
}

fn fate<W: World>(world: &mut W, stream: u32) -> Option<Seen> {
    world.first(move |node| node.fate(stream))
}

fn with_credentials_at_hand_it_leaves_at_once<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    let stream = ask(&mut world);
    let seen = fate(&mut world, stream).unwrap();
    assert_eq!(seen.edited().remove, ["authorization"]);
    assert_eq!(key_of(fate(&mut world, stream)), "STS.first-of-them");
    assert_eq!(world.first(|node| node.counted("requests.signed")), 1);
}

fn without_credentials_it_is_held_until_they_come<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let stream = ask(&mut world);
    assert_eq!(fate(&mut world, stream), None);
    world.pass(5);
    assert_eq!(fate(&mut world, stream), None);
    world.give("STS.first-of-them");
    assert_eq!(key_of(fate(&mut world, stream)), "STS.first-of-them");
    assert!(!world.first(|node| node.worker.has_parked()));
    world.first(|node| {
        node.counted("");
        assert_eq!(node.worker.host.waits, [5]);
    });
}

fn every_worker_is_served_by_one_fetch<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let mut streams = Vec::new();
    for server in 0..world.servers() {
        streams.push(world.on(server, |node| node.request("/a")));
    }
    for _ in 0..10 {
        world.pass(5);
    }
    assert_eq!(world.fetching(), 1);
    world.give("STS.first-of-them");
    for (server, stream) in streams.into_iter().enumerate() {
        let fate = world.on(server, move |node| node.fate(stream));
        assert_eq!(key_of(fate), "STS.first-of-them");
    }
}

fn a_wake_that_means_nothing_changes_nothing<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let stream = ask(&mut world);
    for _ in 0..3 {
        let action = world.first(move |node| node.on(stream, Event::Woken));
        assert_eq!(action, Seen::Held);
    }
    world.tick();
    world.give("STS.first-of-them");
    assert_eq!(key_of(fate(&mut world, stream)), "STS.first-of-them");
    assert!(!world.first(|node| node.worker.has_parked()), "parked once");
}

fn a_late_wake_is_not_signed_twice<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    let stream = ask(&mut world);
    let action = world.first(move |node| node.on(stream, Event::Woken));
    assert_eq!(action, Seen::Held, "what was not held is not resumed");
    assert_eq!(world.first(|node| node.counted("requests.signed")), 1);
}

fn who_waited_too_long_is_told_what_the_sidecar_said<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let stream = ask(&mut world);
    world.tick();
    world.answer(403, "sesame".to_owned());
    world.pass(4_999);
    assert_eq!(fate(&mut world, stream), None);
    world.pass(1);
    let seen = fate(&mut world, stream).unwrap();
    let refusal = seen.refusal();
    assert_eq!(refusal.reason, Reason::NoCredentials);
    assert!(refusal.message.contains("status 403"), "{refusal:?}");
    assert!(!refusal.message.contains("sesame"), "{refusal:?}");
    let action = world.first(move |node| node.on(stream, Event::Woken));
    assert_eq!(action, Seen::Held);
    assert_eq!(
        world.first(|node| node.counted("refused.no_credentials")),
        1
    );
}

fn a_clock_that_was_set_back_holds_nobody_for_long<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let stream = ask(&mut world);
    world.process().clock.fetch_sub(3_600_000, Ordering::SeqCst);
    world.tick();
    assert_eq!(reason_of(fate(&mut world, stream)), Reason::NoCredentials);
}

fn a_client_that_goes_away_leaves_nothing_behind<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let (gone, stays) = (ask(&mut world), ask(&mut world));
    world.first(move |node| node.on(gone, Event::Gone));
    // Its place is free at once.
    let others = [ask(&mut world), ask(&mut world)];
    for stream in others {
        assert_eq!(fate(&mut world, stream), None, "it may wait");
        world.first(move |node| node.on(stream, Event::Gone));
    }
    world.tick();
    world.give("STS.first-of-them");
    assert_eq!(fate(&mut world, gone), None);
    assert_eq!(key_of(fate(&mut world, stays)), "STS.first-of-them");
    assert_eq!(world.first(|node| node.counted("requests.signed")), 1);
}

fn there_is_room_for_so_many<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let waiting: Vec<_> = (0..3).map(|_| ask(&mut world)).collect();
    let late = ask(&mut world);
    assert_eq!(reason_of(fate(&mut world, late)), Reason::NoCredentials);
    world.tick();
    world.give("STS.first-of-them");
    for stream in waiting {
        assert_eq!(key_of(fate(&mut world, stream)), "STS.first-of-them");
    }
}

fn a_body_does_not_push_its_request_out<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let rest = |world: &mut W, stream| world.first(move |node| node.on(stream, Event::RequestRest));
    let (held, refused) = (ask(&mut world), world.first(|node| node.request("/")));
    assert_eq!(rest(&mut world, held), Seen::Held);
    assert_eq!(rest(&mut world, refused), Seen::Held);
    world.tick();
    world.give("STS.first-of-them");
    assert_eq!(rest(&mut world, held), untouched());
    assert_eq!(rest(&mut world, refused), Seen::Held);
}

fn what_is_refused_is_counted_and_answered_once<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    for (path, reason) in [
        ("/", Reason::BucketOperation),
        ("/a?acl", Reason::ParameterNotAllowed),
        ("a", Reason::MalformedPath),
        ("/a?Signature=s", Reason::PresignedUrl),
    ] {
        let stream = world.first(move |node| node.request(path));
        assert_eq!(reason_of(fate(&mut world, stream)), reason, "{path}");
        let counter = format!("refused.{}", reason.word());
        assert_eq!(world.first(move |node| node.counted(&counter)), 1);
        // Envoy shows the local reply as a response.
        let seen =
            world.first(move |node| node.respond(stream, &OssAnswer::new(403).piece("body")));
        assert!(seen.iter().all(|action| *action == untouched()));
    }
}

fn what_passes_unsigned_is_left_alone<W: World>() {
    let mut world = W::new(&with(r#""enabled": false, "errors": "neutral""#));
    let stream = world.first(|node| node.request("/?acl"));
    assert_eq!(fate(&mut world, stream), Some(untouched()));
    let seen = world.first(move |node| node.respond(stream, &OssAnswer::new(403)));
    assert_eq!(seen, [untouched()]);
    assert_eq!(world.first(|node| node.counted("requests.unsigned")), 1);
}

fn wrong_metadata_is_told_once<W: World>() {
    let metadata = CONFIGURATION.replace(
        r#""max_waiting""#,
        r#""metadata": ["route"], "max_waiting""#,
    );
    let mut world = ready::<W>(&metadata);
    for told in [true, false] {
        let (stream, log) = world.first(|node| {
            node.logged();
            node.worker.host.route_metadata = br#"{"bucket": 1}"#.to_vec();
            (node.request("/a"), node.logged())
        });
        assert_eq!(
            reason_of(fate(&mut world, stream)),
            Reason::RouteMisconfigured
        );
        assert_eq!(
            log.contains("route metadata.bucket: must be a string"),
            told,
            "{log}"
        );
    }
}

fn a_host_without_a_clock_signs_nothing<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    world.process().clock.store(0, Ordering::SeqCst);
    world.tick();
    let stream = ask(&mut world);
    assert_eq!(reason_of(fate(&mut world, stream)), Reason::InternalError);
}

fn edits_that_fail_are_answered<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    let stream = ask(&mut world);
    let action = world.first(move |node| node.on(stream, Event::EditsFailed));
    assert_eq!(action, Seen::Reply(Refusal::from(Reason::InternalError)));
    let rest = world.first(move |node| node.on(stream, Event::RequestRest));
    assert_eq!(rest, Seen::Held);
}

const MAPPING: &str = r#""strip_prefix": "/media/", "key_prefix": "site/""#;

fn a_mapping_that_cannot_be_noted_does_not_leave<W: World>() {
    let mut world = ready::<W>(&with(MAPPING));
    let stream = world.first(|node| {
        node.worker.host.can_note = false;
        node.request("/media/a")
    });
    assert_eq!(reason_of(fate(&mut world, stream)), Reason::InternalError);
}

fn a_retry_is_mapped_once<W: World>() {
    let mut world = ready::<W>(&with(MAPPING));
    let first = world.first(|node| node.request("/media/a"));
    let second = world.first(move |node| node.retry(first));
    for (stream, want) in [(first, Some("/site/a")), (second, None)] {
        let seen = fate(&mut world, stream).unwrap();
        let mut set = seen.edited().set.iter();
        let path = set.find(|(name, _)| name == ":path");
        assert_eq!(path.map(|(_, path)| path.as_str()), want);
    }
    let noted = world.first(move |node| node.noted(second, Note::Mapped));
    assert_eq!(noted.unwrap(), b"/site/a\0/media/a");
}

fn a_redirect_is_mapped_as_a_request_of_its_own<W: World>() {
    let mut world = ready::<W>(&with(MAPPING));
    let first = world.first(|node| node.request("/media/a"));
    // As the first one has left.
    let second = world.first(move |node| node.redirect(first, "/site/a"));
    assert_eq!(reason_of(fate(&mut world, second)), Reason::OutsidePrefix);
}

fn a_key_of_the_environment_needs_no_fetch<W: World>() {
    let sidecar = r#"{"sidecar": {"cluster": "sts"}}"#;
    let access_key = r#"{"access_key": {"id_env": "ID", "secret_env": "SECRET"}}"#;
    let mut world = W::new(&CONFIGURATION.replace(sidecar, access_key));
    world.tick();
    assert_eq!(world.fetching(), 0);
    let stream = ask(&mut world);
    assert_eq!(key_of(fate(&mut world, stream)), "ID-of-the-environment");
    assert!(!world.first(|node| node.shown()).contains("SECRET-of"));
}

fn credentials_are_refreshed_while_the_old_ones_sign<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    world.pass(2_880_000);
    assert_eq!(world.fetching(), 1);
    let stream = ask(&mut world);
    assert_eq!(key_of(fate(&mut world, stream)), "STS.first-of-them");
    assert!(!world.give("STS.second-of-them"), "a copy will do");
    let stream = ask(&mut world);
    assert_eq!(key_of(fate(&mut world, stream)), "STS.second-of-them");
}

/// While the source is down, the sidecar goes on giving what it has.
fn what_lives_too_short_is_asked_for_with_pauses<W: World>() {
    let mut world = ready::<W>(CONFIGURATION);
    world.pass(3_595_500);
    ask(&mut world);
    let mut fetches = 0;
    for _ in 0..400 {
        world.pass(5);
        while world.fetching() > 0 {
            fetches += 1;
            let now = world.process().clock.load(Ordering::SeqCst);
            let left = 3_600_000 + START - now;
            world.give_for("STS.first-of-them", left);
        }
    }
    assert!((2..=8).contains(&fetches), "{fetches} in two seconds");
    let log = world.on_fetcher(Node::logged);
    assert_eq!(log.matches("`clock_margin_ms`").count(), 1, "{log}");
}

fn who_waits_has_one_name_looked_at<W: World>() {
    let names: Vec<String> = (0..500)
        .map(|name| format!(r#""name-{name}": {{"sidecar": {{"cluster": "sts"}}}}"#))
        .collect();
    let default = r#""default": {"sidecar": {"cluster": "sts"}}"#;
    let all = format!("{default}, {}", names.join(", "));
    let mut world = W::new(&CONFIGURATION.replace(default, &all));
    ask(&mut world);
    world.first(|node| {
        node.look();
        node.worker.host.forget_reads();
        node.look();
        node.look();
    });
    let reads = world.first(|node| node.worker.host.reads());
    assert_eq!(reads, 2, "of 501 names");
    world.process().clock.fetch_add(1_000, Ordering::SeqCst);
    let reads = world.first(|node| {
        node.look();
        node.worker.host.reads()
    });
    assert_eq!(reads, 503, "once a second of all");
}

fn the_sidecar_is_asked_again_after_a_failure<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let stream = ask(&mut world);
    for _ in 0..3 {
        world.pass(1_250);
        assert_eq!(world.fetching(), 1);
        world.answer(500, String::new());
    }
    let log = world.on_fetcher(Node::logged);
    assert_eq!(log.matches("not fetched: status 500").count(), 1, "{log}");
    assert_eq!(world.on_fetcher(|node| node.counted("callouts.status")), 3);
    world.pass(1_250);
    assert_eq!(reason_of(fate(&mut world, stream)), Reason::NoCredentials);
}

fn the_gauges_show_how_the_credentials_stand<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let valid = |node: &mut Node| node.counted("credentials.valid.default");
    let left = |node: &mut Node| node.counted("credentials.seconds_left.default");
    assert_eq!(world.first(valid), 0);
    world.tick();
    world.give("STS.first-of-them");
    world.pass(10_000);
    assert_eq!((world.first(valid), world.first(left)), (1, 3590));
    world.pass(3_600_000);
    assert_eq!((world.first(valid), world.first(left)), (0, 0));
}

fn nothing_secret_is_shown<W: World>() {
    let mut world = W::new(CONFIGURATION);
    let held = ask(&mut world);
    world.tick();
    let before = world.first(|node| node.shown());
    world.give("STS.first-of-them");
    assert!(fate(&mut world, held).is_some());
    let after = world.first(|node| node.shown());
    let log = world.on_fetcher(Node::logged) + &world.first(Node::logged);
    assert!(after.contains("x-oss-security-token"), "{after}");
    for text in [before, after, log.clone()] {
        assert!(
            !text.contains("sesame") && !text.contains("Bearer"),
            "{text}"
        );
    }
    assert!(log.contains("fetched STS.…them"), "{log}");
}

/// As many threads as there are ask at once, before there are credentials and after.
#[test]
fn threads_that_run_at_the_same_time_lose_no_request() {
    let mut fleet =
        Fleet::new(&CONFIGURATION.replace(r#""max_waiting": 3"#, r#""max_waiting": 100"#));
    fleet.everywhere(|node| {
        for _ in 0..50 {
            node.request("/a");
            node.fetch();
        }
    });
    let mut fetches = fleet.fetching();
    for server in 0..fleet.servers() {
        let answered = fleet.on(server, |node| {
            let mut answered = 0;
            while !node.worker.host.fetches.is_empty() {
                let body = br#"{"Code":"Success","AccessKeyId":"key","AccessKeySecret":"s"}"#;
                let (status, size) = (200, body.len());
                let given =
                    oss_origin_auth_core::fetch::answer::Answer::Given { status, size, body };
                node.answer(given);
                answered += 1;
            }
            answered
        });
        fetches += answered;
    }
    assert_eq!(fetches, 1, "one got the lease");
    fleet.everywhere(|node| {
        for _ in 0..50 {
            node.request("/b");
            node.look();
        }
    });
    for server in 0..fleet.servers() {
        let signed = fleet.on(server, |node| node.counted("requests.signed"));
        assert_eq!(signed, 100);
    }
}
