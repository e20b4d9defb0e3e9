//! Access control: the same rules that Alibaba's CDN applies in front of its cache. An
//! application that signs URLs for the CDN works here unchanged (CDN, "Configure URL signing",
//! "Configure a Referer whitelist or blacklist", "Configure a User-Agent blacklist or
//! whitelist").

mod lists;
mod url;

use std::borrow::Cow;

pub use lists::{List, Referer, UserAgent};
pub use url::{Key, Keys, TimeFormat, UrlSigning, UrlType};

/// The checks that a request must pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// How the URL must be signed.
    pub url_signing: Option<UrlSigning>,
    /// The pages that may refer to the object.
    pub referer: Option<Referer>,
    /// The clients that may read.
    pub user_agent: Option<UserAgent>,
    /// The URL to which a refused client is redirected.
    pub redirect: Option<String>,
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The URL has no signature.
    UrlMissing,
    /// The signature in the URL is malformed.
    UrlMalformed,
    /// The signature has expired.
    UrlExpired,
    /// The hash is wrong: it was made with another key, path, time or type.
    UrlWrong,
    /// The referring page is not allowed.
    Referer,
    /// The client is not allowed.
    UserAgent,
}

/// A request that passed all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed<'a> {
    /// The path and query of the request, without the signature.
    pub path: Cow<'a, [u8]>,
    /// The key that signed the URL, if a signature was required.
    pub key: Option<Key>,
}

/// The names (in lower case) and values of the headers.
type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

impl Access {
    /// Whether these checks remove a signature from the path or query.
    pub fn strips(&self) -> bool {
        self.url_signing.is_some()
    }

    /// Whether the path without its signature may match another route.
    pub fn moves_paths(&self) -> bool {
        self.url_signing.as_ref().is_some_and(UrlSigning::moves)
    }

    /// Checks a request at `now`, in seconds since 1970. `path` holds the path and query as
    /// they were received.
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

    /// Removes the signature from the path and query of a request that an earlier attempt has
    /// checked. Its expiry is not checked again: it may have passed since then.
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
