//! What may leave for OSS: a client's request in, the request to sign out, or
//! the reason why not.

use std::borrow::Cow;

use crate::config::Route;
use crate::signing::target::Target;
use crate::signing::{Request, SignedHeaders, Signer, v1};

/// A client's request, as the host gives it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Names in lower case, pseudo-headers (`:method`, `:path`) among them.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

/// A request that may leave once it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    method: String,
    target: Target,
    /// The new `:path`, where the client's is not the canonical one.
    path: Option<Vec<u8>>,
    /// Headers of the client that must not leave.
    remove: Vec<String>,
}

/// What to do to the request's headers before it leaves, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub remove: Vec<String>,
    pub path: Option<Vec<u8>>,
    pub set: SignedHeaders,
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
pub fn admit(route: Option<&Route>, incoming: Incoming) -> Result<Outgoing, Refusal> {
    if route.is_none() {
        return Err(Refusal::new(403, "route_not_configured", NO_ROUTE));
    }
    let (mut method, mut raw_path) = (&b""[..], &b""[..]);
    let mut remove = Vec::new();
    for &(name, value) in incoming.headers {
        match name {
            b":method" => method = value,
            b":path" => raw_path = value,
            _ if must_not_leave(name) => remove.push(lower_case(name)),
            _ => {}
        }
    }
    if !matches!(method, b"GET" | b"HEAD") {
        return Err(Refusal::new(405, "method_not_allowed", METHOD));
    }
    let mut target =
        Target::parse(raw_path).ok_or_else(|| Refusal::new(400, "malformed_path", PATH))?;
    check_parameters(&target)?;
    if target.key().is_empty() {
        return Err(Refusal::new(403, "bucket_operation", BUCKET_OPERATION));
    }
    // None of the rest means anything to a read of an object.
    target.retain_parameters(|_| false);
    let wire = target.wire();
    Ok(Outgoing {
        method: lossy(method),
        path: (wire != raw_path).then_some(wire),
        target,
        remove,
    })
}

impl Outgoing {
    /// Signs the request as of `now`, in seconds.
    pub fn sign(self, route: &Route, signer: &mut Signer, now: u64) -> Changes {
        let request = Request {
            method: &self.method,
            bucket: Some(&route.bucket),
            target: &self.target,
            headers: &[],
        };
        Changes {
            set: signer.sign(route.signature_version, &route.region, &request, now),
            remove: self.remove,
            path: self.path,
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
        let message = serde_json::Value::from(self.message.as_ref());
        format!("{{\"error\":\"{}\",\"message\":{message}}}\n", self.reason)
    }
}

/// Query parameters that ask for more than the object as it is.
fn check_parameters(target: &Target) -> Result<(), Refusal> {
    for parameter in target.parameters() {
        let name = parameter.name.as_slice();
        if is_signature_parameter(name) {
            return Err(Refusal::new(403, "presigned_url", PRESIGNED));
        }
        if v1::is_subresource(name) || name.starts_with(b"x-oss-") {
            return Err(Refusal::new(403, "parameter_not_allowed", PARAMETER));
        }
    }
    Ok(())
}

/// Parameters by which a URL is signed: V1, V2 and V4 (OSS, "Add signatures
/// to URLs").
fn is_signature_parameter(name: &[u8]) -> bool {
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

/// A client's `x-oss-*` headers choose an ACL, a copy source, a callback; its
/// `Authorization` is meant for the gateway. The two that describe a body mean
/// nothing to a read, but OSS would want them signed.
fn must_not_leave(name: &[u8]) -> bool {
    name.starts_with(b"x-oss-")
        || matches!(name, b"authorization" | b"content-type" | b"content-md5")
}

fn lower_case(name: &[u8]) -> String {
    lossy(name).to_ascii_lowercase()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NO_ROUTE: &str = "This route has no settings, and the defaults are not complete.";
const METHOD: &str = "Only GET and HEAD are allowed on this route.";
const PATH: &str = "The path must begin with a slash.";
const PRESIGNED: &str = "The URL carries a signature; send the request without one.";
const PARAMETER: &str = "A query parameter asks OSS for an operation that is not allowed here.";
const BUCKET_OPERATION: &str =
    "The path names no object; operations on the bucket are not allowed.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Version;

    fn route() -> Route {
        Route {
            bucket: "bucket".into(),
            region: "cn-hangzhou".into(),
            signature_version: Version::V4,
            credentials: 0,
        }
    }

    fn admit_headers(headers: &[(&str, &str)]) -> Result<Outgoing, Refusal> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        admit(Some(&route()), Incoming { headers: &headers })
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
        let refusal = admit(None, Incoming { headers: &[] }).unwrap_err();
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
                "authorization",
                "authorization",
                "x-oss-object-acl",
                "x-oss-security-token",
                "content-type"
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
            let _ = admit(Some(&route()), Incoming { headers });
        }
    }
}
