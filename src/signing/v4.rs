//! Signature V4 in the `Authorization` header: the default.

use sha2::{Digest, Sha256};

use super::encoding::{Pair, hex, sort};
use super::hmac::Sha256Key;
use super::{Request, SECURITY_TOKEN, SignedHeaders, time};
use crate::credentials::Credentials;

/// When and for which region: the time of a signature and its credential scope.
#[derive(Clone, Debug)]
pub struct Stamp<'a> {
    /// `20251205T144803Z`
    pub x_oss_date: String,
    /// The general region id, for example `cn-hangzhou`.
    pub region: &'a str,
}

impl<'a> Stamp<'a> {
    pub fn new(unix_time: u64, region: &'a str) -> Stamp<'a> {
        Stamp {
            x_oss_date: time::basic(unix_time),
            region,
        }
    }

    fn date(&self) -> &str {
        self.x_oss_date.get(..8).unwrap_or_default()
    }

    /// `20251205/cn-hangzhou/oss/aliyun_v4_request`
    fn scope(&self) -> String {
        [self.date(), "/", self.region, "/oss/", TERMINATOR].concat()
    }
}

/// A signing key holds for one credential, day and region: kept between
/// requests, since deriving it costs four of the five HMACs of a signature.
#[derive(Default)]
pub struct KeyCache {
    /// Date and region of each key. A filter sees few regions.
    keys: Vec<(String, String, Sha256Key)>,
}

impl KeyCache {
    pub fn key(&mut self, credentials: &Credentials, stamp: &Stamp) -> Sha256Key {
        let mut known = self.keys.iter();
        if let Some((.., key)) =
            known.find(|(date, region, _)| date == stamp.date() && region == stamp.region)
        {
            return key.clone();
        }
        let key = signing_key(credentials, stamp);
        self.keys.retain(|(date, ..)| date == stamp.date());
        self.keys.push((
            stamp.date().to_owned(),
            stamp.region.to_owned(),
            key.clone(),
        ));
        key
    }
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "KeyCache({} keys)", self.keys.len())
    }
}

pub fn sign(
    credentials: &Credentials,
    key: &Sha256Key,
    stamp: &Stamp,
    request: &Request,
) -> SignedHeaders {
    let string_to_sign = string_to_sign(stamp, &canonical_request(credentials, stamp, request));
    let mut authorization = Vec::with_capacity(224);
    authorization.extend_from_slice(ALGORITHM.as_bytes());
    authorization.extend_from_slice(b" Credential=");
    authorization.extend_from_slice(credentials.access_key_id.as_bytes());
    authorization.push(b'/');
    authorization.extend_from_slice(stamp.scope().as_bytes());
    authorization.extend_from_slice(b",Signature=");
    hex(&key.sign(&string_to_sign), &mut authorization);

    let mut headers = vec![
        ("authorization", authorization),
        (X_OSS_DATE, stamp.x_oss_date.clone().into_bytes()),
        (X_OSS_CONTENT_SHA256, UNSIGNED_PAYLOAD.as_bytes().to_vec()),
    ];
    if let Some(token) = &credentials.security_token {
        headers.push((SECURITY_TOKEN, token.expose().as_bytes().to_vec()));
    }
    headers
}

/// Holds the security token in clear: a secret.
pub fn canonical_request(credentials: &Credentials, stamp: &Stamp, request: &Request) -> Vec<u8> {
    let mut headers: Vec<Pair> = Vec::with_capacity(request.headers.len() + 3);
    let mut push = |name: &'static str, value| headers.push((name.as_bytes(), value));
    push(X_OSS_CONTENT_SHA256, UNSIGNED_PAYLOAD.as_bytes());
    push(X_OSS_DATE, stamp.x_oss_date.as_bytes());
    if let Some(token) = &credentials.security_token {
        push(SECURITY_TOKEN, token.expose().as_bytes());
    }
    if !request.headers.is_empty() {
        for (name, value) in request.headers {
            headers.push((name.as_bytes(), value));
        }
        sort(&mut headers);
    }

    let mut text = Vec::with_capacity(2048);
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
    for (name, value) in headers {
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    // The end of the headers, and a line of additional headers: none.
    text.extend_from_slice(b"\n\n");
    text.extend_from_slice(UNSIGNED_PAYLOAD.as_bytes());
    text
}

pub fn string_to_sign(stamp: &Stamp, canonical_request: &[u8]) -> Vec<u8> {
    let mut text = [ALGORITHM, &stamp.x_oss_date, &stamp.scope(), ""]
        .join("\n")
        .into_bytes();
    hex(&Sha256::digest(canonical_request), &mut text);
    text
}

fn signing_key(credentials: &Credentials, stamp: &Stamp) -> Sha256Key {
    let secret = ["aliyun_v4", credentials.access_key_secret.expose()].concat();
    let mut key = Sha256Key::new(secret.as_bytes());
    for step in [stamp.date(), stamp.region, "oss", TERMINATOR] {
        key = Sha256Key::new(&key.sign(step.as_bytes()));
    }
    key
}

const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const TERMINATOR: &str = "aliyun_v4_request";
const X_OSS_DATE: &str = "x-oss-date";
const X_OSS_CONTENT_SHA256: &str = "x-oss-content-sha256";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
