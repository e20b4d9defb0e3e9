//! The time in signatures, where this machine's clock is not OSS's; on both hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use hosts::node::{Node, OssAnswer};
use hosts::world::{Fleet, Solo, World};

on_both_hosts! {
    a_retry_bears_the_time_of_oss
    a_host_that_tells_a_wrong_time_spoils_no_others
    what_is_too_much_is_said_and_not_corrected
    nothing_else_teaches_a_time
    what_is_refused_for_another_reason_takes_the_correction_back
}

const CONFIGURATION: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "metadata": ["route"],
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss"}}"#;

/// A host that has credentials.
fn world<W: World>() -> W {
    let mut world = W::new(CONFIGURATION);
    world.tick();
    world.give("STS.first-of-them");
    world
}

fn ask<W: World>(world: &mut W) -> u32 {
    world.first(|node| node.request("/a"))
}

fn skewed(date: &str) -> OssAnswer {
    OssAnswer::error(403, "0002-00000504").header("date", date)
}

/// OSS answers so: the retry.
fn refuse<W: World>(world: &mut W, stream: u32, answer: OssAnswer) -> u32 {
    world.first(move |node| {
        node.respond(stream, &answer);
        node.retry(stream)
    })
}

/// The time in the signature of a request that has left.
fn signed_at<W: World>(world: &mut W, stream: u32) -> String {
    let seen = world.first(move |node| node.fate(stream)).unwrap();
    let added = seen.edited().added.iter();
    let mut date = added.filter(|(name, _)| name == "x-oss-date");
    date.next().unwrap().1.clone()
}

const NOW: &str = "20251205T144803Z";
const AHEAD: &str = "20251205T151803Z";
const DATE_AHEAD: &str = "Fri, 05 Dec 2025 15:18:03 GMT";

fn a_retry_bears_the_time_of_oss<W: World>() {
    let mut world = world::<W>();
    let first = ask(&mut world);
    assert_eq!(signed_at(&mut world, first), NOW);
    let second = refuse(&mut world, first, skewed(DATE_AHEAD));
    let log = world.first(Node::logged);
    assert!(
        log.contains("the clock of my-bucket.oss is 1800 s ahead"),
        "{log}"
    );
    assert_eq!(signed_at(&mut world, second), AHEAD);
    let next = ask(&mut world);
    assert_eq!(signed_at(&mut world, next), AHEAD);
    // The clock has been set right. It is not said again so soon.
    let third = refuse(&mut world, second, skewed("Fri, 05 Dec 2025 14:48:03 GMT"));
    assert_eq!(signed_at(&mut world, third), NOW);
    assert!(!world.first(Node::logged).contains("the clock of"));
    refuse(&mut world, third, skewed("Fri, 05 Dec 2025 14:18:03 GMT"));
    world.pass(2_000);
    let corrected = world.first(|node| node.counted("clock_correction_seconds"));
    assert_eq!((corrected, world.fetching()), (1_800, 0));
}

fn a_host_that_tells_a_wrong_time_spoils_no_others<W: World>() {
    let mut world = world::<W>();
    let of_other = world.first(|node| {
        node.worker.host.route_metadata = br#"{"endpoint": "other"}"#.to_vec();
        let of_other = node.request("/a");
        node.respond(of_other, &skewed(DATE_AHEAD));
        let again = node.request("/a");
        node.worker.host.route_metadata = Vec::new();
        again
    });
    assert_eq!(signed_at(&mut world, of_other), AHEAD);
    let ours = ask(&mut world);
    assert_eq!(signed_at(&mut world, ours), NOW);
}

fn what_is_too_much_is_said_and_not_corrected<W: World>() {
    let mut world = world::<W>();
    let first = ask(&mut world);
    let far = skewed("Sun, 07 Dec 2025 15:18:03 GMT");
    let of_far = far.clone();
    let seen = world.first(move |node| node.respond(first, &of_far));
    let set = &seen[0].edited().set;
    let is_mark = |(name, _): &(String, String)| name == "x-origin-auth-retry";
    assert!(
        !set.iter().any(is_mark),
        "a retry has the same time: {set:?}"
    );
    let first = ask(&mut world);
    let second = refuse(&mut world, first, far);
    let log = world.first(Node::logged);
    assert!(log.contains("too large to correct"), "{log}");
    assert_eq!(signed_at(&mut world, second), NOW);
    world.pass(2_000);
    assert_eq!(
        world.first(|node| node.counted("clock_correction_seconds")),
        0
    );
}

fn nothing_else_teaches_a_time<W: World>() {
    let mut world = world::<W>();
    let mut stream = ask(&mut world);
    for (status, ec) in [
        (403, "0003-00000001"),
        (404, "0002-00000504"),
        (503, "0002-00000504"),
    ] {
        let answer = OssAnswer::error(status, ec).header("date", DATE_AHEAD);
        let answer = answer.header("x-oss-request-id", "1");
        stream = refuse(&mut world, stream, answer);
        assert_eq!(signed_at(&mut world, stream), NOW, "{status} {ec}");
    }
    // A body comes too late for the retry, and in time for the next request.
    let told = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let answer = OssAnswer::error(403, "0003-00009999").header("date", DATE_AHEAD);
    refuse(&mut world, stream, answer.piece(told));
    let next = ask(&mut world);
    assert_eq!(signed_at(&mut world, next), AHEAD);
}

fn what_is_refused_for_another_reason_takes_the_correction_back<W: World>() {
    let mut world = world::<W>();
    let first = ask(&mut world);
    let second = refuse(&mut world, first, skewed(DATE_AHEAD));
    assert_eq!(signed_at(&mut world, second), AHEAD);
    // A denial is none, and the next may be one.
    let denied = OssAnswer::error(403, "0003-00000001");
    let third = refuse(&mut world, second, denied);
    assert_eq!(signed_at(&mut world, third), AHEAD);
    world.first(move |node| node.respond(third, &OssAnswer::error(403, "0002-00000999")));
    // Newer credentials are fetched as well, for which a retry would wait.
    let next = ask(&mut world);
    assert_eq!(signed_at(&mut world, next), NOW);
}
