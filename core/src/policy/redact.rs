//! Redacts OSS's responses.
//!
//! The body of an error may repeat how the request was signed, including the security token, so
//! no client gets it as OSS sent it. The headers continue at once, without a length. The body
//! is replaced by a text of the filter, or by the allowed elements of OSS's. So it does not
//! matter how the body arrives, or whether it does; and the status stays OSS's, so that Envoy's
//! router retries by status as it would without the filter.

use super::edits::Edits;
use crate::config::Route;
use crate::config::choices::{Errors, ForcedDownload};
use crate::oss::error::xml_header;
use crate::oss::headers;
use crate::oss::shown::{error_with_code, is_complete, without_secrets};

/// The changes to a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The edits of the headers.
    pub edits: Edits,
    /// The new body. `None` means that the body and the trailers stay unchanged.
    pub body: Option<Body>,
}

/// The body that replaces OSS's: a text of the filter, or the allowed elements of OSS's error.
/// If the body is not an error of OSS, the text is used in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    errors: Errors,
    words: &'static str,
}

impl Body {
    fn new(errors: Errors, status: u16) -> Body {
        let words = words(status);
        Body { errors, words }
    }

    /// Whether `xml` is enough to make the new body.
    pub fn is_known(self, xml: &[u8]) -> bool {
        match self.errors {
            Errors::Neutral => true,
            Errors::Oss => is_complete(xml),
        }
    }

    /// The new body, made from `xml`, the part of OSS's body that has arrived.
    pub fn of(self, xml: &[u8]) -> Vec<u8> {
        match self.errors {
            Errors::Neutral => ["{\"error\":\"", self.words, "\"}\n"].concat().into_bytes(),
            // An SDK as a client expects XML.
            Errors::Oss => without_secrets(xml).unwrap_or_else(|| error_with_code(self.words)),
        }
    }
}

/// Whether [`redact`] has anything to do. For most responses it has not, and their headers need
/// not be read.
pub fn needs_redaction(route: &Route, status: u16) -> bool {
    !route.rules.strip_response_headers.is_empty() || status >= 300
}

/// The headers by which OSS turned an object into a download, if OSS says that it did so. An
/// object's own disposition is kept, as far as it can be distinguished from OSS's. `header`
/// returns the value of a response header, empty if there is none; `names` returns all names.
pub fn forced_download(
    route: &Route,
    status: u16,
    header: impl Fn(&str) -> Vec<u8>,
    names: impl FnOnce() -> Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let removes = route.rules.forced_download == ForcedDownload::Remove;
    let may_be = removes && matches!(status, 200 | 206 | 304);
    if !may_be || !header(headers::FORCE_DOWNLOAD).eq_ignore_ascii_case(b"true") {
        return Vec::new();
    }
    let name = "content-disposition";
    let disposition = header(name);
    let is_bare = disposition.trim_ascii().eq_ignore_ascii_case(b"attachment");
    let of_this_name = |known: &&Vec<u8>| known.as_slice() == name.as_bytes();
    let is_forced = is_bare && names().iter().filter(of_this_name).count() == 1;
    let disposition = is_forced.then_some(name);
    // The EC shows which rule made the object a download.
    let names = [headers::FORCE_DOWNLOAD, headers::EC].into_iter();
    names.chain(disposition).map(Vec::from).collect()
}

/// The changes to a response. `names` returns the names of its headers in lower case, and is
/// called only if they are needed; `xml` is the XML of `x-oss-err`.
pub fn redact(
    route: &Route,
    status: u16,
    names: impl FnOnce() -> Vec<Vec<u8>>,
    xml: &[u8],
) -> Redaction {
    let rules = &route.rules;
    let mut redaction = Redaction::default();
    let stays = |name: &[u8]| match rules.errors {
        _ if !has_own_body(status) => true,
        Errors::Neutral => stays_on_neutral_error(status, name),
        Errors::Oss => !describes_the_body(name),
    };
    let removed = |name: &Vec<u8>| {
        let stripped = rules.strip_response_headers.allow(name);
        !name.starts_with(b":") && (stripped || !stays(name))
    };
    if has_own_body(status) || !rules.strip_response_headers.is_empty() {
        redaction.edits.remove = names().into_iter().filter(removed).collect();
    }
    if !has_own_body(status) {
        if status >= 300 {
            redaction.edits.remove.push(headers::ERR.into());
        }
        return redaction;
    }
    redaction.body = Some(Body::new(rules.errors, status));
    let (kind, is_neutral) = match rules.errors {
        Errors::Neutral => ("application/json", true),
        Errors::Oss => ("application/xml", false),
    };
    redaction.edits.set = vec![("content-type".into(), kind.as_bytes().into())];
    if is_neutral {
        let cache_control = ("cache-control".into(), b"no-store".as_slice().into());
        redaction.edits.set.push(cache_control);
    } else if let Some(shown) = without_secrets(xml) {
        let err = (headers::ERR.into(), xml_header(&shown).into());
        redaction.edits.set.push(err);
    }
    redaction
}

/// Whether the response has a body that is not an object, so that a client must not see it
/// unchanged. A "not modified" response has no body.
fn has_own_body(status: u16) -> bool {
    status >= 300 && status != 304
}

/// Whether a header stays on a neutral error: it says nothing of the origin or of the replaced
/// body (RFC 9110; the `access-control-*` of the CORS protocol), or it is one of two ids of the
/// error for support. Envoy handles the framing headers of HTTP/1.1.
fn stays_on_neutral_error(status: u16, name: &[u8]) -> bool {
    name.starts_with(b"access-control-")
        || (status < 400 && name == b"location")
        || name == headers::REQUEST_ID.as_bytes()
        || name == headers::EC.as_bytes()
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

/// Whether a header describes the replaced body. `x-oss-err` repeats it.
fn describes_the_body(name: &[u8]) -> bool {
    name == headers::ERR.as_bytes()
        || matches!(
            name,
            b"content-encoding" | b"content-length" | b"content-md5" | b"etag"
        )
}

fn words(status: u16) -> &'static str {
    match status {
        300..=399 => "moved",
        401 | 403 => "forbidden",
        404 => "not_found",
        412 => "precondition_failed",
        416 => "range_not_satisfiable",
        429 => "too_many_requests",
        400..=499 => "bad_request",
        _ => "origin_unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::account::AccountId;
    use crate::oss::error::header_xml;
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
            "location",
        ];
        names.map(Vec::from).into()
    }

    fn route(errors: Errors) -> Route {
        let mut route = Route::new("bucket", "host", Scheme::V1, AccountId(0));
        route.rules.errors = errors;
        route
    }

    #[test]
    fn what_is_no_error_is_not_changed() {
        for errors in [Errors::Neutral, Errors::Oss] {
            let route = route(errors);
            for status in [200, 206] {
                assert!(!needs_redaction(&route, status));
                assert_eq!(redact(&route, status, names, b""), Redaction::default());
            }
            // What explains an error to a HEAD is no part of it.
            let redaction = redact(&route, 304, names, b"");
            assert_eq!(redaction.edits.remove, [b"x-oss-err"]);
            assert_eq!(redaction.body, None);
        }
    }

    #[test]
    fn what_oss_has_made_a_download_is_shown() {
        let mark = (headers::FORCE_DOWNLOAD, "true");
        let own = ("content-disposition", "attachment; filename=a");
        let forced = ("content-disposition", "Attachment");
        let removed = |route: &Route, status, sent: &[(&str, &str)]| {
            let header = |name: &str| {
                let found = sent.iter().find(|(known, _)| *known == name);
                found.map_or(Vec::new(), |(_, value)| Vec::from(*value))
            };
            let names = || sent.iter().map(|(name, _)| Vec::from(*name)).collect();
            forced_download(route, status, header, names)
        };
        let mut route = route(Errors::Neutral);
        route.rules.forced_download = ForcedDownload::Remove;
        let both = [
            &b"x-oss-force-download"[..],
            b"x-oss-ec",
            b"content-disposition",
        ];
        for status in [200, 206, 304] {
            assert_eq!(removed(&route, status, &[mark, forced]), both);
        }
        // Some are the owner's own.
        assert_eq!(removed(&route, 200, &[mark, own]), both[..2]);
        assert_eq!(removed(&route, 200, &[mark, forced, own]), both[..2]);
        assert_eq!(removed(&route, 200, &[mark, own, forced]), both[..2]);
        let none: [&[u8]; 0] = [];
        assert_eq!(removed(&route, 200, &[forced]), none);
        let unmarked = (headers::FORCE_DOWNLOAD, "false");
        assert_eq!(removed(&route, 200, &[unmarked, forced]), none);
        assert_eq!(removed(&route, 404, &[mark, forced]), none);
        route.rules.forced_download = ForcedDownload::Keep;
        assert_eq!(removed(&route, 200, &[mark, forced]), none);
    }

    #[test]
    fn a_neutral_error_has_only_headers_that_are_known_to_name_nothing() {
        let route = route(Errors::Neutral);
        let redaction = redact(&route, 403, names, b"");
        let removed = [&b"content-length"[..], b"x-unheard-of", b"location"];
        assert_eq!(redaction.edits.remove, removed);
        let body = redaction.body.unwrap();
        assert_eq!(body.of(b"<Code>x</Code>"), b"{\"error\":\"forbidden\"}\n");
        let throttled = redact(&route, 429, names, b"").body.unwrap();
        assert_eq!(throttled.of(b""), b"{\"error\":\"too_many_requests\"}\n");
        let redirect = redact(&route, 302, names, b"");
        assert_eq!(redirect.edits.remove, removed[..2]);
    }

    #[test]
    fn an_error_of_oss_keeps_what_does_not_describe_its_body() {
        let route = route(Errors::Oss);
        let xml = b"<Error><Code>A</Code><SecurityToken>sesame</SecurityToken></Error>";
        let redaction = redact(&route, 403, names, xml);
        assert_eq!(redaction.edits.remove, [b"content-length"]);
        let body = redaction.body.unwrap();
        let shown = body.of(xml);
        assert!(!shown.windows(6).any(|part| part == b"sesame"));
        let other = String::from_utf8(body.of(b"<html>sesame")).unwrap();
        assert!(other.contains("<Code>forbidden</Code>") && !other.contains("html"));
        let err = &redaction
            .edits
            .set
            .iter()
            .find(|(name, _)| *name == headers::ERR);
        assert_eq!(header_xml(&err.unwrap().1), shown);
    }
}
