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

/// The settings of a route: which of its requests are forwarded, and how they are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path of the settings, such as `routes.media`, for the log.
    pub name: String,
    /// The bucket that holds the objects.
    pub bucket: String,
    /// The signature version and its parameters.
    pub scheme: Scheme,
    /// The credentials that sign the requests.
    pub account: AccountId,
    /// The `Host` of a signed request.
    pub host: String,
    /// The name of the credentials, if the access log gets it and the cause of an error.
    pub log_credentials: Option<Rc<str>>,
    /// The checks of access control; `None` if everybody may read.
    pub access: Option<Rc<Access>>,
    /// All other settings.
    pub rules: Rules,
}

/// The settings of a route that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The allowed methods.
    pub methods: Methods,
    /// The allowed operations: sub-resources of OSS, `list` and `bucket`.
    pub operations: Vec<String>,
    /// The parameters that are forwarded unchanged.
    pub forward_parameters: Patterns,
    /// What happens to parameters that OSS does not know.
    pub unknown_parameters: UnknownParameters,
    /// What happens to a client's signed URL.
    pub presigned_urls: PresignedUrls,
    /// The headers that a client may send in addition to the built-in list.
    pub forward_headers: Patterns,
    /// The prefix that the decoded path must have, and which is removed. It is stored with a
    /// slash at the end and without the one at its beginning. It is empty if there is none.
    pub strip_prefix: String,
    /// The prefix of every key.
    pub key_prefix: String,
    /// The index document of a directory.
    pub index_document: Option<String>,
    /// What happens to `.` and `..`.
    pub dot_segments: DotSegments,
    /// The accepted encodings of a path.
    pub path_encoding: PathEncoding,
    /// Where a request names the bucket.
    pub addressing: Addressing,
    /// What a client sees of an error of OSS.
    pub errors: Errors,
    /// Whether a header shows clients the cause of an error.
    pub cause_header: bool,
    /// The response headers that are removed.
    pub strip_response_headers: Patterns,
    /// The answer to a range that reaches past the end of the object.
    pub ranges: Ranges,
    /// What happens to the headers by which OSS forces a download.
    pub forced_download: ForcedDownload,
    /// The headers of OSS that every signed request gets.
    pub add_headers: Vec<Header>,
}

/// What happens to the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The requests are signed with these settings.
    Sign(Rc<Route>),
    /// The requests are forwarded unsigned if they pass these checks: `enabled` is false, or
    /// the configuration signs nothing.
    PassUnsigned(Option<Rc<Access>>),
    /// The requests are refused: `deny` is true.
    Deny,
}

/// The result of reading a route's settings, none of which is invalid.
#[derive(Clone, Debug)]
pub enum Reading {
    /// The settings are complete.
    Complete(Treatment),
    /// A required setting is missing; other settings may supply it.
    Incomplete(ConfigError),
}

/// The allowed methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods(pub Vec<Method>);

impl Default for Methods {
    fn default() -> Methods {
        Methods(Method::DEFAULT.into())
    }
}

impl Route {
    /// A route in which every setting that has a default has it.
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

    /// Whether a path that was mapped to a key would be mapped to another key if it were mapped
    /// again.
    pub fn maps_paths(&self) -> bool {
        let in_path = self.rules.addressing == Addressing::PathStyle;
        let prefixes = [&self.rules.strip_prefix, &self.rules.key_prefix];
        in_path || prefixes.iter().any(|prefix| !prefix.is_empty())
    }

    /// Whether a retry must know what the earlier attempt changed: it mapped the path, or it
    /// removed headers that were checked.
    pub fn needs_note(&self) -> bool {
        self.maps_paths() || self.access.is_some()
    }
}

impl Treatment {
    /// The checks of access control; `None` if everybody may read, and if all requests are
    /// refused.
    pub fn access(&self) -> Option<&Rc<Access>> {
        match self {
            Treatment::Sign(route) => route.access.as_ref(),
            Treatment::PassUnsigned(access) => access.as_ref(),
            Treatment::Deny => None,
        }
    }

    /// Whether both treat a request the same way, regardless of the path of the settings.
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

/// The names that the settings of routes may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The entries under `credentials`. If there are none, nothing is signed.
    pub sources: &'a [Source],
    /// The entries under `url_keys`.
    pub keys: &'a [Rc<Keys>],
}

/// A setting that applies to all requests of a route.
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

/// Reads the settings of a route. An invalid setting is an error, even if others are missing.
pub fn read(object: &Object, known: Known) -> Result<Reading, ConfigError> {
    let access = access::read(object, known.keys)?;
    match known.sources.is_empty() {
        true => read_unsigned(object, access),
        false => read_signed(object, access, known.sources),
    }
}

/// Reads the settings of a route in a configuration that signs nothing.
fn read_unsigned(object: &Object, access: AccessReading) -> Result<Reading, ConfigError> {
    let own = [
        fields::ENABLED.name,
        fields::DENY.name,
        "access",
        // The conditions of a rule.
        fields::MATCH_ROUTE,
        fields::MATCH_ROUTE_PREFIX,
        fields::MATCH_DOMAIN,
        fields::MATCH_SERVICE,
    ];
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

const SIGNS_NOTHING: &str = "is for signing, but there are no `credentials`, so the filter only \
     checks who may read; add them, or leave this out";

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

const SIGNED_TWICE: &str = "accepts URLs that are signed for OSS, but `access.url_signing` \
     requires another signature in the same URL; leave one of them out";

const CONTRADICTS: &str = "contradicts `enabled`: false; keep one: `deny` refuses every request, \
     `enabled`: false lets every request pass unsigned; or write `enabled`: true here, if `defaults` \
     has false";

const MISSING_ENDPOINT: &str = "the host of OSS, without the bucket, for example \
     \"oss-cn-hangzhou.aliyuncs.com\"; signed requests are sent to no other";

const PRODUCT_OF_V1: &str = "applies only to V4, but `signature_version` is \"v1\"; leave one of \
     them out";

const PRODUCT_OF_REGION: &str = "does not fit `region`: the regions of \"oss-cloudbox\", and only \
     these, are named `cb-…`";

const ADDS_TO_NONE: &str = "is for requests that the filter signs, but with `presigned_urls`: \
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

/// The `Host` of signed requests, if an endpoint is given.
fn read_host(
    object: &Object,
    addressing: Addressing,
    bucket: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    let endpoint = object.checked_text("endpoint", names::check_authority)?;
    match (endpoint, bucket, addressing) {
        (Some(endpoint), Some(bucket), Addressing::VirtualHosted) => {
            if endpoint.split('.').next() == Some(bucket) {
                let problem = "must not begin with the bucket, which the filter adds; or set \
                               `addressing` to \"cname\"";
                return Err(object.error("endpoint", problem));
            }
            Ok(Some([bucket, ".", endpoint].concat()))
        }
        (endpoint, ..) => Ok(endpoint.map(str::to_owned)),
    }
}

/// The credentials that a route names. `None` means that it names none, and that there is no
/// entry called `default`.
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

/// The name of the credentials of a route that names none.
const DEFAULT_CREDENTIALS: &str = "default";

/// Opens an object as the settings of a route.
pub fn open<'a>(path: impl Into<String>, value: &'a Value) -> Result<Object<'a>, ConfigError> {
    Object::new(path, value, fields::ROUTE)
}

/// Opens an object as a rule: the settings of a route and the conditions of the rule.
pub fn open_rule<'a>(path: impl Into<String>, value: &'a Value) -> Result<Object<'a>, ConfigError> {
    Object::with_more(path, value, fields::ROUTE, fields::RULE)
}
