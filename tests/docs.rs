//! What the documents say is what the code does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::collections::BTreeSet;
use std::path::Path;

use oss_origin_auth_checker::schema::schema;
use oss_origin_auth_core::access::Key;
use oss_origin_auth_core::fetch::answer::FetchOutcome;
use oss_origin_auth_core::metrics::Leaving;
use oss_origin_auth_core::oss::error::{Alert, Cause, Verdict};
use oss_origin_auth_core::policy::reply::Reason;
use oss_origin_auth_core::words::Word;

#[path = "docs/configuration.rs"]
mod configuration;
#[path = "docs/document.rs"]
mod document;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_schema_is_that_of_the_code() {
    let shipped: serde_json::Value =
        serde_json::from_str(&read("docs/configuration.schema.json")).unwrap();
    assert_eq!(shipped, schema(), "run `cargo xtask schema`");
}

#[test]
fn every_reason_of_a_refusal_is_listed_and_no_other() {
    let refusals = read("docs/REFUSALS.md");
    let table = refusals.split("| status | `error` |").nth(1).unwrap();
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
    for row in symptoms.lines().filter(|row| row.contains(", log `")) {
        let column = row.split('|').nth(1).unwrap();
        for word in column.split('`').skip(1).step_by(2) {
            assert!(Cause::of(word).is_some(), "{word}");
        }
    }
}

/// The row of a cause in docs/OPERATIONS.md.
fn row_of(cause: Cause) -> String {
    let facts = cause.facts();
    let statuses: Vec<_> = facts.statuses.iter().map(u16::to_string).collect();
    let mut says = vec![match &statuses[..] {
        [] => "anything else".to_owned(),
        statuses => statuses.join(", "),
    }];
    let quoted = |text: &&str| format!("`{text}`");
    says.extend(facts.codes.iter().chain(facts.shared).map(quoted));
    says.extend(facts.texts.iter().map(|text| format!("\"{text}\"")));
    says.extend(facts.ecs.iter().map(quoted));
    let credentials = match cause.verdict() {
        Verdict::Rejected(_) => "dropped, newer ones fetched",
        Verdict::Innocent => "kept",
        Verdict::Suspect => {
            "newer ones fetched, after a 401 or 403 without an EC or by one of `0002-`"
        }
    };
    let alert = match cause.alert() {
        Alert::None => "none".to_owned(),
        alert => quoted(&alert.word()),
    };
    let (word, meaning, fix) = (cause.word(), cause.meaning(), cause.fix());
    let says = says.join(" ");
    format!("| `{word}` | {says} | {meaning} | {fix} | {credentials} | {alert} |")
}

#[test]
fn the_causes_are_listed_as_the_code_has_them() {
    let operations = read("docs/OPERATIONS.md");
    let section = operations.split("\n## Why OSS refuses\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let listed: Vec<_> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let known: Vec<_> = Cause::ALL.iter().map(|cause| row_of(*cause)).collect();
    for (listed, known) in listed.iter().zip(&known) {
        assert_eq!(listed, known);
    }
    assert_eq!(listed.len(), known.len());
}

/// What follows `oss_errors{cause` in a rule: `=~"a|b"` or `!~"a|b"`.
fn matcher_of<'a>(rules: &'a str, alert: &str) -> &'a str {
    let rule = rules.split(&format!("alert: {alert}\n")).nth(1).unwrap();
    let rule = rule.split("- alert: ").next().unwrap();
    let matcher = rule.split("oss_errors{cause").nth(1).unwrap();
    matcher.split('}').next().unwrap()
}

#[test]
fn what_is_refused_again_and_again_has_the_causes_of_what_pages() {
    let rules = read("deploy/prometheus/alerts.yml");
    let page = matcher_of(&rules, Alert::Refuses.word());
    assert_eq!(matcher_of(&rules, "OssRefusesSome"), page);
}

/// A client sees both in one header, `x-oss-origin-auth`.
#[test]
fn no_word_is_a_cause_and_a_reason() {
    for word in Cause::WORDS {
        assert!(Reason::of(word).is_none(), "{word}");
    }
}

#[test]
fn the_alert_rules_are_those_of_the_causes() {
    let rules = read("deploy/prometheus/alerts.yml");
    for alert in Alert::ALL.iter().filter(|alert| **alert != Alert::None) {
        let matcher = matcher_of(&rules, alert.word());
        let named: BTreeSet<_> = matcher.split('"').nth(1).unwrap().split('|').collect();
        for word in &named {
            assert!(Cause::of(word).is_some(), "{word}");
        }
        let excludes = matcher.starts_with("!~");
        assert!(excludes || matcher.starts_with("=~"), "{matcher}");
        for cause in Cause::ALL {
            let fires = named.contains(cause.word()) != excludes;
            let (word, rule) = (cause.word(), alert.word());
            assert_eq!(fires, cause.alert() == *alert, "{word}, {rule}");
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

/// A fault of memory needs this word, and the document says where it stands.
#[test]
fn unsafe_code_is_where_security_says() {
    fn files(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                files(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
            if words.any(|word| word == "unsafe") {
                let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
                found.insert(path.display().to_string());
            }
        }
    }
    let mut found = BTreeSet::new();
    for folder in ["native/src", "core/src"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        files(&folder, &mut found);
    }
    let security = read("docs/SECURITY.md");
    let section = security.split("\n## The native module\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let named = section.split('`').skip(1).step_by(2);
    let named = named.filter(|name| name.starts_with("native/src/"));
    assert_eq!(found, named.map(str::to_owned).collect());
}

#[test]
fn the_links_of_the_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = std::fs::read_dir(root.join("docs")).unwrap().flatten();
    let documents = documents.map(|entry| format!("docs/{}", entry.file_name().display()));
    let documents = documents.filter(|name| name.ends_with(".md"));
    let others = ["README.md", "deploy/README.md"].map(str::to_owned);
    for document in documents.chain(others) {
        let folder = Path::new(&document).parent().unwrap();
        for link in read(&document).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => Path::new(&document).to_owned(),
                file => folder.join(file),
            };
            let path = root.join(&target);
            assert!(path.exists(), "{document}: {link}");
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(anchors(&text).contains(anchor), "{document}: {link}");
            }
        }
    }
}

/// The names that GitHub gives the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let name = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(name).collect()
}
