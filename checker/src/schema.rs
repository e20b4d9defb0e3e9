//! The configuration of the filter as a JSON Schema (draft 2020-12), for editors and
//! control planes.

use oss_origin_auth_core::config::fields::{self, Field, Kind};
use serde_json::{Map, Value, json};

/// The schema.
pub fn schema() -> Value {
    let mut schema = object(fields::TOP);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("oss-origin-auth, configuration of the filter");
    schema["required"] = json!(["credentials"]);
    schema["$defs"] = json!({"route": object(fields::ROUTE)});
    let route = json!({"$ref": "#/$defs/route"});
    schema["properties"]["defaults"] = route.clone();
    schema["properties"]["routes"]["additionalProperties"] = route;
    schema["properties"]["credentials"]["minProperties"] = json!(1);
    let source = &mut schema["properties"]["credentials"]["additionalProperties"];
    source["minProperties"] = json!(1);
    source["maxProperties"] = json!(1);
    schema
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), value(&field.kind)))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| matches!(field.kind, Kind::RequiredText))
        .map(|field| field.name)
        .collect();
    let mut object = json!({"type": "object", "additionalProperties": false,
                            "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::RequiredText => json!({"type": "string", "minLength": 1}),
        Kind::Choice(of) => json!({"enum": of, "default": of.first()}),
        Kind::Flag(default) => json!({"type": "boolean", "default": default}),
        Kind::Integer {
            least,
            most,
            default,
        } => {
            let mut integer = json!({"type": "integer", "minimum": least, "maximum": most});
            if let Some(default) = default {
                integer["default"] = json!(default);
            }
            integer
        }
        Kind::Headers => {
            json!({"type": "object", "propertyNames": {"pattern": "^x-oss-[a-z0-9-]+$"},
                   "additionalProperties": {"type": "string", "minLength": 1}, "default": {}})
        }
        Kind::Texts(default) => {
            json!({"type": "array", "items": {"type": "string"}, "default": default})
        }
        Kind::Choices { of, default } => {
            json!({"type": "array", "items": {"enum": of}, "default": default})
        }
        Kind::Object(fields) => object(fields),
        Kind::Named(fields) => {
            json!({"type": "object", "additionalProperties": object(fields)})
        }
    }
}
