//! Reads YAML and JSON of any content. The size of the result is limited by the size of the
//! text, and keys are texts.

use std::cell::Cell;
use std::fmt::{self, Formatter};

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::{Map, Number, Value};

/// A document in a text.
#[derive(Debug)]
pub struct Document {
    /// The content of the document.
    pub value: Value,
    /// Whether the document has merge keys (`<<`). They are resolved here.
    pub merges: bool,
}

/// The documents of a text, which is YAML or JSON.
pub fn documents(text: &str) -> Result<Vec<Document>, String> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        let merges = false;
        return Ok(vec![Document { value, merges }]);
    }
    if is_deep(text) {
        return Err("it cannot be read: it is nested too deeply".to_owned());
    }
    // Without anchors there is at most one value for each byte.
    let left = Cell::new(text.len() + MOST_BY_ANCHORS);
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let merges = Cell::new(false);
        let node = Node {
            left: &left,
            merges: &merges,
        };
        let value = node.deserialize(document);
        let value = value.map_err(|error| format!("it cannot be read: {error}"))?;
        documents.push(Document {
            value: value.unwrap_or_default(),
            merges: merges.get(),
        });
    }
    Ok(documents)
}

/// Whether brackets are nested so deeply that a YAML parser would take minutes. Brackets in
/// quoted texts count as well, if they are not closed.
fn is_deep(text: &str) -> bool {
    let mut depth = 0_i64;
    text.bytes().any(|byte| {
        depth += match byte {
            b'[' | b'{' => 1,
            b']' | b'}' => -1,
            _ => 0,
        };
        depth > DEEPEST
    })
}

/// The deepest nesting. The parser cannot read more, and real texts have fewer brackets that
/// are not closed.
const DEEPEST: i64 = 500;

/// The most values that repeated anchors may create.
const MOST_BY_ANCHORS: usize = 1_000_000;

/// Reads a value; `None` for a node with the tag `!ignore`, which Envoy ignores.
#[derive(Clone, Copy)]
struct Node<'a> {
    left: &'a Cell<usize>,
    merges: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("its anchors make it too large"))?;
        self.left.set(left);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Self::Value, E> {
        Ok(Some(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Self::Value, E> {
        Ok(Some(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        Ok(Some(number.unwrap_or_else(|| value.to_string().into())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.extend(item);
        }
        Ok(Some(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            match (key, entries.next_value_seed(self)?) {
                (Some(key), Some(value)) if key == "<<" => merged.push(value),
                (Some(key), Some(value)) => {
                    fields.insert(key, value);
                }
                _ => {}
            }
        }
        for value in merged {
            self.merges.set(true);
            let several = match value {
                Value::Array(several) => several,
                one => vec![one],
            };
            for (key, value) in several.into_iter().filter_map(into_fields).flatten() {
                fields.entry(key).or_insert(value);
            }
        }
        Ok(Some(Value::Object(fields)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Self::Value, A::Error> {
        let (tag, content) = tagged.variant_seed(Key)?;
        let value = content.newtype_variant_seed(self)?;
        Ok(value.filter(|_| !is_ignored(tag.as_deref())))
    }
}

/// Whether Envoy ignores a value with this tag.
fn is_ignored(tag: Option<&str>) -> bool {
    tag.is_some_and(|tag| tag.trim_start_matches('!') == "ignore")
}

fn into_fields(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Reads a key or a tag; `None` for a key with the tag `!ignore`.
#[derive(Clone, Copy)]
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Option<String>;

    fn expecting(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str("a key that is a text")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some("null".to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Self::Value, A::Error> {
        let (tag, content) = tagged.variant_seed(Key)?;
        let key = content.newtype_variant_seed(Key)?;
        Ok(key.filter(|_| !is_ignored(tag.as_deref())))
    }
}
