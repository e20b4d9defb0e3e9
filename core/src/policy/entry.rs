//! Access control of a request, before its target on OSS is determined.

use super::Incoming;
use super::paths::has_dot_segment;
use super::place::{Place, check_unambiguous};
use super::reply::Reason;
use crate::access::{Access, Passed};

/// A request that passed access control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered<'a> {
    /// The current path and query, which an earlier attempt may have changed.
    pub now: &'a [u8],
    /// The path and query that the client sent.
    pub sent: &'a [u8],
    /// The client's path and query without the signature of the URL, and the key that signed
    /// it.
    pub passed: Passed<'a>,
}

/// Checks whether a request may enter. `access` holds the checks of its route. `place` is where
/// the filter meets the request, which matters if the path is changed.
pub fn enter<'a>(
    access: Option<&Access>,
    incoming: &Incoming<'a>,
    place: Option<&'a Place>,
) -> Result<Entered<'a>, Reason> {
    let now = incoming.header(b":path");
    // An earlier attempt passed the checks, and removed the parts that were checked.
    let earlier = place.and_then(|place| place.sent(now));
    let sent = earlier.unwrap_or(now);
    let as_it_is = Passed {
        path: sent.into(),
        key: None,
    };
    let passed = match (access, earlier) {
        (None, _) => as_it_is,
        (Some(access), None) => access.check(incoming.headers, sent, incoming.now)?,
        (Some(access), Some(_)) => Passed {
            path: access.strip(sent)?,
            ..as_it_is
        },
    };
    if incoming.guards && !access.is_some_and(Access::strips) {
        check_one_spelling(sent)?;
    }
    Ok(Entered { now, sent, passed })
}

/// Requires the one spelling of a path that no later component reads as another path. With
/// another spelling, the request could take a route with other checks.
fn check_one_spelling(target: &[u8]) -> Result<(), Reason> {
    let path = target.split(|byte| *byte == b'?').next();
    let path = path.unwrap_or_default();
    check_unambiguous(path)?;
    match has_dot_segment(path) {
        true => Err(Reason::DotSegment),
        false => Ok(()),
    }
}

impl Entered<'_> {
    /// The path and query to set on a request that is not signed here.
    pub fn path(&self) -> Option<Vec<u8>> {
        let path = &self.passed.path;
        (**path != *self.now).then(|| path.to_vec())
    }

    /// The note for later attempts, if `path` is sent: both paths, with a NUL between them.
    /// Envoy shows a retry the request as the earlier attempt left it. So the retry must not
    /// map the path again; nor may it require the signature or the header that was checked and
    /// removed. Among the listener's filters no retry comes back to the filter.
    pub fn note(&self, path: &[u8], place: Option<&Place>, checked: bool) -> Option<Vec<u8>> {
        let comes_again = matches!(place, Some(Place::Cluster { .. }));
        let is_needed = comes_again && (checked || *path != *self.sent);
        is_needed.then(|| [path, b"\0", self.sent].concat())
    }
}
