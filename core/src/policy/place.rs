//! The place of the filter, and its consequences.
//!
//! On the cluster the filter rewrites the path to the one form that cannot be misread, and sets
//! the host. Among the listener's filters it must not: Envoy would select the route again for
//! the changed request, and could send it, signed, to another cluster. There the filter signs
//! what OSS will read, and refuses what can be read in two ways. The one exception is the
//! signature of a client's URL, which is removed, so that it is not part of a cache's key.

use super::reply::Reason;
use crate::oss::encoding::{hex_pair, is_unreserved};

/// The place where the filter meets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The filter is among the listener's filters.
    Listener,
    /// The filter is on the cluster.
    Cluster {
        /// The [`Entered::note`](super::entry::Entered::note) of an earlier attempt at this
        /// request; empty if there was none.
        earlier: Vec<u8>,
    },
}

impl Place {
    /// The path that the client sent, if `path` is the one that an earlier attempt left.
    pub fn sent(&self, path: &[u8]) -> Option<&[u8]> {
        match self {
            Place::Cluster { earlier } => earlier.strip_prefix(path)?.strip_prefix(b"\0"),
            Place::Listener => None,
        }
    }
}

/// Refuses a path and query that Envoy's routes, or a component in between, could read in
/// another way than OSS.
pub fn check_unambiguous(raw: &[u8]) -> Result<(), Reason> {
    let (path, query) = match raw.iter().position(|byte| *byte == b'?') {
        Some(at) => raw.split_at(at),
        None => (raw, &[][..]),
    };
    let query = query.strip_prefix(b"?").unwrap_or_default();
    let mut pairs = query.split(|byte| *byte == b'&');
    // An empty parameter is not part of the signature.
    let has_names = query.is_empty() || pairs.all(|pair| !pair.is_empty() && pair != b"=");
    let in_query = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    let encoded_in_path = |byte: u8| !is_unreserved(byte) && byte != b'/';
    match has_names
        && is_plain(path, is_plain_in_path, encoded_in_path)
        && is_plain(query, in_query, |_| true)
    {
        true => Ok(()),
        false => Err(Reason::AmbiguousPath),
    }
}

/// Whether all components read a character the same way if it is not encoded: the characters of
/// RFC 3986, and three that browsers do not encode.
fn is_plain_in_path(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':'
                | b'@'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'['
                | b']'
                | b'|'
        )
}

/// Whether all unencoded bytes are `plain`, and all encoded bytes may be encoded.
fn is_plain(
    mut text: &[u8],
    plain: impl Fn(u8) -> bool,
    may_be_encoded: impl Fn(u8) -> bool,
) -> bool {
    while let Some((byte, rest)) = text.split_first() {
        let good = match byte {
            b'%' => hex_pair(rest).is_some_and(&may_be_encoded),
            byte => plain(*byte),
        };
        if !good {
            return false;
        }
        let behind = if *byte == b'%' { 2 } else { 0 };
        text = rest.get(behind..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oss::target::Target;

    #[test]
    fn the_canonical_form_is_read_in_one_way() {
        for byte in 0..=255_u8 {
            let raw = [b'/', byte, b'x', b'?', byte, b'=', byte, b'&', byte, byte];
            let wire = Target::parse(&raw).unwrap().wire().into_owned();
            assert_eq!(check_unambiguous(&wire), Ok(()), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (raw, good) in [
            (&b"/a/b-1._~"[..], true),
            (b"/a(1),b;c=d+e@f:g!$&'*|[]", true),
            (b"/%E4%b8%AD%20%2B%28%25%3F%23%00", true),
            (b"/a?", true),
            (b"/a?x=a+b/c?d&y&z=%61%2F%zz", false),
            (b"/a?x=a+b/c?d&y&z=%61%2F", true),
            (b"/%61pp", false),
            (b"/a%2Fb", false),
            (b"/a%2fb", false),
            (b"/a%5Cb", true),
            (b"/a\\b", false),
            (b"/%7Ea", false),
            (b"/a b", false),
            (b"/a#b", false),
            (b"/a%", false),
            (b"/a%4", false),
            (b"/a%4g", false),
            (b"/\xe4", false),
            (b"/a\x00", false),
            (b"/a?x#y", false),
            (b"/a?x y", false),
            (b"/a?%", false),
            (b"/a?x&&y", false),
            (b"/a?&x", false),
            (b"/a?=x", true),
            (b"/a?=", false),
        ] {
            assert_eq!(
                check_unambiguous(raw).is_ok(),
                good,
                "{}",
                raw.escape_ascii()
            );
        }
    }
}
