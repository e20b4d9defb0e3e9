//! The signing core: a request and credentials in, headers out. Pure; the
//! time is an argument.

pub mod encoding;
mod hmac;
pub mod target;
pub mod time;
pub mod v1;
pub mod v4;

use crate::credentials::Credentials;
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

/// The headers to set on the request, each replacing any of its name.
pub type SignedHeaders = Vec<(&'static str, Vec<u8>)>;

/// Credentials with what is derived from them once and not per request.
#[derive(Debug)]
pub struct Signer {
    credentials: Credentials,
    generation: u64,
    v4_keys: v4::KeyCache,
}

impl Signer {
    /// `generation` tells these credentials from earlier ones of their name.
    pub fn new(credentials: Credentials, generation: u64) -> Signer {
        Signer {
            credentials,
            generation,
            v4_keys: v4::KeyCache::default(),
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
        match version {
            Version::V1 => v1::sign(&self.credentials, request, unix_time),
            Version::V4 => {
                let stamp = v4::Stamp::new(unix_time, region);
                let key = self.v4_keys.key(&self.credentials, &stamp);
                v4::sign(&self.credentials, &key, &stamp, request)
            }
        }
    }
}

/// Whether a header of this lower-case name takes part in the signature.
pub fn is_signed_header(name: &str) -> bool {
    name.starts_with("x-oss-") || matches!(name, "content-type" | "content-md5")
}

pub const SECURITY_TOKEN: &str = "x-oss-security-token";
