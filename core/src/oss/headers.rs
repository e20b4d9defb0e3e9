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

/// The number of an error (OSS, "Error codes").
pub const EC: &str = "x-oss-ec";
/// The XML of an error to a HEAD, in Base64.
pub const ERR: &str = "x-oss-err";
/// Names a request to Alibaba's support.
pub const REQUEST_ID: &str = "x-oss-request-id";

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
    [
        AUTHORIZATION,
        DATE,
        OSS_DATE,
        CONTENT_SHA256,
        SECURITY_TOKEN,
    ]
    .iter()
    .any(|known| known.as_bytes() == name)
}
