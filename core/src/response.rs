//! What a client sees of OSS's answer, where the route's settings change it.
//! Pure.
//!
//! An error is made neutral without waiting for its body: the headers go on at
//! once, without a length, then a text of ours stands in place of the body's first
//! piece and nothing in place of the others. So it makes no difference how the body
//! comes, or whether it comes at all; and the status is OSS's, so that Envoy's
//! router retries by status as it would without this.

use crate::config::{Route, Treatment};

/// What to do to the headers of a response, and to its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    pub remove: Vec<Vec<u8>>,
    pub set: Vec<(&'static str, &'static str)>,
    /// In place of OSS's. `None`: the body and the trailers stay as they are.
    pub body: Option<&'static str>,
}

/// Whether [`redact`] has anything to do, so that most responses cost no
/// reading of their headers. Where `enabled` is off, all is as it is without us.
pub fn needs_redaction(route: &Route, status: u16) -> bool {
    let strips = !route.strip_response_headers.is_empty();
    route.treatment == Treatment::Sign && (strips || is_neutral(route, status))
}

/// `headers`: names in lower case.
pub fn redact(route: &Route, status: u16, headers: &[(&[u8], &[u8])]) -> Redaction {
    let neutral = is_neutral(route, status);
    let removed = |name: &[u8]| {
        let stripped = route.strip_response_headers.allow(name);
        !name.starts_with(b":") && (stripped || (neutral && !stays_on_neutral_error(name)))
    };
    let names = headers.iter().map(|(name, _)| *name);
    let mut redaction = Redaction {
        remove: names
            .filter(|name| removed(name))
            .map(<[u8]>::to_vec)
            .collect(),
        ..Redaction::default()
    };
    if neutral {
        redaction.set = vec![
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
        ];
        redaction.body = Some(neutral_body(status));
    }
    redaction
}

fn is_neutral(route: &Route, status: u16) -> bool {
    route.neutral_errors && status >= 400
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
    use crate::signing::Version;

    const HEADERS: &[(&[u8], &[u8])] = &[
        (b":status", b"403"),
        (b"content-length", b"300"),
        (b"x-oss-request-id", b"6A"),
        (b"x-oss-ec", b"0003-00000001"),
        (b"x-unheard-of", b"bucket my-bucket"),
        (b"access-control-allow-origin", b"*"),
        (b"retry-after", b"1"),
    ];

    fn route(neutral_errors: bool) -> Route {
        Route {
            neutral_errors,
            ..Route::new("bucket", "cn-hangzhou", Version::V4)
        }
    }

    #[test]
    fn by_default_nothing_is_changed() {
        assert!(!needs_redaction(&route(false), 403));
        assert_eq!(redact(&route(false), 403, HEADERS), Redaction::default());
    }

    #[test]
    fn a_neutral_error_has_only_headers_that_are_known_to_name_nothing() {
        assert!(!needs_redaction(&route(true), 206));
        let off = Route {
            treatment: Treatment::PassUnsigned,
            ..route(true)
        };
        assert!(!needs_redaction(&off, 403));
        let redaction = redact(&route(true), 403, HEADERS);
        assert_eq!(
            redaction.remove,
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
