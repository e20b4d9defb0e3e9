//! The settings of a route.

use std::rc::Rc;

use super::choices::{
    Addressing, DotSegments, Errors, Method, PathEncoding, PresignedUrls, SignatureVersion,
    UnknownParameters,
};
use super::fields;
use super::names;
use super::reader::{ConfigError, Object};
use crate::fetch::account::AccountId;
use crate::json::Value;
use crate::signing::Scheme;
use crate::words::Word;

/// How the requests of a route are signed, and which of them may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where its settings stand, for the log: `routes.media`.
    pub name: String,
    /// Whose objects are served.
    pub bucket: String,
    /// The signature version, and what it takes.
    pub scheme: Scheme,
    /// Whose credentials sign.
    pub account: AccountId,
    /// What may leave.
    pub methods: Vec<Method>,
    /// Sub-resources of OSS, `list` and `bucket`.
    pub operations: Vec<String>,
    /// Parameters that leave as they are.
    pub forward_parameters: Patterns,
    /// What becomes of parameters that mean nothing to OSS.
    pub unknown_parameters: UnknownParameters,
    /// What becomes of a client's signed URL.
    pub presigned_urls: PresignedUrls,
    /// Those `x-oss-*` that a client may send.
    pub forward_headers: Patterns,
    /// What the decoded path must begin with, and is taken off; with a slash
    /// at both ends. `/` if there is none.
    pub strip_prefix: String,
    /// What every key begins with.
    pub key_prefix: String,
    /// What a directory stands for.
    pub index_document: Option<String>,
    /// What becomes of `.` and `..`.
    pub dot_segments: DotSegments,
    /// Which spellings of a path are let in.
    pub path_encoding: PathEncoding,
    /// The `Host` to set.
    pub host: Option<String>,
    /// Where the bucket stands.
    pub addressing: Addressing,
    /// What a client sees of an error.
    pub errors: Errors,
    /// Whether a client is told the cause of an error.
    pub cause_header: bool,
    /// The name of the credentials, where the access log shall have it, and the
    /// cause of an error.
    pub log_credentials: Option<Rc<str>>,
    /// Headers of answers that a client does not see.
    pub strip_response_headers: Patterns,
}

/// What becomes of the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// They leave with a signature, as these settings say.
    Sign(Rc<Route>),
    /// They leave as they are: `enabled` is false.
    PassUnsigned,
    /// Each is refused: `deny` is true.
    Deny,
}

/// What was read of a route's settings, none of which is wrong.
#[derive(Clone, Debug)]
pub enum Reading {
    /// They say what becomes of a request.
    Complete(Treatment),
    /// A setting is missing, which other settings may have.
    Incomplete(ConfigError),
}

/// Names, of which a `*` at the end stands for any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name is one of them.
    pub fn allow(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => name == pattern.as_bytes(),
            })
    }
}

impl Route {
    /// A route with the defaults of all settings.
    pub fn new(bucket: &str, scheme: Scheme, account: AccountId) -> Route {
        Route {
            name: "defaults".into(),
            bucket: bucket.into(),
            scheme,
            account,
            methods: Method::DEFAULT.into(),
            operations: Vec::new(),
            forward_parameters: Patterns::default(),
            unknown_parameters: UnknownParameters::FIRST,
            presigned_urls: PresignedUrls::FIRST,
            forward_headers: Patterns::default(),
            strip_prefix: "/".into(),
            key_prefix: String::new(),
            index_document: None,
            dot_segments: DotSegments::FIRST,
            path_encoding: PathEncoding::FIRST,
            host: None,
            addressing: Addressing::FIRST,
            errors: Errors::FIRST,
            cause_header: false,
            log_credentials: None,
            strip_response_headers: Patterns::default(),
        }
    }

    /// Whether a path that has been mapped to a key would be mapped to another
    /// if it came again.
    pub fn maps_paths(&self) -> bool {
        let in_path = self.addressing == Addressing::PathStyle;
        self.strip_prefix != "/" || !self.key_prefix.is_empty() || in_path
    }
}

/// Reads the settings of a route. `sources` are the names under `credentials`. The
/// error is of a setting that is wrong, whatever others there are.
pub fn read(object: &Object, sources: &[&str]) -> Result<Reading, ConfigError> {
    let required = Required::read(object, sources)?;
    let route = read_optional(object)?;
    let host = read_host(object, required.bucket)?;
    let in_log = object.flag(&fields::ACCESS_LOG_FIELDS)?;
    let passes = match (object.flag(&fields::ENABLED)?, object.flag(&fields::DENY)?) {
        (true, false) => None,
        (true, true) => Some(Treatment::Deny),
        (false, false) => Some(Treatment::PassUnsigned),
        (false, true) => {
            let problem = "contradicts `enabled`: false; keep one: `deny` refuses every \
                           request, `enabled`: false lets every request pass unsigned";
            return Err(object.error(fields::DENY.name, problem));
        }
    };
    if let Some(treatment) = passes {
        return Ok(Reading::Complete(treatment));
    }
    Ok(match required.complete(object) {
        Err(missing) => Reading::Incomplete(missing),
        Ok((bucket, scheme, account)) => {
            let log_name = sources.get(account.0).filter(|_| in_log);
            Reading::Complete(Treatment::Sign(Rc::new(Route {
                name: object.path().to_owned(),
                host,
                log_credentials: log_name.map(|name| Rc::from(*name)),
                ..route(Route::new(bucket, scheme, account))
            })))
        }
    })
}

/// The settings without which nothing can be signed.
struct Required<'a> {
    bucket: Option<&'a str>,
    version: SignatureVersion,
    region: Option<&'a str>,
    account: Option<AccountId>,
}

impl<'a> Required<'a> {
    fn read(object: &Object<'a>, sources: &[&str]) -> Result<Required<'a>, ConfigError> {
        Ok(Required {
            version: object.choice("signature_version")?,
            bucket: object.checked_text("bucket", names::check_bucket)?,
            region: object.checked_text("region", names::check_region)?,
            account: account(object, sources)?,
        })
    }

    /// All of them, or the one that is missing.
    fn complete(&self, object: &Object) -> Result<(&'a str, Scheme, AccountId), ConfigError> {
        let missing = |field, why: &str| object.error(field, format!("missing; {why}"));
        let bucket = self
            .bucket
            .ok_or_else(|| missing("bucket", "the name of the OSS bucket"))?;
        let scheme = match (self.version, self.region) {
            (SignatureVersion::V1, _) => Scheme::V1,
            (SignatureVersion::V4, Some(region)) => Scheme::V4 {
                region: region.to_owned(),
            },
            (SignatureVersion::V4, None) => {
                return Err(missing(
                    "region",
                    "V4 signs it, for example \"cn-hangzhou\"",
                ));
            }
        };
        let account = self.account.ok_or_else(|| {
            let why = "there is no `default` under `credentials`, so a name is needed here";
            missing("credentials", why)
        })?;
        Ok((bucket, scheme, account))
    }
}

/// Reads the settings that have defaults, to be laid over those of a route.
fn read_optional(object: &Object) -> Result<impl FnOnce(Route) -> Route, ConfigError> {
    let patterns = |name, check| object.texts(name, check).map(Patterns);
    let text = |name, check| {
        let found = object.checked_text(name, check)?;
        Ok::<_, ConfigError>(found.map(str::to_owned))
    };
    let methods = object.choices("methods")?;
    let operations = object.texts("operations", names::check_operation)?;
    let forward_parameters = patterns("forward_parameters", names::check_parameter)?;
    let unknown_parameters = object.choice("unknown_parameters")?;
    let presigned_urls = object.choice("presigned_urls")?;
    let forward_headers = patterns("forward_headers", names::check_header)?;
    let strip_prefix = text("strip_prefix", names::check_strip_prefix)?;
    let key_prefix = text("key_prefix", names::check_key_prefix)?;
    let index_document = text("index_document", names::check_document)?;
    let dot_segments = object.choice("dot_segments")?;
    let path_encoding = object.choice("path_encoding")?;
    let addressing = object.choice("addressing")?;
    let errors = object.choice("errors")?;
    let cause_header = object.flag(&fields::CAUSE_HEADER)?;
    let strip_response_headers = patterns("strip_response_headers", names::check_response_header)?;
    Ok(move |route: Route| Route {
        methods: methods.unwrap_or(route.methods),
        operations,
        forward_parameters,
        unknown_parameters,
        presigned_urls,
        forward_headers,
        strip_prefix: strip_prefix.unwrap_or(route.strip_prefix),
        key_prefix: key_prefix.unwrap_or(route.key_prefix),
        index_document,
        dot_segments,
        path_encoding,
        addressing,
        errors,
        cause_header,
        strip_response_headers,
        ..route
    })
}

/// The `Host` to set, if an endpoint is given.
fn read_host(object: &Object, bucket: Option<&str>) -> Result<Option<String>, ConfigError> {
    let endpoint = object.checked_text("endpoint", names::check_authority)?;
    let addressing = object.choice("addressing")?;
    match (endpoint, bucket, addressing) {
        (None, _, Addressing::Cname) => {
            let problem = "\"cname\" needs `endpoint`: the bucket's own domain";
            Err(object.error("addressing", problem))
        }
        (Some(endpoint), Some(bucket), Addressing::VirtualHosted) => {
            if endpoint.split('.').next() == Some(bucket) {
                let problem = "must be without the bucket, which is put before it; or set \
                               `addressing` to \"cname\"";
                return Err(object.error("endpoint", problem));
            }
            Ok(Some([bucket, ".", endpoint].concat()))
        }
        (endpoint, ..) => Ok(endpoint.map(str::to_owned)),
    }
}

/// Which credentials a route names. `None`: it names none, and there are none
/// of the name `default`.
fn account(object: &Object, sources: &[&str]) -> Result<Option<AccountId>, ConfigError> {
    let position = |wanted| {
        let place = sources.iter().position(|name| *name == wanted);
        place.map(AccountId)
    };
    let Some((path, name)) = object.text("credentials")? else {
        return Ok(position(DEFAULT_CREDENTIALS));
    };
    match position(name) {
        None => {
            let known = sources.join("`, `");
            let problem = format!("is no name under `credentials`; known are `{known}`");
            Err(ConfigError::new(path, problem))
        }
        found => Ok(found),
    }
}

/// The credentials of a route that names none.
const DEFAULT_CREDENTIALS: &str = "default";

/// Opens an object as the settings of a route.
pub fn open<'a>(path: impl Into<String>, value: &'a Value) -> Result<Object<'a>, ConfigError> {
    Object::new(path, value, fields::ROUTE)
}
