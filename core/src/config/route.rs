//! The settings of a route.

use std::rc::Rc;

use super::access::{self, Reading as AccessReading};
use super::choices::{
    Addressing, DotSegments, Errors, ForcedDownload, Method, PathEncoding, PresignedUrls, Ranges,
    SignatureVersion, UnknownParameters,
};
use super::fields;
use super::names;
use super::patterns::Patterns;
use super::reader::{ConfigError, Object};
use super::source::unknown_name;
use crate::access::{Access, Keys};
use crate::fetch::account::AccountId;
use crate::fetch::source::Source;
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
    /// Who may read; `None` for everybody.
    pub access: Option<Rc<Access>>,
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
    /// They leave as they are, if they pass these checks: `enabled` is false, or nothing is
    /// signed here at all.
    PassUnsigned(Option<Rc<Access>>),
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
            access: None,
            rules: Rules::default(),
        }
    }

    /// Whether a path that has been mapped to a key would be mapped to another
    /// if it came again.
    pub fn maps_paths(&self) -> bool {
        let in_path = self.rules.addressing == Addressing::PathStyle;
        let prefixes = [&self.rules.strip_prefix, &self.rules.key_prefix];
        in_path || prefixes.iter().any(|prefix| !prefix.is_empty())
    }

    /// Whether an attempt has to know what the one before it has made of the request: another
    /// path, or one without the headers that were checked.
    pub fn needs_note(&self) -> bool {
        self.maps_paths() || self.access.is_some()
    }
}

impl Treatment {
    /// Who may read; `None` for everybody, and for nobody.
    pub fn access(&self) -> Option<&Rc<Access>> {
        match self {
            Treatment::Sign(route) => route.access.as_ref(),
            Treatment::PassUnsigned(access) => access.as_ref(),
            Treatment::Deny => None,
        }
    }

    /// Whether requests are treated alike, wherever the settings stand.
    pub fn is_like(&self, other: &Treatment) -> bool {
        match (self, other) {
            (Treatment::Sign(one), Treatment::Sign(other)) => {
                let name = other.name.clone();
                **other
                    == Route {
                        name,
                        ..Route::clone(one)
                    }
            }
            (one, other) => one == other,
        }
    }
}

/// What the settings of routes may name.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The names under `credentials`. Where there are none, nothing is signed.
    pub sources: &'a [Source],
    /// The entries under `url_keys`.
    pub keys: &'a [Rc<Keys>],
}

/// What is said of all requests of a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
    Deny,
}

impl Switch {
    fn read(object: &Object) -> Result<Switch, ConfigError> {
        match (object.flag(&fields::ENABLED)?, object.flag(&fields::DENY)?) {
            (true, false) => Ok(Switch::On),
            (true, true) => Ok(Switch::Deny),
            (false, false) => Ok(Switch::Off),
            (false, true) => Err(object.error(fields::DENY.name, CONTRADICTS)),
        }
    }
}

/// Reads the settings of a route. The error is of a setting that is wrong, whatever others
/// there are.
pub fn read(object: &Object, known: Known) -> Result<Reading, ConfigError> {
    let access = access::read(object, known.keys)?;
    match known.sources.is_empty() {
        true => read_unsigned(object, access),
        false => read_signed(object, access, known.sources),
    }
}

/// Reads those of a configuration that signs nothing.
fn read_unsigned(object: &Object, access: AccessReading) -> Result<Reading, ConfigError> {
    let own = [fields::ENABLED.name, fields::DENY.name, "access"];
    if let Some(path) = object.besides(&own) {
        return Err(ConfigError::new(path, SIGNS_NOTHING));
    }
    Ok(match (Switch::read(object)?, access) {
        (Switch::Deny, _) => Reading::Complete(Treatment::Deny),
        (Switch::On, AccessReading::Absent) => {
            Reading::Incomplete(object.error("access", "missing; it says who may read"))
        }
        (_, access) => Reading::Complete(Treatment::PassUnsigned(access.checks())),
    })
}

const SIGNS_NOTHING: &str = "is for signing, and there are no `credentials`, without which the filter \
     only checks who may read; add them, or leave this out";

fn read_signed(
    object: &Object,
    access: AccessReading,
    sources: &[Source],
) -> Result<Reading, ConfigError> {
    let access = access.checks();
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
    let passes = matches!(
        rules.presigned_urls,
        PresignedUrls::Pass | PresignedUrls::Require
    );
    if passes && access.as_ref().is_some_and(|access| access.strips()) {
        return Err(object.error("presigned_urls", SIGNED_TWICE));
    }
    match Switch::read(object)? {
        Switch::On => {}
        Switch::Deny => return Ok(Reading::Complete(Treatment::Deny)),
        Switch::Off => return Ok(Reading::Complete(Treatment::PassUnsigned(access))),
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
    let source = sources.get(account.0).filter(|_| in_log);
    Ok(Reading::Complete(Treatment::Sign(Rc::new(Route {
        name: object.path().to_owned(),
        log_credentials: source.map(|source| Rc::from(source.name.as_str())),
        access,
        rules,
        ..Route::new(bucket, &host, scheme, account)
    }))))
}

const SIGNED_TWICE: &str = "lets OSS's signed URLs pass, and `access.url_signing` asks for another \
     signature in the same URL; leave one of them out";

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
fn account(object: &Object, sources: &[Source]) -> Result<Option<AccountId>, ConfigError> {
    let position = |wanted| {
        let place = sources.iter().position(|source| source.name == wanted);
        place.map(AccountId)
    };
    let Some((path, name)) = object.text("credentials")? else {
        return Ok(position(DEFAULT_CREDENTIALS));
    };
    match position(name) {
        None => {
            let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            Err(ConfigError::new(path, unknown_name("credentials", &known)))
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
