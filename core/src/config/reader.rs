//! A reader of JSON objects that knows the path of each field, for error messages such as
//! `routes.media.bucket: must be a string, not a number`.

use std::fmt;

use super::fields::{Field, Kind};
use super::names::CheckOf as Check;
use crate::json::{self, Value};
use crate::signing::Header;
use crate::words::Word;

/// An error in a configuration: what is wrong and how to fix it, for an operator. It contains
/// names of fields, never their values, because a value may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field, such as `routes.media.bucket`; empty for the document itself.
    pub field: String,
    /// The problem and the fix.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.problem),
            field => write!(f, "{field}: {}", self.problem),
        }
    }
}

impl ConfigError {
    /// An error in a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Parses a document. A field that is given twice is an error.
pub fn parse(text: &[u8]) -> Result<Value, ConfigError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        let problem = "the configuration is empty; it must be a JSON object";
        return Err(ConfigError::new("", problem));
    }
    json::parse(text).map_err(|error| {
        let problem = format!("the configuration is not JSON: {error}");
        ConfigError::new("", problem)
    })
}

/// An object that is read field by field. A missing field is looked up in `defaults`, so that a
/// route's settings override the defaults.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    path: String,
    fields: &'a json::Object,
    defaults: Option<Box<Object<'a>>>,
}

impl<'a> Object<'a> {
    /// Opens `value` as an object that may have only the `known` fields.
    pub fn new(
        path: impl Into<String>,
        value: &'a Value,
        known: &'static [Field],
    ) -> Result<Object<'a>, ConfigError> {
        Object::with_more(path, value, known, &[])
    }

    /// Opens `value` as an object that may have only the `known` fields and those in `more`.
    pub fn with_more(
        path: impl Into<String>,
        value: &'a Value,
        known: &'static [Field],
        more: &'static [Field],
    ) -> Result<Object<'a>, ConfigError> {
        let object = Object::open(path, value)?;
        for name in object.fields.keys() {
            let is = |field: &Field| field.name == name;
            if !known.iter().any(is) && !more.iter().any(is) {
                return Err(object.error(name, unknown(name, known)));
            }
        }
        Ok(object)
    }

    /// Opens `value` as an object whose keys are names that the user chose.
    pub fn open(path: impl Into<String>, value: &'a Value) -> Result<Object<'a>, ConfigError> {
        let path = path.into();
        match value {
            Value::Object(fields) => Ok(Object {
                path,
                fields,
                defaults: None,
            }),
            other => Err(ConfigError::new(path, wrong_type("an object", other))),
        }
    }

    /// Adds `defaults`, which supply the fields that this object lacks.
    pub fn over(self, defaults: &Object<'a>) -> Object<'a> {
        Object {
            defaults: Some(Box::new(defaults.clone())),
            ..self
        }
    }

    /// The path of the object.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The names of the object's fields.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.keys().map(String::as_str)
    }

    /// The names, paths and values of the object's fields.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, String, &'a Value)> {
        let entries = self.fields.iter();
        entries.map(|(name, value)| (name.as_str(), self.path_of(name), value))
    }

    /// The path of a field that is not one of `names`, here or in the defaults.
    pub fn besides(&self, names: &[&str]) -> Option<String> {
        let own = self.names().find(|name| !names.contains(name));
        let own = own.map(|name| self.path_of(name));
        own.or_else(|| self.defaults.as_ref()?.besides(names))
    }

    /// Opens a field as an object that may have only the `known` fields.
    pub fn object(
        &self,
        name: &str,
        known: &'static [Field],
    ) -> Result<Option<Object<'a>>, ConfigError> {
        let found = self.get(name);
        let object = found.map(|(path, value)| Object::new(path, value, known));
        object.transpose()
    }

    /// The value of a field and its path, which an error message needs.
    pub fn get(&self, name: &str) -> Option<(String, &'a Value)> {
        match self.fields.get(name) {
            Some(value) => Some((self.path_of(name), value)),
            None => self.defaults.as_ref()?.get(name),
        }
    }

    /// A string and its path.
    pub fn text(&self, name: &str) -> Result<Option<(String, &'a str)>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some((path, Value::Text(text))) => Ok(Some((path, text))),
            Some((path, other)) => Err(ConfigError::new(path, wrong_type("a string", other))),
        }
    }

    /// A required string and its path.
    pub fn required_text(&self, name: &str, why: &str) -> Result<(String, &'a str), ConfigError> {
        let missing = || self.error(name, format!("missing; {why}"));
        self.text(name)?.ok_or_else(missing)
    }

    /// A string that passes `check`.
    pub fn checked_text(&self, name: &str, check: Check) -> Result<Option<&'a str>, ConfigError> {
        let Some((path, text)) = self.text(name)? else {
            return Ok(None);
        };
        match check(text) {
            Ok(()) => Ok(Some(text)),
            Err(problem) => Err(ConfigError::new(path, problem)),
        }
    }

    /// A member of a closed set; the default is the first.
    pub fn choice<T: Word>(&self, name: &str) -> Result<T, ConfigError> {
        let place = self.word(name, T::WORDS)?;
        Ok(T::ALL.get(place).copied().unwrap_or_default())
    }

    /// The index of a string in a list; the default is the first. All choices share this code,
    /// so that each of them adds little to the size of the module.
    fn word(&self, name: &str, of: &[&str]) -> Result<usize, ConfigError> {
        let Some((path, text)) = self.text(name)? else {
            return Ok(0);
        };
        let place = of.iter().position(|word| *word == text);
        place.ok_or_else(|| ConfigError::new(path, must_be_one_of(of)))
    }

    /// A boolean.
    pub fn flag(&self, field: &Field) -> Result<bool, ConfigError> {
        match self.get(field.name) {
            None => Ok(matches!(field.kind, Kind::Flag(true))),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((path, other)) => Err(ConfigError::new(path, wrong_type("true or false", other))),
        }
    }

    /// A list of strings that pass `check`; empty by default.
    pub fn texts(&self, name: &str, check: Check) -> Result<Vec<String>, ConfigError> {
        self.list(name, |text| match check(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(problem) => Err(problem.to_owned()),
        })
        .map(Option::unwrap_or_default)
    }

    /// An object of headers whose names and values pass the checks; empty by default.
    pub fn headers(
        &self,
        name: &str,
        check_name: Check,
        check_value: Check,
    ) -> Result<Vec<Header>, ConfigError> {
        let Some((path, value)) = self.get(name) else {
            return Ok(Vec::new());
        };
        let object = Object::open(path, value)?;
        let read = |name: &str| {
            check_name(name).map_err(|problem| object.error(name, problem))?;
            let value = object.checked_text(name, check_value)?;
            Ok((name.to_owned(), value.unwrap_or_default().into()))
        };
        object.names().map(read).collect()
    }

    /// A list of members of a closed set, if the field is given.
    pub fn choices<T: Word>(&self, name: &str) -> Result<Option<Vec<T>>, ConfigError> {
        self.list(name, |text| {
            T::of(text).ok_or_else(|| must_be_one_of(T::WORDS))
        })
    }

    /// An integer that is given or has a default.
    pub fn integer(&self, field: &Field) -> Result<u64, ConfigError> {
        let found = self.optional_integer(field)?;
        found.ok_or_else(|| self.error(field.name, "missing; it must be a whole number"))
    }

    /// An integer, if it is given or has a default.
    pub fn optional_integer(&self, field: &Field) -> Result<Option<u64>, ConfigError> {
        let Kind::Integer {
            least,
            most,
            default,
        } = field.kind
        else {
            return Ok(None);
        };
        match self.get(field.name) {
            None => Ok(default),
            Some((_, Value::Number(Some(n)))) if (least..=most).contains(n) => Ok(Some(*n)),
            Some((path, Value::Number(_))) => {
                let problem = format!("must be a whole number from {least} to {most}");
                Err(ConfigError::new(path, problem))
            }
            Some((path, other)) => Err(ConfigError::new(path, wrong_type("a whole number", other))),
        }
    }

    /// An error in one of the object's fields.
    pub fn error(&self, name: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path_of(name), problem)
    }

    /// The path of one of the object's fields.
    pub fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// A list of strings, each converted by `read`; `None` if the field is not given.
    fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some((path, value)) = self.get(name) else {
            return Ok(None);
        };
        let Value::List(items) = value else {
            return Err(ConfigError::new(
                path,
                wrong_type("a list of strings", value),
            ));
        };
        let read = |(position, item): (usize, &Value)| {
            let read = match item {
                Value::Text(text) => read(text),
                other => Err(wrong_type("a string", other)),
            };
            read.map_err(|problem| ConfigError::new(format!("{path}[{position}]"), problem))
        };
        items
            .iter()
            .enumerate()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn must_be_one_of(of: &[&str]) -> String {
    match of {
        [one, other] => format!("must be \"{one}\" or \"{other}\""),
        of => format!("must be one of \"{}\"", of.join("\", \"")),
    }
}

/// The error message for a value of the wrong type.
pub fn wrong_type(wanted: &str, got: &Value) -> String {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Text(_) => "a string",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("must be {wanted}, not {got}")
}

fn unknown(name: &str, known: &[Field]) -> String {
    let known: Vec<&str> = known.iter().map(|field| field.name).collect();
    let near = known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), candidate));
    let near = near.filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len());
    match near.min() {
        Some((_, candidate)) => format!("unknown field; did you mean `{candidate}`?"),
        None => format!("unknown field; known are `{}`", known.join("`, `")),
    }
}

/// The Levenshtein distance of two texts in bytes. ASCII letters are compared without case.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let (mut left, mut diagonal) = (i + 1, i);
        row.iter_mut().take(1).for_each(|first| *first = left);
        for (y, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            left = replaced.min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, left);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn the_field_that_was_meant_is_named() {
        for (name, table, meant) in [
            ("waitTimeoutMs", fields::TOP, "wait_timeout_ms"),
            ("access-log-fields", fields::ROUTE, "access_log_fields"),
            (
                "stripResponseHeaders",
                fields::ROUTE,
                "strip_response_headers",
            ),
            ("pathEncodings", fields::ROUTE, "path_encoding"),
            ("bukket", fields::ROUTE, "bucket"),
        ] {
            let problem = unknown(name, table);
            assert!(
                problem.contains(&format!("did you mean `{meant}`")),
                "{name}: {problem}"
            );
        }
        for far in ["", "x", "endless", "dash"] {
            assert!(unknown(far, fields::ROUTE).contains("known are"), "{far}");
        }
    }

    /// The expected values were derived by hand from the definition.
    #[test]
    fn a_distance_is_the_least_number_of_edits() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("Flaw", "lawn", 2),
            ("ABC", "abc", 0),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }
}
