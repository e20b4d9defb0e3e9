//! What all signatures of one second have in common, made once: the date, the
//! signing key, and the signatures themselves, of which hot objects and the
//! ranges of large ones ask for the same again and again. Each request gets what
//! it would get from a signer that keeps nothing.

use std::fmt;
use std::rc::Rc;

use super::hmac::Sha256Key;
use super::memo::Memo;
use super::{Request, SignedHeaders, Version, time, v1, v4};
use crate::credentials::Credentials;

/// A second, of one signature version and region.
pub struct Moment {
    version: Version,
    region: String,
    /// Seconds since 1970.
    at: u64,
    scheme: Scheme,
    /// The headers beside `Authorization`.
    shared: Rc<[(&'static str, Vec<u8>)]>,
    memo: Memo,
}

enum Scheme {
    V1 {
        date: String,
    },
    /// The key holds for a day; deriving it costs four of the five HMACs of a
    /// signature.
    V4 {
        stamp: v4::Stamp,
        key: Box<Sha256Key>,
        /// After that part of the string to sign which is of the second.
        begun: Sha256Key,
    },
}

impl Moment {
    pub fn new(version: Version, region: &str, credentials: &Credentials, at: u64) -> Moment {
        Moment::after(None, version, region, credentials, at)
    }

    /// `before`: of an earlier moment of the same credentials and region.
    fn after(
        before: Option<&Scheme>,
        version: Version,
        region: &str,
        credentials: &Credentials,
        at: u64,
    ) -> Moment {
        let (scheme, shared) = match version {
            Version::V1 => {
                let date = time::http_date(at);
                let shared = v1::shared_headers(credentials, &date);
                (Scheme::V1 { date }, shared)
            }
            Version::V4 => {
                let stamp = v4::Stamp::new(at, region);
                let shared = v4::shared_headers(credentials, &stamp);
                let key = match before {
                    Some(Scheme::V4 {
                        stamp: known, key, ..
                    }) if known.date() == stamp.date() => key.clone(),
                    _ => v4::signing_key(credentials, &stamp, region).into(),
                };
                let begun = key.after(&stamp.string_to_sign());
                (Scheme::V4 { stamp, key, begun }, shared)
            }
        };
        Moment {
            version,
            region: region.to_owned(),
            at,
            scheme,
            shared: shared.into(),
            memo: Memo::default(),
        }
    }

    pub fn is_of(&self, version: Version, region: &str) -> bool {
        self.version == version && self.region == region
    }

    pub fn sign(
        &mut self,
        credentials: &Credentials,
        request: &Request,
        now: u64,
    ) -> SignedHeaders {
        if now != self.at {
            let before = Some(&self.scheme);
            *self = Moment::after(before, self.version, &self.region, credentials, now);
        }
        let scheme = &self.scheme;
        let authorization = || match scheme {
            Scheme::V1 { date } => v1::authorization(credentials, request, date),
            Scheme::V4 { stamp, begun, .. } => {
                v4::authorization(credentials, begun, stamp, request)
            }
        };
        SignedHeaders {
            authorization: match request.headers {
                [] => self.memo.get(request, authorization),
                // Rare, and no two need be alike.
                _ => authorization().into(),
            },
            shared: Rc::clone(&self.shared),
        }
    }
}

/// Shows nothing of what it holds: keys and the security token.
impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Moment({:?}, {})", self.version, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::super::{SignedHeaders, Signer};
    use super::*;
    use crate::credentials::Secret;

    const NOON: u64 = 1_764_936_000;
    const MIDNIGHT: u64 = 1_764_979_200;

    fn signer() -> Signer {
        let credentials = Credentials {
            access_key_id: "id".into(),
            access_key_secret: Secret::new("secret"),
            security_token: Some(Secret::new("token")),
            expires_at: None,
        };
        Signer::new(credentials, 1)
    }

    fn sign(
        signer: &mut Signer,
        version: Version,
        region: &str,
        key: &str,
        at: u64,
    ) -> SignedHeaders {
        let target = Target::of_key(key.into());
        let request = Request {
            method: "GET",
            bucket: Some("bucket"),
            target: &target,
            headers: &[],
        };
        signer.sign(version, region, &request, at)
    }

    /// What a signer that has signed nothing before would say.
    fn fresh(version: Version, region: &str, key: &str, at: u64) -> SignedHeaders {
        sign(&mut signer(), version, region, key, at)
    }

    #[test]
    fn what_is_kept_makes_no_difference() {
        for version in [Version::V1, Version::V4] {
            let mut signer = signer();
            // NOON + 999: the clock was set back.
            for at in [
                NOON,
                NOON,
                NOON + 1,
                NOON + 1_000,
                NOON + 999,
                MIDNIGHT - 1,
                MIDNIGHT,
            ] {
                for key in ["a", "b", "a"] {
                    let signed = sign(&mut signer, version, "region", key, at);
                    assert!(signed == fresh(version, "region", key, at), "{key} at {at}");
                }
            }
        }
    }

    #[test]
    fn regions_and_versions_are_told_apart() {
        let mut signer = signer();
        for _ in 0..2 {
            for version in [Version::V4, Version::V1] {
                for region in ["one", "two"] {
                    let signed = sign(&mut signer, version, region, "a", NOON);
                    assert!(signed == fresh(version, region, "a", NOON), "{region}");
                }
            }
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut signer = signer();
        let signed = sign(&mut signer, Version::V4, "region", "a", NOON);
        let shown = format!("{signer:?} {signed:?} {signed:#?}");
        assert!(
            !shown.contains("\"token\"") && !shown.contains("116, 111, 107"),
            "{shown}"
        );
    }
}
