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
    let embedded = match serde_yaml_ng::from_str::<Value>(&text) {
        Ok(document) => configurations(&document),
        // JSON of ours that YAML cannot read, or nothing at all: see below.
        Err(_) => Vec::new(),
    };
    let (found, kind) = match embedded.is_empty() {
        true => (
            vec![Embedded {
                text,
                errors_only: false,
            }],
            "the configuration",
        ),
        false => (embedded, "a filter's configuration"),
    };
    for Embedded { text, errors_only } in &found {
        Config::parse(text.as_bytes(), |_| Some("set".to_owned()))
            .map_err(|error| format!("{path}: {kind} is wrong: {error}"))?;
        if *errors_only && text.contains("\"strip_response_headers\"") {
            return Err(format!(
                "{path}: {kind} is wrong: strip_response_headers: the filter stands in \
                 envoy.filters.http.match_delegate, which keeps good answers from it, so that \
                 their headers would not be stripped; let the filter stand there alone, or use \
                 Envoy's response_headers_to_remove"
            ));
        }
    }
    println!("{path}: {} checked, all good", found.len());
    Ok(())
}

/// A configuration of ours in one of Envoy.
struct Embedded {
    text: String,
    /// Whether `match_delegate` is around the filter.
    errors_only: bool,
}

/// The `configuration` of every wasm plugin of ours in a document of Envoy.
fn configurations(document: &Value) -> Vec<Embedded> {
    let mut found = Vec::new();
    collect(document, false, &mut found);
    found
}

fn collect(document: &Value, errors_only: bool, found: &mut Vec<Embedded>) {
    match document {
        Value::Object(fields) => {
            let ours = fields.get("name").and_then(Value::as_str) == Some("oss_origin_auth");
            if let (true, Some(configuration)) = (ours, fields.get("configuration")) {
                let text = match configuration.get("value").unwrap_or(configuration) {
                    Value::String(text) => text.clone(),
                    object => object.to_string(),
                };
                found.push(Embedded { text, errors_only });
            }
            for (name, value) in fields {
                collect(value, errors_only || name == "extension_config", found);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, errors_only, found);
            }
        }
        _ => {}
    }
}

pub const SCHEMA: &str = "docs/configuration.schema.json";

/// Writes the schema.
pub fn write_schema() -> Result {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    std::fs::write(Path::new(&tools::root()).join(SCHEMA), text + "\n")
        .map_err(|error| format!("{SCHEMA}: {error}"))
}
