//! Messages of protobuf as JSON and YAML spell them: it knows `xds_matcher` and
//! `xdsMatcher`, and a message of a known type as well as a `TypedStruct`.

use serde::Deserialize;
use serde_json::Value;

/// The documents of a text, which is YAML or JSON.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let documents: Result<_, _> = documents.collect();
    documents.map_err(|error| format!("it cannot be read: {error}"))
}

/// A field of a message by its name in snake case. `null` is none.
pub fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = message.as_object()?.iter();
    let found = fields.find(|(key, value)| is(key, name) && !value.is_null());
    found.map(|(_, value)| value)
}

/// A field that holds a text.
pub fn text<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    field(message, name).and_then(Value::as_str)
}

/// The elements of a field that is a list.
pub fn list<'a>(message: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let items = field(message, name).and_then(Value::as_array);
    items.into_iter().flatten()
}

/// Whether a field is set to true. Envoy takes a text for a boolean.
pub fn is_true(message: &Value, name: &str) -> bool {
    field(message, name).is_some_and(|value| match value {
        Value::Bool(set) => *set,
        other => other.as_str() == Some("true"),
    })
}

/// Whether a key of JSON is a field's name, in snake or lower camel case.
pub fn is(key: &str, name: &str) -> bool {
    let mut snake = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake == name
}

/// The type of a message in an `Any`.
pub fn kind(any: &Value) -> &str {
    let url = any.get("@type").and_then(Value::as_str).unwrap_or_default();
    let kind = url.rsplit('/').next().unwrap_or_default();
    match kind {
        "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct" => {
            let url = text(any, "type_url");
            url.and_then(|url| url.rsplit('/').next()).unwrap_or(kind)
        }
        _ => kind,
    }
}
