//! Whatever a host does in whatever order, no request leaves unsigned or twice, and none
//! is left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use hosts::node::{Edited, OssAnswer, Seen};
use hosts::world::{Solo, World};
use oss_origin_auth_core::exchange::Event;
use proptest::collection::vec;
use proptest::prelude::*;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    Request(&'static str),
    TimePasses(u64),
    ClockIsSetBack(u64),
    SidecarGives(&'static str),
    SidecarFails(u16),
    /// The number chooses one of the streams that there are.
    To(usize, ToStream),
}

/// Something that happens to a stream.
#[derive(Clone, Copy, Debug)]
enum ToStream {
    Retry,
    Woken,
    RequestRest,
    EditsFail,
    Headers(u16, &'static str, bool),
    Body(bool),
    Trailers,
    Gone,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        3 => prop_oneof![Just("/media/a"), Just("/media/"), Just("/a"), Just("")].prop_map(Request),
        9 => (0..6_usize, to_stream()).prop_map(|(number, what)| To(number, what)),
        3 => (0..6_000_u64).prop_map(TimePasses),
        1 => (0..4_000_000_u64).prop_map(TimePasses),
        1 => (0..4_000_000_u64).prop_map(ClockIsSetBack),
        2 => prop_oneof![Just("STS.first"), Just("STS.second"), Just("STS.third")]
            .prop_map(SidecarGives),
        1 => (0..600_u16).prop_map(SidecarFails),
    ]
}

fn to_stream() -> impl Strategy<Value = ToStream> {
    use ToStream::*;
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
        3 => (status, ec, any::<bool>()).prop_map(|(status, ec, last)| Headers(status, ec, last)),
        2 => any::<bool>().prop_map(Body),
        2 => Just(Gone),
        4 => prop_oneof![Just(Retry), Just(Woken), Just(RequestRest), Just(EditsFail), Just(Trailers)],
    ]
}

const CONFIGURATION: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss", "strip_prefix": "/media/",
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
        Happening::Request(path) => streams.alive.push(world.node.request(path)),
        Happening::TimePasses(milliseconds) => world.pass(milliseconds),
        Happening::ClockIsSetBack(milliseconds) => {
            let clock = &world.process().clock;
            clock.fetch_sub(milliseconds, Ordering::SeqCst);
        }
        Happening::SidecarGives(id) if world.fetching() > 0 => {
            world.give(id);
        }
        Happening::SidecarFails(status) if world.fetching() > 0 => {
            world.answer(status, String::new());
        }
        Happening::SidecarGives(_) | Happening::SidecarFails(_) => {}
        Happening::To(number, what) => {
            if let Some(stream) = streams.choose(number) {
                happens_to(world, streams, stream, what);
            }
        }
    }
    for (stream, seen) in world.node.take_requests() {
        streams.check(stream, &seen);
    }
}

fn happens_to(world: &mut Solo, streams: &mut Streams, stream: u32, what: ToStream) {
    let node = &mut world.node;
    match what {
        ToStream::Retry => streams.alive.push(node.retry(stream)),
        ToStream::Woken => drop(node.on(stream, Event::Woken)),
        ToStream::EditsFail => drop(node.on(stream, Event::EditsFailed)),
        ToStream::RequestRest => {
            let seen = node.on(stream, Event::RequestRest);
            let left = streams.left.contains(&stream) && !streams.answered.contains(&stream);
            assert_eq!(seen != Seen::Held, left, "a body follows its headers");
        }
        ToStream::Headers(status, ec, last) => {
            let response = &OssAnswer::error(status, ec);
            let seen = node.on(stream, Event::ResponseHeaders { response, last });
            assert!(matches!(seen, Seen::Passes(_)), "no response is held");
        }
        ToStream::Body(last) => {
            let response = &OssAnswer::new(403);
            let seen = node.on(stream, Event::ResponseBody { response, last });
            assert!(matches!(seen, Seen::Passes(_) | Seen::Replaced(_)));
        }
        ToStream::Trailers => {
            let seen = node.on(stream, Event::ResponseTrailers(&OssAnswer::new(403)));
            assert!(matches!(seen, Seen::Passes(_)));
        }
        ToStream::Gone => {
            let (is_needed, before) = (node.needs_gone(stream), format!("{:?}", node.worker));
            let seen = node.on(stream, Event::Gone);
            // An end that is not needed changes nothing.
            if !is_needed {
                assert_eq!(before, format!("{:?}", node.worker));
                assert_eq!(seen, Seen::Passes(Edited::default()));
            }
            streams.alive.retain(|alive| *alive != stream);
        }
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
