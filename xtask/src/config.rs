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
    let (texts, kind) = match embedded.is_empty() {
        true => (vec![text], "the configuration"),
        false => (embedded, "a filter's configuration"),
    };
    for text in &texts {
        Config::parse(text.as_bytes(), |_| Some("set".to_owned()))
            .map_err(|error| format!("{path}: {kind} is wrong: {error}"))?;
    }
    println!("{path}: {} checked, all good", texts.len());
    Ok(())
}

/// The `configuration` of every wasm plugin of ours in a document of Envoy.
fn configurations(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match document {
        Value::Object(fields) => {
            let ours = fields.get("name").and_then(Value::as_str) == Some("oss_origin_auth");
            if let (true, Some(configuration)) = (ours, fields.get("configuration")) {
                found.push(match configuration.get("value").unwrap_or(configuration) {
                    Value::String(text) => text.clone(),
                    object => object.to_string(),
                });
            }
            found.extend(fields.values().flat_map(configurations));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(configurations)),
        _ => {}
    }
    found
}

pub const SCHEMA: &str = "docs/configuration.schema.json";

/// Writes the schema.
pub fn write_schema() -> Result {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    std::fs::write(Path::new(&tools::root()).join(SCHEMA), text + "\n")
        .map_err(|error| format!("{SCHEMA}: {error}"))
}
