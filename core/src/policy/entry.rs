//! Who may come in, before anything is said of where the request goes.

use super::Incoming;
use super::paths::has_dot_segment;
use super::place::{Place, check_unambiguous};
use super::reply::Reason;
use crate::access::{Access, Passed};

/// A request that has been let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered<'a> {
    /// The path and query that are there now, which may be of an earlier attempt.
    pub now: &'a [u8],
    /// The path and query that the client has sent.
    pub sent: &'a [u8],
    /// What is left of these without the signature of the URL, and which key has signed it.
    pub passed: Passed<'a>,
}

/// Lets a request in, or says why not. `access`: the checks of its route. `place`: where it
/// meets the filter, which matters if its path is changed.
pub fn enter<'a>(
    access: Option<&Access>,
    incoming: &Incoming<'a>,
    place: Option<&'a Place>,
) -> Result<Entered<'a>, Reason> {
    let now = incoming.header(b":path");
    // An attempt before this one has been let in, and has taken off what was checked.
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

/// On another route another spelling of the path may be checked; so there is but one, which
/// nothing behind reads as another path.
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
    /// The path and query to set, of a request that is not signed here.
    pub fn path(&self) -> Option<Vec<u8>> {
        let path = &self.passed.path;
        (**path != *self.now).then(|| path.to_vec())
    }

    /// What the attempts that follow must know of this, if `path` is what leaves: both, with
    /// a NUL between them. Envoy shows a retry the request as the attempt before it has left
    /// it: it must be neither mapped twice nor, where it was checked, asked for the signature
    /// or the header that it has had. Among the listener's filters it does not come again.
    pub fn note(&self, path: &[u8], place: Option<&Place>, checked: bool) -> Option<Vec<u8>> {
        let comes_again = matches!(place, Some(Place::Cluster { .. }));
        let is_needed = comes_again && (checked || *path != *self.sent);
        is_needed.then(|| [path, b"\0", self.sent].concat())
    }
}
