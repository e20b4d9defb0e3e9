//! Bodies as they really come: slow, stalled, cut, and of 5 GiB.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::alibaba::is_generated;
use testkit::{Position, Request, Response, SendError};

use crate::world::{POSITIONS, stack};

#[test]
fn slow_and_stalled_bodies_arrive_whole() {
    let stack = stack(json!({}));
    let cases = [
        ("slow", json!({"size": 400_000, "pace": 200_000})),
        (
            "stalled",
            json!({"size": 3_000_000, "stall": {"at": 1_500_000, "seconds": 2}}),
        ),
        (
            "at-once",
            json!({"size": 100_000, "stall": {"at": 0, "seconds": 2}}),
        ),
    ];
    let mut requests = Vec::new();
    for (key, more) in cases {
        let size = more["size"].as_u64().expect("a size");
        stack.alibaba.put_object(key, "", more);
        requests.extend(POSITIONS.map(|position| (key, size, position)));
    }
    testkit::in_parallel(requests, |(key, size, position)| {
        let started = Instant::now();
        let answer = Request::get(format!("/{key}")).send(stack.envoy.port(position));
        assert_eq!(answer.status, 200, "{key}");
        // Else nothing was slow.
        assert!(started.elapsed() >= Duration::from_millis(1_900), "{key}");
        assert_eq!(answer.body.len() as u64, size, "{key}");
        assert!(is_generated(0, &answer.body), "{key}");
    });
}

#[test]
fn a_body_that_oss_cuts_is_never_taken_for_a_whole_one() {
    let stack = stack(json!({}));
    let put = |key: &str, more: Value| stack.alibaba.put_object(key, "", more);
    for cut in [0, 1, 70_000, 1_999_999] {
        put(
            &format!("cut-{cut}"),
            json!({"size": 2_000_000, "cut": cut}),
        );
    }
    stack.alibaba.put_object(
        "text",
        "line\n".repeat(100_000),
        json!({"content_type": "text/plain", "cut": 300}),
    );
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        for cut in [0, 1, 70_000, 1_999_999] {
            let request = Request::get(format!("/cut-{cut}"));
            let part = cut_short(request.try_send(port));
            assert_eq!(part.header("content-length"), Some("2000000"), "{cut}");
            assert!(part.body.len() <= cut, "{cut}");
            assert!(is_generated(0, &part.body), "{cut}");
        }
        let range = Request::get("/cut-70000").header("range", "bytes=5-100004");
        let part = cut_short(range.try_send(port));
        assert_eq!(part.header("content-length"), Some("100000"));
        assert!(is_generated(5, &part.body));
        // There is no length to compare with, but the last chunk is missing.
        let zipped = Request::get("/text").header("accept-encoding", "gzip");
        cut_short(zipped.try_send(port));
    }
}

fn cut_short(result: Result<Response, SendError>) -> Response {
    match result {
        Err(SendError::CutShort(part)) => part,
        other => panic!("not cut short: {:.300}", format!("{other:?}")),
    }
}

const GIB: u64 = 1 << 30;

#[test]
fn of_5_gib_every_part_is_right() {
    let size = 5 * GIB;
    let stack = stack(json!({}));
    stack.alibaba.put_object("large", "", json!({"size": size}));
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        let head = Request::new("HEAD", "/large").send(port);
        let length = size.to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
        for (first, length) in [
            (0, 10),
            (2 * GIB - 5, 10),
            (4 * GIB - 1_000_000, 3_000_000),
            (4 * GIB, 1),
            (4 * GIB + 17, 1 << 20),
            (size - 7, 7),
        ] {
            let last = first + length - 1;
            let part = Request::get("/large")
                .header("range", format!("bytes={first}-{last}"))
                .send(port);
            assert_eq!(part.status, 206, "{first}");
            let range = format!("bytes {first}-{last}/{size}");
            assert_eq!(part.header("content-range"), Some(range.as_str()));
            assert!(is_generated(first, &part.body), "{first}");
            assert_eq!(part.body.len() as u64, length);
        }
        for (range, first) in [
            ("bytes=-100", size - 100),
            ("bytes=5368709000-", 5_368_709_000),
        ] {
            let part = Request::get("/large").header("range", range).send(port);
            assert_eq!(part.status, 206, "{range}");
            assert!(is_generated(first, &part.body), "{range}");
            assert_eq!(part.body.len() as u64, size - first);
        }
    }
}

#[test]
fn of_5_gib_every_byte_arrives() {
    let size = 5 * GIB;
    let stack = stack(json!({}));
    stack.alibaba.put_object("large", "", json!({"size": size}));
    let request = Request::get("/large");
    let stream = request.start(stack.envoy.port(Position::Upstream));
    let mut reader = BufReader::with_capacity(1 << 20, stream.expect("a connection"));
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).expect("a head");
    }
    let mut read = 0;
    loop {
        let bytes = reader.fill_buf().expect("a body");
        if bytes.is_empty() {
            break;
        }
        assert!(
            is_generated(read, bytes),
            "between {read} and {}",
            bytes.len()
        );
        let length = bytes.len();
        reader.consume(length);
        read += length as u64;
    }
    assert_eq!(read, size);
}

/// What it has not read fills all buffers on the way.
#[test]
fn a_client_that_reads_slowly_gets_the_object() {
    let size = 30_000_000;
    let stack = stack(json!({}));
    stack.alibaba.put_object("large", "", json!({"size": size}));
    testkit::in_parallel(POSITIONS.to_vec(), |position| {
        let stream = Request::get("/large").start(stack.envoy.port(position));
        let stream = stream.expect("a connection");
        let slow = Slow { stream, steps: 12 };
        let answer = Response::read(slow, false).expect("a whole body");
        assert!(is_generated(0, &answer.body) && answer.body.len() == size);
    });
}

struct Slow {
    stream: TcpStream,
    steps: u32,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = buffer.len();
        if self.steps > 0 {
            self.steps -= 1;
            length = length.min(2000);
            std::thread::sleep(Duration::from_millis(250));
        }
        self.stream.read(&mut buffer[..length])
    }
}
