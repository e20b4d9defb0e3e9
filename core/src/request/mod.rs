//! What may leave for OSS: a client's request in, the request to sign out, or
//! the reason why not.

pub mod parameters;
mod paths;

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::{PresignedUrls, Route, Treatment};
use crate::json;
use crate::signing::target::Target;
use crate::signing::{Header, Request, SignedHeaders, Signer};
use parameters::{
    Meaning, belongs_to_signature, is_operation, is_signature_parameter, leaves, meaning,
    operation_allowed,
};

/// A client's request, as the host gives it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Names in lower case, pseudo-headers (`:method`, `:path`) among them.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// What [`Changes::mapped`] was in an earlier attempt at this request;
    /// empty if there was none.
    pub earlier: &'a [u8],
}

/// What the settings say of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may leave once it is signed.
    Signed(Outgoing),
    /// It leaves as the client sent it, but for these changes.
    Unsigned(Changes),
}

/// A request that may leave once it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    method: Rc<str>,
    target: Target,
    /// The new `:path`, where the client's is not the canonical one.
    path: Option<Vec<u8>>,
    mapped: Option<Vec<u8>>,
    /// Headers of the client that must not leave.
    remove: Vec<Vec<u8>>,
    /// Headers of the client that leave, and are signed.
    signed: Vec<Header>,
}

/// What to do to the request's headers before it leaves, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub remove: Vec<Vec<u8>>,
    pub host: Option<String>,
    pub path: Option<Vec<u8>>,
    /// None of its names is on the request any more: see `remove`.
    pub add: Option<SignedHeaders>,
    /// To be remembered for the attempts that follow: the path that leaves and
    /// the client's, a NUL between them. Envoy shows a retry the path as the
    /// attempt before it has left it, and it must not be mapped twice.
    pub mapped: Option<Vec<u8>>,
    /// For the access log: the name of the credentials that signed it.
    pub log_credentials: Option<Rc<str>>,
}

/// A local reply: nothing left for OSS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u32,
    /// A word for programs, in the header `x-oss-origin-auth` and the body.
    pub reason: &'static str,
    /// For people. Names no bucket, key or host.
    pub message: Cow<'static, str>,
    pub retry_after: Option<u32>,
}

/// Decides whether a request may leave, and in which form.
pub fn admit(route: Option<&Route>, incoming: Incoming) -> Result<Admission, Refusal> {
    let Some(route) = route else {
        return Err(Refusal::new(403, "route_not_configured", NO_ROUTE));
    };
    match route.treatment {
        Treatment::Sign => {}
        Treatment::PassUnsigned => return Ok(Admission::Unsigned(Changes::default())),
        Treatment::Deny => return Err(Refusal::new(403, "route_denied", DENIED)),
    }
    let (mut method, mut raw_path) = (&b""[..], &b""[..]);
    for &(name, value) in incoming.headers {
        match name {
            b":method" => method = value,
            b":path" => raw_path = value,
            _ => {}
        }
    }
    let path_now = raw_path;
    let raw_path = original_path(path_now, incoming.earlier).unwrap_or(path_now);
    let mut methods = route.methods.iter();
    let known = methods
        .find(|known| known.as_bytes() == method)
        .ok_or_else(|| Refusal::new(405, "method_not_allowed", METHOD))?;
    let asked = Target::parse(raw_path).ok_or_else(|| Refusal::new(400, "malformed_path", PATH))?;
    paths::check_spelling(route, raw_path, &asked)?;
    let presigned = asked
        .parameters()
        .iter()
        .any(|parameter| is_signature_parameter(&parameter.name));
    match (presigned, route.presigned_urls) {
        (true, PresignedUrls::Refuse) => {
            return Err(Refusal::new(403, "presigned_url", PRESIGNED));
        }
        (true, PresignedUrls::Pass) => return pass_presigned(route, method, &asked, incoming),
        _ => {}
    }

    let operates = check_operation(route, method, &asked)?;
    let mut target = paths::map(route, asked, is_read(method) && !operates)?;
    if target.key().is_empty() && !operates {
        return Err(Refusal::new(403, "bucket_operation", BUCKET_OPERATION));
    }
    let mut allowed = true;
    target.retain_parameters(|parameter| {
        let name = parameter.name.as_slice();
        if presigned && belongs_to_signature(name) {
            return false;
        }
        let leaves = leaves(route, name, operates);
        allowed &= leaves.is_some();
        leaves == Some(true)
    });
    if !allowed {
        return Err(Refusal::new(403, "parameter_not_allowed", PARAMETER));
    }
    let (remove, signed) = headers_of(route, is_read(method), incoming)?;
    let wire = paths::wire(route, &target);
    let mapped = route.maps_paths() && *wire != *raw_path;
    let mapped = mapped.then(|| [&wire, &b"\0"[..], raw_path].concat());
    // Compared with what is there, which may be of an earlier attempt.
    let path = (*wire != *path_now).then(|| wire.into_owned());
    Ok(Admission::Signed(Outgoing {
        method: Rc::clone(known),
        mapped,
        path,
        target,
        remove,
        signed,
    }))
}

/// The client's path, if `path` is the one that an earlier attempt left.
fn original_path<'a>(path: &[u8], earlier: &'a [u8]) -> Option<&'a [u8]> {
    let rest = earlier.strip_prefix(path)?;
    rest.strip_prefix(b"\0")
}

/// Whether the request is for another operation than reading, writing or
/// deleting an object; an error if it is and that is not allowed.
fn check_operation(route: &Route, method: &[u8], asked: &Target) -> Result<bool, Refusal> {
    let names = || {
        asked
            .parameters()
            .iter()
            .map(|parameter| parameter.name.as_slice())
    };
    let mut operations = names().filter(|name| is_operation(name)).peekable();
    let named = operations.peek().is_some();
    if operations.any(|name| !operation_allowed(route, name)) {
        return Err(Refusal::new(403, "parameter_not_allowed", PARAMETER));
    }
    if named || !paths::is_bucket(route, asked) {
        return Ok(named);
    }
    // The index document is for those who ask for no list in particular.
    let lists = asked
        .parameters()
        .iter()
        .any(|parameter| meaning(&parameter.name) == Meaning::Other);
    let operation: &[u8] = if is_read(method) { b"list" } else { b"bucket" };
    if operation_allowed(route, operation) && (lists || route.index_document.is_none()) {
        Ok(true)
    } else if is_read(method) && route.index_document.is_some() {
        Ok(false)
    } else {
        Err(Refusal::new(403, "bucket_operation", BUCKET_OPERATION))
    }
}

/// A client's signed URL, which OSS will judge. Any change to its path or query
/// would break it. Not even here do two signatures leave, or an operation that
/// is not allowed.
fn pass_presigned(
    route: &Route,
    method: &[u8],
    asked: &Target,
    incoming: Incoming,
) -> Result<Admission, Refusal> {
    let operates = check_operation(route, method, asked)?;
    if asked.key().is_empty() && !operates {
        return Err(Refusal::new(403, "bucket_operation", BUCKET_OPERATION));
    }
    let names = incoming.headers.iter().map(|(name, _)| *name);
    Ok(Admission::Unsigned(Changes {
        remove: names
            .filter(|name| *name == b"authorization")
            .map(<[u8]>::to_vec)
            .collect(),
        host: route.host.clone(),
        ..Changes::default()
    }))
}

/// The names of those headers of the client that must not leave, and those of
/// the rest that a signature covers.
fn headers_of(
    route: &Route,
    read: bool,
    incoming: Incoming,
) -> Result<(Vec<Vec<u8>>, Vec<Header>), Refusal> {
    let mut remove = Vec::new();
    let mut signed: Vec<Header> = Vec::new();
    for &(name, value) in incoming.headers {
        let signable =
            name.starts_with(b"x-oss-") || matches!(name, b"content-type" | b"content-md5");
        let leaves = signable && may_leave(route, read, name);
        match std::str::from_utf8(name) {
            Ok(name) if leaves => {
                if signed.iter().any(|(known, _)| known == name) {
                    return Err(Refusal::new(400, "duplicate_header", DUPLICATE));
                }
                signed.push((name.to_owned(), value.to_vec()));
            }
            _ if signable || matches!(name, b"authorization" | b"date") => {
                remove.push(name.to_vec());
            }
            _ => {}
        }
    }
    Ok((remove, signed))
}

/// A client's `x-oss-*` headers choose an ACL, a copy source, a callback; its
/// `Authorization` is meant for the gateway, and its `Date` is not that of the
/// signature. The two that describe a body mean
/// nothing to a read.
fn may_leave(route: &Route, read: bool, name: &[u8]) -> bool {
    match name {
        b"content-type" | b"content-md5" => !read,
        b"x-oss-date" | b"x-oss-content-sha256" | b"x-oss-security-token" => false,
        _ => route.forward_headers.allow(name),
    }
}

impl Outgoing {
    /// Signs the request as of `now`, in seconds.
    pub fn sign(self, route: &Route, signer: &mut Signer, now: u64) -> Changes {
        let request = Request {
            method: &self.method,
            bucket: Some(&route.bucket),
            target: &self.target,
            headers: &self.signed,
        };
        Changes {
            add: Some(signer.sign(route.signature_version, &route.region, &request, now)),
            host: route.host.clone(),
            remove: self.remove,
            path: self.path,
            mapped: self.mapped,
            log_credentials: route.log_credentials.clone(),
        }
    }
}

impl Refusal {
    pub fn new(
        status: u32,
        reason: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        Refusal {
            status,
            reason,
            message: message.into(),
            retry_after: None,
        }
    }

    pub fn retry_after(self, seconds: u32) -> Refusal {
        Refusal {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// The JSON body of the reply.
    pub fn body(&self) -> String {
        let mut body = ["{\"error\":\"", self.reason, "\",\"message\":"].concat();
        json::quote(&self.message, &mut body);
        body.push_str("}\n");
        body
    }
}

fn is_read(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD")
}

const NO_ROUTE: &str = "This route has no settings, and the defaults are not complete.";
const DENIED: &str = "This route is switched off.";
const METHOD: &str = "The method is not allowed on this route.";
const PATH: &str = "The path must begin with a slash.";
const PRESIGNED: &str = "The URL carries a signature; send the request without one.";
const PARAMETER: &str = "A query parameter asks OSS for an operation that is not allowed here.";
const DUPLICATE: &str = "A header that OSS signs is given twice.";
const BUCKET_OPERATION: &str =
    "The path names no object; operations on the bucket are not allowed.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Version;

    fn route() -> Route {
        Route::new("bucket", "cn-hangzhou", Version::V4)
    }

    fn incoming<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Incoming<'a> {
        Incoming {
            headers,
            earlier: b"",
        }
    }

    #[test]
    fn a_retry_is_mapped_as_the_first_attempt_was() {
        let route = Route {
            strip_prefix: "/media/".into(),
            key_prefix: "site/".into(),
            ..route()
        };
        let attempt = |path: &str, earlier: &[u8]| {
            let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", path.as_bytes())];
            match admit(Some(&route), Incoming { headers, earlier })? {
                Admission::Signed(outgoing) => Ok::<_, Refusal>(outgoing),
                other => panic!("{other:?}"),
            }
        };
        let first = attempt("/media/a%2Fb", b"").unwrap();
        assert_eq!(first.path.as_deref(), Some(&b"/site/a/b"[..]));
        let mapped = first.mapped.unwrap();
        let second = attempt("/site/a/b", &mapped).unwrap();
        assert_eq!(second.target, first.target);
        assert_eq!(second.path, None, "it is there already");
        // Another path than the one that was left is one of its own.
        assert_eq!(
            attempt("/site/a", &mapped).unwrap_err().reason,
            "outside_prefix"
        );
        let other = attempt("/media/c", &mapped).unwrap();
        assert_eq!(other.path.as_deref(), Some(&b"/site/c"[..]));
    }

    fn admit_headers(headers: &[(&str, &str)]) -> Result<Outgoing, Refusal> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        match admit(Some(&route()), incoming(&headers))? {
            Admission::Signed(outgoing) => Ok(outgoing),
            other => panic!("{other:?}"),
        }
    }

    fn get(path: &str) -> Result<Outgoing, Refusal> {
        admit_headers(&[(":method", "GET"), (":path", path)])
    }

    #[test]
    fn a_read_of_an_object_leaves_in_canonical_form() {
        for (path, want) in [
            ("/a", None),
            ("/a%20b", None),
            ("/a b", Some("/a%20b")),
            ("/a?utm_source=x&prefix=y", Some("/a")),
            ("/a?", Some("/a")),
        ] {
            let outgoing = get(path).unwrap();
            assert_eq!(outgoing.path.as_deref(), want.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn what_is_more_than_a_read_is_refused() {
        for (method, path, status, reason) in [
            ("PUT", "/a", 405, "method_not_allowed"),
            ("POST", "/a", 405, "method_not_allowed"),
            ("DELETE", "/a", 405, "method_not_allowed"),
            ("OPTIONS", "*", 405, "method_not_allowed"),
            ("get", "/a", 405, "method_not_allowed"),
            ("", "", 405, "method_not_allowed"),
            ("GET", "", 400, "malformed_path"),
            ("GET", "a", 400, "malformed_path"),
            ("GET", "/", 403, "bucket_operation"),
            ("HEAD", "/?list-type=2", 403, "bucket_operation"),
            ("GET", "/?prefix=a", 403, "bucket_operation"),
            ("GET", "/?acl", 403, "parameter_not_allowed"),
            ("GET", "/a?acl", 403, "parameter_not_allowed"),
            ("GET", "/a?%61cl=", 403, "parameter_not_allowed"),
            ("GET", "/a?uploadId=1", 403, "parameter_not_allowed"),
            (
                "GET",
                "/a?response-content-type=text/html",
                403,
                "parameter_not_allowed",
            ),
            (
                "GET",
                "/a?x-oss-process=image/info",
                403,
                "parameter_not_allowed",
            ),
            ("GET", "/a?x-oss-new=1", 403, "parameter_not_allowed"),
            (
                "GET",
                "/a?OSSAccessKeyId=i&Expires=1&Signature=s",
                403,
                "presigned_url",
            ),
            (
                "GET",
                "/a?x-oss-signature-version=OSS4-HMAC-SHA256",
                403,
                "presigned_url",
            ),
            ("GET", "/a?x=1&x-oss-signature=1", 403, "presigned_url"),
            ("GET", "/a?X-Oss-Signature=1", 403, "presigned_url"),
        ] {
            let refusal = admit_headers(&[(":method", method), (":path", path)])
                .expect_err(&format!("{method} {path}"));
            assert_eq!(
                (refusal.status, refusal.reason),
                (status, reason),
                "{method} {path}"
            );
        }
        let refusal = admit(None, incoming(&[])).unwrap_err();
        assert_eq!(refusal.reason, "route_not_configured");
    }

    #[test]
    fn a_clients_credentials_and_oss_headers_stay_behind() {
        let outgoing = admit_headers(&[
            (":method", "GET"),
            (":path", "/a"),
            ("authorization", "Bearer x"),
            ("authorization", "Bearer y"),
            ("x-oss-object-acl", "public-read"),
            ("x-oss-security-token", "t"),
            ("range", "bytes=0-1"),
            ("content-type", "text/plain"),
        ])
        .unwrap();
        assert_eq!(
            outgoing.remove,
            [
                &b"authorization"[..],
                b"authorization",
                b"x-oss-object-acl",
                b"x-oss-security-token",
                b"content-type"
            ]
        );
    }

    #[test]
    fn a_refusal_is_json() {
        let refusal = Refusal::new(403, "word", "a \"quoted\" text\n");
        let body: serde_json::Value = serde_json::from_str(&refusal.body()).unwrap();
        assert_eq!(body["message"], "a \"quoted\" text\n");
    }

    #[test]
    fn no_bytes_panic() {
        for byte in 0..=255_u8 {
            let path = [
                b'/', byte, b'%', byte, b'?', byte, b'=', byte, b'&', b'%', byte,
            ];
            let headers: &[(&[u8], &[u8])] = &[
                (b":method", b"GET"),
                (b":path", &path),
                (&[byte], &[byte]),
                (b"content-type", &[byte]),
            ];
            let _ = admit(Some(&route()), incoming(headers));
        }
    }
}
