//! Whatever a host does in whatever order, no request leaves unsigned or twice, and none
//! is left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use hosts::node::{OssAnswer, Seen};
use hosts::world::{Solo, World};
use oss_origin_auth_core::exchange::Event;
use proptest::collection::vec;
use proptest::prelude::*;

/// Something that happens; a number chooses one of the streams that there are.
#[derive(Clone, Debug)]
enum Happening {
    Request(&'static str),
    Retry(usize),
    Woken(usize),
    RequestRest(usize),
    EditsFail(usize),
    Headers(usize, u16, &'static str, bool),
    Body(usize, bool),
    Trailers(usize),
    Gone(usize),
    TimePasses(u64),
    ClockIsSetBack(u64),
    SidecarGives(&'static str),
    SidecarFails(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let stream = 0..6_usize;
    let status = prop_oneof![
        Just(200),
        Just(401),
        Just(403),
        Just(404),
        Just(503),
        Just(0)
    ];
    let ec = prop_oneof![Just(""), Just("0002-00000007"), Just("0003-00000001")];
    prop_oneof![
        3 => prop_oneof![Just("/media/a"), Just("/media/"), Just("/a"), Just("")].prop_map(Request),
        1 => stream.clone().prop_map(Retry),
        1 => stream.clone().prop_map(Woken),
        1 => stream.clone().prop_map(RequestRest),
        1 => stream.clone().prop_map(EditsFail),
        3 => (stream.clone(), status, ec, any::<bool>()).prop_map(|(s, a, b, c)| Headers(s, a, b, c)),
        2 => (stream.clone(), any::<bool>()).prop_map(|(s, last)| Body(s, last)),
        1 => stream.clone().prop_map(Trailers),
        2 => stream.prop_map(Gone),
        3 => (0..6_000_u64).prop_map(TimePasses),
        1 => (0..4_000_000_u64).prop_map(TimePasses),
        1 => (0..4_000_000_u64).prop_map(ClockIsSetBack),
        2 => prop_oneof![Just("STS.first"), Just("STS.second"), Just("STS.third")]
            .prop_map(SidecarGives),
        1 => (0..600_u16).prop_map(SidecarFails),
    ]
}

const CONFIGURATION: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "strip_prefix": "/media/",
                 "errors": "neutral", "cause_header": true, "access_log_fields": true},
    "max_waiting": 3}"#;

#[derive(Default)]
struct Streams {
    alive: Vec<u32>,
    left: BTreeSet<u32>,
    answered: BTreeSet<u32>,
}

impl Streams {
    fn choose(&self, number: usize) -> Option<u32> {
        let count = self.alive.len();
        (count > 0).then(|| self.alive[number % count])
    }

    /// A request has become this.
    fn check(&mut self, stream: u32, seen: &Seen) {
        match seen {
            Seen::Held => {}
            Seen::Passes(edited) => {
                assert_eq!(edited.added[0].0, "authorization");
                assert!(self.left.insert(stream), "it has left before");
                assert!(!self.answered.contains(&stream));
            }
            Seen::Reply(_) => assert!(self.answered.insert(stream), "answered before"),
            Seen::Replaced(_) => panic!("that is a request"),
        }
    }
}

fn happens(world: &mut Solo, streams: &mut Streams, happening: &Happening) {
    match *happening {
        Happening::Request(path) => {
            let stream = world.node.request(path);
            streams.alive.push(stream);
        }
        Happening::Retry(number) => {
            if let Some(before) = streams.choose(number) {
                streams.alive.push(world.node.retry(before));
            }
        }
        Happening::Woken(number) => {
            if let Some(stream) = streams.choose(number) {
                world.node.on(stream, Event::Woken);
            }
        }
        Happening::RequestRest(number) => {
            if let Some(stream) = streams.choose(number) {
                let seen = world.node.on(stream, Event::RequestRest);
                let left = streams.left.contains(&stream) && !streams.answered.contains(&stream);
                assert_eq!(seen != Seen::Held, left, "a body follows its headers");
            }
        }
        Happening::EditsFail(number) => {
            if let Some(stream) = streams.choose(number) {
                world.node.on(stream, Event::EditsFailed);
            }
        }
        Happening::Headers(number, status, ec, last) => {
            if let Some(stream) = streams.choose(number) {
                let response = &OssAnswer::error(status, ec);
                let seen = world
                    .node
                    .on(stream, Event::ResponseHeaders { response, last });
                assert!(matches!(seen, Seen::Passes(_)), "no response is held");
            }
        }
        Happening::Body(number, last) => {
            if let Some(stream) = streams.choose(number) {
                let response = &OssAnswer::new(403);
                let seen = world
                    .node
                    .on(stream, Event::ResponseBody { response, last });
                assert!(matches!(seen, Seen::Passes(_) | Seen::Replaced(_)));
            }
        }
        Happening::Trailers(number) => {
            if let Some(stream) = streams.choose(number) {
                let seen = world
                    .node
                    .on(stream, Event::ResponseTrailers(&OssAnswer::new(403)));
                assert!(matches!(seen, Seen::Passes(_)));
            }
        }
        Happening::Gone(number) => {
            if let Some(stream) = streams.choose(number) {
                world.node.on(stream, Event::Gone);
                streams.alive.retain(|alive| *alive != stream);
            }
        }
        Happening::TimePasses(milliseconds) => world.pass(milliseconds),
        Happening::ClockIsSetBack(milliseconds) => {
            world
                .process()
                .clock
                .fetch_sub(milliseconds, Ordering::SeqCst);
        }
        Happening::SidecarGives(id) => {
            if world.fetching() > 0 {
                world.give(id);
            }
        }
        Happening::SidecarFails(status) => {
            if world.fetching() > 0 {
                world.answer(status, String::new());
            }
        }
    }
    for (stream, seen) in world.node.take_requests() {
        streams.check(stream, &seen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_request_leaves_unsigned_or_twice_and_none_is_left_behind(
        happenings in vec(happening(), 0..60),
    ) {
        let mut world = Solo::new(CONFIGURATION);
        let mut streams = Streams::default();
        for happening in &happenings {
            happens(&mut world, &mut streams, happening);
        }
        // In time every request has left or is answered.
        world.pass(60_001);
        for (stream, seen) in world.node.take_requests() {
            streams.check(stream, &seen);
        }
        for stream in &streams.alive {
            prop_assert!(streams.left.contains(stream) || streams.answered.contains(stream));
        }
        prop_assert!(!world.node.worker.has_parked());
    }
}
