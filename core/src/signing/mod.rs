//! The signing core: a request and credentials in, headers out. Pure; the
//! time is an argument.

pub mod encoding;
mod hmac;
mod memo;
mod moment;
pub mod target;
pub mod time;
pub mod v1;
pub mod v4;

use std::fmt;
use std::rc::Rc;

use crate::credentials::Credentials;
use moment::Moment;
use target::Target;

/// What OSS reads when it verifies a signature.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// `None` for a request to the service itself (ListBuckets).
    pub bucket: Option<&'a str>,
    pub target: &'a Target,
    /// Those headers of the request that take part in a signature
    /// (see [`is_signed_header`]), names in lower case, each name once.
    pub headers: &'a [Header],
}

/// A header, its name in lower case.
pub type Header = (String, Vec<u8>);

/// The signature versions of OSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V4,
}

/// The headers that a signed request has more, with none of their names on it
/// before.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    authorization: Rc<[u8]>,
    /// The date, and what else all requests of a moment share.
    shared: Rc<[(&'static str, Vec<u8>)]>,
}

impl SignedHeaders {
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let shared = self.shared.iter().map(|(name, value)| (*name, &value[..]));
        std::iter::once((AUTHORIZATION, &self.authorization[..])).chain(shared)
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
    moments: Vec<Moment>,
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

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Signs `request` as of `unix_time`, in seconds. V1 takes no region.
    pub fn sign(
        &mut self,
        version: Version,
        region: &str,
        request: &Request,
        unix_time: u64,
    ) -> SignedHeaders {
        let Signer {
            credentials,
            moments,
            ..
        } = self;
        for moment in moments.iter_mut() {
            if moment.is_of(version, region) {
                return moment.sign(credentials, request, unix_time);
            }
        }
        // One for each version and region, of which a filter sees few.
        let mut moment = Moment::new(version, region, credentials, unix_time);
        let headers = moment.sign(credentials, request, unix_time);
        moments.push(moment);
        headers
    }
}

/// Whether a header of this lower-case name takes part in the signature.
pub fn is_signed_header(name: &str) -> bool {
    name.starts_with("x-oss-") || matches!(name, "content-type" | "content-md5")
}

const AUTHORIZATION: &str = "authorization";
pub const SECURITY_TOKEN: &str = "x-oss-security-token";
