//! Signature V1 in the `Authorization` header, for buckets from before
//! September 2025 ("Guidelines for upgrading V1 signatures to V4 signatures").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Request, hmac};
use crate::credentials::Credentials;
use crate::oss::encoding::Pair;
use crate::oss::headers;
use crate::oss::parameters::is_subresource;

/// The value of `Authorization`.
pub fn authorization(credentials: &Credentials, request: &Request, date: &str) -> Vec<u8> {
    let signature = hmac::sha1(
        credentials.access_key_secret.expose().as_bytes(),
        &string_to_sign(credentials, request, date),
    );
    let signature = STANDARD.encode(signature);
    ["OSS ", &credentials.access_key_id, ":", &signature]
        .concat()
        .into_bytes()
}

/// The headers except `Authorization`.
pub fn shared_headers(credentials: &Credentials, date: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut shared = vec![(headers::DATE, date.into())];
    if let Some(token) = &credentials.security_token {
        shared.push((headers::SECURITY_TOKEN, token.expose().into()));
    }
    shared
}

/// The string-to-sign. It contains the security token in clear text and is a secret.
pub fn string_to_sign(credentials: &Credentials, request: &Request, date: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    let mut line = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        text.push(b'\n');
    };
    let header = |wanted: &str| {
        let found = request.headers.iter().find(|(name, _)| name == wanted);
        found.map_or(&[][..], |(_, value)| value)
    };
    line(request.method.as_bytes());
    line(header(headers::CONTENT_MD5));
    line(header(headers::CONTENT_TYPE));
    line(date.as_bytes());

    let mut oss_headers: Vec<Pair> = Vec::with_capacity(request.headers.len() + 1);
    for (name, value) in request.headers {
        if name.starts_with(headers::PREFIX) {
            oss_headers.push((name.as_bytes(), value));
        }
    }
    if let Some(token) = &credentials.security_token {
        oss_headers.push((
            headers::SECURITY_TOKEN.as_bytes(),
            token.expose().as_bytes(),
        ));
    }
    oss_headers.sort_unstable();
    for (name, value) in oss_headers {
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    write_resource(request, &mut text);
    text
}

/// Writes `/bucket/key?subresources`, all decoded.
fn write_resource(request: &Request, text: &mut Vec<u8>) {
    text.push(b'/');
    if let Some(bucket) = request.bucket {
        text.extend_from_slice(bucket.as_bytes());
        text.push(b'/');
        text.extend_from_slice(request.target.key());
    }
    let mut signed: Vec<Pair> = Vec::new();
    for parameter in request.target.parameters() {
        if is_subresource(&parameter.name) {
            signed.push((&parameter.name[..], &parameter.value[..]));
        }
    }
    let mut separator = b'?';
    signed.sort_unstable();
    for (name, value) in signed {
        text.push(separator);
        text.extend_from_slice(name);
        if !value.is_empty() {
            text.push(b'=');
            text.extend_from_slice(value);
        }
        separator = b'&';
    }
}
