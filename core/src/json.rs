//! A small JSON parser: no floats, and no object that has a field twice. (`serde_json`'s own
//! value type would add the formatting of floats and the errors of every type, some 30 KB of
//! the module.)

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The value `null`.
    Null,
    /// The value `true` or `false`.
    Bool(bool),
    /// A number; `None` if it is not an integer from 0 to 2^53.
    Number(Option<u64>),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object that has no field twice.
    Object(Object),
}

/// The fields of an object.
pub type Object = BTreeMap<String, Value>;

/// The reason why a text is not a valid document.
#[derive(Debug)]
pub struct ParseError {
    error: serde_json::Error,
    /// The field that was given twice, if that is the reason.
    twice: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Some(name) = &self.twice else {
            return self.error.fmt(f);
        };
        // The error is reported at the colon after the field.
        let (line, column) = (self.error.line(), self.error.column().saturating_sub(1));
        write!(f, "`{name}` is given twice at line {line} column {column}")
    }
}

/// Parses a document. An object that has a field twice is an error: `serde_json` keeps the
/// last, so the second of two routes of the same name would silently win.
pub fn parse(text: &[u8]) -> Result<Value, ParseError> {
    let twice = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Reader { twice: &twice }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| ParseError {
            error,
            twice: twice.take(),
        })
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    twice: &'a Cell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number((value <= MAX_WHOLE).then_some(value)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number(None))
    }

    /// Accepts `5.0` as an integer: Envoy converts the numbers of a `Struct` to floats.
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        let whole = value.fract() == 0.0 && (0.0..=MAX_WHOLE as f64).contains(&value);
        Ok(Value::Number(whole.then_some(value as u64)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Object::new();
        while let Some(name) = entries.next_key::<String>()? {
            if fields.contains_key(&name) {
                // An error of serde's would link the code that parses a line and column from a
                // text. Instead, the rest of the object makes serde_json stop here with an
                // error of its own.
                self.twice.set(Some(name));
                break;
            }
            fields.insert(name, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(fields))
    }
}

const MAX_WHOLE: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Value {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_of_every_type() {
        let object = Object::from([
            (
                "a".to_owned(),
                Value::List(vec![Value::Null, Value::Bool(true)]),
            ),
            ("b".to_owned(), Value::Text("\"é\n".to_owned())),
        ]);
        assert_eq!(
            parsed(r#"{"b": "\"\u00e9\n", "a": [null, true]}"#),
            Value::Object(object)
        );
    }

    #[test]
    fn numbers_are_whole_or_not() {
        for (text, want) in [
            ("0", Some(0)),
            ("5.0", Some(5)),
            ("5e2", Some(500)),
            ("-0.0", Some(0)),
            ("9007199254740992", Some(1 << 53)),
            ("9007199254740993", None),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            ("1e300", None),
        ] {
            assert_eq!(parsed(text), Value::Number(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_document_is_an_error_that_says_where() {
        for (text, want) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{} x", "trailing characters at line 1 column 4"),
            (
                "{\"a\": 1,\n \"a\": 2}",
                "`a` is given twice at line 2 column 4",
            ),
            (
                "[1, {\"b\": [{\"a\": 1, \"a\": 2}]}]",
                "`a` is given twice at line 1 column 23",
            ),
            ("{1: 2}", "key must be a string at line 1 column 2"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), want);
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
