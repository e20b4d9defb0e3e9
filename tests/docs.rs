//! What the documents say is what the code does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oss_origin_auth_checker::schema::schema;
use oss_origin_auth_core::access::Key;
use oss_origin_auth_core::config::fields::{self, Field, Kind};
use oss_origin_auth_core::fetch::answer::FetchOutcome;
use oss_origin_auth_core::metrics::Leaving;
use oss_origin_auth_core::oss::error::Cause;
use oss_origin_auth_core::policy::reply::Reason;
use oss_origin_auth_core::words::Word;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_table_of_settings_has_every_setting_and_no_other() {
    let readme = read("README.md");
    let section = |title: &str| {
        let section = readme.split(&format!("\n## {title}\n")).nth(1).unwrap();
        section.split("\n## ").next().unwrap().to_owned()
    };
    let sections = [section("Settings"), section("Who may read")].concat();
    let mut listed = BTreeMap::new();
    for row in sections.lines().filter(|line| line.starts_with("| `")) {
        let mut columns = row.split('|').skip(1).map(str::trim);
        let (name, default) = (columns.next().unwrap(), columns.next().unwrap());
        listed.insert(name.trim_matches('`').to_owned(), default.replace('`', ""));
    }
    let mut known = BTreeMap::new();
    for (prefix, fields) in [
        ("", fields::TOP),
        ("credentials.*.sidecar.", fields::SIDECAR),
        ("credentials.*.access_key.", fields::ACCESS_KEY),
        ("url_keys.*.", fields::URL_KEYS),
        ("", fields::ROUTE),
        ("access.", fields::ACCESS),
        ("access.url_signing.", fields::URL_SIGNING),
        ("access.referer.", fields::REFERER),
        ("access.user_agent.", fields::USER_AGENT),
    ] {
        for field in fields {
            // `credentials` is a name on both levels.
            let name = match field.name {
                "credentials" if std::ptr::eq(fields, fields::ROUTE) => "credentials (of a route)",
                name => name,
            };
            known.insert(format!("{prefix}{name}"), field);
        }
    }
    assert_eq!(
        listed.keys().collect::<Vec<_>>(),
        known.keys().collect::<Vec<_>>()
    );
    for (name, field) in known {
        if let Some(default) = default_of(field) {
            assert_eq!(listed[&name], default, "{name}");
        }
    }
}

/// As README.md writes it, where the code has one.
fn default_of(field: &Field) -> Option<String> {
    Some(match &field.kind {
        Kind::RequiredText | Kind::RequiredChoice(_) | Kind::RequiredFlag => "required".into(),
        Kind::Choice(of) => of[0].into(),
        Kind::Flag(default) => default.to_string(),
        Kind::Integer { default, .. } => (*default)?.to_string(),
        Kind::Texts(default) | Kind::Choices { default, .. } => match default {
            [] => "none".into(),
            names => names.join(", "),
        },
        Kind::Headers => "none".into(),
        Kind::Text | Kind::Object(_) | Kind::Named(_) => return None,
    })
}

#[test]
fn the_schema_is_that_of_the_code() {
    let shipped: serde_json::Value =
        serde_json::from_str(&read("docs/configuration.schema.json")).unwrap();
    assert_eq!(shipped, schema(), "run `cargo xtask schema`");
}

#[test]
fn the_readme_shows_the_smallest_configuration_as_it_is_shipped() {
    let shown = format!("```yaml\n{}```", read("envoy/minimal.yaml"));
    assert!(read("README.md").contains(&shown));
}

#[test]
fn the_readme_has_every_reason_of_a_refusal_and_no_other() {
    let readme = read("README.md");
    let table = readme.split("| status | `error` |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let listed: BTreeSet<_> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| ")?.split_once(" | `"))
        .map(|(status, rest)| {
            (
                status.to_owned(),
                rest.split('`').next().unwrap().to_owned(),
            )
        })
        .collect();
    let known = Reason::ALL.iter().copied();
    let known = known.map(|reason| (reason.status().to_string(), reason.word().to_owned()));
    assert_eq!(listed, known.collect());
}

#[test]
fn the_statistics_are_listed_with_all_their_words() {
    let operations = read("docs/OPERATIONS.md");
    for (metric, words) in [
        ("requests{kind}", Leaving::WORDS),
        ("url_keys{key}", Key::WORDS),
        ("callouts{result}", FetchOutcome::WORDS),
    ] {
        let row = operations.split(metric).nth(1).unwrap();
        let row = row.lines().next().unwrap().split("` |").nth(1).unwrap();
        let listed: BTreeSet<_> = row.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, words.iter().copied().collect(), "{metric}");
    }
    let symptoms = operations.split("## By symptom").nth(1).unwrap();
    for row in symptoms.lines().filter(|row| row.starts_with("| 403, log")) {
        let column = row.split('|').nth(1).unwrap();
        for word in column.split('`').skip(1).step_by(2) {
            assert!(Cause::of(word).is_some(), "{word}");
        }
    }
}

#[test]
fn the_words_of_a_setting_are_in_its_row() {
    let readme = read("README.md");
    for field in fields::ROUTE.iter().chain(fields::TOP) {
        let words = match &field.kind {
            Kind::Choice(words) | Kind::Choices { of: words, .. } => words,
            _ => continue,
        };
        let row = readme
            .split(&format!("\n| `{}` |", field.name))
            .nth(1)
            .unwrap();
        let row = row.lines().next().unwrap();
        for word in *words {
            assert!(row.contains(word), "{}: {word}", field.name);
        }
    }
}

#[test]
fn the_tests_that_security_names_are_there() {
    let security = read("docs/SECURITY.md");
    let section = security.split("\n## What goes astray\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for row in section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let tests = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
        let files: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!files.is_empty(), "{row}");
        for file in files {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            assert!(path.exists(), "{file}");
        }
    }
}

#[test]
fn the_links_of_the_documents_lead_somewhere() {
    for document in [
        "README.md",
        "deploy/README.md",
        "docs/ALIBABA-SETUP.md",
        "docs/CACHE.md",
        "docs/FROM-CDN.md",
        "docs/OPERATIONS.md",
        "docs/SECURITY.md",
        "docs/DESIGN.md",
        "docs/SIDECAR.md",
    ] {
        let folder = Path::new(document).parent().unwrap();
        for link in read(document).split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            if !link.is_empty() && !link.starts_with("http") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join(folder)
                    .join(link);
                assert!(path.exists(), "{document}: {link}");
            }
        }
    }
}
