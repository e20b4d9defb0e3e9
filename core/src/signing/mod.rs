//! The signing core: a request, credentials and the time in, headers out.

mod hmac;
mod moment;
pub mod v1;
pub mod v4;

use std::fmt;
use std::rc::Rc;

use crate::credentials::Credentials;
use crate::oss::headers;
use crate::oss::target::Target;
use crate::words::words;
use moment::Moment;

/// What OSS reads when it verifies a signature.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// `None` for a request to the service itself (ListBuckets).
    pub bucket: Option<&'a str>,
    /// The key and the query.
    pub target: &'a Target,
    /// Those headers of the request that take part in a signature
    /// (see [`headers::is_signed`]), names in lower case, each name once.
    pub headers: &'a [Header],
    /// The `Host` with which it must come to OSS, where the signature is to say so. V1
    /// cannot.
    pub host: Option<&'a str>,
}

/// A header, its name in lower case.
pub type Header = (String, Vec<u8>);

/// How a request is signed: a signature version of OSS, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Version 1.
    V1,
    /// Version 4, whose signatures hold for one region.
    V4 {
        /// The general region id, for example `cn-hangzhou`.
        region: String,
        /// Whose buckets they are.
        product: Product,
    },
}

words! {
    /// The services whose buckets there are, as V4 names them in its scope (the constants of
    /// `alibabacloud-oss-v2`).
    pub enum Product {
        /// OSS itself.
        Oss = "oss",
        /// OSS on a CloudBox, whose regions are named `cb-…`.
        CloudBox = "oss-cloudbox",
    }
}

/// The headers that a signed request has more, with none of their names on it
/// before.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    authorization: Vec<u8>,
    /// The date, and what else all requests of a moment share.
    shared: Rc<[(&'static str, Vec<u8>)]>,
}

impl SignedHeaders {
    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let shared = self.shared.iter().map(|(name, value)| (*name, &value[..]));
        std::iter::once((headers::AUTHORIZATION, &self.authorization[..])).chain(shared)
    }
}

/// Shows no value, since one is the security token.
impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Credentials with what is derived from them once and not per request.
#[derive(Debug)]
pub struct Signer {
    credentials: Credentials,
    generation: u64,
    /// The last of each scheme, of which a filter sees few.
    moments: Vec<(Scheme, Moment)>,
}

impl Signer {
    /// `generation` tells these credentials from earlier ones of their name.
    pub fn new(credentials: Credentials, generation: u64) -> Signer {
        Signer {
            credentials,
            generation,
            moments: Vec::new(),
        }
    }

    /// What it signs with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The number that [`Signer::new`] was given.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Signs `request` as of `unix_time`, in seconds.
    pub fn sign(&mut self, scheme: &Scheme, request: &Request, unix_time: u64) -> SignedHeaders {
        let credentials = &self.credentials;
        let known = self.moments.iter_mut().find(|(known, _)| known == scheme);
        if let Some((_, moment)) = known {
            if moment.at() != unix_time {
                *moment = Moment::new(scheme, credentials, unix_time, Some(moment));
            }
            return moment.sign(credentials, request);
        }
        let moment = Moment::new(scheme, credentials, unix_time, None);
        let headers = moment.sign(credentials, request);
        self.moments.push((scheme.clone(), moment));
        headers
    }
}
