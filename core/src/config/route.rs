//! The settings of a route.

use std::rc::Rc;

use super::choices::{
    Addressing, DotSegments, Errors, ForcedDownload, Method, PathEncoding, PresignedUrls, Ranges,
    SignatureVersion, UnknownParameters,
};
use super::fields;
use super::names;
use super::patterns::Patterns;
use super::reader::{ConfigError, Object};
use crate::fetch::account::AccountId;
use crate::json::Value;
use crate::oss::parameters::is_newer_operation;
use crate::signing::{Header, Product, Scheme};

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
    /// The `Host` of what leaves.
    pub host: String,
    /// The name of the credentials, where the access log shall have it, and the
    /// cause of an error.
    pub log_credentials: Option<Rc<str>>,
    /// All else.
    pub rules: Rules,
}

/// The settings of a route that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What may leave.
    pub methods: Methods,
    /// Sub-resources of OSS, `list` and `bucket`.
    pub operations: Vec<String>,
    /// Parameters that leave as they are.
    pub forward_parameters: Patterns,
    /// What becomes of parameters that mean nothing to OSS.
    pub unknown_parameters: UnknownParameters,
    /// What becomes of a client's signed URL.
    pub presigned_urls: PresignedUrls,
    /// Headers that a client may send besides the listed ones.
    pub forward_headers: Patterns,
    /// What the decoded path must begin with, and is taken off: it ends with a slash,
    /// and the slash before it is left out. Empty if there is none.
    pub strip_prefix: String,
    /// What every key begins with.
    pub key_prefix: String,
    /// What a directory stands for.
    pub index_document: Option<String>,
    /// What becomes of `.` and `..`.
    pub dot_segments: DotSegments,
    /// Which spellings of a path are let in.
    pub path_encoding: PathEncoding,
    /// Where the bucket stands.
    pub addressing: Addressing,
    /// What a client sees of an error.
    pub errors: Errors,
    /// Whether a client is told the cause of an error.
    pub cause_header: bool,
    /// Headers of answers that a client does not see.
    pub strip_response_headers: Patterns,
    /// What becomes of a range that reaches past the end.
    pub ranges: Ranges,
    /// What becomes of OSS's mark of a download.
    pub forced_download: ForcedDownload,
    /// Headers of OSS that every signed request gets.
    pub add_headers: Vec<Header>,
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

/// The methods that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods(pub Vec<Method>);

impl Default for Methods {
    fn default() -> Methods {
        Methods(Method::DEFAULT.into())
    }
}

impl Route {
    /// A route with the defaults of all settings that have one.
    pub fn new(bucket: &str, host: &str, scheme: Scheme, account: AccountId) -> Route {
        Route {
            name: "defaults".into(),
            bucket: bucket.into(),
            scheme,
            account,
            host: host.into(),
            log_credentials: None,
            rules: Rules::default(),
        }
    }

    /// Whether a path that has been mapped to a key would be mapped to another
    /// if it came again.
    pub fn maps_paths(&self) -> bool {
        let in_path = self.rules.addressing == Addressing::PathStyle;
        in_path || !self.rules.strip_prefix.is_empty() || !self.rules.key_prefix.is_empty()
    }
}

/// Reads the settings of a route. `sources` are the names under `credentials`. The
/// error is of a setting that is wrong, whatever others there are.
pub fn read(object: &Object, sources: &[&str]) -> Result<Reading, ConfigError> {
    let bucket = object.checked_text("bucket", names::check_bucket)?;
    let region = object.checked_text("region", names::check_region)?;
    let version = object.choice("signature_version")?;
    let product = object.choice("product")?;
    if version == SignatureVersion::V1 && product != Product::Oss {
        return Err(object.error("product", PRODUCT_OF_V1));
    }
    let is_of_cloud_box = region.map(|region| region.starts_with("cb-"));
    if is_of_cloud_box.is_some_and(|is| is != (product == Product::CloudBox))
        && version == SignatureVersion::V4
    {
        return Err(object.error("product", PRODUCT_OF_REGION));
    }
    let account = account(object, sources)?;
    let rules = Rules::read(object)?;
    let host = read_host(object, rules.addressing, bucket)?;
    let in_log = object.flag(&fields::ACCESS_LOG_FIELDS)?;
    if rules.presigned_urls == PresignedUrls::Require && !rules.add_headers.is_empty() {
        return Err(object.error("add_headers", ADDS_TO_NONE));
    }
    let newer = |name: &String| is_newer_operation(name.as_bytes());
    if version == SignatureVersion::V1 && rules.operations.iter().any(newer) {
        return Err(object.error("operations", NEWER));
    }
    match (object.flag(&fields::ENABLED)?, object.flag(&fields::DENY)?) {
        (true, false) => {}
        (true, true) => return Ok(Reading::Complete(Treatment::Deny)),
        (false, false) => return Ok(Reading::Complete(Treatment::PassUnsigned)),
        (false, true) => return Err(object.error(fields::DENY.name, CONTRADICTS)),
    }
    let missing = |field, why| {
        let problem = format!("missing; {why}");
        Ok(Reading::Incomplete(object.error(field, problem)))
    };
    let Some(bucket) = bucket else {
        return missing("bucket", "the name of the OSS bucket");
    };
    let scheme = match (version, region.map(str::to_owned)) {
        (SignatureVersion::V1, _) => Scheme::V1,
        (SignatureVersion::V4, Some(region)) => Scheme::V4 { region, product },
        (SignatureVersion::V4, None) => {
            return missing("region", "V4 signs it, for example \"cn-hangzhou\"");
        }
    };
    let Some(account) = account else {
        let why = "there is no `default` under `credentials`, so a name is needed here";
        return missing("credentials", why);
    };
    let Some(host) = host else {
        return missing("endpoint", MISSING_ENDPOINT);
    };
    let log_name = sources.get(account.0).filter(|_| in_log);
    Ok(Reading::Complete(Treatment::Sign(Rc::new(Route {
        name: object.path().to_owned(),
        log_credentials: log_name.map(|name| Rc::from(*name)),
        rules,
        ..Route::new(bucket, &host, scheme, account)
    }))))
}

const CONTRADICTS: &str = "contradicts `enabled`: false; keep one: `deny` refuses every request, \
     `enabled`: false lets every request pass unsigned";

const MISSING_ENDPOINT: &str = "the host of OSS, without the bucket, for example \
     \"oss-cn-hangzhou.aliyuncs.com\"; signed requests leave for no other";

const PRODUCT_OF_V1: &str = "is part of V4's scope, and `signature_version` is \"v1\"; leave one of \
     them out";

const PRODUCT_OF_REGION: &str = "does not belong to `region`: regions of \"oss-cloudbox\" are named `cb-…`, \
     and no others are";

const ADDS_TO_NONE: &str = "is for requests that the filter signs, and with `presigned_urls`: \
     \"require\" it signs none; leave one of them out";

const NEWER: &str = "names an operation that signature version v1 does not know; set \
     `signature_version` to \"v4\", or leave it out";

impl Rules {
    fn read(object: &Object) -> Result<Rules, ConfigError> {
        let patterns = |name, check| object.texts(name, check).map(Patterns::from);
        let strip_prefix = object.checked_text("strip_prefix", names::check_strip_prefix)?;
        let strip_prefix = strip_prefix.and_then(|prefix| prefix.strip_prefix('/'));
        let key_prefix = object.checked_text("key_prefix", names::check_key_prefix)?;
        let document = object.checked_text("index_document", names::check_document)?;
        Ok(Rules {
            methods: object.choices("methods")?.map(Methods).unwrap_or_default(),
            operations: object.texts("operations", names::check_operation)?,
            forward_parameters: patterns("forward_parameters", names::check_parameter)?,
            unknown_parameters: object.choice("unknown_parameters")?,
            presigned_urls: object.choice("presigned_urls")?,
            forward_headers: patterns("forward_headers", names::check_header)?,
            strip_prefix: strip_prefix.unwrap_or_default().into(),
            key_prefix: key_prefix.unwrap_or_default().into(),
            index_document: document.map(str::to_owned),
            dot_segments: object.choice("dot_segments")?,
            path_encoding: object.choice("path_encoding")?,
            addressing: object.choice("addressing")?,
            errors: object.choice("errors")?,
            cause_header: object.flag(&fields::CAUSE_HEADER)?,
            strip_response_headers: {
                patterns("strip_response_headers", names::check_response_header)?
            },
            ranges: object.choice("ranges")?,
            forced_download: object.choice("forced_download")?,
            add_headers: object.headers(
                "add_headers",
                names::check_added_header,
                names::check_header_value,
            )?,
        })
    }
}

/// The `Host` of what leaves, if an endpoint is given.
fn read_host(
    object: &Object,
    addressing: Addressing,
    bucket: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    let endpoint = object.checked_text("endpoint", names::check_authority)?;
    match (endpoint, bucket, addressing) {
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
