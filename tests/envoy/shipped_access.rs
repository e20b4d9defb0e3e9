//! Who may read what envoy/cached.yaml holds, and what envoy/signed-urls.yaml serves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use testkit::process::wait_until;
use testkit::recorder::Answer;
use testkit::shipped::{Shipped, URL_KEYS, run_render};
use testkit::signed_url::{now, sign};
use testkit::{FakeAlibaba, Recorder, Request, Response, StubSidecar, host};

use crate::access::outcome;
use crate::common::{SECRET, TOKEN, good_answer};
use crate::shipped::jwt;
use crate::shipped_cache::{start_cached, start_cached_with, without_hours};

const MAIN: &str = URL_KEYS[0].1;
const BACKUP: &str = URL_KEYS[1].1;
const MISSING: (u16, Option<&str>) = (403, Some("url_signature_missing"));
const WRONG: (u16, Option<&str>) = (403, Some("url_signature_wrong"));
const EXPIRED: (u16, Option<&str>) = (403, Some("url_signature_expired"));
const GOOD: (u16, Option<&str>) = (200, None);

fn get(port: u16, target: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::get(target);
    let add = |request: Request, (name, value): &(&str, &str)| request.header(name, value);
    headers.iter().fold(request, add).send(port)
}

/// The token of a member, as a header's value.
fn member() -> String {
    let claims =
        json!({"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    format!("Bearer {}", jwt(&claims))
}

/// Waits until the cache holds what this request is for.
fn wait_for_hit(port: u16, target: &str, headers: &[(&str, &str)]) {
    wait_until("a hit", || {
        get(port, target, headers).header("age").is_some()
    });
}

#[test]
fn a_hit_is_checked_like_a_miss() {
    let (alibaba, _stub, envoy) = start_cached();
    let port = envoy.port;
    alibaba.put("signed/a b", "content");
    alibaba.put("signed/b", "other");
    let path = "/signed/a%20b";
    let signed = |key: &str, time: u64| sign("A", key, time, path);
    assert_eq!(outcome(&get(port, path, &[])), MISSING, "a miss");
    assert!(alibaba.seen().is_empty());
    let url = signed(MAIN, now());
    let first = get(port, &url, &[]);
    assert_eq!((outcome(&first), first.text()), (GOOD, "content".into()));
    wait_for_hit(port, &url, &[]);
    let of_other = sign("A", MAIN, now(), "/signed/b");
    for (target, want) in [
        (path.to_owned(), MISSING),
        (format!("{path}?auth_key2=1"), MISSING),
        (of_other.replace("/signed/b", path), WRONG),
        (url.replace(path, "/signed/b"), WRONG),
        (signed(MAIN, now() - 2_000), EXPIRED),
        (signed("another", now()), WRONG),
    ] {
        assert_eq!(outcome(&get(port, &target, &[])), want, "{target}");
    }
    // Other spellings of the path, for which nobody has signed.
    for target in [
        "/%73igned/a%20b",
        "//signed/a%20b",
        "/signed//a%20b",
        "/./signed/a%20b",
        "/x/../signed/a%20b",
        "/x/%2e%2e/signed/a%20b",
        "/signed%2Fa%20b",
        "/signed%5Ca%20b",
        "/x\\..\\signed\\a%20b",
    ] {
        let status = get(port, target, &[]).status;
        assert!(matches!(status, 400 | 403), "{target}: {status}");
    }
    // Whatever signs it, and whatever else is asked, is one copy.
    for target in [
        signed(BACKUP, now()),
        signed(MAIN, now() + 9_999),
        format!("{url}&v=1&w"),
        sign("A", MAIN, now(), &format!("{path}?v=1")),
    ] {
        let hit = get(port, &target, &[]);
        assert!(hit.header("age").is_some(), "{target}: {hit:?}");
        assert_eq!(hit.text(), "content");
    }
    let seen = alibaba.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].target, path);
    let shown = format!("{seen:?}");
    assert!(!shown.contains("auth_key") && !shown.contains(MAIN));
    for (counter, least) in [("url_keys.main", 5), ("url_keys.backup", 1)] {
        wait_until(counter, || host::stat(envoy.admin_port, counter) >= least);
    }
}

#[test]
fn every_kind_of_request_for_a_hit_is_checked() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put("signed/a", "content");
    let url = sign("A", MAIN, now(), "/signed/a");
    wait_for_hit(envoy.port, &url, &[]);
    let etag = get(envoy.port, &url, &[])
        .header("etag")
        .unwrap()
        .to_owned();
    for (method, name, value, status) in [
        ("HEAD", "x-none", "", 200),
        ("GET", "range", "bytes=0-3", 206),
        ("GET", "range", "bytes=9999-", 416),
        ("GET", "if-none-match", etag.as_str(), 304),
        ("GET", "if-match", "\"x\"", 412),
        ("GET", "if-range", etag.as_str(), 200),
        ("GET", "authorization", "Basic Og==", 200),
        ("GET", "x-large", "known", 200),
        ("GET", "x-envoy-attempt-count", "2", 200),
    ] {
        for (target, status) in [(url.as_str(), status), ("/signed/a", 403)] {
            let request = Request::new(method, target).header(name, value);
            let got = request.send(envoy.port).status;
            assert_eq!(got, status, "{method} {name} {target}");
        }
    }
}

#[test]
fn a_url_expires_while_what_it_names_is_held() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put("signed/a", "content");
    let url = sign("A", MAIN, now() - 1_793, "/signed/a");
    assert_eq!(outcome(&get(envoy.port, &url, &[])), GOOD);
    wait_until("its end", || {
        outcome(&get(envoy.port, &url, &[])) == EXPIRED
    });
    let newer = get(envoy.port, &sign("A", MAIN, now(), "/signed/a"), &[]);
    assert_eq!(outcome(&newer), GOOD);
    assert_eq!(alibaba.seen().len(), 1);
}

/// A key is changed in two steps, each with a new Envoy.
#[test]
fn keys_are_changed_without_a_url_refused() {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    alibaba.put("signed/a", "content");
    let stub = StubSidecar::start(good_answer());
    let [of_old, of_new] = ["old-key", "new-key"].map(|key| sign("A", key, now(), "/signed/a"));
    for (main, backup, old, new) in [
        ("old-key", "", GOOD, WRONG),
        ("new-key", "old-key", GOOD, GOOD),
        ("new-key", "", WRONG, GOOD),
    ] {
        let keys = [("URL_KEY", main), ("URL_KEY_BACKUP", backup)];
        let (oss, sidecar) = (alibaba.oss_port, stub.port);
        let envoy = Shipped::start_with("cached.yaml", oss, sidecar, &keys, without_hours);
        for (url, want) in [(&of_old, old), (&of_new, new)] {
            assert_eq!(outcome(&get(envoy.port, url, &[])), want, "{main} {url}");
        }
        let counter = "url_keys.backup";
        let by_backup = u64::from(!backup.is_empty());
        wait_until(counter, || {
            host::stat(envoy.admin_port, counter) == by_backup
        });
    }
}

#[test]
fn a_token_and_a_signed_url_are_asked_for_side_by_side() {
    let (alibaba, _stub, envoy) = start_cached_with(|text| {
        let text = without_hours(text);
        text.replace("match: {prefix: /signed/}", "match: {prefix: /members/}")
    });
    let url = sign("A", MAIN, now(), "/members/a");
    let token = member();
    let with_token = [("authorization", token.as_str())];
    wait_for_hit(envoy.port, &url, &with_token);
    for (target, headers, status) in [
        (url.as_str(), &with_token[..], 200),
        (url.as_str(), &[], 401),
        ("/members/a", &with_token, 403),
        ("/1", &[], 200),
    ] {
        assert_eq!(get(envoy.port, target, headers).status, status, "{target}");
    }
    assert_eq!(alibaba.seen().len(), 2);
}

#[test]
fn the_other_types_work_in_front_of_the_cache() {
    let shipped = "\"defaults\": {\"access\": {\"public\": true}}";
    let of_route = "\"routes\": {\"signed\": {\"access\": {\"url_signing\": {\"type\": \"A\", \
                    \"valid_seconds\": 1800}}}}";
    testkit::in_parallel(vec!["C2", "F", "B", "C1"], |kind| {
        let in_path = matches!(kind, "B" | "C1");
        let (alibaba, _stub, envoy) = start_cached_with(|text| {
            assert!(text.contains(shipped) && text.contains(of_route));
            let text = without_hours(text);
            if !in_path {
                return text.replace("\"type\": \"A\"", &format!("\"type\": \"{kind}\""));
            }
            // All routes have the same settings.
            let all = format!(
                "\"defaults\": {{\"access\": {{\"url_signing\": {{\"type\": \"{kind}\"}}}}}}"
            );
            text.replace(shipped, &all)
                .replace(of_route, "\"routes\": {}")
        });
        alibaba.put("signed/a", "content");
        let url = sign(kind, MAIN, now(), "/signed/a");
        let first = get(envoy.port, &url, &[]);
        assert_eq!(
            (outcome(&first), first.text()),
            (GOOD, "content".into()),
            "{kind}"
        );
        wait_for_hit(envoy.port, &url, &[]);
        let head = Request::new("HEAD", &url).send(envoy.port);
        assert_eq!(head.status, 200);
        assert_eq!(
            outcome(&get(envoy.port, "/signed/a", &[])),
            MISSING,
            "{kind}"
        );
        let of_other = sign(kind, MAIN, now(), "/signed/b").replace("/signed/b", "/signed/a");
        assert_eq!(outcome(&get(envoy.port, &of_other, &[])), WRONG, "{kind}");
        let seen = alibaba.seen();
        assert!(
            seen.iter().all(|seen| seen.target == "/signed/a"),
            "{kind}: {seen:?}"
        );
        assert_eq!(seen.len(), 1, "{kind}");
        // The path that a token is asked for is that without the signature.
        let of_members = sign(kind, MAIN, now(), "/members/a");
        let token = member();
        for (headers, status) in [(&[("authorization", token.as_str())][..], 200), (&[], 401)] {
            let got = get(envoy.port, &of_members, headers).status;
            assert_eq!(got, status, "{kind}: {headers:?}");
        }
    });
}

#[test]
fn whoever_may_refresh_needs_no_signed_url() {
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put("signed/a", "content");
    let url = sign("A", MAIN, now(), "/signed/a");
    wait_for_hit(envoy.port, &url, &[]);
    alibaba.put("signed/a", "another");
    let refresh = |user: &str| {
        let basic = format!("Basic {}", STANDARD.encode(user));
        let headers = [
            ("authorization", basic.as_str()),
            ("cache-control", "no-cache"),
        ];
        get(envoy.refresh_port.unwrap(), "/signed/a", &headers)
    };
    assert_eq!(refresh("refresh:wrong").status, 401);
    assert_eq!(refresh("refresh:sesame").text(), "another");
    wait_until("all workers", || {
        (0..8).all(|_| get(envoy.port, &url, &[]).text() == "another")
    });
    assert_eq!(outcome(&get(envoy.port, "/signed/a", &[])), MISSING);
}

#[test]
fn what_is_too_large_for_the_cache_is_checked_once_and_served() {
    const SIZE: usize = 17_000_000;
    let (alibaba, _stub, envoy) = start_cached();
    alibaba.put_object("signed/large", "", json!({"size": SIZE}));
    let url = sign("A", MAIN, now(), "/signed/large");
    for _ in 0..3 {
        let whole = get(envoy.port, &url, &[]);
        assert_eq!((outcome(&whole), whole.body.len()), (GOOD, SIZE));
        assert_eq!(outcome(&get(envoy.port, "/signed/large", &[])), MISSING);
    }
    let seen = alibaba.seen();
    assert!(
        seen.iter().all(|seen| seen.target == "/signed/large"),
        "{seen:?}"
    );
}

#[test]
fn each_filter_gets_the_variables_that_it_names() {
    for file in ["cached.yaml", "signed-urls.yaml"] {
        // Together with the sidecar's token, which is of the other VM.
        let settings = [
            ("OSS_BUCKET", "my-bucket"),
            ("OSS_REGION", "cn-hangzhou"),
            ("STS_SIDECAR_TOKEN", "sesame"),
        ];
        let text = run_render(file, &settings).unwrap();
        let lists = text.lines().filter(|line| line.contains("host_env_keys"));
        let lists: Vec<&str> = lists.map(str::trim).collect();
        let want = ["URL_KEY, URL_KEY_BACKUP", "STS_SIDECAR_TOKEN"];
        let want = want.map(|name| format!("environment_variables: {{host_env_keys: [{name}]}}"));
        assert_eq!(lists, want, "{file}");
        assert!(!text.contains("sesame"));
    }
}

/// An Envoy with signed-urls.yaml, which asks a server on this port.
fn start_signed_urls(
    server: u16,
    adapt: impl Fn(String) -> String,
) -> (FakeAlibaba, StubSidecar, Shipped) {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    for key in ["a", "members/a", "pictures/a"] {
        alibaba.put(key, format!("content of {key}"));
    }
    let stub = StubSidecar::start(good_answer());
    let (oss, sidecar) = (alibaba.oss_port, stub.port);
    let envoy = Shipped::start_with("signed-urls.yaml", oss, sidecar, &[], |text| {
        let shipped = "address: 127.0.0.1, port_value: 8282";
        assert!(text.contains(shipped));
        let here = format!("address: 127.0.0.1, port_value: {server}");
        adapt(text.replace(shipped, &here))
    });
    (alibaba, stub, envoy)
}

#[test]
fn without_a_cache_urls_pages_and_members_are_checked() {
    let server = Recorder::answering(|request| match request.header("cookie").as_slice() {
        ["user=member"] => Answer::new(200, &[], b""),
        _ => Answer::new(403, &[], b"not for you"),
    });
    let (alibaba, _stub, envoy) = start_signed_urls(server.port, |text| text);
    let port = envoy.port;
    let cookie = [("cookie", "user=member")];
    let page = |page| [("referer", page)];
    let of_members = sign("A", MAIN, now(), "/members/a?v=1");
    let refused = (403, Some("referer_not_allowed"));
    for (target, headers, want) in [
        (sign("A", MAIN, now(), "/a"), &[][..], GOOD),
        (sign("A", BACKUP, now(), "/a"), &[], GOOD),
        ("/a".into(), &cookie, MISSING),
        (
            "/pictures/a".into(),
            &page("https://www.example.com/x"),
            GOOD,
        ),
        (
            "/pictures/a".into(),
            &page("https://example.com.test/"),
            refused,
        ),
        ("/pictures/a".into(), &[], refused),
        (
            "/pictures/../a".into(),
            &page("https://example.com/"),
            MISSING,
        ),
        (
            "/pictures/%2e%2e/a".into(),
            &page("https://example.com/"),
            MISSING,
        ),
        (of_members.clone(), &cookie, GOOD),
        (of_members.clone(), &[], (403, None)),
        ("/members/a".into(), &cookie, MISSING),
        ("/%6Dembers/a".into(), &cookie, MISSING),
        (of_members.replace("/m", "/%6D"), &[], (403, None)),
        (of_members.replace("/m", "//m"), &[], (403, None)),
    ] {
        let response = get(port, &target, headers);
        assert_eq!(outcome(&response), want, "{target} {headers:?}");
    }
    // It is asked of members alone, after their URL was found good, and not shown its signature.
    let asked = server.seen();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for request in asked {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/members/a?v=1")
        );
    }
    let seen = alibaba.seen();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.header("cookie").is_empty()));
}

#[test]
fn a_server_that_does_not_say_yes_lets_nobody_in() {
    let failing = Recorder::answering(|_| Answer::new(500, &[], b""));
    let slow = Recorder::answering(|_| {
        std::thread::sleep(std::time::Duration::from_secs(8));
        Answer::new(200, &[], b"")
    });
    // Nobody listens on the first.
    for port in [testkit::free_port(), failing.port, slow.port] {
        let (alibaba, _stub, envoy) = start_signed_urls(port, |text| text);
        let response = get(envoy.port, &sign("A", MAIN, now(), "/members/a"), &[]);
        assert_eq!(response.status, 403, "{response:?}");
        assert!(alibaba.seen().is_empty());
        // The others do not need it.
        let response = get(envoy.port, &sign("A", MAIN, now(), "/a"), &[]);
        assert_eq!(outcome(&response), GOOD);
    }
}

#[test]
fn addresses_on_the_list_read_nothing_and_nobody_can_pretend_to_another() {
    let server = Recorder::start();
    let shipped = "{address_prefix: 192.0.2.0, prefix_len: 24}";
    for (listed, status) in [
        (shipped, 200),
        ("{address_prefix: 127.0.0.0, prefix_len: 8}", 403),
    ] {
        let (_alibaba, _stub, envoy) = start_signed_urls(server.port, |text| {
            assert!(text.contains(shipped));
            text.replace(shipped, listed)
        });
        let url = sign("A", MAIN, now(), "/a");
        for header in ["x-forwarded-for", "x-envoy-external-address", "x-real-ip"] {
            for address in ["192.0.2.7", "198.51.100.1", "10.0.0.1"] {
                let response = get(envoy.port, &url, &[(header, address)]);
                assert_eq!(response.status, status, "{listed} {header}: {address}");
            }
        }
    }
}
