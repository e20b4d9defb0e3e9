//! Signature V4 in the `Authorization` header: the default.

use sha2::{Digest, Sha256};

use super::hmac::Sha256Key;
use super::{Header, Product, Request};
use crate::credentials::Credentials;
use crate::oss::encoding::{Pair, hex};
use crate::oss::headers::{CONTENT_SHA256, OSS_DATE, SECURITY_TOKEN};
use crate::oss::time;
use crate::words::Word;

/// The time and the credential scope of a signature.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The time, such as `20251205T144803Z`.
    pub x_oss_date: String,
    /// The scope, such as `20251205/cn-hangzhou/oss/aliyun_v4_request`.
    scope: String,
}

impl Stamp {
    /// The stamp of a time. `region` is the general region id, for example `cn-hangzhou`.
    pub fn new(unix_time: u64, region: &str, product: Product) -> Stamp {
        let x_oss_date = time::basic(unix_time);
        let date = x_oss_date.get(..8).unwrap_or_default();
        Stamp {
            scope: [date, region, product.word(), TERMINATOR].join("/"),
            x_oss_date,
        }
    }

    /// The string to sign up to the hash of the canonical request.
    pub fn string_to_sign(&self) -> Vec<u8> {
        let lines = [ALGORITHM, &self.x_oss_date, &self.scope, ""];
        lines.join("\n").into_bytes()
    }

    /// The date, such as `20251205`.
    pub fn date(&self) -> &str {
        self.x_oss_date.get(..8).unwrap_or_default()
    }
}

/// The parts of a signature that stay the same for a second. It contains the security token in
/// clear text and is a secret.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Frame {
    /// The time and the scope.
    pub stamp: Stamp,
    /// The beginning of `Authorization`.
    credential: Vec<u8>,
    /// The end of a canonical request that has only the headers of a signature.
    end: Vec<u8>,
}

impl Frame {
    /// The frame of a stamp.
    pub fn new(credentials: &Credentials, stamp: Stamp) -> Frame {
        let (id, scope) = (&credentials.access_key_id, &stamp.scope);
        let credential = [ALGORITHM, " Credential=", id, "/", scope].concat();
        Frame {
            credential: credential.into_bytes(),
            end: end(credentials, &stamp, &[], None),
            stamp,
        }
    }

    /// The value of `Authorization`. `credentials` are those of [`Frame::new`]; `begun` is the
    /// state of their signing key after [`Stamp::string_to_sign`].
    pub fn authorization(
        &self,
        credentials: &Credentials,
        begun: &Sha256Key,
        request: &Request,
    ) -> Vec<u8> {
        // One buffer holds the text to hash, then its hash, then the result.
        let mut text = Vec::with_capacity(self.credential.len() + 128);
        push_beginning(request, &mut text);
        let mut hash = Sha256::new();
        hash.update(&text);
        match (request.headers, request.host) {
            ([], None) => hash.update(&self.end),
            (headers, host) => hash.update(end(credentials, &self.stamp, headers, host)),
        }
        text.clear();
        hex(&hash.finalize(), &mut text);
        let signature = begun.sign(&text);
        let before: &[u8] = match request.host {
            Some(_) => b",AdditionalHeaders=host,Signature=",
            None => b",Signature=",
        };
        text.clear();
        text.extend_from_slice(&self.credential);
        text.extend_from_slice(before);
        hex(&signature, &mut text);
        text
    }
}

/// The headers except `Authorization`.
pub fn shared_headers(credentials: &Credentials, stamp: &Stamp) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = vec![
        (OSS_DATE, stamp.x_oss_date.clone().into_bytes()),
        (CONTENT_SHA256, UNSIGNED_PAYLOAD.into()),
    ];
    if let Some(token) = &credentials.security_token {
        headers.push((SECURITY_TOKEN, token.expose().into()));
    }
    headers
}

/// The canonical request. It contains the security token in clear text and is a secret.
pub fn canonical_request(credentials: &Credentials, stamp: &Stamp, request: &Request) -> Vec<u8> {
    let mut text = Vec::new();
    push_beginning(request, &mut text);
    text.extend(end(credentials, stamp, request.headers, request.host));
    text
}

/// Appends the canonical request up to its headers.
fn push_beginning(request: &Request, text: &mut Vec<u8>) {
    text.extend_from_slice(request.method.as_bytes());
    text.push(b'\n');
    if let Some(bucket) = request.bucket {
        text.push(b'/');
        text.extend_from_slice(bucket.as_bytes());
    }
    text.extend_from_slice(request.target.path());
    text.push(b'\n');
    text.extend_from_slice(&request.target.canonical_query());
    text.push(b'\n');
}

/// The canonical request from its headers to the end.
fn end(credentials: &Credentials, stamp: &Stamp, signed: &[Header], host: Option<&str>) -> Vec<u8> {
    let mut headers: Vec<Pair> = Vec::with_capacity(signed.len() + 4);
    let mut push = |name: &'static str, value| headers.push((name.as_bytes(), value));
    push(CONTENT_SHA256, UNSIGNED_PAYLOAD.as_bytes());
    push(OSS_DATE, stamp.x_oss_date.as_bytes());
    if let Some(token) = &credentials.security_token {
        push(SECURITY_TOKEN, token.expose().as_bytes());
    }
    if let Some(host) = host {
        push(HOST, host.as_bytes());
    }
    for (name, value) in signed {
        headers.push((name.as_bytes(), value));
    }
    headers.sort_unstable();

    let mut text = Vec::with_capacity(1024);
    for (name, value) in headers {
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    // The headers end with an empty line, and a line names the additional signed headers.
    text.push(b'\n');
    if host.is_some() {
        text.extend_from_slice(HOST.as_bytes());
    }
    text.push(b'\n');
    text.extend_from_slice(UNSIGNED_PAYLOAD.as_bytes());
    text
}

/// The string to sign for a canonical request.
pub fn string_to_sign(stamp: &Stamp, canonical_request: &[u8]) -> Vec<u8> {
    [stamp.string_to_sign(), hash(canonical_request)].concat()
}

/// The hash of a canonical request, in hex.
fn hash(canonical_request: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    hex(&Sha256::digest(canonical_request), &mut text);
    text
}

/// The signing key of a scope.
pub fn signing_key(credentials: &Credentials, stamp: &Stamp) -> Sha256Key {
    let secret = ["aliyun_v4", credentials.access_key_secret.expose()].concat();
    let mut key = Sha256Key::new(secret.as_bytes());
    for step in stamp.scope.split('/') {
        key = Sha256Key::new(&key.sign(step.as_bytes()));
    }
    key
}

const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const HOST: &str = "host";
const TERMINATOR: &str = "aliyun_v4_request";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
