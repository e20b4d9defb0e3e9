//! envoy/cached.yaml: the right bytes, whatever comes in which order.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::alibaba::generated;
use testkit::shipped::Shipped;
use testkit::{Request, Response};

use crate::shipped_cache::start_cached;

/// What a client may ask of an object, by the name that a failure shows.
const KINDS: [(&str, &str, Option<&str>); 6] = [
    ("full", "GET", None),
    ("part", "GET", Some("bytes=100-199")),
    ("suffix", "GET", Some("bytes=-100")),
    ("open", "GET", Some("bytes=4900-")),
    ("past the end", "GET", Some("bytes=4900-9999")),
    ("HEAD", "HEAD", None),
];

fn ask(kind: usize, key: &str, port: u16) -> Response {
    let (_, method, range) = KINDS[kind];
    let request = Request::new(method, format!("/{key}"));
    let request = match range {
        Some(range) => request.header("range", range),
        None => request,
    };
    request.send(port)
}

#[test]
fn every_order_of_whole_and_parts_gives_the_right_bytes() {
    let (alibaba, stub, envoy) = start_cached();
    let reference = Shipped::start("minimal.yaml", alibaba.oss_port, stub.port);
    const SIZE: usize = 5_000;
    alibaba.put_object("reference", "", json!({"size": SIZE}));
    let want: Vec<Response> = (0..KINDS.len())
        .map(|kind| ask(kind, "reference", reference.port))
        .collect();
    assert_eq!(want[0].body, generated(0, SIZE));
    assert_eq!(want[4].body, generated(4_900, 100));
    let orders = permutations(KINDS.len());
    assert_eq!(orders.len(), 720);
    for (number, order) in orders.iter().enumerate() {
        let key = format!("order-{number}");
        alibaba.put_object(&key, "", json!({"size": SIZE}));
        for &kind in order {
            let got = ask(kind, &key, envoy.port);
            let names: Vec<&str> = order.iter().map(|&kind| KINDS[kind].0).collect();
            let at = format!("{} in {names:?}", KINDS[kind].0);
            assert_eq!(got.status, want[kind].status, "{at}");
            assert!(got.body == want[kind].body, "{at}: {}", got.body.len());
            for header in ["content-length", "content-range", "etag", "content-type"] {
                assert_eq!(
                    got.header(header),
                    want[kind].header(header),
                    "{at}: {header}"
                );
            }
        }
    }
}

/// Of the numbers below `count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let shorter = permutations(last);
    let with_last = shorter.iter().flat_map(|order| {
        (0..count).map(|place| {
            let mut longer = order.clone();
            longer.insert(place, last);
            longer
        })
    });
    with_last.collect()
}

#[test]
fn a_range_behind_the_end_is_refused_cold_and_warm() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("a", "", json!({"size": 5_000}));
    for range in ["bytes=5000-", "bytes=9000-9999"] {
        for _ in 0..2 {
            let response = Request::get("/a").header("range", range).send(envoy.port);
            assert_eq!((response.status, response.body.len()), (416, 0), "{range}");
        }
    }
    assert_eq!(
        Request::get("/a").send(envoy.port).body,
        generated(0, 5_000)
    );
}

#[test]
fn twenty_cold_requests_make_one_fetch() {
    const SIZE: usize = 300_000;
    let (alibaba, _stub, envoy) = start_cached();
    for (key, ranges) in [("whole", false), ("parts", true)] {
        alibaba.clear_log();
        // So slow that all of them come while it is fetched.
        alibaba.put_object(key, "", json!({"size": SIZE, "pace": 60_000}));
        std::thread::scope(|scope| {
            for number in 0..20 {
                scope.spawn(move || {
                    let first = number * 10_000;
                    let mut request = Request::get(format!("/{key}"));
                    let mut want = (200, generated(0, SIZE));
                    if ranges {
                        let range = format!("bytes={first}-{}", first + 9_999);
                        request = request.header("range", range);
                        want = (206, generated(first, 10_000));
                    }
                    let response = request.send(envoy.port);
                    assert!((response.status, response.body) == want, "{key} {number}");
                });
            }
        });
        let seen = alibaba.seen();
        assert_eq!(seen.len(), 1, "{key}: {seen:?}");
        assert!(seen[0].header("range").is_empty(), "{key}");
    }
}

#[test]
fn a_client_that_leaves_does_not_spoil_the_copy() {
    const SIZE: usize = 300_000;
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("a", "", json!({"size": SIZE, "pace": 150_000}));
    let mut stream = Request::get("/a").start(envoy.port).unwrap();
    stream.read_exact(&mut [0; 1_000]).unwrap();
    drop(stream);
    for _ in 0..2 {
        assert!(Request::get("/a").send(envoy.port).body == generated(0, SIZE));
    }
}

/// The cache of Envoy 1.40 goes on with the new bytes, or crashes, where a copy is replaced
/// while it is read (docs/CACHE.md).
#[test]
fn who_reads_while_an_object_is_refreshed_gets_the_old_one_to_its_end() {
    // More than the system's buffers take.
    const SIZE: usize = 12_000_000;
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("a", "", json!({"size": SIZE}));
    let start = || {
        let mut reader = Request::get("/a").start(envoy.port).unwrap();
        let mut begun = [0; 10];
        reader.read_exact(&mut begun).unwrap();
        (begun, reader)
    };
    // One by whom the copy is made, and one who reads what is there.
    let mut readers = vec![start()];
    assert_eq!(Request::get("/a").send(envoy.port).body.len(), SIZE);
    readers.push(start());
    alibaba.put("a", vec![b'x'; SIZE]);
    let refresh = Request::get("/a")
        .header("cache-control", "no-cache")
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode("refresh:sesame")),
        );
    let new = refresh.send(envoy.refresh_port.unwrap());
    assert!(new.body == vec![b'x'; SIZE]);
    for (begun, reader) in readers {
        let old = Response::read(begun.chain(reader), false);
        let old = old.unwrap_or_else(|error| panic!("{error}"));
        assert!(old.body == generated(0, SIZE));
    }
}

#[test]
fn what_must_never_be_old_passes_the_cache_by() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("uncached/a", "", json!({"size": 5_000}));
    for _ in 0..2 {
        let part = Request::get("/uncached/a").header("range", "bytes=10-19");
        let part = part.send(envoy.port);
        assert!(part.status == 206 && part.body == generated(10, 10));
        let control = part.header("cache-control");
        assert_eq!(control, Some("public, max-age=3600"));
    }
    let seen = alibaba.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("range"), ["bytes=10-19"]);
}
