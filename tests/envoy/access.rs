//! Who may read, in a real Envoy: URLs that are signed as those of Alibaba's CDN, and lists
//! of pages and clients, in both places where the filter can stand.

use serde_json::{Value, json};
use testkit::process::wait_until;
use testkit::signed_url::{now, sign};
use testkit::{EnvoyBuilder, Position, Recorder, Request, Response};

use crate::common::{Stack, filter};

pub const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

/// The keys that sign URLs here.
pub const MAIN: &str = "sesame-key-of-urls";
pub const BACKUP: &str = "sesame-key-before";

/// How URLs are signed, as the tests name it.
pub fn url_signing(kind: &str) -> Value {
    match kind {
        "F-hex" => json!({"type": "F", "time_format": "hex"}),
        kind => json!({"type": kind}),
    }
}

/// Gives an Envoy the keys, and its filter their names.
pub fn with_keys(builder: &mut EnvoyBuilder) {
    builder.filter["url_keys"] =
        json!({"default": {"key_env": "URL_KEY", "backup_key_env": "URL_KEY_BACKUP"}});
    for (name, value) in [("URL_KEY", MAIN), ("URL_KEY_BACKUP", BACKUP)] {
        builder.environment.push((name.into(), value.into()));
    }
}

/// A filter that signs and checks. Of several types each has the paths below its name.
fn stack_of(kinds: &[&str]) -> Stack {
    let stack = Stack::start_with(|builder| {
        with_keys(builder);
        match kinds {
            [kind] => {
                builder.filter["defaults"]["access"] = json!({"url_signing": url_signing(kind)})
            }
            kinds => {
                for kind in kinds {
                    let prefix = format!("/{kind}/");
                    builder.filter["routes"][kind] =
                        json!({"access": {"url_signing": url_signing(kind)}});
                    let route = json!({"name": kind, "match": {"prefix": prefix}, "route": {}});
                    builder.routes.push(route);
                }
            }
        }
    });
    for kind in kinds {
        stack.alibaba.put(format!("{kind}/x y"), "content");
    }
    stack
}

/// The status, and the reason that the filter gives, if it is the one who answers.
pub fn outcome(response: &Response) -> (u16, Option<&str>) {
    (response.status, response.header("x-oss-origin-auth"))
}

/// The hash in a signed URL.
pub fn hash_of(target: &str) -> &str {
    let is_hash = |begin: &usize| {
        let digits = target.get(*begin..begin + 32).unwrap_or_default();
        !digits.is_empty()
            && digits
                .bytes()
                .all(|byte| b"0123456789abcdef".contains(&byte))
    };
    let begin = (0..target.len()).find(is_hash).expect("a hash");
    &target[begin..begin + 32]
}

#[test]
fn each_type_lets_in_what_is_signed_for_this_path_and_time() {
    // A key is for times of one format.
    let groups = [&["A", "C2", "F-hex"][..], &["F"], &["B"], &["C1"]];
    testkit::in_parallel(groups.to_vec(), |kinds| {
        let stack = stack_of(kinds);
        for position in POSITIONS {
            for kind in kinds {
                try_type(&stack, position, kind);
            }
        }
    });
}

fn try_type(stack: &Stack, position: Position, kind: &str) {
    let path = format!("/{kind}/x%20y");
    let good = sign(kind, MAIN, now(), &path);
    let of_other = sign(kind, MAIN, now(), &format!("/{kind}/other"));
    let hash = hash_of(&good);
    let in_path = matches!(kind, "B" | "C1");
    let signed = |key: &str, time: u64| sign(kind, key, time, &path);
    let missing = Some("url_signature_missing");
    let malformed = Some("url_signature_malformed");
    let wrong = Some("url_signature_wrong");
    let twice = match in_path {
        true => format!("{good}?sign={hash}"),
        false => format!("{good}&{}", good.split_once('?').unwrap().1),
    };
    stack.alibaba.clear_log();
    let mut passed = 0;
    for (target, want) in [
        (good.clone(), None),
        (signed(BACKUP, now()), None),
        (signed(MAIN, now() + 1_000_000), None),
        (path.clone(), missing),
        (signed(MAIN, now() - 2_000), Some("url_signature_expired")),
        (signed("another", now()), wrong),
        (of_other.replace("other", "x%20y"), wrong),
        (good.replace("x%20y", "other"), wrong),
        (good.replace("x%20y", "x%20Y"), wrong),
        (good.replace("x%20y", "./x%20y"), wrong),
        (good.replace("x%20y", "x%20%79"), wrong),
        (good.replace(hash, &hash.to_uppercase()), malformed),
        (
            good.replace(hash, &hash[1..]),
            if in_path { missing } else { malformed },
        ),
        (twice, if in_path { None } else { malformed }),
    ] {
        // What the signer does not know is refused there.
        if target.ends_with(&format!("?sign={hash}")) && position == Position::Downstream {
            continue;
        }
        passed += usize::from(want.is_none());
        let response = Request::get(&target).send(stack.envoy.port(position));
        let status = if want.is_some() { 403 } else { 200 };
        assert_eq!(outcome(&response), (status, want), "{position:?} {target}");
        if let Some(reason) = want {
            assert_eq!(response.json()["error"], reason, "{target}");
        }
    }
    // Other requests for an object.
    let etag = Request::get(&good).send(stack.envoy.port(position));
    let etag = etag.header("etag").unwrap().to_owned();
    for (method, name, value, status) in [
        ("HEAD", "x-none", "", 200),
        ("GET", "range", "bytes=0-3", 206),
        ("GET", "if-none-match", etag.as_str(), 304),
    ] {
        for (target, status) in [(&good, status), (&path, 403)] {
            let request = Request::new(method, target).header(name, value);
            let response = request.send(stack.envoy.port(position));
            assert_eq!(response.status, status, "{position:?} {method} {target}");
        }
    }
    let seen = stack.alibaba.seen();
    assert_eq!(seen.len(), passed + 4, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.target == path), "{seen:?}");
}

#[test]
fn a_filter_without_credentials_checks_and_changes_nothing_else() {
    let origin = Recorder::start();
    let envoy = access_only(origin.port, |filter| {
        filter["defaults"]["access"] = json!({"url_signing": {"type": "A"}});
    });
    for position in POSITIONS {
        origin.clear();
        // The last has nothing but the signature.
        for target in [
            "/a%2fB//c/./%7Ed?x=%41&&y=/../&=z&x",
            "/a?x=a+b&auth_key2=1",
            "/a?",
            "/a",
        ] {
            let signed = sign("A", MAIN, now(), target);
            let request = Request::get(&signed).header("authorization", "Bearer of the client");
            let response = request.header("cookie", "a=b").send(envoy.port(position));
            assert_eq!(outcome(&response), (200, None), "{position:?} {signed}");
            let seen = origin.seen();
            let seen = seen.last().unwrap();
            assert_eq!(seen.target, target.trim_end_matches('?'), "{position:?}");
            assert_eq!(seen.header("authorization"), ["Bearer of the client"]);
            assert_eq!(seen.header("cookie"), ["a=b"]);
        }
    }
    wait_until("the counters", || {
        envoy.filter_stat("requests.unsigned") == 8
    });
    assert_eq!(envoy.filter_stat("url_keys.main"), 8);
    assert_eq!(envoy.filter_stat("url_keys.backup"), 0);
}

/// A filter without credentials, in both places, with the keys.
pub fn access_only(port: u16, adapt: impl Fn(&mut Value)) -> testkit::Envoy {
    access_only_with(port, |builder| adapt(&mut builder.filter))
}

pub fn access_only_with(port: u16, adapt: impl Fn(&mut EnvoyBuilder)) -> testkit::Envoy {
    let mut builder = EnvoyBuilder::new(json!({}), port, port);
    builder.oss_host = None;
    with_keys(&mut builder);
    adapt(&mut builder);
    builder.start()
}

#[test]
fn no_spelling_leads_round_the_check_of_another_route() {
    let origin = Recorder::start();
    let envoy = access_only_with(origin.port, |builder| {
        builder.filter["defaults"] = json!({"access": {"public": true}});
        builder.filter["routes"]["members"] = json!({"access": {"url_signing": {"type": "A"}}});
        builder
            .routes
            .push(json!({"name": "members", "match": {"prefix": "/members/"}, "route": {}}));
    });
    for position in POSITIONS {
        for (path, status) in [
            ("/a", 200),
            ("/a%20b?x=%41", 200),
            ("/members/a", 403),
            ("/%6Dembers/a", 400),
            ("/members%2Fa", 400),
            ("/members%2fa", 400),
            ("/x/../members/a", 400),
            ("/x/%2E%2e/members/a", 400),
            ("/./members/a", 400),
            ("/x\\..\\members\\a", 400),
            ("/%", 400),
        ] {
            let response = Request::get(path).send(envoy.port(position));
            assert_eq!(response.status, status, "{position:?} {path}");
        }
    }
    assert_eq!(origin.seen().len(), 4);
}

#[test]
fn a_route_without_settings_is_refused() {
    let origin = Recorder::start();
    let envoy = access_only(origin.port, |filter| {
        filter["routes"]["other"] = json!({"access": {"public": true}});
    });
    for position in POSITIONS {
        let response = Request::get("/a").send(envoy.port(position));
        assert_eq!(outcome(&response), (403, Some("route_not_configured")));
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn pages_and_clients_are_checked_and_who_may_not_read_can_be_sent_elsewhere() {
    let origin = Recorder::start();
    let page = "https://www.example.com/sorry.html";
    let envoy = access_only(origin.port, |filter| {
        filter["defaults"]["access"] = json!({
            "url_signing": {"type": "A"},
            "referer": {"allow": ["example.com"], "allow_empty": true},
            "user_agent": {"deny": ["*curl*", ""]},
            "redirect": page,
        });
    });
    let signed = sign("A", MAIN, now(), "/a");
    let good = ("user-agent", "Firefox");
    for position in POSITIONS {
        for (target, headers, want) in [
            (&*signed, vec![good], None),
            (
                &*signed,
                vec![good, ("referer", "https://a.example.com/x")],
                None,
            ),
            (&*signed, vec![], Some("user_agent_not_allowed")),
            (
                &*signed,
                vec![("user-agent", "my Curl")],
                Some("user_agent_not_allowed"),
            ),
            (
                &*signed,
                vec![good, ("referer", "https://example.com.test/")],
                Some("referer_not_allowed"),
            ),
            ("/a", vec![good], Some("url_signature_missing")),
        ] {
            let mut request = Request::get(target);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let response = request.send(envoy.port(position));
            let status = if want.is_some() { 302 } else { 200 };
            assert_eq!(outcome(&response), (status, want), "{position:?}");
            let location = response.header("location");
            assert_eq!(location, want.map(|_| page), "{position:?}");
        }
    }
    for (name, count) in [
        ("user_agent_not_allowed", 4),
        ("referer_not_allowed", 2),
        ("url_signature_missing", 2),
    ] {
        let counter = format!("refused.{name}");
        wait_until(&counter, || envoy.filter_stat(&counter) == count);
    }
}

#[test]
fn metadata_may_say_who_may_read_and_what_is_wrong_in_it_lets_nobody_in() {
    let origin = Recorder::start();
    let inline = json!({"access": {"url_signing": {"type": "A", "key": "sesame-inline"}}});
    let routes = [
        (
            "good",
            json!({"access": {"url_signing": {"type": "A"}}}).to_string(),
        ),
        ("public", json!({"access": {"public": true}}).to_string()),
        ("inline", inline.to_string()),
        (
            "unknown",
            r#"{"access": {"url_signing": {"type": "A", "keys": "x"}}}"#.into(),
        ),
        (
            "moves",
            r#"{"access": {"url_signing": {"type": "B"}}}"#.into(),
        ),
        ("empty", r#"{"access": {}}"#.into()),
        ("text", r#"{"access": "#.into()),
    ];
    let envoy = access_only_with(origin.port, |builder| {
        builder.filter["metadata"] = json!(["route"]);
        for (name, settings) in &routes {
            builder.routes.push(json!({
                "name": name, "match": {"prefix": format!("/{name}/")}, "route": {},
                "metadata": {"filter_metadata": {"oss_origin_auth": {"config": settings}}}}));
        }
    });
    for position in POSITIONS {
        let get = |path: &str| Request::get(path).send(envoy.port(position));
        assert_eq!(get(&sign("A", MAIN, now(), "/good/a")).status, 200);
        assert_eq!(get("/good/a").status, 403);
        assert_eq!(get("/public/a").status, 200);
        assert_eq!(get("/other/a").status, 403);
        for (name, _) in &routes[2..] {
            let path = format!("/{name}/a");
            let want = (500, Some("route_misconfigured"));
            for path in [
                path.clone(),
                sign("A", MAIN, now(), &path),
                sign("B", MAIN, now(), &path),
            ] {
                let response = get(&path);
                let got = outcome(&response);
                // The path of type B is on no route of these.
                let other = (403, Some("route_not_configured"));
                assert!(got == want || got == other, "{path}: {got:?}");
            }
        }
    }
    assert_eq!(origin.seen().len(), 4);
    assert!(!envoy.process.output().contains("sesame-inline"));
}

#[test]
fn neither_keys_nor_right_hashes_are_told_to_anybody() {
    let origin = Recorder::start();
    for kind in ["A", "B", "C1", "C2", "F"] {
        let envoy = access_only_with(origin.port, |builder| {
            builder.filter["defaults"] = json!({"access": {"url_signing": url_signing(kind)}});
            builder.log_level = "trace";
        });
        let mut secrets = vec![MAIN.to_owned(), BACKUP.to_owned()];
        let mut told = String::new();
        for position in POSITIONS {
            let mut time = now();
            for key in [MAIN, BACKUP] {
                let good = sign(kind, key, time, "/a");
                let hash = hash_of(&good);
                let targets = [
                    good.replace(hash, "0123456789abcdef0123456789abcdef"),
                    good.replace(hash, &hash.chars().rev().collect::<String>()),
                    good.replace(hash, &hash[..31]),
                    sign(kind, "another", time, "/a"),
                    sign(kind, "another", time - 100_000, "/a"),
                ];
                secrets.push(hash.to_owned());
                secrets.push(hash_of(&sign(kind, key, time - 100_000, "/a")).to_owned());
                for target in targets {
                    let response = Request::get(&target).send(envoy.port(position));
                    assert_eq!(response.status, 403, "{target}");
                    told += &format!("{:?} {}", response.headers, response.text());
                }
                time += 60;
            }
        }
        for page in ["/stats", "/stats/prometheus", "/config_dump", "/clusters"] {
            told += &envoy.admin(page);
        }
        told += &envoy.process.output();
        assert!(told.contains("url_signature_wrong"));
        for secret in secrets {
            assert!(!told.contains(&secret), "{kind}: {secret}");
        }
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_key_that_is_not_set_or_that_stands_in_the_configuration_stops_envoy_at_load() {
    for (keys, said) in [
        (
            json!({"key_env": "URL_KEYS"}),
            "url_keys.default.key_env: names a variable that is unset or empty; set it for Envoy",
        ),
        (
            json!({"key_env": "URL_KEY", "backup_key_env": "NONE"}),
            "url_keys.default.backup_key_env: names a variable that is unset",
        ),
        (
            json!({"key": "sesame-inline"}),
            "url_keys.default.key: a key must not be written here",
        ),
    ] {
        let mut builder = EnvoyBuilder::new(filter(), 1, 1);
        with_keys(&mut builder);
        builder.filter["url_keys"]["default"] = keys;
        let mut envoy = builder.launch();
        assert_eq!(envoy.wait(), Some(1));
        let output = envoy.output();
        assert!(output.contains(said), "{output}");
        assert!(!output.contains("sesame-inline") && !output.contains(MAIN));
    }
}
