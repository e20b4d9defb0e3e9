//! A reader of JSON objects that says where they are wrong: it knows its path,
//! for messages such as `routes.media.bucket: must be a string, not a number`.

use std::fmt;

use super::fields::{Field, Kind};
use crate::json::{self, Value};

/// What is wrong with a configuration, and what to do: shown to an operator.
/// Holds names of fields, never their values, since one may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `routes.media.bucket`; empty for the document itself.
    pub field: String,
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
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Parses a document, refusing a field that is given twice.
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

/// An object, read field by field. A field that it lacks is looked up in
/// `defaults`, so that a route's settings lie over the defaults.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    path: String,
    fields: &'a json::Object,
    known: &'static [Field],
    defaults: Option<Box<Object<'a>>>,
}

type Check = fn(&str) -> Result<(), &'static str>;

impl<'a> Object<'a> {
    /// Takes `value` as an object with no fields but `known`.
    pub fn new(
        path: impl Into<String>,
        value: &'a Value,
        known: &'static [Field],
    ) -> Result<Object<'a>, ConfigError> {
        let object = Object::open(path, value)?;
        for name in object.fields.keys() {
            if !known.iter().any(|field| field.name == name) {
                return Err(object.error(name, unknown(name, known)));
            }
        }
        Ok(Object { known, ..object })
    }

    /// Takes `value` as an object whose keys are names that the user chose.
    pub fn open(path: impl Into<String>, value: &'a Value) -> Result<Object<'a>, ConfigError> {
        let path = path.into();
        match value {
            Value::Object(fields) => Ok(Object {
                path,
                fields,
                known: &[],
                defaults: None,
            }),
            other => Err(ConfigError::new(path, wrong_type("an object", other))),
        }
    }

    pub fn over(self, defaults: &Object<'a>) -> Object<'a> {
        Object {
            defaults: Some(Box::new(defaults.clone())),
            ..self
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.fields.keys().map(String::as_str)
    }

    /// The value of a field and its path, for the message if it is wrong.
    pub fn get(&self, name: &str) -> Option<(String, &'a Value)> {
        match self.fields.get(name) {
            Some(value) => Some((self.path_of(name), value)),
            None => self.defaults.as_ref()?.get(name),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<(String, &'a str)>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some((path, Value::Text(text))) => Ok(Some((path, text))),
            Some((path, other)) => Err(ConfigError::new(path, wrong_type("a string", other))),
        }
    }

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

    /// One of the strings that the field may be; the first by default.
    pub fn choice(&self, name: &str) -> Result<&'static str, ConfigError> {
        let Some(Kind::Choice(of)) = self.kind(name) else {
            return Ok("");
        };
        match self.text(name)? {
            None => Ok(of.first().copied().unwrap_or_default()),
            Some((path, text)) => match of.iter().find(|known| **known == text) {
                Some(known) => Ok(known),
                None => Err(ConfigError::new(path, must_be_one_of(of))),
            },
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        let default = matches!(self.kind(name), Some(Kind::Flag(true)));
        match self.get(name) {
            None => Ok(default),
            Some((_, Value::Bool(flag))) => Ok(*flag),
            Some((path, other)) => Err(ConfigError::new(path, wrong_type("true or false", other))),
        }
    }

    /// A list of strings that pass `check`.
    pub fn texts(&self, name: &str, check: Check) -> Result<Vec<String>, ConfigError> {
        self.list(name, |text| check(text).map_err(str::to_owned))
    }

    /// A list of some of the strings that the field may hold.
    pub fn choices(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let of = match self.kind(name) {
            Some(Kind::Choices { of, .. }) => of,
            _ => &[][..],
        };
        self.list(name, |text| match of.contains(&text) {
            true => Ok(()),
            false => Err(must_be_one_of(of)),
        })
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Result<Option<u64>, ConfigError> {
        let Some(Kind::Integer {
            least,
            most,
            default,
        }) = self.kind(name)
        else {
            return Ok(None);
        };
        let Some((path, value)) = self.get(name) else {
            return Ok(*default);
        };
        let Value::Number(number) = value else {
            return Err(ConfigError::new(path, wrong_type("a whole number", value)));
        };
        match number.filter(|number| (least..=most).contains(&number)) {
            None => {
                let problem = format!("must be a whole number from {least} to {most}");
                Err(ConfigError::new(path, problem))
            }
            number => Ok(number),
        }
    }

    pub fn error(&self, name: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path_of(name), problem)
    }

    pub fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    fn kind(&self, name: &str) -> Option<&'static Kind> {
        let field = self.known.iter().find(|field| field.name == name);
        field.map(|field| &field.kind)
    }

    fn list(
        &self,
        name: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<Vec<String>, ConfigError> {
        let Some((path, value)) = self.get(name) else {
            let default = match self.kind(name) {
                Some(Kind::Texts(default) | Kind::Choices { default, .. }) => default,
                _ => &[][..],
            };
            return Ok(default.iter().map(|text| (*text).to_owned()).collect());
        };
        let Value::List(items) = value else {
            return Err(ConfigError::new(
                path,
                wrong_type("a list of strings", value),
            ));
        };
        let mut texts = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            let problem = match item {
                Value::Text(text) => match check(text) {
                    Ok(()) => {
                        texts.push(text.clone());
                        continue;
                    }
                    Err(problem) => problem,
                },
                other => wrong_type("a string", other),
            };
            return Err(ConfigError::new(format!("{path}[{position}]"), problem));
        }
        Ok(texts)
    }
}

fn must_be_one_of(of: &[&str]) -> String {
    match of {
        [one, other] => format!("must be \"{one}\" or \"{other}\""),
        of => format!("must be one of \"{}\"", of.join("\", \"")),
    }
}

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
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min();
    match near {
        Some((_, candidate)) => format!("unknown field; did you mean `{candidate}`?"),
        None => format!("unknown field; known are `{}`", known.join("`, `")),
    }
}

/// Levenshtein distance of the bytes, with ASCII letters compared without
/// their case.
fn edit_distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, pair) in b.iter().zip(row.windows(2)) {
            if let [diagonal, above] = pair {
                left = (left + 1)
                    .min(above + 1)
                    .min(diagonal + usize::from(!x.eq_ignore_ascii_case(y)));
                next.push(left);
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
