//! Messages of protobuf in JSON and YAML. Both `xds_matcher` and `xdsMatcher` are read, and
//! both a message of a known type and a `TypedStruct`.

use std::slice;

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::Value;

/// The field of a message with this name in snake case; `null` counts as no field.
pub fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = message.as_object()?.iter();
    let found = fields.find(|(key, value)| is(key, name) && !value.is_null());
    found.map(|(_, value)| value)
}

/// The text in a field.
pub fn text<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    field(message, name).and_then(Value::as_str)
}

/// The elements of a list in a field. Envoy accepts a single element in place of a list.
pub fn list<'a>(
    message: &'a Value,
    name: &str,
) -> impl Iterator<Item = &'a Value> + Clone + use<'a> {
    let items = match field(message, name) {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => slice::from_ref(one),
    };
    items.iter()
}

/// The number in a field, which may also be written as a text.
pub fn number(message: &Value, name: &str) -> Option<f64> {
    let value = field(message, name)?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a field is true. Envoy also accepts a text for a boolean.
pub fn is_true(message: &Value, name: &str) -> bool {
    field(message, name).is_some_and(|value| match value {
        Value::Bool(set) => *set,
        other => other.as_str() == Some("true"),
    })
}

/// Whether a key of JSON is a field's name, in snake or lower camel case.
pub fn is(key: &str, name: &str) -> bool {
    let mut name = name.bytes();
    let is_next = |letter: u8| {
        let is_capital = letter.is_ascii_uppercase();
        (!is_capital || name.next() == Some(b'_'))
            && name.next() == Some(letter.to_ascii_lowercase())
    };
    key.bytes().all(is_next) && name.next().is_none()
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

/// The text that Envoy takes out of a message.
pub fn unwrapped(configuration: &Value) -> Option<Result<String, String>> {
    let text = configuration.get("value").and_then(Value::as_str)?;
    match kind(configuration) {
        "google.protobuf.StringValue" => Some(Ok(text.to_owned())),
        // Protobuf accepts both base64 alphabets, with padding and without.
        "google.protobuf.BytesValue" => {
            let text = text.trim_end_matches('=').replace('-', "+");
            let bytes = BASE64_STANDARD_NO_PAD.decode(text.replace('_', "/")).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(text.ok_or_else(|| "its BytesValue is no text in Base64".to_owned()))
        }
        _ => None,
    }
}
