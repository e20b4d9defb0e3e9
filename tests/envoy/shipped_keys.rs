//! The script of envoy/cached.yaml: which copy a request gets, and what becomes of its
//! conditions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::process::wait_until;
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, Request, Response};

use crate::shipped_cache::{start_cached, start_cached_with, without_hours};

fn get(envoy: &Shipped, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::get(path);
    let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
    headers.iter().fold(request, add).send(envoy.port)
}

/// By the listener for it.
fn refresh(envoy: &Shipped, request: Request) -> Response {
    let user = STANDARD.encode("refresh:sesame");
    let request = request.header("authorization", format!("Basic {user}"));
    request.send(envoy.refresh_port.unwrap())
}

/// How many fetches of an object OSS has seen.
fn fetches(alibaba: &FakeAlibaba, path: &str) -> usize {
    let seen = alibaba.seen();
    let of_path = seen.iter().filter(|seen| seen.target == path);
    of_path.count()
}

#[test]
fn every_spelling_of_an_object_is_one_copy() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put("k!(é) 100%", "content");
    for path in [
        "/k!(%C3%A9)%20100%25",
        "/k%21(%c3%a9)%20100%25",
        "/%6B!%28%C3%a9%29%20100%25",
        "/k!(%C3%A9)%20100%25?a=1",
    ] {
        wait_until("a hit, or the first", || {
            let response = get(&envoy, path, &[]);
            assert_eq!((response.status, response.text()), (200, "content".into()));
            response.header("age").is_some()
        });
    }
    let spelled = "/k%21%28%C3%A9%29%20100%25";
    assert_eq!(fetches(&alibaba, spelled), 1, "{:?}", alibaba.seen());
}

#[test]
fn conditions_are_those_of_http() {
    let (_alibaba, _stub, envoy) = start_cached();
    let etag = get(&envoy, "/3", &[]).header("etag").unwrap().to_owned();
    wait_until("a hit", || get(&envoy, "/3", &[]).header("age").is_some());
    let range = ("range", "bytes=0-6");
    let other = "\"0123456789ABCDEF0123456789ABCDEF\"";
    for (headers, status, text) in [
        (&[("if-match", etag.as_str()), range][..], 206, "content"),
        (&[("if-match", "*"), range], 206, "content"),
        (&[("if-match", other), range], 412, ""),
        (&[("if-match", other)], 412, ""),
        (&[("if-none-match", etag.as_str())], 304, ""),
        (&[("if-none-match", etag.as_str()), range], 304, ""),
        (&[("if-none-match", other), range], 206, "content"),
    ] {
        let response = get(&envoy, "/3", headers);
        let got = (response.status, response.text());
        assert_eq!(got, (status, text.into()), "{headers:?}");
        let has_range = response.header("content-range").is_some();
        assert_eq!(has_range, status == 206, "{headers:?}");
    }
}

#[test]
fn nothing_but_no_cache_refreshes() {
    let (alibaba, _stub, envoy) = start_cached();
    wait_until("a hit", || get(&envoy, "/3", &[]).header("age").is_some());
    alibaba.put("3", "another");
    let asks = |method: &str, name: &str, value: &str| {
        let request = Request::new(method, "/3").header(name, value);
        refresh(&envoy, request).text()
    };
    assert_eq!(asks("GET", "pragma", "no-cache"), "content of 3");
    assert_eq!(asks("GET", "cache-control", "max-age=0"), "content of 3");
    asks("POST", "cache-control", "no-cache");
    assert_eq!(get(&envoy, "/3", &[]).text(), "content of 3");
    assert_eq!(asks("GET", "cache-control", "No-Cache"), "another");
    wait_until("all workers", || {
        (0..8).all(|_| get(&envoy, "/3", &[]).text() == "another")
    });
}

#[test]
fn what_was_refreshed_may_be_forgotten_while_envoy_runs() {
    let folder = std::cell::RefCell::new(String::new());
    let (alibaba, _stub, envoy) = start_cached_with(|text| {
        let file = text.split("local FILE = \"").nth(1).unwrap();
        *folder.borrow_mut() = file.split('"').next().unwrap().to_owned();
        without_hours(text)
    });
    let no_cache = || Request::get("/3").header("cache-control", "no-cache");
    for round in 0..3 {
        let content = format!("round {round}");
        alibaba.put("3", &content);
        assert_eq!(refresh(&envoy, no_cache()).text(), content);
        wait_until("all workers", || {
            (0..8).all(|_| get(&envoy, "/3", &[]).text() == content)
        });
        std::fs::remove_file(folder.borrow().as_str()).unwrap();
    }
}

#[test]
fn what_oss_says_of_other_forms_is_heeded() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.set("cache_control", json!(null));
    let text = "All of it is text.\n".repeat(200);
    let object = |control: &str| {
        json!({"content_type": "text/plain",
               "headers": {"Vary": "Origin", "Cache-Control": control}})
    };
    alibaba.put_object("varies", &text, object("max-age=3600"));
    alibaba.put_object("plain", &text, object("max-age=3600, no-transform"));
    let gzip = [("accept-encoding", "gzip")];
    wait_until("a hit", || {
        get(&envoy, "/varies", &[]).header("age").is_some()
    });
    let compressed = get(&envoy, "/varies", &gzip);
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert_eq!(compressed.header("content-md5"), None, "of the other form");
    let plain = get(&envoy, "/plain", &gzip);
    assert_eq!(
        (plain.header("content-encoding"), plain.text()),
        (None, text)
    );
}
