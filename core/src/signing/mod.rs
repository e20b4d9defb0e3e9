//! Signs requests: a request, credentials and the time in, headers out.

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

/// The parts of a request that OSS reads when it verifies a signature.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The bucket; `None` for a request to the service itself (ListBuckets).
    pub bucket: Option<&'a str>,
    /// The object key and the query.
    pub target: &'a Target,
    /// The headers of the request that are part of the signature (see [`headers::is_signed`]):
    /// names in lower case, each name once.
    pub headers: &'a [Header],
    /// The `Host` that the signature covers, if it must cover one. V1 cannot.
    pub host: Option<&'a str>,
}

/// A header, with its name in lower case.
pub type Header = (String, Vec<u8>);

/// A signature version of OSS and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Version 1.
    V1,
    /// Version 4, whose signatures are valid for one region.
    V4 {
        /// The general region id, for example `cn-hangzhou`.
        region: String,
        /// The service that has the bucket.
        product: Product,
    },
}

words! {
    /// The services that have buckets, as V4 names them in its scope (the constants of
    /// `alibabacloud-oss-v2`).
    pub enum Product {
        /// OSS itself.
        Oss = "oss",
        /// OSS on a CloudBox, whose regions are named `cb-…`.
        CloudBox = "oss-cloudbox",
    }
}

/// The headers that signing adds to a request. Any older headers of these names are removed
/// first.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    authorization: Vec<u8>,
    /// The date, and the other headers that all requests of a second share.
    shared: Rc<[(&'static str, Vec<u8>)]>,
}

impl SignedHeaders {
    /// The names and values of the headers.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let shared = self.shared.iter().map(|(name, value)| (*name, &value[..]));
        std::iter::once((headers::AUTHORIZATION, &self.authorization[..])).chain(shared)
    }
}

/// Shows no value, because one is the security token.
impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Credentials and the values that are derived from them once, not for each request.
#[derive(Debug)]
pub struct Signer {
    credentials: Credentials,
    generation: u64,
    /// The last moment of each scheme. A filter uses few schemes.
    moments: Vec<(Scheme, Moment)>,
}

impl Signer {
    /// A signer with these credentials. `generation` is their number among the credentials of
    /// one name.
    pub fn new(credentials: Credentials, generation: u64) -> Signer {
        Signer {
            credentials,
            generation,
            moments: Vec::new(),
        }
    }

    /// The credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The generation that [`Signer::new`] was given.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Signs `request` at `unix_time`, in seconds.
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
