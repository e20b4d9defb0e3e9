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
/// route without it when it selects one again. What most requests have stands first.
#[rustfmt::skip]
pub const OF_REQUESTS: List = List::of(&[
    "x-forwarded-proto", "user-agent", "accept", "accept-encoding", "accept-language", "range",
    "if-none-match", "if-modified-since", "accept-charset", "access-control-request-headers",
    "access-control-request-method", "content-length", "if-match", "if-range",
    "if-unmodified-since", "origin", "transfer-encoding",
]);

/// What a client may say besides of what it writes: OSS keeps most of them with the object
/// (OSS, "PutObject").
#[rustfmt::skip]
pub const OF_WRITES: List = List::of(&[
    "cache-control", "content-disposition", "content-encoding", "content-language", CONTENT_MD5,
    CONTENT_TYPE, "expect", "expires",
]);

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

/// The headers that a signer sets.
#[rustfmt::skip]
pub const OF_SIGNATURE: List = List::of(&[
    AUTHORIZATION, DATE, OSS_DATE, CONTENT_SHA256, SECURITY_TOKEN,
]);

/// A closed list of names, in which each header of a request is looked up.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// All that are on it.
    pub names: &'static [&'static str],
    /// Which lengths they have, a bit for each: most other names differ in theirs.
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

    /// Whether a name is on it.
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
