//! docs/CHECK-CONFIG.md has every rule.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::shipped;
use oss_origin_auth_checker::{RULES, Severity};

#[test]
fn the_document_has_every_rule() {
    let document = shipped("docs/CHECK-CONFIG.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, severity, wrong, fix] = columns.try_into().unwrap();
        assert!(!wrong.is_empty() && !fix.is_empty(), "{name}");
        (name.trim_matches('`').to_owned(), severity.to_owned())
    });
    let mut written: Vec<_> = rows.collect();
    written.sort();
    let known = RULES.iter().map(|rule| {
        let severities = rule.severities.iter().map(Severity::to_string);
        (
            rule.name.to_owned(),
            severities.collect::<Vec<_>>().join(" or "),
        )
    });
    let mut known: Vec<_> = known.collect();
    known.sort();
    assert_eq!(written, known);
}
