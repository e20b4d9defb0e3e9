//! The table of all settings and their types. The parser, the JSON Schema and the test of the
//! documents read it.

use super::choices::{
    Addressing, DotSegments, Errors, ForcedDownload, MetadataOf, Method, PathEncoding,
    PresignedUrls, Ranges, SignatureVersion, UnknownParameters,
};
use crate::access::{TimeFormat, UrlType};
use crate::signing::Product;
use crate::words::Word;

/// A setting. Its meaning is described in docs/CONFIGURATION.md.
#[derive(Debug)]
pub struct Field {
    /// The name of the setting in the JSON.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
}

/// The type of a setting's value.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A required string.
    RequiredText,
    /// A required string, one of these.
    RequiredChoice(&'static [&'static str]),
    /// One of these strings; the first is the default.
    Choice(&'static [&'static str]),
    /// A required boolean.
    RequiredFlag,
    /// A boolean with this default.
    Flag(bool),
    /// An integer from `least` to `most`.
    Integer {
        /// The minimum.
        least: u64,
        /// The maximum.
        most: u64,
        /// The default; `None` if it depends on something else.
        default: Option<u64>,
    },
    /// A list of strings with this default.
    Texts(&'static [&'static str]),
    /// An object that maps headers of OSS to values.
    Headers,
    /// A list of some of these strings, with a default.
    Choices {
        /// The allowed strings.
        of: &'static [&'static str],
        /// The default.
        default: &'static [&'static str],
    },
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object that maps names, which the user chooses, to objects with these fields.
    Named(&'static [Field]),
    /// A list of objects with the fields of a route and these fields, at least one of which is
    /// required.
    Rules(&'static [Field]),
}

/// The setting `wait_timeout_ms`: how long a request waits for credentials.
pub const WAIT_TIMEOUT_MS: Field = integer("wait_timeout_ms", 1, 60_000, Some(5_000));
/// The setting `max_waiting`: how many requests may wait in one worker.
pub const MAX_WAITING: Field = integer("max_waiting", 1, 100_000, Some(1_000));
/// The setting `timeout_ms`: how long the sidecar's answer may take.
pub const TIMEOUT_MS: Field = integer("timeout_ms", 1, 60_000, Some(2_000));
/// The setting `clock_margin_ms`: how long before their expiry credentials are no longer used.
pub const CLOCK_MARGIN_MS: Field = integer("clock_margin_ms", 0, 300_000, Some(5_000));
/// The setting `refresh_margin_ms`: how long before their expiry credentials are refreshed.
pub const REFRESH_MARGIN_MS: Field = integer("refresh_margin_ms", 1_000, 43_200_000, None);
/// The setting `enabled`: whether requests are signed.
pub const ENABLED: Field = field("enabled", Kind::Flag(true));
/// The setting `deny`: whether every request is refused.
pub const DENY: Field = field("deny", Kind::Flag(false));
/// The setting `cause_header`: whether a header shows clients the cause of an error.
pub const CAUSE_HEADER: Field = field("cause_header", Kind::Flag(false));
/// The setting `valid_seconds`: how long a signed URL is valid (CDN, "Configure URL signing").
pub const VALID_SECONDS: Field = integer("valid_seconds", 1, 31_536_000, Some(1_800));
/// The setting `public`: whether everybody may read.
pub const PUBLIC: Field = field("public", Kind::Flag(false));
/// The setting `allow_empty`: whether a request may come without a Referer.
pub const ALLOW_EMPTY: Field = field("allow_empty", Kind::RequiredFlag);
/// The setting `ignore_scheme`: whether a Referer may lack its scheme.
pub const IGNORE_SCHEME: Field = field("ignore_scheme", Kind::Flag(false));
/// The setting `access_log_fields`: whether fields for the access log are set.
pub const ACCESS_LOG_FIELDS: Field = field("access_log_fields", Kind::Flag(false));

/// The fields of the whole configuration.
pub const TOP: &[Field] = &[
    field("credentials", Kind::Named(SOURCE)),
    field("url_keys", Kind::Named(URL_KEYS)),
    field("defaults", Kind::Object(ROUTE)),
    field("routes", Kind::Named(ROUTE)),
    field(RULES, Kind::Rules(RULE)),
    choices("metadata", MetadataOf::WORDS, &[]),
    WAIT_TIMEOUT_MS,
    MAX_WAITING,
];

/// The fields that say which requests a rule matches.
pub const RULE: &[Field] = &[
    field(MATCH_ROUTE, Kind::Texts(&[])),
    field(MATCH_ROUTE_PREFIX, Kind::Texts(&[])),
    field(MATCH_DOMAIN, Kind::Texts(&[])),
    field(MATCH_SERVICE, Kind::Texts(&[])),
];

/// The field that holds Higress's rules.
pub const RULES: &str = "_rules_";
/// The field of a rule that matches by the name of the route.
pub const MATCH_ROUTE: &str = "_match_route_";
/// The field of a rule that matches by a prefix of the route's name.
pub const MATCH_ROUTE_PREFIX: &str = "_match_route_prefix_";
/// The field of a rule that matches by the host of the request.
pub const MATCH_DOMAIN: &str = "_match_domain_";
/// The field of a rule that matches by the route's service.
pub const MATCH_SERVICE: &str = "_match_service_";

/// The fields of a source of credentials.
pub const SOURCE: &[Field] = &[
    field("sidecar", Kind::Object(SIDECAR)),
    field("access_key", Kind::Object(ACCESS_KEY)),
];

/// The fields of a sidecar.
pub const SIDECAR: &[Field] = &[
    field("cluster", Kind::RequiredText),
    field("authority", Kind::Text),
    field("path", Kind::Text),
    field("token_env", Kind::Text),
    TIMEOUT_MS,
    CLOCK_MARGIN_MS,
    REFRESH_MARGIN_MS,
];

/// The fields of a key pair from the environment.
pub const ACCESS_KEY: &[Field] = &[
    field("id_env", Kind::RequiredText),
    field("secret_env", Kind::RequiredText),
];

/// The fields of the keys of signed URLs, which come from the environment.
pub const URL_KEYS: &[Field] = &[
    field("key_env", Kind::RequiredText),
    field("backup_key_env", Kind::Text),
];

/// The fields of access control.
pub const ACCESS: &[Field] = &[
    PUBLIC,
    field("url_signing", Kind::Object(URL_SIGNING)),
    field("referer", Kind::Object(REFERER)),
    field("user_agent", Kind::Object(USER_AGENT)),
    field("redirect", Kind::Text),
];

/// The fields of signed URLs.
pub const URL_SIGNING: &[Field] = &[
    field("type", Kind::RequiredChoice(UrlType::WORDS)),
    field("keys", Kind::Text),
    VALID_SECONDS,
    field("signature_parameter", Kind::Text),
    field("time_parameter", Kind::Text),
    field("time_format", Kind::Choice(TimeFormat::WORDS)),
];

/// The fields of the list of referring pages.
pub const REFERER: &[Field] = &[
    field("allow", Kind::Texts(&[])),
    field("deny", Kind::Texts(&[])),
    ALLOW_EMPTY,
    IGNORE_SCHEME,
];

/// The fields of the list of clients.
pub const USER_AGENT: &[Field] = &[
    field("allow", Kind::Texts(&[])),
    field("deny", Kind::Texts(&[])),
];

/// The words of [`Method::DEFAULT`].
const READS: &[&str] = &["GET", "HEAD"];

/// The fields of a route, and of the defaults of all routes.
pub const ROUTE: &[Field] = &[
    field("bucket", Kind::Text),
    field("region", Kind::Text),
    field("signature_version", Kind::Choice(SignatureVersion::WORDS)),
    field("product", Kind::Choice(Product::WORDS)),
    field("credentials", Kind::Text),
    ENABLED,
    DENY,
    field("access", Kind::Object(ACCESS)),
    choices("methods", Method::WORDS, READS),
    field("operations", Kind::Texts(&[])),
    field("forward_parameters", Kind::Texts(&[])),
    field("unknown_parameters", Kind::Choice(UnknownParameters::WORDS)),
    field("presigned_urls", Kind::Choice(PresignedUrls::WORDS)),
    field("forward_headers", Kind::Texts(&[])),
    field("strip_prefix", Kind::Text),
    field("key_prefix", Kind::Text),
    field("index_document", Kind::Text),
    field("dot_segments", Kind::Choice(DotSegments::WORDS)),
    field("path_encoding", Kind::Choice(PathEncoding::WORDS)),
    field("endpoint", Kind::Text),
    field("addressing", Kind::Choice(Addressing::WORDS)),
    field("errors", Kind::Choice(Errors::WORDS)),
    CAUSE_HEADER,
    ACCESS_LOG_FIELDS,
    field("strip_response_headers", Kind::Texts(&[])),
    field("ranges", Kind::Choice(Ranges::WORDS)),
    field("forced_download", Kind::Choice(ForcedDownload::WORDS)),
    field("add_headers", Kind::Headers),
];

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const fn integer(name: &'static str, least: u64, most: u64, default: Option<u64>) -> Field {
    let kind = Kind::Integer {
        least,
        most,
        default,
    };
    field(name, kind)
}

const fn choices(
    name: &'static str,
    of: &'static [&'static str],
    default: &'static [&'static str],
) -> Field {
    field(name, Kind::Choices { of, default })
}
