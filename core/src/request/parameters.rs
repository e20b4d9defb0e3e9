//! What the parameters of a query ask for.

use crate::config::{Route, UnknownParameters};
use crate::signing::v1;

/// What a (decoded) name of a parameter means to OSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Part of a signed URL.
    Signature,
    /// A sub-resource: another operation than reading or writing the object.
    Operation,
    /// Changes what a read answers: `response-*`, `x-oss-*`, `versionId`.
    Modifier,
    /// Nothing, on an object; on the bucket it may be one of a list.
    Other,
}

pub fn meaning(name: &[u8]) -> Meaning {
    if is_signature_parameter(name) {
        Meaning::Signature
    } else if is_operation(name) {
        Meaning::Operation
    } else if name.starts_with(b"x-oss-") || v1::is_subresource(name) {
        Meaning::Modifier
    } else {
        Meaning::Other
    }
}

/// Whether a parameter leaves or is dropped; `None` if the request must be
/// refused for it. `operates`: it is a request on the bucket, or for another
/// operation that is allowed; what else it says is then part of that.
pub fn leaves(route: &Route, name: &[u8], operates: bool) -> Option<bool> {
    let forwarded = || route.forward_parameters.allow(name);
    match meaning(name) {
        Meaning::Signature => Some(false),
        Meaning::Operation => operation_allowed(route, name).then_some(true),
        Meaning::Modifier if operates && name == b"continuation-token" => Some(true),
        Meaning::Modifier => forwarded().then_some(true),
        Meaning::Other => {
            Some(operates || route.unknown_parameters == UnknownParameters::Forward || forwarded())
        }
    }
}

pub fn operation_allowed(route: &Route, name: &[u8]) -> bool {
    route
        .operations
        .iter()
        .any(|known| known.as_bytes() == name)
}

/// A sub-resource that is no mere modifier of a read.
pub fn is_operation(name: &[u8]) -> bool {
    v1::is_subresource(name)
        && !name.starts_with(b"response-")
        && !name.starts_with(b"x-oss-")
        && !matches!(
            name,
            b"versionId" | b"security-token" | b"continuation-token"
        )
}

/// Parameters by which a URL is signed: V1, V2 and V4 (OSS, "Add signatures
/// to URLs").
pub fn is_signature_parameter(name: &[u8]) -> bool {
    const NAMES: [&str; 9] = [
        "OSSAccessKeyId",
        "Signature",
        "security-token",
        "x-oss-access-key-id",
        "x-oss-credential",
        "x-oss-expires",
        "x-oss-security-token",
        "x-oss-signature",
        "x-oss-signature-version",
    ];
    NAMES
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Parameters that a signed URL has beside its signature, and that mean
/// nothing without it.
pub fn belongs_to_signature(name: &[u8]) -> bool {
    const NAMES: [&str; 3] = ["Expires", "x-oss-date", "x-oss-additional-headers"];
    is_signature_parameter(name)
        || NAMES
            .iter()
            .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}
