//! Checks the query: the operation that it asks for, and the parameters that are forwarded.

use super::reply::Reason;
use crate::config::Route;
use crate::config::choices::{Method, UnknownParameters};
use crate::oss::parameters::{Meaning, belongs_to_signature, meaning, takes};
use crate::oss::target::{Parameter, Target};

/// The operation that a request asks OSS for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The request reads, writes or deletes an object.
    Object,
    /// The request asks for these operations, which the settings allow.
    Operations(Vec<Vec<u8>>),
}

impl Asks {
    /// The operation that a request asks for, on the bucket or on an object. It is an error if
    /// the settings do not allow it.
    pub fn of(
        route: &Route,
        method: Method,
        asked: &Target,
        is_bucket: bool,
    ) -> Result<Asks, Reason> {
        let names = || asked.parameters().iter().map(|p| p.name.as_slice());
        let operations = names().filter(|name| meaning(name) == Meaning::Operation);
        let operations: Vec<Vec<u8>> = operations.map(<[u8]>::to_vec).collect();
        if !operations.iter().all(|name| is_allowed(route, name)) {
            return Err(Reason::ParameterNotAllowed);
        }
        if !operations.is_empty() {
            return Ok(Asks::Operations(operations));
        }
        if !is_bucket {
            return Ok(Asks::Object);
        }
        // A read with an argument of a list gets the list, not the index document.
        let lists = method.is_read() && names().any(|name| takes(LIST, name));
        let operation = if method.is_read() { LIST } else { BUCKET };
        let has_index = route.rules.index_document.is_some() && !method.is_write();
        if is_allowed(route, operation) && (lists || !has_index) {
            Ok(Asks::Operations(vec![operation.to_vec()]))
        } else if has_index {
            Ok(Asks::Object)
        } else {
            Err(Reason::BucketOperation)
        }
    }

    /// Whether the request asks for something else than an object itself.
    pub fn is_operation(&self) -> bool {
        *self != Asks::Object
    }

    /// Whether a parameter is forwarded (`true`) or dropped; an error if it must be refused.
    /// Only listed parameters are forwarded, because OSS may give any name a meaning later. An
    /// unknown parameter is dropped if that is harmless, which is with a read of an object, and
    /// refused otherwise.
    pub fn lets_leave(
        &self,
        route: &Route,
        method: Method,
        parameter: &Parameter,
    ) -> Result<bool, Reason> {
        let name = parameter.name.as_slice();
        let forwards = route.rules.unknown_parameters == UnknownParameters::Forward;
        let is_argument = || match self {
            Asks::Object => false,
            Asks::Operations(operations) => operations.iter().any(|known| takes(known, name)),
        };
        match meaning(name) {
            Meaning::Signature => Ok(false),
            // The operation has been checked.
            Meaning::Operation => Ok(true),
            _ if is_argument() || route.rules.forward_parameters.allow(name) => Ok(true),
            Meaning::Other if !self.is_operation() && !method.is_write() => Ok(forwards),
            Meaning::Other | Meaning::Modifier => Err(Reason::ParameterNotAllowed),
        }
    }

    /// Whether a signed URL may have this parameter. It is never dropped, and a parameter that
    /// OSS knows is part of the signature.
    pub fn is_in_signed_url(&self, route: &Route, method: Method, parameter: &Parameter) -> bool {
        let name = parameter.name.as_slice();
        belongs_to_signature(name)
            || meaning(name) == Meaning::Modifier
            || self.lets_leave(route, method, parameter) == Ok(true)
    }
}

/// Whether the settings allow an operation.
fn is_allowed(route: &Route, operation: &[u8]) -> bool {
    let mut operations = route.rules.operations.iter();
    operations.any(|known| known.as_bytes() == operation)
}

/// The word for ListObjects, which has no sub-resource.
const LIST: &[u8] = b"list";
/// The word for other requests on the bucket without a sub-resource.
const BUCKET: &[u8] = b"bucket";
