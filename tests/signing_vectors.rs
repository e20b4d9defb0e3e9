//! Every vector, canonical request and string-to-sign first and the signature
//! after, so that a failure names the step. The expected values were made by
//! Alibaba's own SDKs (each file says which). Other vectors of the same form
//! are run with `OSS_VECTORS_DIR=folder cargo test --test signing_vectors`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use std::path::PathBuf;

use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::oss::headers;
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::oss::time;
use oss_origin_auth_core::signing::{self, Product, Request, Scheme, Signer, v1, v4};
use serde::Deserialize;
use std::collections::BTreeMap;

#[test]
fn v1_signs_as_the_official_sdk() {
    for case in vectors("v1.json") {
        let (credentials, target, headers) = case.parts();
        let request = case.request(&target, &headers);
        let date = time::http_date(case.unix_time);
        assert_eq!(date, case.expected.date, "{}: date", case.name);
        let string_to_sign = v1::string_to_sign(&credentials, &request, &date);
        assert_eq!(
            String::from_utf8_lossy(&string_to_sign),
            case.expected.string_to_sign,
            "{}: string-to-sign",
            case.name
        );
        case.check_headers(credentials, &request, &Scheme::V1);
    }
}

#[test]
fn v4_signs_as_the_official_sdk() {
    for case in vectors("v4.json") {
        let (credentials, target, headers) = case.parts();
        let request = case.request(&target, &headers);
        let stamp = v4::Stamp::new(case.unix_time, &case.region, Product::Oss);
        assert_eq!(stamp.x_oss_date, case.expected.x_oss_date, "{}", case.name);
        let canonical_request = v4::canonical_request(&credentials, &stamp, &request);
        assert_eq!(
            String::from_utf8_lossy(&canonical_request),
            case.expected.canonical_request,
            "{}: canonical request",
            case.name
        );
        assert_eq!(
            String::from_utf8_lossy(&v4::string_to_sign(&stamp, &canonical_request)),
            case.expected.string_to_sign,
            "{}: string-to-sign",
            case.name
        );
        let region = case.region.clone();
        case.check_headers(
            credentials,
            &request,
            &Scheme::V4 {
                region,
                product: Product::Oss,
            },
        );
    }
}

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    /// As on the wire, with its query.
    path: String,
    bucket: Option<String>,
    object_key: String,
    headers: BTreeMap<String, String>,
    credentials: Keys,
    region: String,
    unix_time: u64,
    expected: Expected,
}

#[derive(Deserialize)]
struct Keys {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

#[derive(Deserialize)]
struct Expected {
    #[serde(default)]
    date: String,
    #[serde(default)]
    x_oss_date: String,
    #[serde(default)]
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
}

impl Case {
    fn parts(&self) -> (Credentials, Target, Vec<signing::Header>) {
        let credentials = Credentials {
            access_key_id: self.credentials.access_key_id.clone(),
            access_key_secret: Secret::new(&self.credentials.access_key_secret),
            security_token: self.credentials.security_token.as_ref().map(Secret::new),
            expires_at: None,
        };
        let target = Target::parse(self.path.as_bytes()).expect("a target");
        assert_eq!(target.key(), self.object_key.as_bytes(), "{}", self.name);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into_bytes()))
            .filter(|(name, _)| headers::is_signed(name.as_bytes()))
            .collect();
        (credentials, target, headers)
    }

    fn request<'a>(&'a self, target: &'a Target, headers: &'a [signing::Header]) -> Request<'a> {
        Request {
            method: &self.method,
            bucket: self.bucket.as_deref(),
            target,
            headers,
            host: None,
        }
    }

    /// Signs with a signing key derived, and with the key that was kept.
    fn check_headers(&self, credentials: Credentials, request: &Request, scheme: &Scheme) {
        let token = credentials.security_token.clone();
        let mut signers = [
            Signer::new(credentials.clone(), 1),
            Signer::new(credentials, 1),
        ];
        let other = Request {
            target: &Target::of_key(b"another".into()),
            ..*request
        };
        signers[1].sign(scheme, &other, self.unix_time);
        for signer in [0, 0, 1] {
            let headers = signers[signer].sign(scheme, request, self.unix_time);
            let value = |wanted| {
                let found = headers.iter().find(|(name, _)| *name == wanted)?;
                Some(String::from_utf8_lossy(found.1).into_owned())
            };
            assert_eq!(
                value("authorization").as_ref(),
                Some(&self.expected.authorization),
                "{}: signature",
                self.name
            );
            assert_eq!(
                value("x-oss-security-token"),
                token.as_ref().map(|token| token.expose().to_owned()),
                "{}: token",
                self.name
            );
        }
    }
}

fn vectors(file: &str) -> Vec<Case> {
    let folder = std::env::var_os("OSS_VECTORS_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")),
        PathBuf::from,
    );
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!file.cases.is_empty(), "{}: no cases", path.display());
    file.cases
}
