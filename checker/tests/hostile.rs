//! Whatever a file holds, `check` answers, and soon.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::{listener, minimal, routes, shipped};
use oss_origin_auth_checker::{File, RULES, Report, Verdict, Version, check, check_files};
use serde::Deserialize;
use serde_json::{Value, json};

const FILES: [&str; 12] = [
    "envoy/minimal.yaml",
    "envoy/accounts.yaml",
    "envoy/cached.yaml",
    "envoy/edge.yaml",
    "envoy/protected.yaml",
    "envoy/signed-urls.yaml",
    "envoy/spa.yaml",
    "deploy/istio/envoy-filter.yaml",
    "deploy/istio/wasm-plugin.yaml",
    "deploy/higress/wasm-plugin.yaml",
    "deploy/envoy-gateway/extension-policy.yaml",
    "deploy/kubernetes/envoy-with-sidecar.yaml",
];

/// How often each file is changed: `MUTATIONS`, or so often.
fn mutations() -> usize {
    let set = std::env::var("MUTATIONS").ok();
    set.map_or(15, |times| times.parse().unwrap())
}

/// Numbers that look random, and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// All that can be asked of a report.
fn try_all(texts: &[&str]) {
    let files = texts.iter().map(|text| File { name: "a", text });
    let report = check_files(&files.collect::<Vec<_>>(), Version::new(1, 30));
    for finding in &report.findings {
        assert!(!finding.to_string().is_empty());
        // As docs/CHECK-CONFIG.md has it.
        let mut rules = RULES.iter();
        let rule = rules.find(|rule| rule.name == finding.rule);
        assert!(rule.is_none_or(|rule| rule.severities.contains(&finding.severity)));
    }
    assert!(report.to_json().is_object());
}

#[test]
fn a_changed_text_is_no_reason_to_panic() {
    let mut numbers = Numbers(1);
    for name in FILES {
        let text = shipped(name);
        for _ in 0..mutations() {
            let mut lines: Vec<&str> = text.lines().collect();
            let line = numbers.below(lines.len());
            let changed = match numbers.below(6) {
                0 => lines[line].replace(": ", ": &a "),
                1 => lines[line].replacen(['{', '['], "", 1),
                2 => format!("  {}", lines[line]),
                3 => format!("{}\u{e9}\t- ]", lines[line]),
                4 => lines[line].replace(": ", ": *a "),
                _ => lines[line].chars().rev().collect(),
            };
            let other = numbers.below(lines.len());
            match numbers.below(4) {
                0 => {
                    lines.remove(other);
                }
                1 => lines.truncate(other),
                2 => lines.insert(other, &changed),
                _ => lines[line] = &changed,
            }
            try_all(&[&lines.join("\n")]);
        }
    }
}

/// A value somewhere within another.
fn within<'a>(value: &'a mut Value, numbers: &mut Numbers) -> &'a mut Value {
    let is_here = numbers.below(12) == 0;
    let next = match &*value {
        Value::Object(fields) if !is_here && !fields.is_empty() => numbers.below(fields.len()),
        Value::Array(items) if !is_here && !items.is_empty() => numbers.below(items.len()),
        _ => return value,
    };
    match value {
        Value::Object(fields) => within(fields.values_mut().nth(next).unwrap(), numbers),
        Value::Array(items) => within(&mut items[next], numbers),
        _ => unreachable!(),
    }
}

#[test]
fn a_changed_value_is_no_reason_to_panic() {
    let mut numbers = Numbers(7);
    let words = [
        "",
        "\u{e9}",
        "*",
        "-1",
        "0s",
        "99999999999999999999h",
        "/",
        "%REQ(",
        "a: b",
    ];
    for name in FILES {
        let text = shipped(name);
        let documents = serde_yaml_ng::Deserializer::from_str(&text);
        let documents: Vec<Value> = documents
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        for _ in 0..mutations() {
            let mut documents = documents.clone();
            for _ in 0..=numbers.below(3) {
                let document = numbers.below(documents.len());
                let other = numbers.below(documents.len());
                let taken = within(&mut documents[other], &mut numbers).clone();
                let value = within(&mut documents[document], &mut numbers);
                *value = match numbers.below(9) {
                    0 => Value::Null,
                    1 => json!([]),
                    2 => json!({}),
                    3 => json!(-1.5e300),
                    4 => json!(true),
                    5 => json!([value.clone(), value.clone()]),
                    6 => json!({"name": value.clone(), "@type": 1, "kind": "WasmPlugin"}),
                    7 => json!(words[numbers.below(words.len())]),
                    _ => taken,
                };
            }
            let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
            try_all(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            try_all(&[&texts.join("\n---\n")]);
        }
    }
}

/// What is said of a text, which must not take long.
fn soon(text: String) -> Report {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(check(&text)));
    let limit = Duration::from_secs(60);
    receiver.recv_timeout(limit).unwrap()
}

#[test]
fn anchors_do_not_make_a_file_endless() {
    let laughs = (1..60).map(|n| format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1));
    let xs = vec!["x"; 20_000].join(", ");
    let names = vec!["*a"; 20_000].join(", ");
    for text in [
        "a: &a [*a]\n".to_owned(),
        "a: &a\n  <<: *a\n  b: 1\n".to_owned(),
        format!("a0: &a0 [x, x]\n{}", laughs.collect::<String>()),
        format!("a: &a [{xs}]\nb: [{names}]\n"),
    ] {
        let report = soon(text);
        assert_eq!(report.verdict(), Verdict::Errors);
        assert!(report.findings[0].message.contains("it cannot be read"));
    }
}

#[test]
fn a_deep_file_is_refused() {
    for text in [
        "[".repeat(1_000_000),
        "{\"a\":".repeat(200_000) + "1" + &"}".repeat(200_000),
        "- ".repeat(200_000),
        "a:\n".to_owned()
            + &(1..2_000)
                .map(|n| " ".repeat(n) + "a:\n")
                .collect::<String>(),
    ] {
        assert_eq!(soon(text).verdict(), Verdict::Errors);
    }
}

#[test]
fn empty_files_have_nothing_of_ours() {
    for text in [
        "",
        "\n",
        "---\n",
        "---\n---\n",
        "# nothing\n",
        "~",
        "\u{feff}",
        "[]",
        "a",
    ] {
        let report = soon(text.to_owned());
        assert_eq!(report.verdict(), Verdict::Errors, "{text}");
        assert_eq!(report.checked, 0, "{text}");
    }
}

/// The routes of a large site.
fn many_routes(mut config: Value, most: usize) -> String {
    let all = routes(&mut config);
    let objects = all[0].clone();
    *all = (0..most)
        .map(|number| {
            let mut route = objects.clone();
            route["name"] = json!(format!("r{number}"));
            route["match"] = json!({"prefix": format!("/{number}/"),
                                    "headers": [{"name": "x-a", "present_match": true}]});
            if number % 2 == 0 {
                route["route"]["cluster"] = json!(format!("c{}", number % 7));
            }
            route
        })
        .collect();
    config.to_string()
}

#[test]
fn many_routes_do_not_take_minutes() {
    for config in [minimal(), listener()] {
        assert_eq!(soon(many_routes(config, 4_900)).checked, 1);
    }
    // So many are not looked at, and that is said. More than 5 MB.
    let text = many_routes(listener(), 8_000);
    assert!(text.len() > 5_000_000, "{}", text.len());
    let shown = soon(text).findings[0].to_string();
    assert!(shown.contains("more than 5000 routes"), "{shown}");
}

#[test]
fn many_filters_do_not_take_minutes() {
    let mut config = listener();
    let filters = common::manager(&mut config)["http_filters"]
        .as_array_mut()
        .unwrap();
    let ours = filters[0].clone();
    for number in 0..500 {
        let mut other = ours.clone();
        other["name"] = json!(format!("oss_origin_auth_{number}"));
        filters.insert(0, other);
    }
    let report = soon(config.to_string());
    assert_eq!(report.checked, 50);
    assert!(report.findings[0].message.contains("more than 50 filters"));
}
