//! envoy/cached.yaml: what is stored, for whom, and what it costs OSS.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::alibaba::generated;
use testkit::process::wait_until;
use testkit::shipped::Shipped;
use testkit::stub::Behaviour;
use testkit::{FakeAlibaba, Request, StubSidecar};

use crate::common::{SECRET, TOKEN, good_answer, good_json};
use crate::shipped::jwt;

/// An Envoy with a cache of its own.
pub fn start_cached() -> (FakeAlibaba, StubSidecar, Shipped) {
    start_cached_with(without_hours)
}

/// No hour ends in the middle of a test.
pub fn without_hours(text: String) -> String {
    assert!(text.contains("local LIFE = 3600"));
    text.replace("local LIFE = 3600", "local LIFE = 10000000000")
}

pub fn start_cached_with(adapt: impl Fn(String) -> String) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    alibaba.set("cache_control", json!("public, max-age=3600"));
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    for number in 0..10 {
        alibaba.put(format!("{number}"), format!("content of {number}"));
    }
    alibaba.put("members/a", "content of members/a");
    let stub = StubSidecar::start(good_answer());
    let (oss, sidecar) = (alibaba.oss_port, stub.port);
    let envoy = Shipped::start_with("cached.yaml", oss, sidecar, &[], adapt);
    (alibaba, stub, envoy)
}

#[test]
fn hits_cost_no_fetch_and_no_signature() {
    let (alibaba, _stub, envoy) = start_cached();
    let get = |number: u64| Request::get(format!("/{number}")).send(envoy.port);
    // The first of each, and a while for the cache to write it down.
    for number in 0..10 {
        assert_eq!(get(number).status, 200);
    }
    for number in 0..10 {
        wait_until("a hit", || get(number).header("age").is_some());
    }
    let (before, mut hits) = (alibaba.seen().len(), 0_u32);
    // As objects are asked for: some of them often.
    let mut state: u64 = 7;
    const REQUESTS: u32 = 500;
    for _ in 0..REQUESTS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let number = ((state >> 33) % 100) * ((state >> 40) % 100) / 1_000;
        let response = get(number);
        assert_eq!(response.text(), format!("content of {number}"));
        hits += u32::from(response.header("age").is_some());
    }
    let fetched = alibaba.seen().len() - before;
    println!("{hits} hits in {REQUESTS} requests; {fetched} requests to the origin");
    assert!(f64::from(hits) >= 0.95 * f64::from(REQUESTS), "{hits} hits");
    assert_eq!(REQUESTS - hits, fetched as u32, "each hit saved a fetch");

    // A range of what is held needs no fetch either.
    let before = alibaba.seen().len();
    let range = Request::get("/3")
        .header("range", "bytes=0-6")
        .send(envoy.port);
    assert_eq!((range.status, range.text()), (206, "content".into()));
    assert_eq!(alibaba.seen().len(), before);
    // HEAD is answered from what is held.
    let head = Request::new("HEAD", "/3").send(envoy.port);
    assert_eq!(head.status, 200);
    assert_eq!(alibaba.seen().len(), before);
    // A client's copy is compared here.
    let etag = get(3).header("etag").unwrap().to_owned();
    for (etags, status) in [
        (etag.clone(), 304),
        (format!("\"x\", W/{etag}"), 304),
        ("*".into(), 304),
        ("\"x\"".into(), 200),
    ] {
        let conditional = Request::get("/3").header("if-none-match", &etags);
        let response = conditional.send(envoy.port);
        assert_eq!(response.status, status, "{etags}");
        assert_eq!(response.body.is_empty(), status == 304, "{etags}");
        assert_eq!(response.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(alibaba.seen().len(), before);
}

/// By what caches may do, says the object: `kept` if for an hour or more.
#[test]
fn what_is_kept_the_object_says_and_clients_see_it() {
    let (alibaba, _stub, envoy) = start_cached();
    for (number, (control, kept)) in [
        ("max-age=3600", true),
        ("public, max-age=86400, immutable", true),
        ("max-age=60, s-maxage=3600", true),
        ("max-age=3600, s-maxage=60", false),
        ("max-age=3599", false),
        ("Private, max-age=86400", false),
        ("no-cache, max-age=86400", false),
        ("no-store", false),
        ("", false),
    ]
    .into_iter()
    .enumerate()
    {
        let headers = match control {
            "" => json!({}),
            control => json!({"Cache-Control": control}),
        };
        alibaba.set("cache_control", json!(null));
        let path = format!("/kept-{number}");
        let object = json!({"size": 5_000, "headers": headers});
        alibaba.put_object(&path[1..], "", object);
        alibaba.clear_log();
        // The second comes before the copy is written, or after it.
        for range in [None, Some("bytes=10-19"), None] {
            let mut request = Request::get(&path);
            if let Some(range) = range {
                request = request.header("range", range);
            }
            let response = request.send(envoy.port);
            let want = range.map_or_else(|| generated(0, 5_000), |_| generated(10, 10));
            assert!(response.body == want, "{control} {range:?}");
            let seen = response.header("cache-control");
            assert_eq!(seen.unwrap_or_default(), control, "{range:?}");
            assert_eq!(response.header("x-cache-control"), None);
        }
        let fetches = alibaba.seen().len();
        // Without the whole object at hand, each part is asked for.
        assert_eq!(fetches == 1, kept, "{control}: {fetches}");
    }
}

#[test]
fn what_is_held_is_fetched_anew_when_its_hour_is_over() {
    let (alibaba, _stub, envoy) = start_cached_with(|text| {
        assert!(text.contains("local LIFE = 3600"));
        text.replace("local LIFE = 3600", "local LIFE = 2")
    });
    let get = || Request::get("/1").send(envoy.port).text();
    assert_eq!(get(), "content of 1");
    alibaba.put("1", "other content");
    wait_until("the next fetch", || get() == "other content");
    let seen = alibaba.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.status == 200 && seen.target == "/1")
    );
    assert!(
        seen.iter()
            .all(|seen| seen.header("if-none-match").is_empty())
    );
}

#[test]
fn what_is_cached_for_members_is_served_to_members_alone() {
    let (alibaba, _stub, envoy) = start_cached();
    let claims =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    let member = || {
        let request = Request::get("/members/a");
        request
            .header("authorization", format!("Bearer {}", jwt(&claims)))
            .send(envoy.port)
    };
    assert_eq!(member().status, 200);
    wait_until("a hit", || member().header("age").is_some());
    for path in [
        "/members/a",
        "/%6Dembers/a",
        "//members/a",
        "/x/../members/a",
    ] {
        assert_eq!(Request::get(path).send(envoy.port).status, 401, "{path}");
    }
    assert_eq!(Request::get("/members%2Fa").send(envoy.port).status, 400);
    // Revoking the role does not take back what is cached.
    alibaba.set_key_state("STS.example", "revoked");
    assert_eq!(member().status, 200);
    assert_eq!(Request::get("/5").send(envoy.port).status, 403);
}

#[test]
fn no_client_makes_the_cache_ask_again() {
    let (alibaba, _stub, envoy) = start_cached();
    let get = |target: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send(envoy.port)
    };
    assert_eq!(get("/1", &[]).status, 200);
    wait_until("a hit", || get("/1", &[]).header("age").is_some());
    alibaba.clear_log();
    for (target, headers) in [
        ("/1", vec![("cache-control", "no-cache")]),
        ("/1", vec![("cache-control", "no-store, max-age=0")]),
        ("/1", vec![("pragma", "no-cache")]),
        ("/1", vec![("authorization", "Basic Og==")]),
        ("/1", vec![("host", "other.example")]),
        ("/1", vec![("accept-encoding", "gzip"), ("origin", "null")]),
        ("/1", vec![("x-large", "known")]),
        ("/1", vec![("x-envoy-attempt-count", "2")]),
        ("/1?v=2", vec![]),
        ("/1?a=1&a=2", vec![("cache-control", "no-cache")]),
        ("/%31", vec![]),
    ] {
        let response = get(target, &headers);
        let got = (response.status, response.text());
        assert_eq!(got, (200, "content of 1".into()), "{target} {headers:?}");
    }
    assert!(alibaba.seen().is_empty(), "{:?}", alibaba.seen());
}

#[test]
fn the_listener_for_it_refreshes_an_object_for_everyone() {
    let (alibaba, _stub, envoy) = start_cached();
    let public = || Request::get("/1?x").send(envoy.port).text();
    assert_eq!(public(), "content of 1");
    alibaba.put("1", "other content");
    assert_eq!(public(), "content of 1");
    let refresh = |user: Option<&str>, control: &str| {
        let mut request = Request::get("/1").header("cache-control", control);
        if let Some(user) = user {
            let basic = STANDARD.encode(user);
            request = request.header("authorization", format!("Basic {basic}"));
        }
        request.send(envoy.refresh_port.unwrap())
    };
    for user in [None, Some("refresh:wrong"), Some("other:sesame")] {
        assert_eq!(refresh(user, "no-cache").status, 401, "{user:?}");
    }
    assert_eq!(public(), "content of 1");
    let user = Some("refresh:sesame");
    // Only when it is told to, the cache asks.
    assert_eq!(refresh(user, "max-stale").text(), "content of 1");
    assert_eq!(refresh(user, "no-cache").text(), "other content");
    wait_until("all workers to know", || {
        (0..10).all(|_| public() == "other content")
    });
    let seen = alibaba.seen();
    let signed = |header: &str| header.starts_with("OSS4-HMAC-SHA256");
    assert!(
        seen.iter()
            .all(|seen| signed(seen.header("authorization")[0]))
    );
}

#[test]
fn text_is_kept_plain_and_compressed_for_each_client() {
    let (alibaba, _stub, envoy) = start_cached();
    let text = "the same line again and again\n".repeat(200);
    alibaba.put_object("a.txt", &text, json!({"content_type": "text/plain"}));
    let get = |headers: &[(&str, &str)]| {
        let mut request = Request::get("/a.txt");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send(envoy.port)
    };
    let gzip = ("accept-encoding", "gzip");
    for _ in 0..2 {
        let packed = get(&[gzip]);
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
        assert_eq!(packed.header("accept-ranges"), None);
        assert!(packed.header("etag").unwrap().starts_with("W/\""));
        assert!(packed.body.starts_with(&[0x1f, 0x8b]) && packed.body.len() < text.len() / 4);
        let plain = get(&[]);
        assert_eq!(
            (plain.header("content-encoding"), plain.text()),
            (None, text.clone())
        );
        // Parts are those of the plain form.
        let part = get(&[gzip, ("range", "bytes=10-1999")]);
        assert_eq!((part.status, part.header("content-encoding")), (206, None));
        assert_eq!(part.text(), text[10..2_000]);
    }
    let seen = alibaba.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].header("accept-encoding").is_empty());
    // A browser shows the weak one.
    let weak = get(&[gzip]).header("etag").unwrap().to_owned();
    let same = get(&[
        gzip,
        ("if-none-match", &weak),
        ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ]);
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[test]
fn what_is_not_kept_reaches_oss_so_often_and_no_more() {
    let (alibaba, _stub, envoy) = start_cached_with(|text| {
        let shipped = "max_tokens: 1000, tokens_per_fill: 1000, fill_interval: 1s";
        assert!(text.contains(shipped));
        text.replace(
            shipped,
            "max_tokens: 5, tokens_per_fill: 1, fill_interval: 600s",
        )
    });
    assert_eq!(Request::get("/1").send(envoy.port).status, 200);
    let statuses = (0..20).map(|number| {
        let request = Request::get(format!("/absent-{}", number % 2));
        request.send(envoy.port).status
    });
    let statuses: BTreeSet<u16> = statuses.collect();
    assert_eq!(statuses, BTreeSet::from([404, 429]));
    assert_eq!(alibaba.seen().len(), 5);
    // Hits do not count.
    assert_eq!(Request::get("/1").send(envoy.port).status, 200);
}

#[test]
fn a_rotation_and_throttling_heal_behind_the_cache() {
    let (alibaba, stub, envoy) = start_cached();
    alibaba.set("throttle", json!({"code": "QpsLimitExceeded", "times": 3}));
    assert_eq!(Request::get("/1").send(envoy.port).status, 200);
    assert_eq!(alibaba.seen().len(), 4);
    alibaba.set_key_state("STS.example", "revoked");
    alibaba.add_key("STS.second", SECRET, Some(TOKEN), None);
    stub.set(Behaviour::body(
        200,
        good_json().replace("STS.example", "STS.second"),
    ));
    assert_eq!(Request::get("/2").send(envoy.port).status, 200);
}
