//! Every two flags of `oss-origin-auth render`: either they go together, and `check-config` warns
//! of nothing in what comes out, or they are refused by name. What goes together is loaded by a real
//! Envoy in tests/envoy/rendered.rs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Mutex;

use oss_origin_auth_checker::{Verdict, check};
use testkit::rendered::{ROWS, Row, arguments, render};

/// What is rendered, or the problem.
fn rendered(rows: &[Row]) -> Result<String, String> {
    let program = Path::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    let output = render(program, &arguments(rows, Path::new("/etc/envoy")));
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The flags of a row, without their values.
fn names(row: &Row) -> Vec<&'static str> {
    let words = row.flags.split_whitespace();
    words.filter(|word| word.starts_with("--")).collect()
}

#[test]
fn each_flag_alone_is_good() {
    for row in ROWS {
        let text = rendered(&[*row]).unwrap_or_else(|problem| unreachable!("{row:?}: {problem}"));
        assert_eq!(check(&text).verdict(), Verdict::Good, "{row:?}: {text}");
    }
}

#[test]
fn every_two_flags_go_together_or_are_refused_by_name() {
    let pairs = ROWS.iter().enumerate().flat_map(|(index, one)| {
        let others = ROWS.iter().skip(index + 1);
        let others = others.filter(|other| other.group != one.group);
        others.map(|other| [*one, *other])
    });
    let refused = Mutex::new(Vec::new());
    testkit::in_parallel(pairs.collect::<Vec<_>>(), |pair: [Row; 2]| {
        match rendered(&pair) {
            Ok(text) => assert_eq!(check(&text).verdict(), Verdict::Good, "{pair:?}: {text}"),
            Err(problem) => {
                for row in &pair {
                    let named = names(row).iter().any(|name| problem.contains(name));
                    assert!(named, "{pair:?}: {problem}");
                }
                let fix = ["take ", "render an", "serve ", "put ", "give ", "choose "];
                assert!(fix.iter().any(|fix| problem.contains(fix)), "{problem}");
                let groups = pair.map(|row| row.group);
                refused.lock().unwrap().push(groups);
            }
        }
    });
    let mut refused = refused.into_inner().unwrap();
    refused.sort();
    refused.dedup();
    assert_eq!(refused, REFUSED);
}

/// The groups of which some flags do not go together.
const REFUSED: [[&str; 2]; 22] = [
    ["allow-address", "deny-address"],
    ["allow-referer", "deny-address"],
    ["also", "signed"],
    ["cache", "also"],
    ["cache", "pass"],
    ["cache", "signed"],
    ["credentials", "also"],
    ["credentials", "token"],
    ["members", "allow-address"],
    ["members", "allow-referer"],
    ["pages", "also"],
    ["pages", "ask"],
    ["pages", "cache"],
    ["pages", "cors"],
    ["pages", "members"],
    ["pages", "pass"],
    ["pages", "signed"],
    ["pass", "native"],
    ["pass", "show"],
    ["signed", "ask"],
    ["signed", "members"],
    ["signed", "referer-at"],
];
