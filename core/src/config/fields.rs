//! Which settings there are, and of which kind: read by the parser, by the
//! JSON Schema, and by the test of the documents.

/// A setting. Its meaning is told in README.md.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that must be given.
    RequiredText,
    /// One of these strings; the first is the default.
    Choice(&'static [&'static str]),
    /// A boolean, and its default.
    Flag(bool),
    /// A whole number from `least` to `most`.
    Integer {
        least: u64,
        most: u64,
        /// `None` where it depends on something else.
        default: Option<u64>,
    },
    /// A list of strings, and its default.
    Texts(&'static [&'static str]),
    /// A list of some of these strings, and its default.
    Choices {
        of: &'static [&'static str],
        default: &'static [&'static str],
    },
    /// An object with these fields.
    Object(&'static [Field]),
    /// An object by names that the user chose, of objects with these fields.
    Named(&'static [Field]),
}

pub const TOP: &[Field] = &[
    field("credentials", Kind::Named(SOURCE)),
    field("defaults", Kind::Object(ROUTE)),
    field("routes", Kind::Named(ROUTE)),
    field(
        "metadata",
        Kind::Choices {
            of: &["route", "cluster"],
            default: &[],
        },
    ),
    field("wait_timeout_ms", integer(1, 60_000, Some(5_000))),
    field("max_waiting", integer(1, 100_000, Some(1_000))),
];

pub const SOURCE: &[Field] = &[
    field("sidecar", Kind::Object(SIDECAR)),
    field("access_key", Kind::Object(ACCESS_KEY)),
];

pub const SIDECAR: &[Field] = &[
    field("cluster", Kind::RequiredText),
    field("authority", Kind::Text),
    field("path", Kind::Text),
    field("token_env", Kind::Text),
    field("timeout_ms", integer(1, 60_000, Some(2_000))),
    field("clock_margin_ms", integer(0, 300_000, Some(5_000))),
    field("refresh_margin_ms", integer(1_000, 43_200_000, None)),
];

pub const ACCESS_KEY: &[Field] = &[
    field("id_env", Kind::RequiredText),
    field("secret_env", Kind::RequiredText),
];

pub const ROUTE: &[Field] = &[
    field("bucket", Kind::Text),
    field("region", Kind::Text),
    field("signature_version", Kind::Choice(&["v4", "v1"])),
    field("credentials", Kind::Text),
    field("enabled", Kind::Flag(true)),
    field("deny", Kind::Flag(false)),
    field(
        "methods",
        Kind::Choices {
            of: &["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"],
            default: &["GET", "HEAD"],
        },
    ),
    field("operations", Kind::Texts(&[])),
    field("forward_parameters", Kind::Texts(&[])),
    field("unknown_parameters", Kind::Choice(&["strip", "forward"])),
    field("presigned_urls", Kind::Choice(&["refuse", "strip", "pass"])),
    field("forward_headers", Kind::Texts(&[])),
    field("strip_prefix", Kind::Text),
    field("key_prefix", Kind::Text),
    field("index_document", Kind::Text),
    field("dot_segments", Kind::Choice(&["literal", "refuse"])),
    field("path_encoding", Kind::Choice(&["any", "canonical"])),
    field("endpoint", Kind::Text),
    field(
        "addressing",
        Kind::Choice(&["virtual_hosted", "path_style", "cname"]),
    ),
    field("errors", Kind::Choice(&["oss", "neutral"])),
    field("cause_header", Kind::Flag(false)),
    field("access_log_fields", Kind::Flag(false)),
    field("strip_response_headers", Kind::Texts(&[])),
];

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind }
}

const fn integer(least: u64, most: u64, default: Option<u64>) -> Kind {
    Kind::Integer {
        least,
        most,
        default,
    }
}
