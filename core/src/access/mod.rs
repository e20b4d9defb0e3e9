//! Who may read: the rules of access that Alibaba's CDN has in front of its cache, so that
//! an application that signs URLs for the CDN works here unchanged (CDN, "Configure URL
//! signing", "Configure a Referer whitelist or blacklist", "Configure a User-Agent blacklist
//! or whitelist").

mod lists;
mod url;

use std::borrow::Cow;

pub use lists::{List, Referer, UserAgent};
pub use url::{Key, Keys, TimeFormat, UrlSigning, UrlType};

/// What a request must be like to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The URL must be signed so.
    pub url_signing: Option<UrlSigning>,
    /// The page that leads to the object must be such a one.
    pub referer: Option<Referer>,
    /// The client must be such a one.
    pub user_agent: Option<UserAgent>,
    /// Where those who may not read are sent instead.
    pub redirect: Option<String>,
}

/// Why somebody may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The URL has no signature.
    UrlMissing,
    /// The URL has something else where its signature should be.
    UrlMalformed,
    /// The signature's time is over.
    UrlExpired,
    /// The hash is that of another key, path, time or type.
    UrlWrong,
    /// The page is not one of those that may lead here.
    Referer,
    /// The client is not one of those that may read.
    UserAgent,
}

/// A request that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<'a> {
    /// Its path and query, without the signature.
    pub path: Cow<'a, [u8]>,
    /// The key that has signed its URL, if that was asked for.
    pub key: Option<Key>,
}

/// Names in lower case, and values.
type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

impl Access {
    /// Whether a signature is taken off the path.
    pub fn strips(&self) -> bool {
        self.url_signing.is_some()
    }

    /// Whether the path without its signature may be that of another route.
    pub fn moves_paths(&self) -> bool {
        self.url_signing.as_ref().is_some_and(UrlSigning::moves)
    }

    /// Whether a request may pass at `now`, in seconds since 1970. `path`: path and query,
    /// as they are on the wire.
    pub fn check<'a>(
        &self,
        headers: Headers,
        path: &'a [u8],
        now: u64,
    ) -> Result<Passed<'a>, Denied> {
        if let Some(rule) = &self.user_agent
            && !rule.lets_pass(&values(headers, b"user-agent"))
        {
            return Err(Denied::UserAgent);
        }
        if let Some(rule) = &self.referer
            && !rule.lets_pass(&values(headers, b"referer"))
        {
            return Err(Denied::Referer);
        }
        match &self.url_signing {
            Some(rule) => rule.check(path, now),
            None => Ok(Passed {
                path: path.into(),
                key: None,
            }),
        }
    }

    /// The path and query of a request that an earlier attempt has checked, without the
    /// signature: meanwhile it may have expired.
    pub fn strip<'a>(&self, path: &'a [u8]) -> Result<Cow<'a, [u8]>, Denied> {
        match &self.url_signing {
            Some(rule) => rule.strip(path),
            None => Ok(path.into()),
        }
    }
}

fn values<'a>(headers: Headers<'a>, name: &[u8]) -> Vec<&'a [u8]> {
    let of_name = headers.iter().filter(|(known, _)| *known == name);
    of_name.map(|(_, value)| *value).collect()
}
