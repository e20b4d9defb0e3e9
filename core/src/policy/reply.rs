//! Local replies, for requests that are not sent to OSS.

use std::borrow::Cow;

use crate::access::{Access, Denied};
use crate::words::{Word, words};

words! {
    /// The reason of a local reply: the word in the header `x-oss-origin-auth` and in the body.
    pub enum Reason {
        /// The route has no settings.
        RouteNotConfigured = "route_not_configured",
        /// The settings refuse every request of the route.
        RouteDenied = "route_denied",
        /// The settings in metadata are wrong.
        RouteMisconfigured = "route_misconfigured",
        /// The route does not allow the method.
        MethodNotAllowed = "method_not_allowed",
        /// The path does not begin with a slash.
        MalformedPath = "malformed_path",
        /// The path is not in its canonical encoding.
        PathNotCanonical = "path_not_canonical",
        /// The path or query can be read in two ways, and cannot be rewritten at this place.
        AmbiguousPath = "ambiguous_path",
        /// The path has a segment `.` or `..`.
        DotSegment = "dot_segment",
        /// The path does not begin with the route's prefix.
        OutsidePrefix = "outside_prefix",
        /// The key would be too long for OSS.
        KeyTooLong = "key_too_long",
        /// The path names the bucket, not an object.
        BucketOperation = "bucket_operation",
        /// A parameter asks for something that the route does not allow.
        ParameterNotAllowed = "parameter_not_allowed",
        /// The URL has a signature.
        PresignedUrl = "presigned_url",
        /// The URL has no signature.
        PresignedUrlRequired = "presigned_url_required",
        /// A signed header is given twice.
        DuplicateHeader = "duplicate_header",
        /// The URL has no signature of the CDN's kind.
        UrlSignatureMissing = "url_signature_missing",
        /// The signature of the URL is malformed.
        UrlSignatureMalformed = "url_signature_malformed",
        /// The signature of the URL has expired.
        UrlSignatureExpired = "url_signature_expired",
        /// The signature of the URL was made with another key or for another URL.
        UrlSignatureWrong = "url_signature_wrong",
        /// The referring page is not allowed.
        RefererNotAllowed = "referer_not_allowed",
        /// The client is not allowed.
        UserAgentNotAllowed = "user_agent_not_allowed",
        /// There are no credentials to sign with.
        NoCredentials = "no_credentials",
        /// The host did not perform a call.
        InternalError = "internal_error",
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Reason {
        match denied {
            Denied::UrlMissing => Reason::UrlSignatureMissing,
            Denied::UrlMalformed => Reason::UrlSignatureMalformed,
            Denied::UrlExpired => Reason::UrlSignatureExpired,
            Denied::UrlWrong => Reason::UrlSignatureWrong,
            Denied::Referer => Reason::RefererNotAllowed,
            Denied::UserAgent => Reason::UserAgentNotAllowed,
        }
    }
}

impl Reason {
    /// The HTTP status of the reply.
    pub fn status(self) -> u16 {
        self.facts().0
    }

    /// Whether the reason comes from access control.
    fn is_of_access(self) -> bool {
        matches!(
            self,
            Reason::UrlSignatureMissing
                | Reason::UrlSignatureMalformed
                | Reason::UrlSignatureExpired
                | Reason::UrlSignatureWrong
                | Reason::RefererNotAllowed
                | Reason::UserAgentNotAllowed
        )
    }

    /// The seconds after which a retry may succeed.
    pub fn retry_after(self) -> Option<u32> {
        (self == Reason::NoCredentials).then_some(1)
    }

    /// The status and the message.
    fn facts(self) -> (u16, &'static str) {
        match self {
            Reason::RouteNotConfigured => (403, NOT_CONFIGURED),
            Reason::RouteDenied => (403, "This route is switched off."),
            Reason::RouteMisconfigured => (500, MISCONFIGURED),
            Reason::MethodNotAllowed => (405, "The method is not allowed on this route."),
            Reason::MalformedPath => (400, "The path must begin with a slash."),
            Reason::PathNotCanonical => (400, NOT_CANONICAL),
            Reason::AmbiguousPath => (400, AMBIGUOUS),
            Reason::DotSegment => (400, "The path has a segment `.` or `..`."),
            Reason::OutsidePrefix => (404, "The path is outside this route."),
            Reason::KeyTooLong => (414, KEY_TOO_LONG),
            Reason::BucketOperation => (403, BUCKET_OPERATION),
            Reason::ParameterNotAllowed => (403, PARAMETER),
            Reason::PresignedUrl => (403, PRESIGNED),
            Reason::PresignedUrlRequired => (403, "Only signed URLs are accepted here."),
            Reason::DuplicateHeader => (400, "A header that OSS signs is given twice."),
            Reason::UrlSignatureMissing => (403, URL_MISSING),
            Reason::UrlSignatureMalformed => (403, URL_MALFORMED),
            Reason::UrlSignatureExpired => (403, "The signature of the URL has expired."),
            Reason::UrlSignatureWrong => (403, URL_WRONG),
            Reason::RefererNotAllowed => (403, "The referring page is not allowed."),
            Reason::UserAgentNotAllowed => (403, "This client is not allowed."),
            Reason::NoCredentials => (503, "There are no credentials to sign with yet."),
            Reason::InternalError => (500, "The request could not be signed."),
        }
    }
}

const NOT_CONFIGURED: &str = "This route has no settings, and the defaults are not complete.";
const MISCONFIGURED: &str =
    "The settings in the route's metadata are wrong; the log of Envoy says how.";
const NOT_CANONICAL: &str = "The path is not in the canonical encoding: percent-encode all \
     characters except unreserved ones and slashes, in upper case, and no others.";
const AMBIGUOUS: &str = "The path or query can be read in two ways: percent-encode all characters \
     that a URL cannot contain, but not letters, digits, `-`, `.`, `_`, `~` and slashes.";
const URL_MISSING: &str = "The URL does not have the signature that this route requires.";
const URL_MALFORMED: &str = "The signature of the URL is malformed: the time must have the digits \
     of its format, the hash must be 32 lower-case hexadecimal digits, each part must be given \
     once, and the path must be percent-encoded.";
const URL_WRONG: &str = "The signature of the URL is not that of this path, this time and this key; \
     the path is signed as it is percent-encoded, without the query.";
const BUCKET_OPERATION: &str =
    "The path names no object; operations on the bucket are not allowed.";
const KEY_TOO_LONG: &str = "The key is longer than the 1,023 bytes that OSS allows.";
const PRESIGNED: &str = "The URL has a signature, or a part of one; send the request without it.";
const PARAMETER: &str =
    "A query parameter is not allowed here: it changes what OSS does, or is unknown.";

/// The header that holds the reason of a local reply, or the cause of an error of OSS.
pub const REASON_HEADER: &str = "x-oss-origin-auth";

/// The header on an error that a retry may heal, for Envoy's `retriable_headers`. A retry of a
/// denied request would be useless.
pub const RETRY_HEADER: &str = "x-origin-auth-retry";

/// A local reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, for programs.
    pub reason: Reason,
    /// The reason, for people. It names no bucket, key or host.
    pub message: Cow<'static, str>,
    /// The URL to which the client is redirected instead.
    pub redirect: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal {
            reason,
            message: reason.facts().1.into(),
            redirect: None,
        }
    }
}

impl Refusal {
    /// A refusal on a route with these checks: a client that may not read is redirected if they
    /// say so.
    pub fn by(access: Option<&Access>, reason: Reason) -> Refusal {
        let redirect = access.filter(|_| reason.is_of_access());
        Refusal {
            redirect: redirect.and_then(|access| access.redirect.clone()),
            ..reason.into()
        }
    }

    /// The HTTP status of the reply.
    pub fn status(&self) -> u16 {
        match self.redirect {
            Some(_) => 302,
            None => self.reason.status(),
        }
    }

    /// The headers of the reply.
    pub fn headers(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let mut headers = vec![
            ("content-type", "application/json".into()),
            ("cache-control", "no-store".into()),
            (REASON_HEADER, self.reason.word().into()),
        ];
        if let Some(seconds) = self.reason.retry_after() {
            headers.push(("retry-after", seconds.to_string().into()));
        }
        if let Some(url) = &self.redirect {
            headers.push(("location", url.clone().into()));
        }
        headers
    }

    /// The JSON body of the reply.
    pub fn body(&self) -> String {
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let (error, message) = (quoted(self.reason.word()), quoted(&self.message));
        ["{\"error\":", &error, ",\"message\":", &message, "}\n"].concat()
    }

    /// The text for the access log of the host.
    pub fn details(&self) -> String {
        ["oss_origin_auth_", self.reason.word()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_json() {
        let refusal = Refusal {
            reason: Reason::InternalError,
            message: "a \"quoted\" text\n".into(),
            redirect: None,
        };
        let body: serde_json::Value = serde_json::from_str(&refusal.body()).unwrap();
        assert_eq!(body["message"], "a \"quoted\" text\n");
        assert_eq!(body["error"], "internal_error");
    }
}
