//! What a client sees of OSS's answer, where the route's settings change it.
//! Pure.

use crate::config::Route;

/// What to do to a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disguise {
    pub remove: Vec<Vec<u8>>,
    pub set: Vec<(&'static str, String)>,
    /// In place of OSS's.
    pub body: Option<&'static str>,
}

/// Whether [`disguise`] has anything to do, so that most responses cost no
/// reading of their headers.
pub fn needs_disguise(route: &Route, status: u16) -> bool {
    !route.strip_response_headers.is_empty() || (route.neutral_errors && status >= 400)
}

/// `headers`: names in lower case. `has_body`: the response may have one.
pub fn disguise(
    route: &Route,
    status: u16,
    has_body: bool,
    headers: &[(&[u8], &[u8])],
) -> Disguise {
    let neutral = route.neutral_errors && status >= 400;
    let mut disguise = Disguise::default();
    for (name, _) in headers {
        let stripped = route.strip_response_headers.allow(name);
        if !name.starts_with(b":") && (stripped || (neutral && tells_of_the_origin(name))) {
            disguise.remove.push(name.to_vec());
        }
    }
    if neutral {
        let body = neutral_body(status);
        disguise.set = vec![
            ("content-type", "application/json".into()),
            ("cache-control", "no-store".into()),
        ];
        if has_body {
            disguise
                .set
                .push(("content-length", body.len().to_string()));
            disguise.body = Some(body);
        }
    }
    disguise
}

/// Headers of an error that name the origin, or describe its body.
fn tells_of_the_origin(name: &[u8]) -> bool {
    name.starts_with(b"x-oss-")
        || matches!(
            name,
            b"server" | b"content-length" | b"content-encoding" | b"content-md5" | b"etag"
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
        (b"x-kept", b"yes"),
    ];

    fn route(neutral_errors: bool) -> Route {
        Route {
            neutral_errors,
            ..Route::new("bucket", "cn-hangzhou", Version::V4)
        }
    }

    #[test]
    fn by_default_nothing_is_changed() {
        assert!(!needs_disguise(&route(false), 403));
        assert_eq!(
            disguise(&route(false), 403, true, HEADERS),
            Disguise::default()
        );
    }

    #[test]
    fn a_neutral_error_names_nothing_of_the_origin() {
        assert!(!needs_disguise(&route(true), 206));
        let disguise = disguise(&route(true), 403, true, HEADERS);
        assert_eq!(
            disguise.remove,
            [&b"content-length"[..], b"x-oss-request-id", b"x-oss-ec"]
        );
        let body = disguise.body.unwrap();
        let length = ("content-length", body.len().to_string());
        assert!(disguise.set.contains(&length));
    }

    #[test]
    fn an_error_without_a_body_gets_none() {
        let disguise = disguise(&route(true), 404, false, HEADERS);
        assert_eq!(disguise.body, None);
        assert!(
            !disguise
                .set
                .iter()
                .any(|(name, _)| *name == "content-length")
        );
    }
}
