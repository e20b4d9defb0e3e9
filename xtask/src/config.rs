//! The JSON Schema, and checking a configuration before Envoy sees it.

use std::path::{Path, PathBuf};

use oss_origin_auth::config::{Config, schema::schema};
use serde_json::Value;
use testkit::tools;

use crate::Result;

/// Say what is wrong in a configuration of the filter, before Envoy sees it.
///
/// FILE is the filter's configuration (JSON), or a whole configuration of
/// Envoy (YAML or JSON), in which the configuration of every wasm filter of
/// the name oss_origin_auth is checked. Variables that hold AccessKeys need
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
    let mut found = Found::default();
    // JSON of ours that YAML cannot read is told by the parser below.
    if let Ok(document) = serde_yaml_ng::from_str::<Value>(text) {
        found.collect(&document, None)?;
    }
    let kind = match found.filters.is_empty() {
        true => "the configuration",
        false => "a filter's configuration",
    };
    if found.filters.is_empty() {
        found.filters.push(Filter {
            text: text.to_owned(),
            delegated: false,
        });
    }
    for Filter { text, delegated } in &found.filters {
        let config = Config::parse(text.as_bytes(), |_| Some("set".to_owned()))
            .map_err(|error| format!("{kind} is wrong: {error}"))?;
        let reads_metadata = config.metadata.route || config.metadata.cluster;
        let strips = strips(text) || (reads_metadata && found.metadata.iter().any(|m| strips(m)));
        if *delegated && strips {
            return Err(format!(
                "{kind} is wrong: strip_response_headers: the filter stands in \
                 envoy.filters.http.match_delegate, which keeps good answers from it, so that \
                 their headers would not be stripped; let the filter stand there alone, or use \
                 Envoy's response_headers_to_remove"
            ));
        }
    }
    Ok(found.filters.len())
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

/// What a document of Envoy has of ours.
#[derive(Debug, Default)]
struct Found {
    filters: Vec<Filter>,
    /// Settings in the metadata of routes and clusters.
    metadata: Vec<String>,
}

#[derive(Debug)]
struct Filter {
    text: String,
    /// Whether `match_delegate` is around it.
    delegated: bool,
}

impl Found {
    /// `matcher`: that of the `match_delegate` in which `document` stands.
    fn collect(&mut self, document: &Value, matcher: Option<&Value>) -> Result {
        match document {
            Value::Object(fields) => {
                let ours = fields.get("name").and_then(Value::as_str) == Some("oss_origin_auth");
                if let (true, Some(configuration)) = (ours, fields.get("configuration")) {
                    if let Some(matcher) = matcher {
                        check_matcher(matcher)?;
                    }
                    let text = match configuration.get("value").unwrap_or(configuration) {
                        Value::String(text) => text.clone(),
                        object => object.to_string(),
                    };
                    let delegated = matcher.is_some();
                    self.filters.push(Filter { text, delegated });
                }
                let metadata = fields.get("filter_metadata");
                let metadata = metadata.and_then(|m| m.get("oss_origin_auth")?.get("config"));
                let metadata = metadata.and_then(Value::as_str);
                self.metadata.extend(metadata.map(str::to_owned));
                for (name, value) in fields {
                    let matcher = match name.as_str() {
                        "extension_config" => fields.get("xds_matcher").or(Some(&Value::Null)),
                        _ => matcher,
                    };
                    self.collect(value, matcher)?;
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.collect(item, matcher)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The filter may be left out where OSS's answer is good, and nowhere else: the
/// rest it must see, to replace credentials and to say why OSS refused.
fn check_matcher(matcher: &Value) -> Result {
    let tree = &matcher["matcher_tree"];
    let input = tree["input"]["typed_config"]["@type"].as_str();
    let by_class =
        input.is_some_and(|kind| kind.ends_with(".HttpResponseStatusCodeClassMatchInput"));
    let map = tree["exact_match_map"]["map"].as_object();
    let of_2xx = map.is_some_and(|map| map.keys().all(|class| class == "2xx"));
    let others = matcher["on_no_match"].is_object() || tree["on_no_match"].is_object();
    match by_class && of_2xx && !others {
        true => Ok(()),
        false => Err(
            "envoy.filters.http.match_delegate around the filter may skip it for the status class \
             2xx alone, as in envoy/edge.yaml; leave nothing but `2xx` in its exact_match_map, or \
             let the filter stand there alone"
                .to_owned(),
        ),
    }
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
        ] {
            assert_eq!(check_text(&shipped(name)), Ok(filters), "{name}");
        }
    }

    #[test]
    fn match_delegate_may_skip_good_answers_alone() {
        let edge = shipped("edge.yaml");
        let skip = edge.lines().find(|line| line.contains("2xx:")).unwrap();
        for other in ["3xx", "4xx"] {
            let both = [skip, &skip.replace("2xx", other)].join("\n");
            let problem = check_text(&edge.replace(skip, &both)).unwrap_err();
            assert!(problem.contains("2xx alone"), "{problem}");
        }
        let input = edge.replace("HttpResponseStatusCodeClassMatchInput", "SomeOtherInput");
        assert!(check_text(&input).unwrap_err().contains("2xx alone"));
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
        assert!(
            check_text(&read)
                .unwrap_err()
                .contains("strip_response_headers")
        );
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let wrong = shipped("minimal.yaml").replace("\"bucket\"", "\"buckets\"");
        let problem = check_text(&wrong).unwrap_err();
        assert!(
            problem.contains("a filter's configuration is wrong: defaults.buckets"),
            "{problem}"
        );
        let problem = check_text("{\"credentials\": 1}").unwrap_err();
        assert!(
            problem.starts_with("the configuration is wrong: credentials"),
            "{problem}"
        );
    }
}
