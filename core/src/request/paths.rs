//! From the client's path to the key of an object.
//!
//! Everything is judged on the decoded path, as OSS reads it: `%2F` is a slash
//! like any other, and the key begins with the route's `key_prefix` whatever
//! the client wrote. OSS is no file system: dot segments and `//` are part of
//! a key, and lead nowhere.

use std::borrow::Cow;

use super::Refusal;
use crate::config::Route;
use crate::signing::target::Target;

/// OSS, "Object naming conventions".
const MAX_KEY: usize = 1023;

/// Refuses what the settings do not let a client write.
pub fn check_spelling(route: &Route, raw: &[u8], asked: &Target) -> Result<(), Refusal> {
    if route.refuse_other_encodings {
        let path = raw.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path != asked.path() {
            return Err(Refusal::new(400, "path_not_canonical", NOT_CANONICAL));
        }
    }
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    if route.refuse_dot_segments && asked.key().split(|byte| *byte == b'/').any(is_dots) {
        return Err(Refusal::new(400, "dot_segment", DOT_SEGMENT));
    }
    Ok(())
}

/// Whether the path names the bucket itself, not an object.
pub fn is_bucket(route: &Route, asked: &Target) -> bool {
    route.key_prefix.is_empty() && within(route, asked).is_some_and(<[u8]>::is_empty)
}

/// The target on OSS. `index`: a directory stands for its index document.
pub fn map(route: &Route, asked: Target, index: bool) -> Result<Target, Refusal> {
    let rest = within(route, &asked).ok_or_else(|| Refusal::new(404, "outside_prefix", OUTSIDE))?;
    let document = route
        .index_document
        .as_deref()
        .filter(|_| index && (rest.is_empty() || rest.ends_with(b"/")));
    let target = if document.is_none() && route.strip_prefix == "/" && route.key_prefix.is_empty() {
        asked
    } else {
        let document = document.unwrap_or_default().as_bytes();
        let key = [route.key_prefix.as_bytes(), rest, document].concat();
        asked.with_key(key)
    };
    match target.key().len() {
        0..=MAX_KEY => Ok(target),
        _ => Err(Refusal::new(414, "key_too_long", TOO_LONG)),
    }
}

/// The `:path` that leaves.
pub fn wire<'a>(route: &Route, target: &'a Target) -> Cow<'a, [u8]> {
    let wire = target.wire();
    match route.path_style {
        true => [b"/", route.bucket.as_bytes(), &wire].concat().into(),
        false => wire,
    }
}

/// What the decoded path has behind the route's prefix.
fn within<'a>(route: &Route, asked: &'a Target) -> Option<&'a [u8]> {
    let prefix = route.strip_prefix.strip_prefix('/').unwrap_or_default();
    asked.key().strip_prefix(prefix.as_bytes())
}

const OUTSIDE: &str = "The path is outside this route.";
const TOO_LONG: &str = "The key is longer than the 1,023 bytes that OSS allows.";
const DOT_SEGMENT: &str = "The path has a segment `.` or `..`.";
const NOT_CANONICAL: &str = "The path is spelled in another than the canonical way: percent-encode what is neither \
     unreserved nor a slash, in upper case, and nothing else.";
