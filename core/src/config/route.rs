//! The settings of a route.

use std::rc::Rc;

use super::reader::{ConfigError, Object};
use super::{DEFAULT_CREDENTIALS, fields, names};
use crate::signing::Version;

/// What becomes of the requests of a route, and how they are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where its settings stand, for the log: `routes.media`.
    pub name: String,
    pub treatment: Treatment,
    pub bucket: String,
    /// Empty where V1 is used and none is given.
    pub region: String,
    pub signature_version: Version,
    /// An index into [`super::Config::credentials`].
    pub credentials: usize,
    pub methods: Vec<Rc<str>>,
    /// Sub-resources of OSS, `list` and `bucket`.
    pub operations: Vec<String>,
    pub forward_parameters: Patterns,
    pub unknown_parameters: UnknownParameters,
    pub presigned_urls: PresignedUrls,
    /// Those `x-oss-*` that a client may send.
    pub forward_headers: Patterns,
    /// What the decoded path must begin with, and is taken off; with a slash
    /// at both ends. `/` if there is none.
    pub strip_prefix: String,
    /// What every key begins with.
    pub key_prefix: String,
    pub index_document: Option<String>,
    pub refuse_dot_segments: bool,
    pub refuse_other_encodings: bool,
    /// The `Host` to set.
    pub host: Option<String>,
    /// Whether the bucket goes into the path.
    pub path_style: bool,
    pub neutral_errors: bool,
    pub cause_header: bool,
    /// The name of the credentials, where the access log shall have it, and the
    /// cause of an error.
    pub log_credentials: Option<Rc<str>>,
    pub strip_response_headers: Patterns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    Sign,
    /// `enabled: false`
    PassUnsigned,
    Deny,
}

/// For parameters that OSS gives no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownParameters {
    Strip,
    Forward,
}

/// For a client's URL that carries a signature of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresignedUrls {
    Refuse,
    /// Its signature is dropped, and the request signed like any other.
    Strip,
    /// The request leaves as it is, unsigned.
    Pass,
}

/// Names, of which a `*` at the end stands for any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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
    pub fn new(bucket: &str, region: &str, signature_version: Version) -> Route {
        Route {
            name: "defaults".into(),
            treatment: Treatment::Sign,
            bucket: bucket.into(),
            region: region.into(),
            signature_version,
            credentials: 0,
            methods: vec!["GET".into(), "HEAD".into()],
            operations: Vec::new(),
            forward_parameters: Patterns::default(),
            unknown_parameters: UnknownParameters::Strip,
            presigned_urls: PresignedUrls::Refuse,
            forward_headers: Patterns::default(),
            strip_prefix: "/".into(),
            key_prefix: String::new(),
            index_document: None,
            refuse_dot_segments: false,
            refuse_other_encodings: false,
            host: None,
            path_style: false,
            neutral_errors: false,
            cause_header: false,
            log_credentials: None,
            strip_response_headers: Patterns::default(),
        }
    }

    /// Whether a path that has been mapped to a key would be mapped to another
    /// if it came again.
    pub fn maps_paths(&self) -> bool {
        self.strip_prefix != "/" || !self.key_prefix.is_empty() || self.path_style
    }

    /// Reads the settings of a route, over the defaults. The outer error is of
    /// a setting that is wrong, the inner one of those that are missing.
    /// `sources` are the names under `credentials`.
    pub fn read(
        object: &Object,
        sources: &[&str],
    ) -> Result<Result<Route, ConfigError>, ConfigError> {
        let version = match object.choice("signature_version")? {
            "v1" => Version::V1,
            _ => Version::V4,
        };
        let bucket = object.checked_text("bucket", names::check_bucket)?;
        let region = object.checked_text("region", names::check_region)?;
        let credentials = credentials(object, sources)?;
        let endpoint = object.checked_text("endpoint", names::check_authority)?;
        let addressing = object.choice("addressing")?;
        let access_log_fields = object.flag("access_log_fields")?;
        let mut route = Route {
            name: object.path().to_owned(),
            treatment: match (object.flag("enabled")?, object.flag("deny")?) {
                (true, false) => Treatment::Sign,
                (true, true) => Treatment::Deny,
                (false, false) => Treatment::PassUnsigned,
                (false, true) => {
                    let problem = "contradicts `enabled`: false; keep one: `deny` refuses every \
                                   request, `enabled`: false lets every request pass unsigned";
                    return Err(object.error("deny", problem));
                }
            },
            methods: object
                .choices("methods")?
                .into_iter()
                .map(Rc::from)
                .collect(),
            operations: object.texts("operations", names::check_operation)?,
            forward_parameters: Patterns(
                object.texts("forward_parameters", names::check_parameter)?,
            ),
            unknown_parameters: match object.choice("unknown_parameters")? {
                "forward" => UnknownParameters::Forward,
                _ => UnknownParameters::Strip,
            },
            presigned_urls: match object.choice("presigned_urls")? {
                "strip" => PresignedUrls::Strip,
                "pass" => PresignedUrls::Pass,
                _ => PresignedUrls::Refuse,
            },
            forward_headers: Patterns(object.texts("forward_headers", names::check_header)?),
            strip_prefix: object
                .checked_text("strip_prefix", names::check_strip_prefix)?
                .unwrap_or("/")
                .to_owned(),
            key_prefix: object
                .checked_text("key_prefix", names::check_key_prefix)?
                .unwrap_or_default()
                .to_owned(),
            index_document: object
                .checked_text("index_document", names::check_document)?
                .map(str::to_owned),
            refuse_dot_segments: object.choice("dot_segments")? == "refuse",
            refuse_other_encodings: object.choice("path_encoding")? == "canonical",
            path_style: addressing == "path_style",
            host: endpoint.map(|endpoint| match (addressing, bucket) {
                ("virtual_hosted", Some(bucket)) => [bucket, ".", endpoint].concat(),
                _ => endpoint.to_owned(),
            }),
            neutral_errors: object.choice("errors")? == "neutral",
            cause_header: object.flag("cause_header")?,
            log_credentials: credentials
                .filter(|_| access_log_fields)
                .and_then(|index| sources.get(index).map(|name| Rc::from(*name))),
            strip_response_headers: Patterns(
                object.texts("strip_response_headers", names::check_response_header)?,
            ),
            credentials: credentials.unwrap_or_default(),
            ..Route::new(
                bucket.unwrap_or_default(),
                region.unwrap_or_default(),
                version,
            )
        };
        if addressing == "cname" && endpoint.is_none() {
            let problem = "\"cname\" needs `endpoint`: the bucket's own domain";
            return Err(object.error("addressing", problem));
        }
        if let (Some(endpoint), Some(bucket), "virtual_hosted") = (endpoint, bucket, addressing)
            && endpoint.split('.').next() == Some(bucket)
        {
            let problem = "must be without the bucket, which is put before it; or set \
                           `addressing` to \"cname\"";
            return Err(object.error("endpoint", problem));
        }
        if route.treatment != Treatment::Sign {
            route.bucket.clear();
            return Ok(Ok(route));
        }
        let missing = |field, why: &str| Ok(Err(object.error(field, format!("missing; {why}"))));
        if bucket.is_none() {
            return missing("bucket", "the name of the OSS bucket");
        }
        if region.is_none() && version == Version::V4 {
            return missing("region", "V4 signs it, for example \"cn-hangzhou\"");
        }
        if credentials.is_none() {
            let why = "there is no `default` under `credentials`, so a name is needed here";
            return missing("credentials", why);
        }
        Ok(Ok(route))
    }
}

/// Which credentials a route names. `None`: it names none, and there are none
/// of the name `default`.
fn credentials(object: &Object, sources: &[&str]) -> Result<Option<usize>, ConfigError> {
    let position = |wanted| sources.iter().position(|name| *name == wanted);
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

/// Opens an object as the settings of a route.
pub fn open<'a>(
    path: impl Into<String>,
    value: &'a crate::json::Value,
) -> Result<Object<'a>, ConfigError> {
    Object::new(path, value, fields::ROUTE)
}
