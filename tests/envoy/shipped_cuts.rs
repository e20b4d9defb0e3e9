//! envoy/cached.yaml: what OSS cuts, what is too large for the cache, and what was missing.

use std::io::Read;

use serde_json::json;
use testkit::alibaba::{generated, is_generated};
use testkit::{Request, Response, SendError};

use crate::shipped_cache::{start_cached, start_cached_with};

/// LIMIT in envoy/cached.yaml.
const LIMIT: usize = 16_777_216;

/// What the cache of Envoy 1.40 sees of a cut can crash Envoy, if others ask for the same
/// object meanwhile (docs/CACHE.md).
#[test]
fn what_oss_cuts_is_not_kept_and_envoy_lives() {
    const SIZE: usize = 300_000;
    const ROUNDS: usize = 5;
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("other", "", json!({"size": 10}));
    for round in 0..ROUNDS {
        let key = format!("cut-{round}");
        let cut = 1 + 45_011 * round;
        alibaba.put_object(&key, "", json!({"size": SIZE, "cut": cut}));
        std::thread::scope(|scope| {
            for number in 0..12 {
                let key = &key;
                scope.spawn(move || {
                    for again in 0..3 {
                        ask_for_what_is_cut(key, SIZE, [0, 1 + number % 2, 0][again], envoy.port);
                    }
                });
            }
        });
        alibaba.put_object(&key, "", json!({"size": SIZE}));
        for _ in 0..2 {
            let whole = Request::get(format!("/{key}")).send(envoy.port);
            assert_eq!((whole.status, whole.body.len()), (200, SIZE), "{cut}");
            assert!(whole.body == generated(0, SIZE), "{cut}");
        }
        // Envoy still answers.
        assert_eq!(Request::get("/other").send(envoy.port).status, 200, "{cut}");
    }
}

fn ask_for_what_is_cut(key: &str, size: usize, kind: usize, port: u16) {
    let range = [None, Some((0, 200_000)), Some((size - 1_000, 1_000))][kind];
    let request = Request::get(format!("/{key}"));
    let Some((first, length)) = range else {
        // Before the first byte it is known, and the client is told.
        match request.try_send(port) {
            Ok(response) => assert_eq!(response.status, 502, "{key}"),
            other => panic!("{key}: {other:?}"),
        }
        return;
    };
    let last = first + length - 1;
    let request = request.header("range", format!("bytes={first}-{last}"));
    let want = generated(first as u64, length);
    match request.try_send(port) {
        Ok(response) if response.status == 206 => assert!(response.body == want, "{key}"),
        Ok(response) => assert_eq!(response.status, 502, "{key}"),
        // While the cache does not have it, parts go from OSS to the client.
        Err(SendError::CutShort(part)) => assert!(want.starts_with(&part.body), "{key}"),
        Err(error) => panic!("{key}: {error}"),
    }
}

#[test]
fn a_cut_that_does_not_happen_again_is_not_seen() {
    const SIZE: usize = 3_000_000;
    let (alibaba, _stub, envoy) = start_cached();
    for cut in [1, 100_000, SIZE - 1] {
        let key = format!("cut-{cut}");
        let object = json!({"size": SIZE, "cut": cut, "cuts": 1});
        alibaba.put_object(&key, "", object);
        alibaba.clear_log();
        for _ in 0..2 {
            let whole = Request::get(format!("/{key}")).send(envoy.port);
            assert_eq!((whole.status, whole.body.len()), (200, SIZE), "{cut}");
            assert!(is_generated(0, &whole.body), "{cut}");
        }
        assert_eq!(alibaba.seen().len(), 2, "{cut}");
    }
}

#[test]
fn what_is_larger_than_the_limit_passes_the_cache_by() {
    let (alibaba, _stub, envoy) = start_cached();
    for (size, kept) in [(LIMIT, true), (LIMIT + 1, false)] {
        let key = format!("of-{size}");
        alibaba.put_object(&key, "", json!({"size": size}));
        let get = |range: Option<(usize, usize)>| {
            let mut request = Request::get(format!("/{key}"));
            let mut want = (200, 0, size);
            if let Some((first, length)) = range {
                let last = first + length - 1;
                request = request.header("range", format!("bytes={first}-{last}"));
                want = (206, first, length);
            }
            let response = request.send(envoy.port);
            let (status, first, length) = want;
            assert_eq!((response.status, response.body.len()), (status, length));
            assert!(is_generated(first as u64, &response.body), "{range:?}");
            for name in ["x-large", "x-too-large", "x-content-length"] {
                assert_eq!(response.header(name), None, "{range:?}");
            }
            let etag = response.header("etag").unwrap().to_owned();
            assert_eq!(
                response.header("content-length"),
                Some(&*length.to_string())
            );
            (etag, response.header("age").is_some())
        };
        let part = Some((size - 1_000, 1_000));
        for range in [part, None, part, None] {
            get(range);
        }
        // By now both workers may know what they have to.
        for _ in 0..20 {
            get(part);
        }
        alibaba.clear_log();
        let (etag, hit) = get(part);
        assert_eq!(hit, kept);
        let head = Request::new("HEAD", format!("/{key}")).send(envoy.port);
        assert_eq!(head.header("content-length"), Some(&*size.to_string()));
        let same = Request::get(format!("/{key}")).header("if-none-match", &etag);
        let same = same.send(envoy.port);
        assert_eq!((same.status, same.body.len()), (304, 0));
        let seen = alibaba.seen();
        let seen: Vec<_> = seen
            .iter()
            .map(|seen| (seen.status, seen.header("range").concat()))
            .collect();
        let past = [
            (206, format!("bytes={}-{}", size - 1_000, size - 1)),
            (200, String::new()),
            (304, String::new()),
        ];
        match kept {
            true => assert_eq!(seen, []),
            false => assert_eq!(seen, past),
        }
    }
}

/// A client that does not read.
#[test]
fn a_slow_client_of_something_large_does_not_fill_the_memory() {
    const SIZE: usize = 100_000_000;
    const READERS: usize = 4;
    let (alibaba, _stub, envoy) = start_cached();
    // The cache would read all of it and hold what the client does not take.
    alibaba.set("cache_control", json!(null));
    alibaba.put_object("large", "", json!({"size": SIZE}));
    let start = |_| {
        let mut reader = Request::get("/large").start(envoy.port).unwrap();
        let mut begun = [0; 10];
        reader.read_exact(&mut begun).unwrap();
        (begun, reader)
    };
    let readers: Vec<_> = (0..READERS).map(start).collect();
    // As long as this takes, they have had time as well.
    let whole = Request::get("/large").send(envoy.port);
    assert!(whole.body.len() == SIZE && is_generated(0, &whole.body));
    let memory = Request::get("/memory").send(envoy.admin_port).json();
    let memory: usize = memory["allocated"].as_str().unwrap().parse().unwrap();
    assert!(memory < SIZE, "{memory}");
    for (begun, reader) in readers {
        let whole = Response::read(begun.chain(reader), false);
        let whole = whole.unwrap_or_else(|error| panic!("{error}"));
        assert!(whole.body.len() == SIZE && is_generated(0, &whole.body));
    }
}

/// The places in `whole` are few.
#[test]
fn what_the_cache_leaves_alone_holds_no_place() {
    const SIZE: usize = 16_000_000;
    let (alibaba, _stub, envoy) = start_cached_with(|text| {
        let shipped = "max_connections: 128,";
        assert!(text.contains(shipped));
        text.replace(shipped, "max_connections: 1,")
    });
    alibaba.put_object("slow", "", json!({"size": SIZE}));
    // As many as there can be for two workers, and more.
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let request = Request::get("/slow").header("range", "bytes=1-");
            let request = request.header("if-range", "\"other\"");
            let mut reader = request.start(envoy.port).unwrap();
            reader.read_exact(&mut [0; 10]).unwrap();
            reader
        })
        .collect();
    for number in 0..10 {
        let response = Request::get(format!("/{number}")).send(envoy.port);
        assert_eq!(response.text(), format!("content of {number}"));
    }
    drop(readers);
}

/// The cache of Envoy 1.40 remembers the length of what it did not keep, and cuts parts by it.
#[test]
fn parts_of_what_was_not_kept_before_are_right() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.set("cache_control", json!(null));
    let ask = |method: &str, range: Option<&str>| {
        let mut request = Request::new(method, "/a");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        request.send(envoy.port)
    };
    alibaba.put_object("a", "", json!({"size": 300}));
    let first = ask("GET", None);
    assert_eq!(first.header("content-length"), Some("300"));
    let control = json!({"Cache-Control": "max-age=3600"});
    alibaba.put_object("a", "", json!({"size": 5_000, "headers": control}));
    // By this the cache learns that it may keep it now.
    let head = ask("HEAD", None);
    assert_eq!(head.header("content-length"), Some("5000"));
    for range in ["bytes=-1000", "bytes=4000-", "bytes=4000-9999"] {
        let part = ask("GET", Some(range));
        assert_eq!((part.status, part.body.len()), (206, 1_000), "{range}");
        assert!(part.body == generated(4_000, 1_000), "{range}");
        let of = part.header("content-range");
        assert_eq!(of, Some("bytes 4000-4999/5000"), "{range}");
    }
}
