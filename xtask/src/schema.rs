//! The JSON Schema of the filter's configuration.

use std::path::Path;

use oss_origin_auth_checker::schema::schema;
use testkit::tools;

use crate::command::Result;

/// The file of the schema.
pub const SCHEMA: &str = "docs/configuration.schema.json";

/// Writes the schema.
pub fn write() -> Result {
    let text = serde_json::to_string_pretty(&schema()).map_err(|error| error.to_string())?;
    std::fs::write(Path::new(&tools::root()).join(SCHEMA), text + "\n")
        .map_err(|error| format!("{SCHEMA}: {error}"))
}
