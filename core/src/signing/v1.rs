//! Signature V1 in the `Authorization` header, for buckets from before
//! September 2025 ("Guidelines for upgrading V1 signatures to V4 signatures").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::encoding::{Pair, sorted};
use super::{Request, SECURITY_TOKEN, hmac};
use crate::credentials::Credentials;

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

/// The headers beside `Authorization`.
pub fn shared_headers(credentials: &Credentials, date: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = vec![("date", date.into())];
    if let Some(token) = &credentials.security_token {
        headers.push((SECURITY_TOKEN, token.expose().into()));
    }
    headers
}

/// The string-to-sign. It holds the security token in clear: a secret.
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
    line(header("content-md5"));
    line(header("content-type"));
    line(date.as_bytes());

    let mut oss_headers: Vec<Pair> = Vec::with_capacity(request.headers.len() + 1);
    for (name, value) in request.headers {
        if name.starts_with("x-oss-") {
            oss_headers.push((name.as_bytes(), value));
        }
    }
    if let Some(token) = &credentials.security_token {
        oss_headers.push((SECURITY_TOKEN.as_bytes(), token.expose().as_bytes()));
    }
    for (name, value) in sorted(oss_headers) {
        text.extend_from_slice(name);
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    write_resource(request, &mut text);
    text
}

/// `/bucket/key?subresources`, all decoded.
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
    for (name, value) in sorted(signed) {
        text.push(separator);
        text.extend_from_slice(name);
        if !value.is_empty() {
            text.push(b'=');
            text.extend_from_slice(value);
        }
        separator = b'&';
    }
}

/// Whether V1 signs a query parameter of this (decoded) name.
pub fn is_subresource(name: &[u8]) -> bool {
    SUBRESOURCES
        .binary_search_by(|known| known.as_bytes().cmp(name))
        .is_ok()
}

/// The union of oss2 2.19.1 (`auth.py`, `_subresource_key_set`) and
/// alibabacloud-oss-v2 (`signer/v1.py`, which adds `cloudboxes`), sorted.
const SUBRESOURCES: &[&str] = &[
    "accessPoint",
    "accessPointPolicy",
    "acl",
    "append",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "bucketInfo",
    "callback",
    "callback-var",
    "cloudboxes",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "group",
    "httpsConfig",
    "inventory",
    "inventoryId",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectInfo",
    "objectMeta",
    "partNumber",
    "policy",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "qosRequester",
    "redundancyTransition",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "requesterQosInfo",
    "resourceGroup",
    "resourcePool",
    "resourcePoolBuckets",
    "resourcePoolInfo",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "security-token",
    "sequential",
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "wormExtend",
    "wormId",
    "x-oss-ac-forward-allow",
    "x-oss-ac-source-ip",
    "x-oss-ac-subnet-mask",
    "x-oss-ac-vpc-id",
    "x-oss-access-point-name",
    "x-oss-async-process",
    "x-oss-process",
    "x-oss-redundancy-transition-taskid",
    "x-oss-request-payer",
    "x-oss-target-redundancy-type",
    "x-oss-traffic-limit",
    "x-oss-write-get-object-response",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subresources_are_sorted_for_the_search() {
        assert!(SUBRESOURCES.is_sorted());
        for name in SUBRESOURCES {
            assert!(is_subresource(name.as_bytes()), "{name}");
        }
        for name in ["", "a", "prefix", "ACL", "list-type", "zzz"] {
            assert!(!is_subresource(name.as_bytes()), "{name}");
        }
    }
}
