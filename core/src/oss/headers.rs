//! The headers that have a meaning for OSS, in lower case.

/// The prefix of OSS's own headers.
pub const PREFIX: &str = "x-oss-";

/// The header of the signature.
pub const AUTHORIZATION: &str = "authorization";
/// The header of the time in a version 1 signature.
pub const DATE: &str = "date";
/// The header of the time in a version 4 signature.
pub const OSS_DATE: &str = "x-oss-date";
/// The header of the body's hash, or of the word that says that the body is not signed.
pub const CONTENT_SHA256: &str = "x-oss-content-sha256";
/// The header of the security token that STS issued with an AccessKey.
pub const SECURITY_TOKEN: &str = "x-oss-security-token";
/// The header of the body's media type, which is signed if it is given.
pub const CONTENT_TYPE: &str = "content-type";
/// The header of the body's MD5, which is signed if it is given.
pub const CONTENT_MD5: &str = "content-md5";

/// The header that selects the answer to a range that reaches past the end: `standard` is the
/// answer of HTTP (OSS, "GetObject").
pub const RANGE_BEHAVIOR: &str = "x-oss-range-behavior";
/// The header that is `true` if OSS turned an object into a download (OSS, "What do I do if an
/// object is downloaded instead of previewed").
pub const FORCE_DOWNLOAD: &str = "x-oss-force-download";
/// The header of an error's number (OSS, "Error codes").
pub const EC: &str = "x-oss-ec";
/// The header of an error's XML, in Base64, in the answer to a HEAD.
pub const ERR: &str = "x-oss-err";
/// The header of the request id, which Alibaba's support asks for.
pub const REQUEST_ID: &str = "x-oss-request-id";

/// The headers that a client may send with a read. They influence only the answer to this
/// client (RFC 9110; the CORS protocol). `x-forwarded-proto` is Envoy's, which needs it to
/// select a route again. The most frequent ones come first.
#[rustfmt::skip]
pub const OF_REQUESTS: List = List::of(&[
    "x-forwarded-proto", "user-agent", "accept", "accept-encoding", "accept-language", "range",
    "if-none-match", "if-modified-since", "accept-charset", "access-control-request-headers",
    "access-control-request-method", "content-length", "if-match", "if-range",
    "if-unmodified-since", "origin", "transfer-encoding",
]);

/// The headers that a client may also send with a write: OSS stores most of them with the
/// object (OSS, "PutObject").
#[rustfmt::skip]
pub const OF_WRITES: List = List::of(&[
    "cache-control", "content-disposition", "content-encoding", "content-language", CONTENT_MD5,
    CONTENT_TYPE, "expect", "expires",
]);

/// The prefix of the headers of AWS's protocol, which OSS reads, too.
pub const AWS_PREFIX: &str = "x-amz-";

/// Whether a header of this lower-case name is part of a signature.
pub fn is_signed(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes()) || describes_body(name)
}

/// Whether a header describes a body, and so has no meaning for a read.
pub fn describes_body(name: &[u8]) -> bool {
    name == CONTENT_TYPE.as_bytes() || name == CONTENT_MD5.as_bytes()
}

/// The headers that the signer sets.
#[rustfmt::skip]
pub const OF_SIGNATURE: List = List::of(&[
    AUTHORIZATION, DATE, OSS_DATE, CONTENT_SHA256, SECURITY_TOKEN,
]);

/// A fixed list of names, in which each header of a request is looked up.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// All names on the list.
    pub names: &'static [&'static str],
    /// The set of their lengths, one bit for each. Most other names have another length, and
    /// need no further comparison.
    lengths: u64,
}

impl List {
    const fn of(names: &'static [&'static str]) -> List {
        let mut lengths = 0;
        let mut at = 0;
        while at < names.len() {
            lengths |= 1 << names[at].len();
            at += 1;
        }
        List { names, lengths }
    }

    /// Whether a name is on the list.
    pub fn has(&self, name: &[u8]) -> bool {
        let may_be = name.len() < 64 && (self.lengths >> name.len()) & 1 == 1;
        may_be && self.names.iter().any(|known| known.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_its_names_and_no_other() {
        for list in [OF_REQUESTS, OF_WRITES, OF_SIGNATURE] {
            assert!(list.names.iter().all(|name| list.has(name.as_bytes())));
            for name in list.names {
                let (cut, more) = (&name[1..], format!("{name}x"));
                let turned: String = name.chars().rev().collect();
                for other in [cut, &more, &turned] {
                    assert!(!list.has(other.as_bytes()), "{other}");
                }
            }
        }
        for length in [0, 63, 64, 65, 128, 1_000] {
            assert!(!OF_REQUESTS.has(&vec![b'n'; length]));
        }
    }
}
