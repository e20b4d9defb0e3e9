//! What may leave for OSS: a client's request in, the request to sign out, or
//! the reason why not; and what a client sees of the answer.

pub mod edits;
mod parameters;
mod paths;
pub mod redact;
pub mod reply;

use std::borrow::Cow;

use crate::config::Route;
use crate::config::choices::{Method, PresignedUrls};
use crate::oss::headers;
use crate::oss::parameters::{
    Meaning, belongs_to_signature, is_operation, is_signature_parameter, meaning,
};
use crate::oss::target::Target;
use crate::signing::{Header, Request, Signer};
use crate::words::Word;
use edits::Edits;
use parameters::{leaves, operation_allowed};
use reply::Reason;

/// A client's request, as the host gives it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Names in lower case, pseudo-headers (`:method`, `:path`) among them.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// What [`Outgoing::mapped`] was in an earlier attempt at this request;
    /// empty if there was none.
    pub earlier: &'a [u8],
}

/// What the settings say of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may leave once it is signed.
    Signed(Outgoing),
    /// It carries a signature of its own, which OSS will judge, and leaves with these
    /// edits.
    Presigned(Edits),
}

/// A request that may leave once it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    method: Method,
    target: Target,
    /// The new `:path`, where the client's is not the canonical one.
    path: Option<Vec<u8>>,
    /// To be remembered for the attempts that follow: the path that leaves and
    /// the client's, a NUL between them. Envoy shows a retry the path as the
    /// attempt before it has left it, and it must not be mapped twice.
    pub mapped: Option<Vec<u8>>,
    /// Headers of the client that must not leave.
    remove: Vec<Vec<u8>>,
    /// Headers of the client that leave, and are signed.
    signed: Vec<Header>,
}

/// Decides whether a request may leave, and in which form.
pub fn admit(route: &Route, incoming: Incoming) -> Result<Admission, Reason> {
    let (mut method, mut path_now) = (&b""[..], &b""[..]);
    for &(name, value) in incoming.headers {
        match name {
            b":method" => method = value,
            b":path" => path_now = value,
            _ => {}
        }
    }
    let asked_path = original_path(path_now, incoming.earlier).unwrap_or(path_now);
    let method = allowed_method(route, method)?;
    let asked = Target::parse(asked_path).ok_or(Reason::MalformedPath)?;
    paths::check_spelling(route, asked_path, &asked)?;
    let mut parameters = asked.parameters().iter();
    let presigned = parameters.any(|parameter| is_signature_parameter(&parameter.name));
    let operates = match (presigned, route.rules.presigned_urls) {
        (true, PresignedUrls::Refuse) => return Err(Reason::PresignedUrl),
        (true, PresignedUrls::Pass) => return pass_presigned(route, method, &asked, incoming),
        _ => check_operation(route, method, &asked)?,
    };
    let target = leaving_target(route, method, asked, presigned, operates)?;
    let (remove, signed) = headers_of(route, method, incoming)?;
    let wire = paths::wire(route, &target);
    let mapped = route.maps_paths() && *wire != *asked_path;
    let mapped = mapped.then(|| [&wire, &b"\0"[..], asked_path].concat());
    // Compared with what is there, which may be of an earlier attempt.
    let path = (*wire != *path_now).then(|| wire.into_owned());
    Ok(Admission::Signed(Outgoing {
        method,
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

fn allowed_method(route: &Route, method: &[u8]) -> Result<Method, Reason> {
    let mut allowed = route.rules.methods.0.iter();
    let known = allowed.find(|known| known.word().as_bytes() == method);
    known.copied().ok_or(Reason::MethodNotAllowed)
}

/// What is asked of OSS: the key, and those parameters that leave.
fn leaving_target(
    route: &Route,
    method: Method,
    asked: Target,
    presigned: bool,
    operates: bool,
) -> Result<Target, Reason> {
    let mut target = paths::map(route, asked, method.is_read() && !operates)?;
    if target.key().is_empty() && !operates {
        return Err(Reason::BucketOperation);
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
    match allowed {
        true => Ok(target),
        false => Err(Reason::ParameterNotAllowed),
    }
}

/// Whether the request is for another operation than reading, writing or
/// deleting an object; an error if it is and that is not allowed.
fn check_operation(route: &Route, method: Method, asked: &Target) -> Result<bool, Reason> {
    let names = || {
        let parameters = asked.parameters().iter();
        parameters.map(|parameter| parameter.name.as_slice())
    };
    let mut operations = names().filter(|name| is_operation(name)).peekable();
    let named = operations.peek().is_some();
    if operations.any(|name| !operation_allowed(route, name)) {
        return Err(Reason::ParameterNotAllowed);
    }
    if named || !paths::is_bucket(route, asked) {
        return Ok(named);
    }
    // The index document is for those who ask for no list in particular.
    let lists = names().any(|name| meaning(name) == Meaning::Other);
    let operation: &[u8] = if method.is_read() { b"list" } else { b"bucket" };
    if operation_allowed(route, operation) && (lists || route.rules.index_document.is_none()) {
        Ok(true)
    } else if method.is_read() && route.rules.index_document.is_some() {
        Ok(false)
    } else {
        Err(Reason::BucketOperation)
    }
}

/// A client's signed URL. Any change to its path or query would break it. Not even here
/// do two signatures leave, or an operation that is not allowed.
fn pass_presigned(
    route: &Route,
    method: Method,
    asked: &Target,
    incoming: Incoming,
) -> Result<Admission, Reason> {
    let operates = check_operation(route, method, asked)?;
    if asked.key().is_empty() && !operates {
        return Err(Reason::BucketOperation);
    }
    let authorization = headers::AUTHORIZATION.as_bytes();
    let mut names = incoming.headers.iter().map(|(name, _)| *name);
    let given = names.any(|name| name == authorization);
    Ok(Admission::Presigned(Edits {
        remove: given.then(|| authorization.to_vec()).into_iter().collect(),
        set: set_host(route).collect(),
        add: None,
    }))
}

fn set_host(route: &Route) -> impl Iterator<Item = (&'static str, Cow<'static, [u8]>)> {
    let host = route.host.iter();
    host.map(|host| (":authority", host.clone().into_bytes().into()))
}

/// The names of those headers of the client that must not leave, and those of
/// the rest that a signature covers.
fn headers_of(
    route: &Route,
    method: Method,
    incoming: Incoming,
) -> Result<(Vec<Vec<u8>>, Vec<Header>), Reason> {
    let mut remove = Vec::new();
    let mut signed: Vec<Header> = Vec::new();
    for &(name, value) in incoming.headers {
        let signable = headers::is_signed(name);
        if !signable && !headers::is_of_signature(name) {
            continue;
        }
        match std::str::from_utf8(name) {
            Ok(name) if signable && may_leave(route, method, name.as_bytes()) => {
                if signed.iter().any(|(known, _)| known == name) {
                    return Err(Reason::DuplicateHeader);
                }
                signed.push((name.to_owned(), value.to_vec()));
            }
            _ => remove.push(name.to_vec()),
        }
    }
    Ok((remove, signed))
}

/// A client's `x-oss-*` headers choose an ACL, a copy source, a callback; its
/// `Authorization` is meant for the gateway, and its `Date` is not that of the
/// signature. The two that describe a body mean nothing to a read.
fn may_leave(route: &Route, method: Method, name: &[u8]) -> bool {
    if headers::describes_body(name) {
        return !method.is_read();
    }
    !headers::is_of_signature(name) && route.rules.forward_headers.allow(name)
}

impl Outgoing {
    /// Signs the request as of `now`, in seconds since 1970: what to do to its headers.
    pub fn sign(self, route: &Route, signer: &mut Signer, now: u64) -> Edits {
        let request = Request {
            method: self.method.word(),
            bucket: Some(&route.bucket),
            target: &self.target,
            headers: &self.signed,
        };
        let path = self.path.map(|path| (":path", path.into()));
        Edits {
            add: Some(signer.sign(&route.scheme, &request, now)),
            set: set_host(route).chain(path).collect(),
            remove: self.remove,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::account::AccountId;
    use crate::signing::Scheme;

    fn route() -> Route {
        let region = "cn-hangzhou".into();
        Route::new("bucket", Scheme::V4 { region }, AccountId(0))
    }

    fn incoming<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Incoming<'a> {
        Incoming {
            headers,
            earlier: b"",
        }
    }

    #[test]
    fn a_retry_is_mapped_as_the_first_attempt_was() {
        let mut route = route();
        route.rules.strip_prefix = "media/".into();
        route.rules.key_prefix = "site/".into();
        let attempt = |path: &str, earlier: &[u8]| {
            let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", path.as_bytes())];
            match admit(&route, Incoming { headers, earlier })? {
                Admission::Signed(outgoing) => Ok::<_, Reason>(outgoing),
                other => panic!("{other:?}"),
            }
        };
        let first = attempt("/media/a%2Fb", b"").unwrap();
        assert_eq!(first.path.as_deref(), Some(&b"/site/a/b"[..]));
        let mapped = first.mapped.clone().unwrap();
        let second = attempt("/site/a/b", &mapped).unwrap();
        assert_eq!(second.target, first.target);
        assert_eq!(second.path, None, "it is there already");
        // Another path than the one that was left is one of its own.
        assert_eq!(
            attempt("/site/a", &mapped).unwrap_err(),
            Reason::OutsidePrefix
        );
        let other = attempt("/media/c", &mapped).unwrap();
        assert_eq!(other.path.as_deref(), Some(&b"/site/c"[..]));
    }

    fn admit_headers(headers: &[(&str, &str)]) -> Result<Outgoing, Reason> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        match admit(&route(), incoming(&headers))? {
            Admission::Signed(outgoing) => Ok(outgoing),
            other => panic!("{other:?}"),
        }
    }

    fn get(path: &str) -> Result<Outgoing, Reason> {
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
            let refused = admit_headers(&[(":method", method), (":path", path)])
                .expect_err(&format!("{method} {path}"));
            assert_eq!(
                (refused.status(), refused.word()),
                (status, reason),
                "{method} {path}"
            );
        }
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
            let _ = admit(&route(), incoming(headers));
        }
    }
}
