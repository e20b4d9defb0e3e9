//! Which parameters of a query leave.

use crate::config::Route;
use crate::config::choices::UnknownParameters;
use crate::oss::parameters::{Meaning, meaning};

/// Whether a parameter leaves or is dropped; `None` if the request must be
/// refused for it. `operates`: it is a request on the bucket, or for another
/// operation that is allowed; what else it says is then part of that.
pub fn leaves(route: &Route, name: &[u8], operates: bool) -> Option<bool> {
    let forwarded = || route.rules.forward_parameters.allow(name);
    match meaning(name) {
        Meaning::Signature => Some(false),
        Meaning::Operation => operation_allowed(route, name).then_some(true),
        Meaning::Modifier if operates && name == b"continuation-token" => Some(true),
        Meaning::Modifier => forwarded().then_some(true),
        Meaning::Other => Some(
            operates || route.rules.unknown_parameters == UnknownParameters::Forward || forwarded(),
        ),
    }
}

/// Whether the settings let an operation pass.
pub fn operation_allowed(route: &Route, name: &[u8]) -> bool {
    route
        .rules
        .operations
        .iter()
        .any(|known| known.as_bytes() == name)
}
