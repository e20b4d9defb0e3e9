//! Each block of code in a document is tried by a test, or says why nobody can try it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use testkit::documents::{Block, blocks};
use testkit::tools;

/// Who tries a block.
enum Tried {
    /// A test that reads the document: its file, and its name.
    By(&'static str, &'static str),
    /// Nobody, for this reason.
    No(&'static str),
}

use Tried::{By, No};

/// By the document, the language and the begin of the block; an empty begin stands for all blocks
/// that no other row names.
const BLOCKS: &[(&str, &str, &str, Tried)] = &[
    ("README.md", "text", " ", No("a picture")),
    (
        "README.md",
        "sh",
        "cargo xtask demo",
        By(".ci/run", "cargo xtask demo --once"),
    ),
    (
        "README.md",
        "text",
        "The first object",
        By(
            "tests/envoy/readme.rs",
            "the_demo_says_what_the_readme_shows",
        ),
    ),
    (
        "README.md",
        "text",
        "tests: ",
        By(
            "tests/documents.rs",
            "the_readme_shows_the_last_line_of_the_tests",
        ),
    ),
    (
        "README.md",
        "sh",
        "oss-origin-auth render --bucket my-bucket --region cn-hangzhou --out .",
        By(
            "tests/envoy/readme.rs",
            "the_smallest_configuration_is_what_its_command_writes",
        ),
    ),
    (
        "README.md",
        "yaml",
        "",
        By(
            "tests/envoy/readme.rs",
            "the_smallest_configuration_is_what_its_command_writes",
        ),
    ),
    (
        "README.md",
        "sh",
        "oss-origin-auth sidecar &",
        No("the commands of docs/RELEASE.md, which tests/system/released.rs runs"),
    ),
    (
        "README.md",
        "sh",
        "",
        By("tests/envoy/readme.rs", "each_recipe_serves_what_it_says"),
    ),
    (
        "benches/RESULTS.md",
        "text",
        "",
        No("figures, which `cargo xtask bench` writes"),
    ),
    (
        "deploy/README.md",
        "sh",
        "skopeo copy",
        No("it needs a registry; tests/system/released_images.rs reads the same archives"),
    ),
    (
        "docs/ALIBABA-SETUP.md",
        "json",
        "{\"Version\": \"1\", \"Statement\": [{\n  \"Effect\": \"Allow\",\n  \"Action\": [\"oss:GetObject\"]",
        By(
            "tests/envoy/documents.rs",
            "the_commands_and_the_settings_of_the_sidecar_work",
        ),
    ),
    (
        "docs/ALIBABA-SETUP.md",
        "json",
        "{\"Version\"",
        No(
            "policies of roles, which the console of Alibaba Cloud takes; \
            tests/documents.rs reads their form",
        ),
    ),
    (
        "docs/ALIBABA-SETUP.md",
        "json",
        "{\"credentials\"",
        By("tests/documents.rs", "settings_of_the_filter_load"),
    ),
    (
        "docs/CACHE.md",
        "sh",
        "cargo xtask setup",
        No("it starts a test, tests/envoy/shipped_cache.rs, hits_cost_no_fetch_and_no_signature"),
    ),
    (
        "docs/CACHE.md",
        "sh",
        "htpasswd",
        No("it needs htpasswd of Apache; tests/envoy/shipped_keys.rs refreshes with such a line"),
    ),
    ("docs/CACHE.md", "text", "", No("a picture")),
    (
        "docs/CHECK-CONFIG.md",
        "sh",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_commands_of_check_config_work",
        ),
    ),
    (
        "docs/CONFIGURATION.md",
        "json",
        "",
        By("tests/docs/configuration.rs", "docs/CONFIGURATION.md"),
    ),
    (
        "docs/CONFIGURATION.md",
        "text",
        "",
        By("tests/docs/document.rs", "Envoy refuses this:"),
    ),
    (
        "docs/CONFIGURATION.md",
        "yaml",
        "",
        By("tests/docs/configuration.rs", "from_str(&of_route.text)"),
    ),
    ("docs/DESIGN.md", "text", "", No("pictures")),
    (
        "docs/DOCTOR.md",
        "sh",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_commands_of_the_doctor_work_and_it_says_what_the_page_shows",
        ),
    ),
    (
        "docs/DOCTOR.md",
        "text",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_commands_of_the_doctor_work_and_it_says_what_the_page_shows",
        ),
    ),
    (
        "docs/DOCTOR.md",
        "json",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_doctors_json_has_the_fields_of_the_page",
        ),
    ),
    ("docs/FLEET.md", "text", "calls an hour", No("a formula")),
    (
        "docs/FROM-CDN.md",
        "json",
        "",
        By("tests/envoy/from_cdn.rs", "docs/FROM-CDN.md"),
    ),
    (
        "docs/FROM-CDN.md",
        "yaml",
        "",
        By("tests/envoy/from_cdn.rs", "docs/FROM-CDN.md"),
    ),
    (
        "docs/FROM-CDN.md",
        "sh",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_signed_url_of_the_page_is_served",
        ),
    ),
    (
        "docs/NATIVE.md",
        "yaml",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_native_filter_of_the_page_is_what_render_writes",
        ),
    ),
    (
        "docs/OPERATIONS.md",
        "text",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_line_of_the_log_is_one_that_the_filter_writes",
        ),
    ),
    (
        "docs/RELEASE.md",
        "env",
        "",
        By(
            "tests/system/released.rs",
            "the_documented_steps_lead_to_an_object",
        ),
    ),
    (
        "docs/RELEASE.md",
        "sh",
        "cargo xtask dist",
        No("it builds a release twice; .ci/run has the line for the module"),
    ),
    (
        "docs/RELEASE.md",
        "sh",
        "skopeo copy",
        No("it needs a registry; tests/system/released_images.rs reads the same archives"),
    ),
    (
        "docs/RELEASE.md",
        "sh",
        "",
        By(
            "tests/system/released.rs",
            "the_documented_steps_lead_to_an_object",
        ),
    ),
    (
        "docs/RELEASE.md",
        "shell",
        "",
        By(
            "tests/system/released_native.rs",
            "the_documented_steps_lead_to_an_object_without_a_vm",
        ),
    ),
    (
        "docs/RENDER.md",
        "sh",
        "",
        By("cli/tests/render.rs", "the_commands_of_the_page_work"),
    ),
    (
        "docs/RENDER.md",
        "Dockerfile",
        "",
        No("it needs Envoy's image; tests/system/compose.rs builds one from the Dockerfile here"),
    ),
    (
        "docs/SIDECAR.md",
        "sh",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_commands_and_the_settings_of_the_sidecar_work",
        ),
    ),
    (
        "docs/SIDECAR.md",
        "toml",
        "",
        By(
            "tests/envoy/documents.rs",
            "the_commands_and_the_settings_of_the_sidecar_work",
        ),
    ),
];

/// How many blocks a row stands for, where it stands for more than one: a new block must be looked
/// at.
const COUNTS: &[(&str, &str, &str, usize)] = &[
    ("README.md", "sh", "", 3),
    ("docs/CONFIGURATION.md", "json", "", 31),
    ("docs/CONFIGURATION.md", "text", "", 4),
    ("docs/DESIGN.md", "text", "", 3),
    ("docs/FROM-CDN.md", "yaml", "", 7),
    ("docs/FROM-CDN.md", "json", "", 2),
    ("docs/RELEASE.md", "sh", "", 5),
    ("docs/RENDER.md", "sh", "", 4),
    ("docs/ALIBABA-SETUP.md", "json", "{\"Version\"", 3),
];

fn is_of(row: &(&str, &str, &str, Tried), block: &Block) -> bool {
    row.0 == block.file && row.1 == block.language && block.text.starts_with(row.2)
}

/// The row of a block: the one with the longest begin.
fn row_of(block: &Block) -> Option<usize> {
    let rows = BLOCKS.iter().enumerate();
    let rows = rows.filter(|(_, row)| is_of(row, block));
    let longest = rows.max_by_key(|(_, row)| row.2.len());
    longest.map(|(place, _)| place)
}

#[test]
fn each_block_of_code_is_tried_or_says_why_not() {
    let mut used = vec![0; BLOCKS.len()];
    for block in blocks() {
        let row = row_of(&block);
        let row = row.unwrap_or_else(|| panic!("nobody tries it: {block:#?}"));
        used[row] += 1;
    }
    for (row, used) in BLOCKS.iter().zip(used) {
        let mut counts = COUNTS.iter();
        let many = counts.find(|many| (many.0, many.1, many.2) == (row.0, row.1, row.2));
        let count = many.map_or(1, |many| many.3);
        assert_eq!(used, count, "blocks of {}, {}, {:?}", row.0, row.1, row.2);
        match &row.3 {
            By(file, name) => {
                let text = std::fs::read_to_string(tools::root().join(file));
                let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(name), "{file} has no {name}");
            }
            No(reason) => assert!(!reason.is_empty()),
        }
    }
}

/// The form of the line is that of `xtask/src/test.rs`.
#[test]
fn the_readme_shows_the_last_line_of_the_tests() {
    let mut found = blocks().into_iter();
    let block = found
        .find(|block| block.text.starts_with("tests: "))
        .unwrap();
    let words: Vec<_> = block.text.split_whitespace().collect();
    let [_, _, "passed,", failed, "failed,", _, "skipped,", ..] = words.as_slice() else {
        panic!("{words:?}");
    };
    assert_eq!(*failed, "0");
    let code = std::fs::read_to_string(tools::root().join("xtask/src/test.rs")).unwrap();
    assert!(code.contains("\"tests: {} passed, {} failed, {} skipped{}\""));
}

#[test]
fn settings_of_the_filter_load() {
    let blocks = blocks().into_iter();
    // Those of CONFIGURATION.md have tests of their own, and some are wrong on purpose.
    let is_whole = |block: &Block| {
        let is_of_settings = block.text.starts_with("{\"credentials\"");
        block.language == "json" && is_of_settings && block.file != "docs/CONFIGURATION.md"
    };
    let blocks: Vec<_> = blocks.filter(is_whole).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let environment = |_: &str| Some("value".to_owned());
        let read = oss_origin_auth_core::config::Config::parse(block.text.as_bytes(), environment);
        assert!(read.is_ok(), "{block:?}: {:?}", read.err());
    }
}

/// What RAM knows of a policy: its version, and of each statement an effect, an action, and either
/// whom it trusts or what it is for.
#[test]
fn policies_have_the_form_that_ram_reads() {
    let is_policy =
        |block: &Block| block.language == "json" && block.text.starts_with("{\"Version\"");
    let policies: Vec<_> = blocks().into_iter().filter(is_policy).collect();
    assert!(policies.len() >= 4, "{policies:?}");
    for block in policies {
        let policy: serde_json::Value = serde_json::from_str(&block.text).unwrap();
        assert_eq!(policy["Version"], "1");
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            assert!(statement["Action"].is_string() || statement["Action"].is_array());
            let trusts = statement["Principal"]["RAM"].is_array();
            assert_ne!(trusts, !statement["Resource"].is_null(), "{statement}");
        }
    }
}

/// What is longer is not read.
#[test]
fn the_documents_that_everybody_reads_are_short() {
    for (file, most) in [("README.md", 150), ("docs/DESIGN.md", 200)] {
        let text = std::fs::read_to_string(tools::root().join(file)).unwrap();
        let lines = text.lines().count();
        assert!(lines <= most, "{file}: {lines} lines");
    }
}

#[test]
fn the_readme_has_each_version_of_envoy_that_is_tried() {
    let readme = std::fs::read_to_string(tools::root().join("README.md")).unwrap();
    let table = readme.split("\n## What it runs in\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| Envoy "));
    let rows = rows.filter_map(|row| row.split(" | ").next());
    let named = rows.flat_map(|versions| versions.split(", "));
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    assert_eq!(named, tools::ENVOYS);
}
