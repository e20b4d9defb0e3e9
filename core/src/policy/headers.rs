//! Selects the headers of a client that are sent to OSS: a fixed list, and those that the
//! route's settings name.

use super::Incoming;
use super::reply::Reason;
use crate::config::Route;
use crate::config::choices::{Method, Ranges};
use crate::oss::headers::{self, AWS_PREFIX, OF_REQUESTS, OF_SIGNATURE, OF_WRITES};
use crate::signing::Header;

/// The headers of a request to OSS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The names of the headers to remove.
    pub remove: Vec<Vec<u8>>,
    /// The filter's own headers, which replace a client's.
    pub set: Vec<Header>,
    /// All headers that are part of the signature.
    pub signed: Vec<Header>,
}

/// Sorts the headers of a request that the filter signs.
pub fn split(route: &Route, method: Method, incoming: &Incoming) -> Result<Split, Reason> {
    let set = ours(route, method, range(incoming)?);
    let mut split = Split {
        signed: set.clone(),
        set,
        ..Split::default()
    };
    for &(name, value) in incoming.headers {
        if split.set.iter().any(|(known, _)| known.as_bytes() == name) {
            continue;
        }
        if !may_leave(route, method, name) {
            split.remove(name);
        } else if headers::is_signed(name) {
            let Ok(name) = std::str::from_utf8(name) else {
                split.remove(name);
                continue;
            };
            if split.signed.iter().any(|(known, _)| known == name) {
                return Err(Reason::DuplicateHeader);
            }
            // Spaces around a value are not part of it (RFC 9110, section 5.5), and OSS does
            // not see them.
            let value = value.trim_ascii().to_vec();
            split.signed.push((name.to_owned(), value));
        }
    }
    Ok(split)
}

/// The headers that the filter adds to a request and signs. Those of an earlier attempt may
/// still be on it.
fn ours(route: &Route, method: Method, range: Option<&[u8]>) -> Vec<Header> {
    let mut ours = route.rules.add_headers.clone();
    // Of several ranges in one header, OSS serves the first (OSS, "Range"), but refuses them if
    // it is asked to follow the HTTP standard. Neither knows other units.
    let is_one = |range: &[u8]| range.starts_with(b"bytes=") && !range.contains(&b',');
    let is_read = method == Method::Get && route.rules.ranges == Ranges::Standard;
    if is_read && range.is_some_and(is_one) {
        ours.push((headers::RANGE_BEHAVIOR.into(), b"standard".into()));
    }
    ours
}

/// The range that a request asks for. Two `range` headers are not valid HTTP (RFC 9110, section
/// 5.3), and a component in between may take either.
fn range<'a>(incoming: &Incoming<'a>) -> Result<Option<&'a [u8]>, Reason> {
    let headers = incoming.headers.iter();
    let mut ranges = headers.filter(|(name, _)| *name == b"range");
    let first = ranges.next();
    match ranges.next() {
        None => Ok(first.map(|(_, value)| *value)),
        Some(_) => Err(Reason::DuplicateHeader),
    }
}

/// The names of the headers to remove from a client's signed URL request. Headers that describe
/// a body may be part of its signature, even with a read.
pub fn unwanted(
    route: &Route,
    method: Method,
    incoming: &Incoming,
) -> Result<Vec<Vec<u8>>, Reason> {
    range(incoming)?;
    let mut split = Split::default();
    for (name, _) in incoming.headers {
        if !may_leave(route, method, name) && !headers::describes_body(name) {
            split.remove(name);
        }
    }
    Ok(split.remove)
}

impl Split {
    fn remove(&mut self, name: &[u8]) {
        if !self.remove.iter().any(|known| known == name) {
            self.remove.push(name.to_vec());
        }
    }
}

fn may_leave(route: &Route, method: Method, name: &[u8]) -> bool {
    if name.first() == Some(&b':') || OF_REQUESTS.has(name) {
        return true;
    }
    // The filter's signature does not cover AWS's headers.
    if OF_SIGNATURE.has(name) || name.starts_with(AWS_PREFIX.as_bytes()) {
        return false;
    }
    // These headers have no meaning for a read.
    if OF_WRITES.has(name) {
        return method.is_write();
    }
    route.rules.forward_headers.allow(name)
}
