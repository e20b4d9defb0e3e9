//! Signed URLs by the hundred, and what others make of them: another byte, a hash that was
//! continued behind a text that is not known.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::signed_url::{ask_by_http2, forge, now};
use testkit::{Envoy, EnvoyBuilder, Position, Recorder, Request};

use crate::access::{POSITIONS, outcome, url_signing};

/// Each has an Envoy, since a key is for times of one format.
const TOGETHER: [&[&str]; 4] = [&["A", "C2", "F-hex"], &["F"], &["B"], &["C1"]];

/// A URL that somebody has made.
struct Case {
    kind: String,
    keys: String,
    target: Vec<u8>,
    /// What is left of it if it passes.
    left: Option<String>,
}

fn cases(made: &Value) -> Vec<Case> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bytes = |value: &Value| {
        let text = value.as_str()?;
        let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
        Some(
            pairs
                .map(|pair| u8::from_str_radix(pair, 16).unwrap())
                .collect::<Vec<u8>>(),
        )
    };
    let read = |case: &Value| Case {
        kind: text(&case["type"]).unwrap(),
        keys: text(&case["keys"]).unwrap(),
        target: bytes(&case["target"]).unwrap(),
        left: bytes(&case["left"]).map(|left| String::from_utf8(left).unwrap()),
    };
    made["cases"].as_array().unwrap().iter().map(read).collect()
}

impl Case {
    /// Where the route is that has this type and these keys.
    fn host(&self) -> String {
        format!("{}-{}.example", self.kind.to_lowercase(), self.keys)
    }

    fn request(&self) -> Request {
        Request::get(&self.target).header("host", self.host())
    }
}

/// An Envoy for each group of types.
fn start(origin: &Recorder, keys: &Value) -> BTreeMap<String, Envoy> {
    let mut envoys = BTreeMap::new();
    for kinds in TOGETHER {
        let mut builder = EnvoyBuilder::new(json!({}), origin.port, origin.port);
        builder.oss_host = None;
        for (name, pair) in keys.as_object().unwrap() {
            let variables = [format!("{name}_MAIN"), format!("{name}_BACKUP")];
            builder.filter["url_keys"][name] =
                json!({"key_env": variables[0], "backup_key_env": variables[1]});
            for (variable, key) in variables.into_iter().zip(pair.as_array().unwrap()) {
                let key = key.as_str().unwrap().to_owned();
                builder.environment.push((variable, key));
            }
        }
        let access = |kind: &str, keys: &str| {
            let mut signing = url_signing(kind);
            signing["keys"] = json!(keys);
            json!({"access": {"url_signing": signing}})
        };
        match kinds {
            [kind @ ("B" | "C1")] => builder.filter["defaults"] = access(kind, "long"),
            kinds => add_hosts(&mut builder, kinds, keys, access),
        }
        envoys.insert(kinds[0].to_owned(), builder.start());
    }
    envoys
}

fn add_hosts(
    builder: &mut EnvoyBuilder,
    kinds: &[&str],
    keys: &Value,
    access: impl Fn(&str, &str) -> Value,
) {
    for kind in kinds {
        for name in keys.as_object().unwrap().keys() {
            let route = format!("{kind}-{name}");
            builder.filter["routes"][&route] = access(kind, name);
            builder.virtual_hosts.push(json!({
                "name": route, "domains": [format!("{}.example", route.to_lowercase())],
                "routes": [{"name": route, "match": {"prefix": "/"}, "route": {}}]}));
        }
    }
}

fn port(envoys: &BTreeMap<String, Envoy>, case: &Case, position: Position) -> u16 {
    let mut groups = TOGETHER.iter();
    let group = groups.find(|kinds| kinds.contains(&case.kind.as_str()));
    envoys[group.unwrap()[0]].port(position)
}

#[test]
fn every_signed_url_passes_and_none_with_another_byte() {
    let origin = Recorder::start();
    let made = forge(&["cases", "in-each-test", "360", &now().to_string()]);
    let envoys = start(&origin, &made["keys"]);
    let (mut passed, mut refused) = (0, BTreeMap::new());
    for position in POSITIONS {
        for case in cases(&made) {
            let response = case.request().send(port(&envoys, &case, position));
            let shown = case.target.escape_ascii();
            let seen = origin.seen();
            origin.clear();
            let seen: Vec<&str> = seen.iter().map(|seen| seen.target.as_str()).collect();
            let Some(left) = &case.left else {
                assert!(
                    matches!(response.status, 400 | 403),
                    "{} {shown}",
                    case.kind
                );
                assert!(seen.is_empty(), "{} {shown}: {seen:?}", case.kind);
                let reason = outcome(&response).1.unwrap_or("of Envoy").to_owned();
                *refused.entry(reason).or_insert(0) += 1;
                continue;
            };
            assert_eq!(outcome(&response), (200, None), "{} {shown}", case.kind);
            assert_eq!(seen, [left], "{} {shown}", case.kind);
            passed += 1;
        }
    }
    println!("{passed} passed, refused: {refused:?}");
    assert_eq!(passed, 2 * 360);
    for reason in ["missing", "malformed", "expired", "wrong"] {
        let reason = format!("url_signature_{reason}");
        assert!(refused.contains_key(&reason), "{reason}: {refused:?}");
    }
}

#[test]
fn a_hash_that_somebody_has_continued_opens_nothing() {
    let origin = Recorder::start();
    let made = forge(&["extended", &now().to_string()]);
    let envoys = start(&origin, &made["keys"]);
    let cases = cases(&made);
    assert_eq!(cases.len(), 10);
    let at = |case| POSITIONS.map(|position| (case, position));
    testkit::in_parallel(cases.iter().flat_map(at).collect(), |(case, position)| {
        let shown = case.target.escape_ascii();
        let port = port(&envoys, case, position);
        let response = case.request().send(port);
        let status = response.status;
        assert!(
            matches!(status, 400 | 403),
            "{} {shown}: {status}",
            case.kind
        );
        let by_http2 = ask_by_http2(port, &case.host(), &case.target);
        let is_refused = matches!(by_http2.as_str(), "400" | "403" | "none");
        assert!(is_refused, "{} {shown}: {by_http2}", case.kind);
    });
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
}
