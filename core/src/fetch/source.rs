//! The sources of credentials.

use std::borrow::Cow;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::entry::Timing;
use super::stored::FORMAT;
use crate::credentials::{Credentials, Secret};
use crate::oss::encoding::hex;
use crate::oss::headers;

/// The source of the credentials of one name.
#[derive(Debug)]
pub struct Source {
    /// The name that the operator chose.
    pub name: String,
    /// The kind of source.
    pub kind: SourceKind,
}

/// The kinds of sources.
#[derive(Debug)]
pub enum SourceKind {
    /// A sidecar from which credentials are fetched.
    Sidecar(Rc<Sidecar>),
    /// A key pair of the configuration.
    AccessKey(Credentials),
}

/// A server that speaks the credentials-URI protocol.
#[derive(Debug)]
pub struct Sidecar {
    /// The name of its cluster in Envoy.
    pub cluster: String,
    /// The `Host` of requests to it.
    pub authority: String,
    /// The path of requests to it.
    pub path: String,
    /// How long its answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// The last part of the credentials' life, in which they are not used, in milliseconds.
    pub clock_margin_ms: u64,
    /// The remaining life at which newer credentials are fetched, in milliseconds; `None`
    /// stands for a fifth of the life, at most 15 minutes.
    pub refresh_margin_ms: Option<u64>,
    /// The bearer token that the sidecar requires.
    pub token: Option<Secret>,
}

impl Sidecar {
    /// The times that govern the shared entry.
    pub fn timing(&self) -> Timing {
        Timing {
            clock_margin: self.clock_margin_ms,
            refresh_margin: self.refresh_margin_ms,
            fetch_timeout: self.timeout_ms,
        }
    }

    /// The key of the shared data that holds these credentials. All who ask the same server for
    /// the same path with the same token share it. The length before each part keeps different
    /// parts from forming the same key.
    pub fn shared_key(&self) -> String {
        let token = self.token.as_ref().map(|token| {
            let mut digest = Vec::with_capacity(64);
            hex(&Sha256::digest(token.expose()), &mut digest);
            String::from_utf8(digest).unwrap_or_default()
        });
        let token = token.unwrap_or_default();
        let mut key = FORMAT.to_owned();
        for part in [&self.cluster, &self.authority, &self.path, &token] {
            key.extend(["/", &part.len().to_string(), ":", part]);
        }
        key
    }

    /// The headers of a request to the sidecar; one may contain the token, which is a secret.
    /// With `no_cache` the sidecar must ask its source again.
    pub fn request_headers(&self, no_cache: bool) -> Vec<(&'static str, Cow<'_, str>)> {
        let mut request = vec![
            (":method", "GET".into()),
            (":path", self.path.as_str().into()),
            (":authority", self.authority.as_str().into()),
            ("accept", "application/json".into()),
        ];
        if let Some(token) = &self.token {
            let bearer = ["Bearer ", token.expose()].concat();
            request.push((headers::AUTHORIZATION, bearer.into()));
        }
        if no_cache {
            request.push(("cache-control", "no-cache".into()));
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entry;
    use super::*;

    fn sidecar(cluster: &str, authority: &str, path: &str, token: Option<&str>) -> Sidecar {
        Sidecar {
            cluster: cluster.into(),
            authority: authority.into(),
            path: path.into(),
            timeout_ms: 1,
            clock_margin_ms: 0,
            refresh_margin_ms: None,
            token: token.map(Secret::new),
        }
    }

    #[test]
    fn a_filter_with_another_layout_has_entries_of_its_own() {
        let sidecar = sidecar("sts", "host", "/v1", None);
        let key = sidecar.shared_key();
        assert_eq!(key, "oss-origin-auth/4/3:sts/4:host/3:/v1/0:");
        assert!(Entry::default().encode().starts_with(b"oss-origin-auth/4"));
    }

    #[test]
    fn other_sources_have_other_entries() {
        let keys = [
            sidecar("a", "b", "/c", None),
            sidecar("a/1:b", "c", "/c", None),
            sidecar("a", "b/2:/c", "/c", None),
            sidecar("a/b", "c", "/d", None),
            sidecar("a", "b/c", "/d", None),
            sidecar("a", "b", "/c", Some("one")),
            sidecar("a", "b", "/c", Some("two")),
        ]
        .map(|sidecar| sidecar.shared_key());
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key}");
            assert!(!key.contains("one") && !key.contains("two"));
        }
    }
}
