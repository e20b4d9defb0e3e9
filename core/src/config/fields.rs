//! Which settings there are, and of which kind: read by the parser, by the
//! JSON Schema, and by the test of the documents.

use super::choices::{
    Addressing, DotSegments, Errors, ForcedDownload, MetadataOf, Method, PathEncoding,
    PresignedUrls, Ranges, SignatureVersion, UnknownParameters,
};
use crate::access::{TimeFormat, UrlType};
use crate::signing::Product;
use crate::words::Word;

/// A setting. Its meaning is told in README.md.
#[derive(Debug)]
pub struct Field {
    /// As it stands in the JSON.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
}

/// Which values a setting takes.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that must be given.
    RequiredText,
    /// One of these strings, which must be given.
    RequiredChoice(&'static [&'static str]),
    /// One of these strings; the first is the default.
    Choice(&'static [&'static str]),
    /// A boolean that must be given.
    RequiredFlag,
    /// A boolean, and its default.
    Flag(bool),
    /// A whole number from `least` to `most`.
    Integer {
        /// At least this.
        least: u64,
        /// At most this.
        most: u64,
        /// `None` where it depends on something else.
        default: Option<u64>,
    },
    /// A list of strings, and its default.
    Texts(&'static [&'static str]),
    /// An object of headers of OSS: names and values.
    Headers,
    /// A list of some of these strings, and its default.
    Choices {
        /// These.
        of: &'static [&'static str],
        /// Where it is not given.
        default: &'static [&'static str],
    },
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object by names that the user chose, of objects with these fields.
    Named(&'static [Field]),
}

/// How long a request waits for credentials.
pub const WAIT_TIMEOUT_MS: Field = integer("wait_timeout_ms", 1, 60_000, Some(5_000));
/// How many requests may wait in one worker.
pub const MAX_WAITING: Field = integer("max_waiting", 1, 100_000, Some(1_000));
/// How long the sidecar may take.
pub const TIMEOUT_MS: Field = integer("timeout_ms", 1, 60_000, Some(2_000));
/// How long before their end credentials are not used any more.
pub const CLOCK_MARGIN_MS: Field = integer("clock_margin_ms", 0, 300_000, Some(5_000));
/// How long before their end credentials are refreshed.
pub const REFRESH_MARGIN_MS: Field = integer("refresh_margin_ms", 1_000, 43_200_000, None);
/// Whether requests are signed.
pub const ENABLED: Field = field("enabled", Kind::Flag(true));
/// Whether every request is refused.
pub const DENY: Field = field("deny", Kind::Flag(false));
/// Whether a client is told the cause of an error.
pub const CAUSE_HEADER: Field = field("cause_header", Kind::Flag(false));
/// For how long a signed URL is good (CDN, "Configure URL signing").
pub const VALID_SECONDS: Field = integer("valid_seconds", 1, 31_536_000, Some(1_800));
/// Whether everybody may read.
pub const PUBLIC: Field = field("public", Kind::Flag(false));
/// Whether a request may be without a Referer.
pub const ALLOW_EMPTY: Field = field("allow_empty", Kind::RequiredFlag);
/// Whether a Referer may be without a scheme.
pub const IGNORE_SCHEME: Field = field("ignore_scheme", Kind::Flag(false));
/// Whether the access log gets fields.
pub const ACCESS_LOG_FIELDS: Field = field("access_log_fields", Kind::Flag(false));

/// The whole configuration.
pub const TOP: &[Field] = &[
    field("credentials", Kind::Named(SOURCE)),
    field("url_keys", Kind::Named(URL_KEYS)),
    field("defaults", Kind::Object(ROUTE)),
    field("routes", Kind::Named(ROUTE)),
    choices("metadata", MetadataOf::WORDS, &[]),
    WAIT_TIMEOUT_MS,
    MAX_WAITING,
];

/// A source of credentials.
pub const SOURCE: &[Field] = &[
    field("sidecar", Kind::Object(SIDECAR)),
    field("access_key", Kind::Object(ACCESS_KEY)),
];

/// A sidecar.
pub const SIDECAR: &[Field] = &[
    field("cluster", Kind::RequiredText),
    field("authority", Kind::Text),
    field("path", Kind::Text),
    field("token_env", Kind::Text),
    TIMEOUT_MS,
    CLOCK_MARGIN_MS,
    REFRESH_MARGIN_MS,
];

/// A key pair from the environment.
pub const ACCESS_KEY: &[Field] = &[
    field("id_env", Kind::RequiredText),
    field("secret_env", Kind::RequiredText),
];

/// Keys of signed URLs from the environment.
pub const URL_KEYS: &[Field] = &[
    field("key_env", Kind::RequiredText),
    field("backup_key_env", Kind::Text),
];

/// Who may read.
pub const ACCESS: &[Field] = &[
    PUBLIC,
    field("url_signing", Kind::Object(URL_SIGNING)),
    field("referer", Kind::Object(REFERER)),
    field("user_agent", Kind::Object(USER_AGENT)),
    field("redirect", Kind::Text),
];

/// How URLs are signed.
pub const URL_SIGNING: &[Field] = &[
    field("type", Kind::RequiredChoice(UrlType::WORDS)),
    field("keys", Kind::Text),
    VALID_SECONDS,
    field("signature_parameter", Kind::Text),
    field("time_parameter", Kind::Text),
    field("time_format", Kind::Choice(TimeFormat::WORDS)),
];

/// Which pages may lead to an object.
pub const REFERER: &[Field] = &[
    field("allow", Kind::Texts(&[])),
    field("deny", Kind::Texts(&[])),
    ALLOW_EMPTY,
    IGNORE_SCHEME,
];

/// Which clients may read.
pub const USER_AGENT: &[Field] = &[
    field("allow", Kind::Texts(&[])),
    field("deny", Kind::Texts(&[])),
];

/// The words of [`Method::DEFAULT`].
const READS: &[&str] = &["GET", "HEAD"];

/// A route, or the defaults of all.
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
