//! The headers that OSS gives a meaning, in lower case.

/// What every header of OSS's own begins with.
pub const PREFIX: &str = "x-oss-";

/// The signature.
pub const AUTHORIZATION: &str = "authorization";
/// The time of a signature of version 1.
pub const DATE: &str = "date";
/// The time of a signature of version 4.
pub const OSS_DATE: &str = "x-oss-date";
/// The hash of the body, or that it is not signed.
pub const CONTENT_SHA256: &str = "x-oss-content-sha256";
/// The token that STS issued with an AccessKey.
pub const SECURITY_TOKEN: &str = "x-oss-security-token";
/// Of a body; signed where it is given.
pub const CONTENT_TYPE: &str = "content-type";
/// Of a body; signed where it is given.
pub const CONTENT_MD5: &str = "content-md5";

/// Which part of a range past the end is answered: `standard` is that of HTTP (OSS,
/// "GetObject").
pub const RANGE_BEHAVIOR: &str = "x-oss-range-behavior";
/// `true` where OSS has made a download of an object that is to be shown (OSS, "What do I do
/// if an object is downloaded instead of previewed").
pub const FORCE_DOWNLOAD: &str = "x-oss-force-download";
/// The number of an error (OSS, "Error codes").
pub const EC: &str = "x-oss-ec";
/// The XML of an error to a HEAD, in Base64.
pub const ERR: &str = "x-oss-err";
/// Names a request to Alibaba's support.
pub const REQUEST_ID: &str = "x-oss-request-id";

/// What a client may say of a read: whose header it is decides nothing but the answer to
/// this client (RFC 9110; the CORS protocol). `x-forwarded-proto` is Envoy's, which finds no
/// route without it when it selects one again.
#[rustfmt::skip]
pub const OF_REQUESTS: &[&str] = &[
    "accept", "accept-charset", "accept-encoding", "accept-language",
    "access-control-request-headers", "access-control-request-method", "content-length",
    "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "origin",
    "range", "transfer-encoding", "user-agent", "x-forwarded-proto",
];

/// What a client may say besides of what it writes: OSS keeps most of them with the object
/// (OSS, "PutObject").
#[rustfmt::skip]
pub const OF_WRITES: &[&str] = &[
    "cache-control", "content-disposition", "content-encoding", "content-language", CONTENT_MD5,
    CONTENT_TYPE, "expect", "expires",
];

/// What the headers of AWS's protocol begin with, which OSS reads, too.
pub const AWS_PREFIX: &str = "x-amz-";

/// Whether a header of this lower-case name takes part in a signature.
pub fn is_signed(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes()) || describes_body(name)
}

/// Whether a header describes a body, and so means nothing to a read.
pub fn describes_body(name: &[u8]) -> bool {
    name == CONTENT_TYPE.as_bytes() || name == CONTENT_MD5.as_bytes()
}

/// Whether a header is one that a signer sets.
pub fn is_of_signature(name: &[u8]) -> bool {
    OF_SIGNATURE.iter().any(|known| known.as_bytes() == name)
}

/// The headers that a signer sets.
pub const OF_SIGNATURE: [&str; 5] = [
    AUTHORIZATION,
    DATE,
    OSS_DATE,
    CONTENT_SHA256,
    SECURITY_TOKEN,
];
