//! Maps the client's path to the key of an object.
//!
//! All decisions are made on the decoded path, as OSS reads it: `%2F` is a slash like any
//! other, and the key begins with the route's `key_prefix` whatever the client sends. OSS is
//! not a file system: dot segments and `//` are part of a key and change no directory.

use std::borrow::Cow;

use super::reply::Reason;
use crate::config::Route;
use crate::config::choices::{Addressing, DotSegments, PathEncoding};
use crate::oss::target::Target;

/// The longest key (OSS, "Object naming conventions").
const MAX_KEY: usize = 1023;

/// Refuses a spelling that the settings do not allow.
pub fn check_spelling(route: &Route, raw: &[u8], asked: &Target) -> Result<(), Reason> {
    if route.rules.path_encoding == PathEncoding::Canonical {
        let path = raw.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path != asked.path() {
            return Err(Reason::PathNotCanonical);
        }
    }
    if route.rules.dot_segments == DotSegments::Refuse && has_dot_segment(asked.key()) {
        return Err(Reason::DotSegment);
    }
    Ok(())
}

/// Whether a path, or a key, has a segment `.` or `..`.
pub fn has_dot_segment(path: &[u8]) -> bool {
    let mut segments = path.split(|byte| *byte == b'/');
    segments.any(|segment| matches!(segment, b"." | b".."))
}

/// Whether the path names the bucket itself, not an object.
pub fn is_bucket(route: &Route, asked: &Target) -> bool {
    route.rules.key_prefix.is_empty() && within(route, asked).is_some_and(<[u8]>::is_empty)
}

/// Maps a path to the target on OSS. With `index`, a directory is mapped to its index document.
pub fn map(route: &Route, asked: Target, index: bool) -> Result<Target, Reason> {
    let rest = within(route, &asked).ok_or(Reason::OutsidePrefix)?;
    let document = route
        .rules
        .index_document
        .as_deref()
        .filter(|_| index && (rest.is_empty() || rest.ends_with(b"/")));
    let target = if document.is_none()
        && rest.len() == asked.key().len()
        && route.rules.key_prefix.is_empty()
    {
        asked
    } else {
        let document = document.unwrap_or_default().as_bytes();
        let key = [route.rules.key_prefix.as_bytes(), rest, document].concat();
        asked.with_key(key)
    };
    match target.key().len() {
        0..=MAX_KEY => Ok(target),
        _ => Err(Reason::KeyTooLong),
    }
}

/// The target of a path that is not mapped, such as that of a signed URL. `None` if the route
/// does not serve it.
pub fn as_it_stands(route: &Route, asked: &Target) -> Option<Target> {
    let target = match route.rules.addressing {
        Addressing::PathStyle => {
            let key = asked.key().strip_prefix(route.bucket.as_bytes())?;
            asked.with_key(key.strip_prefix(b"/")?.to_vec())
        }
        Addressing::VirtualHosted | Addressing::Cname => asked.clone(),
    };
    let in_prefix = target.key().starts_with(route.rules.key_prefix.as_bytes());
    let in_path = asked.key().starts_with(route.rules.strip_prefix.as_bytes());
    (in_prefix && in_path).then_some(target)
}

/// The `:path` that is sent to OSS.
pub fn wire<'a>(route: &Route, target: &'a Target) -> Cow<'a, [u8]> {
    let wire = target.wire();
    match route.rules.addressing {
        Addressing::PathStyle => [b"/", route.bucket.as_bytes(), &wire].concat().into(),
        Addressing::VirtualHosted | Addressing::Cname => wire,
    }
}

/// The decoded path after the route's prefix.
fn within<'a>(route: &Route, asked: &'a Target) -> Option<&'a [u8]> {
    asked
        .key()
        .strip_prefix(route.rules.strip_prefix.as_bytes())
}
