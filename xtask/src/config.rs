//! The JSON Schema, and checking a configuration before Envoy sees it.

use std::path::{Path, PathBuf};

use oss_origin_auth_core::config::{Config, schema::schema};
use serde_json::Value;
use testkit::tools;

mod envoy;

use crate::command::Result;
use envoy::{Filter, Found};

/// Say what is wrong in a configuration of the filter, before Envoy sees it.
///
/// FILE is the filter's configuration (JSON), or a whole configuration of
/// Envoy (YAML or JSON), in which the configuration of every wasm filter is
/// checked that has oss_origin_auth in its name or in its vm_config. Variables that hold AccessKeys need
/// not be set here.
#[derive(clap::Args)]
pub struct CheckOptions {
    file: PathBuf,
}

pub fn check(options: &CheckOptions) -> Result {
    let path = options.file.display();
    let text =
        std::fs::read_to_string(&options.file).map_err(|error| format!("{path}: {error}"))?;
    let checked = check_text(&text).map_err(|problem| format!("{path}: {problem}"))?;
    println!("{path}: {checked} checked, all good");
    Ok(())
}

/// Checks every configuration of ours in a text; how many there were.
fn check_text(text: &str) -> Result<usize> {
    let json = text.trim_start().starts_with('{');
    let documents = match envoy::documents(text) {
        // The parser of our own configuration says better what is wrong.
        Err(_) if json => Vec::new(),
        documents => documents?,
    };
    let found = Found::new(&documents)?;
    match (found.filters.is_empty(), json) {
        (true, true) => {
            check_settings("the configuration", text)?;
            return Ok(1);
        }
        (true, false) => {
            return Err("no wasm filter in it has oss_origin_auth in its name or vm_config".into());
        }
        (false, _) => {}
    }
    for Filter { text, delegates } in &found.filters {
        let config = check_settings("a filter's configuration", text)?;
        let reads_metadata = !config.metadata.is_empty();
        let strips = strips(text) || (reads_metadata && found.metadata.iter().any(|m| strips(m)));
        if !delegates.is_empty() && strips {
            return Err(
                "a filter's configuration is wrong: strip_response_headers: the filter \
                 stands in envoy.filters.http.match_delegate, which keeps good answers from it, \
                 so that their headers would not be stripped; let the filter stand there alone, \
                 or use Envoy's response_headers_to_remove"
                    .into(),
            );
        }
    }
    Ok(found.filters.len())
}

fn check_settings(what: &str, text: &str) -> Result<Config> {
    Config::parse(text.as_bytes(), |_| Some("set".to_owned()))
        .map_err(|error| format!("{what} is wrong: {error}"))
}

/// Whether settings act on answers that are no errors.
fn strips(text: &str) -> bool {
    fn has(value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                let list = value.as_array();
                let own = name == "strip_response_headers" && list.is_some_and(|l| !l.is_empty());
                own || has(value)
            }),
            _ => false,
        }
    }
    serde_json::from_str(text).is_ok_and(|settings: Value| has(&settings))
}

pub const SCHEMA: &str = "docs/configuration.schema.json";

/// Writes the schema.
pub fn write_schema() -> Result {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    std::fs::write(Path::new(&tools::root()).join(SCHEMA), text + "\n")
        .map_err(|error| format!("{SCHEMA}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn shipped(name: &str) -> String {
        std::fs::read_to_string(tools::root().join("envoy").join(name)).unwrap()
    }

    #[test]
    fn what_is_shipped_is_good() {
        for (name, filters) in [
            ("minimal.yaml", 1),
            ("edge.yaml", 1),
            ("site.yaml", 1),
            ("protected.yaml", 1),
            ("cached.yaml", 1),
            ("accounts.yaml", 2),
        ] {
            assert_eq!(check_text(&shipped(name)), Ok(filters), "{name}");
        }
    }

    /// A shipped configuration after some replacements, each of which must be one.
    fn changed(name: &str, replacements: &[(&str, &str)]) -> String {
        let mut text = shipped(name);
        for (from, to) in replacements {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        text
    }

    const CLASS: &str =
        "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput";

    /// The shipped `match_delegate` after some replacements, in both spellings.
    fn spellings(replacements: &[(&str, &str)]) -> [String; 2] {
        let text = changed("edge.yaml", replacements);
        let mut camel = text.clone();
        for (from, to) in [
            ("xds_matcher:", "xdsMatcher:"),
            ("matcher_tree:", "matcherTree:"),
            ("on_no_match:", "onNoMatch:"),
            ("exact_match_map:", "exactMatchMap:"),
            ("extension_config:", "extensionConfig:"),
            ("typed_config:", "typedConfig:"),
            ("type_url:", "typeUrl:"),
            ("vm_config:", "vmConfig:"),
        ] {
            camel = camel.replace(from, to);
        }
        [text, camel]
    }

    #[test]
    fn match_delegate_may_skip_good_answers_alone() {
        let typed_struct = format!(
            "{{\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: {CLASS}, \
             value: {{}}}}"
        );
        let input = format!("{{\"@type\": {CLASS}}}");
        let deprecated = ("xds_matcher:", "matcher:");
        let of_4xx = ("2xx: {", "4xx: {");
        let good: [&[(&str, &str)]; 4] = [
            &[],
            &[(&input, &typed_struct)],
            &[(
                "exact_match_map:",
                "on_no_match: null\n                exact_match_map:",
            )],
            &[deprecated],
        ];
        for text in good.into_iter().flat_map(spellings) {
            assert_eq!(check_text(&text), Ok(1), "{text}");
        }
        let bad: [&[(&str, &str)]; 9] = [
            &[of_4xx],
            &[deprecated, of_4xx],
            &[("xds_matcher:", "other:")],
            &[("2xx: {", "3xx: {")],
            &[("2xx: {", "4xx: {}\n                    2xx: {")],
            &[("HttpResponseStatusCodeClassMatchInput", "SomeOtherInput")],
            &[(
                "matcher_tree:",
                "on_no_match: {action: {}}\n              matcher_tree:",
            )],
            &[(
                "exact_match_map:",
                "on_no_match: {action: {}}\n                exact_match_map:",
            )],
            &[("exact_match_map:", "prefix_match_map:")],
        ];
        for text in bad.into_iter().flat_map(spellings) {
            let problem = check_text(&text).unwrap_err();
            assert!(problem.contains("2xx alone"), "{text}: {problem}");
        }
    }

    #[test]
    fn every_match_delegate_around_the_filter_is_checked() {
        let inner = r#"{"name": "oss_origin_auth", "typed_config": {"config": {"configuration":
            {"@type": "type.googleapis.com/google.protobuf.StringValue", "value":
            "{\"credentials\": {\"default\": {\"sidecar\": {\"cluster\": \"sts\"}}}, \"defaults\": {\"bucket\": \"my-bucket\", \"region\": \"cn-hangzhou\"}}"}}}}"#;
        let delegate = |name: &str, class: &str, inner: &str| {
            format!(
                r#"{{"name": "{name}", "typed_config": {{"xds_matcher": {{"matcher_tree": {{
                "input": {{"typed_config": {{"@type": "{CLASS}"}}}},
                "exact_match_map": {{"map": {{"{class}": {{}}}}}}}}}},
                "extension_config": {inner}}}}}"#
            )
        };
        let nested = |outer, within| delegate("outer", outer, &delegate("inner", within, inner));
        assert_eq!(check_text(&nested("2xx", "2xx")), Ok(1));
        for (outer, within) in [("2xx", "4xx"), ("4xx", "2xx")] {
            let problem = check_text(&nested(outer, within)).unwrap_err();
            assert!(problem.contains("2xx alone"), "{outer} {within}: {problem}");
        }
        // Beside our filter it may skip what it likes.
        let beside = format!("[{}, {inner}]", delegate("other", "4xx", "{}"));
        assert_eq!(check_text(&beside), Ok(1));
    }

    #[test]
    fn the_matcher_of_a_route_is_checked() {
        for (name, class, good) in [
            ("envoy.filters.http.match_delegate", "2xx", true),
            ("envoy.filters.http.match_delegate", "4xx", false),
            ("another", "4xx", true),
        ] {
            let of_route = format!(
                "{{match: {{prefix: /}}, typedPerFilterConfig: {{{name}: {{\"@type\": \
                 type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute, \
                 xdsMatcher: {{matcherTree: {{input: \
                 {{typedConfig: {{\"@type\": {CLASS}}}}}, exactMatchMap: {{map: {{{class}: \
                 {{}}}}}}}}}}}}}}}}"
            );
            let text = format!("{}\n---\nroutes: [{of_route}]\n", shipped("edge.yaml"));
            let checked = check_text(&text);
            match good {
                true => assert_eq!(checked, Ok(1), "{name} {class}"),
                false => {
                    let problem = checked.unwrap_err();
                    assert!(
                        problem.contains("typed_per_filter_config of envoy"),
                        "{problem}"
                    );
                    assert!(problem.contains("2xx alone"), "{problem}");
                }
            }
        }
    }

    #[test]
    fn the_filter_is_found_under_any_name_and_its_text_in_any_message() {
        let wrong = "\"buckets\"";
        let of_code = changed(
            "minimal.yaml",
            &[
                ("name: oss_origin_auth", "name: signer"),
                ("\"bucket\"", wrong),
            ],
        );
        let of_filter = of_code.replacen("name: signer", "name: oss_origin_auth", 1);
        let of_filter = of_filter.replace("oss_origin_auth.wasm", "signer.wasm");
        for text in [of_code, of_filter] {
            let problem = check_text(&text).unwrap_err();
            assert!(problem.contains("defaults.buckets"), "{problem}");
        }

        let of = |kind: &str, value: &str| {
            format!(
                r#"{{"name": "oss_origin_auth", "configuration":
                {{"@type": "type.googleapis.com/google.protobuf.{kind}", "value": {value}}}}}"#
            )
        };
        // {"a":1}
        for text in [
            of("StringValue", r#""{\"a\":1}""#),
            of("BytesValue", r#""eyJhIjoxfQ==""#),
            of("BytesValue", r#""eyJhIjoxfQ""#),
        ] {
            let problem = check_text(&text).unwrap_err();
            assert!(problem.contains("wrong: a: "), "{problem}");
        }
        for text in [
            of("BytesValue", r#""/w==""#),
            of("BytesValue", "{}"),
            of("StringValue", "{}"),
            of("Struct", r#"{"a":1}"#),
            of("Int32Value", "1"),
            r#"{"name": "oss_origin_auth", "configuration": "{}"}"#.to_owned(),
        ] {
            let problem = check_text(&text).unwrap_err();
            assert!(problem.contains("BytesValue"), "{problem}");
        }
    }

    #[test]
    fn no_setting_that_acts_on_good_answers_stands_in_match_delegate() {
        let strips = r#""strip_response_headers": ["server"], "bucket""#;
        let minimal = shipped("minimal.yaml").replace("\"bucket\"", strips);
        assert_eq!(check_text(&minimal), Ok(1), "alone it may");
        let edge = shipped("edge.yaml");
        let own = edge.replace("\"bucket\"", strips);
        assert!(
            check_text(&own)
                .unwrap_err()
                .contains("strip_response_headers")
        );
        let nothing = edge.replace("\"bucket\"", r#""strip_response_headers": [], "bucket""#);
        assert_eq!(check_text(&nothing), Ok(1));

        let metadata = "- name: objects\n                metadata: {filter_metadata: \
                        {oss_origin_auth: {config: '{\"strip_response_headers\": [\"server\"]}'}}}";
        let unread = edge.replacen(
            "- name: objects\n                match",
            &format!("{metadata}\n                match"),
            1,
        );
        assert_ne!(unread, edge);
        assert_eq!(check_text(&unread), Ok(1), "metadata is not read");
        let read = unread.replace("\"defaults\"", "\"metadata\": [\"route\"], \"defaults\"");
        for metadata in ["filter_metadata", "filterMetadata"] {
            let problem = check_text(&read.replace("filter_metadata", metadata)).unwrap_err();
            assert!(problem.contains("strip_response_headers"), "{problem}");
        }
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let wrong = shipped("minimal.yaml").replace("\"bucket\"", "\"buckets\"");
        let problem = check_text(&wrong).unwrap_err();
        assert!(
            problem.contains("a filter's configuration is wrong: defaults.buckets"),
            "{problem}"
        );
        let problem = check_text("a: [1").unwrap_err();
        assert!(problem.starts_with("it cannot be read: "), "{problem}");
        let problem = check_text("name: other").unwrap_err();
        assert!(problem.starts_with("no wasm filter"), "{problem}");
        let problem = check_text("{\"credentials\": 1}").unwrap_err();
        assert!(
            problem.starts_with("the configuration is wrong: credentials"),
            "{problem}"
        );
    }
}
