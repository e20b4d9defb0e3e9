//! Reads the settings of access control.

use std::rc::Rc;

use super::reader::{ConfigError, Object};
use super::source::{Environment, optional_variable, refuse_inline, unknown_name, variable};
use super::{fields, names};
use crate::access::{Access, Keys, List, Referer, TimeFormat, UrlSigning, UrlType, UserAgent};
use crate::credentials::Secret;
use crate::json::Value;

/// The time format of each key that signs URLs: see [`UrlSigning::times_behind_path`].
#[derive(Debug, Default)]
pub struct KeyTimes(Vec<(Secret, TimeFormat)>);

impl KeyTimes {
    /// Collects the formats of a configuration. The error names a key that is used with two
    /// formats.
    pub fn of<'a>(all: impl Iterator<Item = &'a UrlSigning>) -> Result<KeyTimes, ConfigError> {
        let mut known = KeyTimes::default();
        let mut wrong: Option<&str> = None;
        for signing in all {
            let Some(format) = signing.times_behind_path() else {
                continue;
            };
            for key in signing.keys.iter() {
                match known.of_key(key) {
                    Some(other) if other != format => {
                        wrong = wrong.max(Some(&signing.keys.name));
                    }
                    Some(_) => {}
                    None => known.0.push((key.clone(), format)),
                }
            }
        }
        match wrong {
            Some(name) => Err(ConfigError::new(["url_keys.", name].concat(), TWO_FORMATS)),
            None => Ok(known),
        }
    }

    fn of_key(&self, key: &Secret) -> Option<TimeFormat> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, format)| *format)
    }

    /// Whether settings in metadata may use these settings of signed URLs. If the configuration
    /// does not use the key, only decimal times are allowed.
    pub fn allow(&self, signing: &UrlSigning) -> bool {
        let Some(format) = signing.times_behind_path() else {
            return true;
        };
        let mut keys = signing.keys.iter();
        keys.all(|key| format == self.of_key(key).unwrap_or(TimeFormat::Decimal))
    }
}

const TWO_FORMATS: &str = "is used with decimal and with hexadecimal times (types C1, C2 and F), \
     or has the same key as an entry that is; a signed URL could be changed into one of another \
     path; use a separate key for each time format";
/// The error for settings in metadata that use a key with another time format.
pub const KEY_IN_METADATA: &str = "uses a key with another time format than the configuration \
     does; a signed URL could be changed into one of another path; name another entry of \
     `url_keys` (a key that the configuration itself does not use is for decimal times)";

/// The `access` setting of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The setting is missing.
    Absent,
    /// Everybody may read.
    Public,
    /// Requests must pass these checks.
    Checks(Rc<Access>),
}

impl Reading {
    /// The checks, if there are any.
    pub fn checks(self) -> Option<Rc<Access>> {
        match self {
            Reading::Checks(access) => Some(access),
            Reading::Absent | Reading::Public => None,
        }
    }
}

/// Reads the entries under `url_keys`.
pub fn read_keys(top: &Object, environment: Environment) -> Result<Vec<Rc<Keys>>, ConfigError> {
    let Some((path, value)) = top.get("url_keys") else {
        return Ok(Vec::new());
    };
    let named = Object::open(path, value)?;
    let read = |(name, path, value): (&str, String, &Value)| {
        names::check_entry_name(name).map_err(|problem| named.error(name, problem))?;
        refuse_inline(&path, value, "`key_env` or `backup_key_env`")?;
        let object = Object::new(path, value, fields::URL_KEYS)?;
        let backup = optional_variable(&object, "backup_key_env", environment)?;
        Ok(Rc::new(Keys {
            name: name.to_owned(),
            main: Secret::new(variable(&object, "key_env", environment)?),
            backup: backup.map(Secret::new),
        }))
    };
    named.entries().map(read).collect()
}

/// Reads the `access` setting of a route.
pub fn read(route: &Object, keys: &[Rc<Keys>]) -> Result<Reading, ConfigError> {
    let Some(object) = route.object("access", fields::ACCESS)? else {
        return Ok(Reading::Absent);
    };
    let redirect = object.checked_text("redirect", names::check_redirect)?;
    let access = Access {
        url_signing: read_url_signing(&object, keys)?,
        referer: read_referer(&object)?,
        user_agent: read_user_agent(&object)?,
        redirect: redirect.map(str::to_owned),
    };
    let nothing = Access::default();
    let checks =
        access.url_signing.is_some() || access.referer.is_some() || access.user_agent.is_some();
    match object.flag(&fields::PUBLIC)? {
        true if access == nothing => Ok(Reading::Public),
        true => Err(object.error(
            "public",
            "contradicts the other settings of `access`; keep `public` or the others",
        )),
        false if checks => Ok(Reading::Checks(Rc::new(access))),
        false => Err(ConfigError::new(object.path(), NO_CHECK)),
    }
}

const NO_CHECK: &str = "has no check; add `url_signing`, `referer` or `user_agent`, or write \
     {\"public\": true} if everybody may read";

fn read_url_signing(access: &Object, keys: &[Rc<Keys>]) -> Result<Option<UrlSigning>, ConfigError> {
    if let Some((path, value)) = access.get("url_signing") {
        refuse_inline(&path, value, "`key_env` of an entry under `url_keys`")?;
    }
    let Some(object) = access.object("url_signing", fields::URL_SIGNING)? else {
        return Ok(None);
    };
    object.required_text(
        "type",
        "the CDN's type of signing: \"A\", \"B\", \"C1\", \"C2\" or \"F\"",
    )?;
    let kind: UrlType = object.choice("type")?;
    let named = object.text("keys")?;
    if keys.is_empty() {
        return Err(object.error("keys", NO_KEYS));
    }
    let name = named.as_ref().map_or("default", |(_, name)| name);
    let found = keys.iter().find(|keys| keys.name == name);
    let Some(found) = found else {
        let known: Vec<&str> = keys.iter().map(|keys| keys.name.as_str()).collect();
        return Err(object.error("keys", unknown_name("url_keys", &known)));
    };
    let valid = object.integer(&fields::VALID_SECONDS)?;
    let mut signing = UrlSigning::new(kind, found.clone(), valid);
    let own = ["signature_parameter", "time_parameter", "time_format"];
    if kind != UrlType::F {
        let given = own.iter().find(|name| object.get(name).is_some());
        return match given {
            Some(name) => Err(object.error(name, "applies only to type \"F\"; leave it out")),
            None => Ok(Some(signing)),
        };
    }
    let [one, other, _] = own;
    for (name, place) in [
        (one, &mut signing.signature_parameter),
        (other, &mut signing.time_parameter),
    ] {
        if let Some(text) = object.checked_text(name, names::check_url_parameter)? {
            *place = text.to_owned();
        }
    }
    signing.time_format = object.choice::<TimeFormat>("time_format")?;
    match signing.signature_parameter == signing.time_parameter {
        true => Err(object.error(other, "must differ from `signature_parameter`")),
        false => Ok(Some(signing)),
    }
}

const NO_KEYS: &str = "there are no `url_keys`; add them beside `defaults`, for example \
     `url_keys`: {\"default\": {\"key_env\": \"URL_KEY\"}}, where URL_KEY is a variable of \
     Envoy's environment";

fn read_referer(access: &Object) -> Result<Option<Referer>, ConfigError> {
    let Some(object) = access.object("referer", fields::REFERER)? else {
        return Ok(None);
    };
    if object.get(fields::ALLOW_EMPTY.name).is_none() {
        let problem = "missing; say whether a request without a Referer may pass: true or false";
        return Err(object.error(fields::ALLOW_EMPTY.name, problem));
    }
    Ok(Some(Referer {
        list: read_list(&object, names::check_domain)?,
        allow_empty: object.flag(&fields::ALLOW_EMPTY)?,
        ignore_scheme: object.flag(&fields::IGNORE_SCHEME)?,
    }))
}

fn read_user_agent(access: &Object) -> Result<Option<UserAgent>, ConfigError> {
    let object = access.object("user_agent", fields::USER_AGENT)?;
    let list = object.map(|object| read_list(&object, names::check_user_agent));
    Ok(list.transpose()?.map(UserAgent))
}

/// Reads the list `allow` or `deny`, in lower case.
fn read_list(object: &Object, check: names::CheckOf) -> Result<List, ConfigError> {
    let is_given = |name| object.get(name).is_some();
    let name = match (is_given("allow"), is_given("deny")) {
        (true, false) => "allow",
        (false, true) => "deny",
        (true, true) => return Err(object.error("deny", "contradicts `allow`; keep one of them")),
        (false, false) => {
            return Err(object.error("allow", "missing; give a list: `allow` or `deny`"));
        }
    };
    let entries = object.texts(name, check)?;
    if entries.is_empty() {
        return Err(object.error(name, "has no entry"));
    }
    Ok(List {
        allows: name == "allow",
        entries: entries
            .iter()
            .map(|entry| entry.to_ascii_lowercase())
            .collect(),
    })
}
