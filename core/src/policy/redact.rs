//! What a client sees of OSS's answer, where the route's settings change it.
//!
//! An error is made neutral without waiting for its body: the headers go on at
//! once, without a length, then a text of ours stands in place of the body's first
//! piece and nothing in place of the others. So it makes no difference how the body
//! comes, or whether it comes at all; and the status is OSS's, so that Envoy's
//! router retries by status as it would without this.

use super::edits::Edits;
use crate::config::Route;
use crate::config::choices::Errors;

/// What to do to the headers of a response, and to its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// To its headers.
    pub edits: Edits,
    /// In place of OSS's. `None`: the body and the trailers stay as they are.
    pub body: Option<&'static str>,
}

/// Whether [`redact`] has anything to do, so that most responses cost no
/// reading of their headers.
pub fn needs_redaction(route: &Route, status: u16) -> bool {
    !route.rules.strip_response_headers.is_empty() || is_neutral(route, status)
}

/// What to do to a response. `names`: of its headers, in lower case.
pub fn redact(route: &Route, status: u16, names: Vec<Vec<u8>>) -> Redaction {
    let neutral = is_neutral(route, status);
    let removed = |name: &Vec<u8>| {
        let stripped = route.rules.strip_response_headers.allow(name);
        !name.starts_with(b":") && (stripped || (neutral && !stays_on_neutral_error(name)))
    };
    let mut redaction = Redaction::default();
    redaction.edits.remove = names.into_iter().filter(removed).collect();
    if neutral {
        redaction.edits.set = vec![
            ("content-type", b"application/json".as_slice().into()),
            ("cache-control", b"no-store".as_slice().into()),
        ];
        redaction.body = Some(neutral_body(status));
    }
    redaction
}

fn is_neutral(route: &Route, status: u16) -> bool {
    route.rules.errors == Errors::Neutral && status >= 400
}

/// What says nothing of the origin, nor of the body that is replaced (RFC 9110; the
/// `access-control-*` of the CORS protocol). Headers of HTTP/1.1's framing are
/// Envoy's.
fn stays_on_neutral_error(name: &[u8]) -> bool {
    name.starts_with(b"access-control-")
        || matches!(
            name,
            b"accept-ranges"
                | b"allow"
                | b"connection"
                | b"content-range"
                | b"date"
                | b"retry-after"
                | b"transfer-encoding"
                | b"vary"
        )
}

fn neutral_body(status: u16) -> &'static str {
    match status {
        401 | 403 => "{\"error\":\"forbidden\"}\n",
        404 => "{\"error\":\"not_found\"}\n",
        412 => "{\"error\":\"precondition_failed\"}\n",
        416 => "{\"error\":\"range_not_satisfiable\"}\n",
        400..=499 => "{\"error\":\"bad_request\"}\n",
        _ => "{\"error\":\"origin_unavailable\"}\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::account::AccountId;
    use crate::signing::Scheme;

    fn names() -> Vec<Vec<u8>> {
        let names = [
            ":status",
            "content-length",
            "x-oss-request-id",
            "x-oss-ec",
            "x-unheard-of",
            "access-control-allow-origin",
            "retry-after",
        ];
        names.map(Vec::from).into()
    }

    fn route(errors: Errors) -> Route {
        let mut route = Route::new("bucket", Scheme::V1, AccountId(0));
        route.rules.errors = errors;
        route
    }

    #[test]
    fn by_default_nothing_is_changed() {
        let route = route(Errors::Oss);
        assert!(!needs_redaction(&route, 403));
        assert_eq!(redact(&route, 403, names()), Redaction::default());
    }

    #[test]
    fn a_neutral_error_has_only_headers_that_are_known_to_name_nothing() {
        let route = route(Errors::Neutral);
        assert!(!needs_redaction(&route, 206));
        let redaction = redact(&route, 403, names());
        assert_eq!(
            redaction.edits.remove,
            [
                &b"content-length"[..],
                b"x-oss-request-id",
                b"x-oss-ec",
                b"x-unheard-of"
            ]
        );
        assert_eq!(redaction.body, Some("{\"error\":\"forbidden\"}\n"));
    }
}
