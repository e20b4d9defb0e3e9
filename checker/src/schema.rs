//! The configuration of the filter as a JSON Schema (draft 2020-12), for editors and
//! control planes.

use oss_origin_auth_core::config::fields::{self, Field, Kind};
use serde_json::{Map, Value, json};

/// The schema.
pub fn schema() -> Value {
    let mut schema = object(fields::TOP);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("oss-origin-auth, configuration of the filter");
    // A configuration that signs nothing checks who may read.
    schema["anyOf"] = json!([{"required": ["credentials"]}, {"required": ["url_keys"]},
        {"properties": {"defaults": {"required": ["access"]}}, "required": ["defaults"]},
        {"required": ["routes"]}, {"required": [fields::RULES]}]);
    schema["not"] = json!({"required": ["routes", fields::RULES]});
    schema["$defs"] = json!({"route": object(fields::ROUTE)});
    describe_access(&mut schema["$defs"]["route"]["properties"]["access"]);
    schema["$defs"]["rule"] = rule(&schema["$defs"]["route"]);
    let route = json!({"$ref": "#/$defs/route"});
    schema["properties"]["defaults"] = route.clone();
    schema["properties"]["routes"]["additionalProperties"] = route;
    schema["properties"]["credentials"]["minProperties"] = json!(1);
    let source = &mut schema["properties"]["credentials"]["additionalProperties"];
    source["minProperties"] = json!(1);
    source["maxProperties"] = json!(1);
    schema
}

/// The schema of a rule: the settings of a route, and the requests that it holds for.
fn rule(route: &Value) -> Value {
    let mut rule = route.clone();
    for field in fields::RULE {
        rule["properties"][field.name] =
            json!({"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1});
    }
    let names = fields::RULE.iter().map(|field| field.name);
    let alone = names.clone().map(|name| {
        let others = names.clone().filter(|other| *other != name);
        let others: Vec<Value> = others.map(|other| json!({"required": [other]})).collect();
        json!({"required": [name], "not": {"anyOf": others}})
    });
    let mut ways: Vec<Value> = alone.collect();
    ways.push(json!({
        "required": [fields::MATCH_ROUTE, fields::MATCH_SERVICE],
        "not": {"anyOf": [{"required": [fields::MATCH_ROUTE_PREFIX]},
                          {"required": [fields::MATCH_DOMAIN]}]},
    }));
    rule["anyOf"] = ways.into();
    rule
}

/// Describes what the fields alone cannot: either everybody may read, or there is a check; and
/// a list names who may read, or who may not.
fn describe_access(access: &mut Value) {
    let has = |name: &str| json!({"required": [name]});
    access["if"] = json!({"properties": {"public": {"const": true}}, "required": ["public"]});
    access["then"] = json!({"maxProperties": 1});
    access["else"] = json!({"anyOf": [has("url_signing"), has("referer"), has("user_agent")]});
    for check in ["referer", "user_agent"] {
        let check = &mut access["properties"][check];
        check["oneOf"] = json!([has("allow"), has("deny")]);
        for list in ["allow", "deny"] {
            check["properties"][list] =
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
        }
    }
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), value(&field.kind)))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| is_required(&field.kind))
        .map(|field| field.name)
        .collect();
    let mut object = json!({"type": "object", "additionalProperties": false,
                            "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn is_required(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::RequiredText | Kind::RequiredChoice(_) | Kind::RequiredFlag
    )
}

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::RequiredText => json!({"type": "string", "minLength": 1}),
        Kind::Choice(of) => json!({"enum": of, "default": of.first()}),
        Kind::RequiredChoice(of) => json!({"enum": of}),
        Kind::RequiredFlag => json!({"type": "boolean"}),
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
        Kind::Rules(_) => json!({"type": "array", "items": {"$ref": "#/$defs/rule"}}),
        Kind::Named(fields) => {
            json!({"type": "object", "additionalProperties": object(fields)})
        }
    }
}
