//! The parts that all signatures of one second share, computed once: the date, the headers that
//! carry it, the signing key, and constant texts. The result is the same as from a signer that
//! caches nothing.

use std::fmt;
use std::rc::Rc;

use super::hmac::Sha256Key;
use super::{Request, Scheme, SignedHeaders, v1, v4};
use crate::credentials::Credentials;
use crate::oss::time;

/// One second and one scheme.
pub struct Moment {
    /// The time in seconds since 1970.
    at: u64,
    state: State,
    /// The headers except `Authorization`.
    shared: Rc<[(&'static str, Vec<u8>)]>,
}

enum State {
    V1 {
        date: String,
    },
    V4 {
        frame: v4::Frame,
        /// The signing key. It is valid for a day; deriving it costs four of the five HMACs of
        /// a signature.
        key: Box<Sha256Key>,
        /// The key's state after the constant beginning of the string to sign.
        begun: Box<Sha256Key>,
    },
}

impl Moment {
    /// The moment of `at`, in seconds since 1970. `before` is an earlier one of the same scheme
    /// and credentials.
    pub fn new(
        scheme: &Scheme,
        credentials: &Credentials,
        at: u64,
        before: Option<&Moment>,
    ) -> Moment {
        let (shared, state) = match scheme {
            Scheme::V1 => {
                let date = time::http_date(at);
                (v1::shared_headers(credentials, &date), State::V1 { date })
            }
            Scheme::V4 { region, product } => {
                let stamp = v4::Stamp::new(at, region, *product);
                let shared = v4::shared_headers(credentials, &stamp);
                let key = match before.map(|before| &before.state) {
                    Some(State::V4 { frame, key, .. }) if frame.stamp.date() == stamp.date() => {
                        key.clone()
                    }
                    _ => v4::signing_key(credentials, &stamp).into(),
                };
                let begun = key.after(&stamp.string_to_sign()).into();
                let frame = v4::Frame::new(credentials, stamp);
                (shared, State::V4 { frame, key, begun })
            }
        };
        let shared = shared.into();
        Moment { at, shared, state }
    }

    /// The time of the moment, in seconds since 1970.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Signs a request at this moment.
    pub fn sign(&self, credentials: &Credentials, request: &Request) -> SignedHeaders {
        let authorization = match &self.state {
            State::V1 { date } => v1::authorization(credentials, request, date),
            State::V4 { frame, begun, .. } => frame.authorization(credentials, begun, request),
        };
        let shared = Rc::clone(&self.shared);
        SignedHeaders {
            authorization,
            shared,
        }
    }
}

/// Shows none of the contents: keys and the security token.
impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Moment({})", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Product, Signer};
    use super::*;
    use crate::credentials::Secret;
    use crate::oss::target::Target;

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

    fn v4(region: &str) -> Scheme {
        Scheme::V4 {
            region: region.to_owned(),
            product: Product::Oss,
        }
    }

    fn sign(signer: &mut Signer, scheme: &Scheme, key: &str, at: u64) -> SignedHeaders {
        let target = Target::of_key(key.into());
        let request = Request {
            method: "GET",
            bucket: Some("bucket"),
            target: &target,
            headers: &[],
            host: None,
        };
        signer.sign(scheme, &request, at)
    }

    /// The headers from a signer that has not signed before.
    fn fresh(scheme: &Scheme, key: &str, at: u64) -> SignedHeaders {
        sign(&mut signer(), scheme, key, at)
    }

    #[test]
    fn what_is_kept_makes_no_difference() {
        for scheme in [Scheme::V1, v4("region")] {
            let mut signer = signer();
            // The step to NOON + 999 stands for a clock that was set back.
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
                    let signed = sign(&mut signer, &scheme, key, at);
                    assert!(signed == fresh(&scheme, key, at), "{key} at {at}");
                }
            }
        }
    }

    #[test]
    fn requests_of_one_second_are_told_apart() {
        let target = Target::of_key(b"a".into());
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let some = [
            header("x-oss-a", b"1"),
            header("content-type", b"text/plain"),
        ];
        let others = [header("x-oss-a", b"2")];
        for scheme in [Scheme::V1, v4("region")] {
            let (mut kept, mut all) = (signer(), Vec::new());
            for _ in 0..2 {
                for (headers, host) in [
                    (&[][..], None),
                    (&some, None),
                    (&[], Some("host")),
                    (&others, Some("host")),
                    (&[], None),
                ] {
                    let request = Request {
                        method: "GET",
                        bucket: Some("bucket"),
                        target: &target,
                        headers,
                        host,
                    };
                    let signed = kept.sign(&scheme, &request, NOON);
                    assert!(signed == signer().sign(&scheme, &request, NOON));
                    all.push(signed.authorization);
                }
            }
            all.sort();
            all.dedup();
            // V1 signs no host.
            let different = if scheme == Scheme::V1 { 3 } else { 4 };
            assert_eq!(all.len(), different, "{scheme:?}");
        }
    }

    #[test]
    fn regions_and_versions_are_told_apart() {
        let mut signer = signer();
        for _ in 0..2 {
            let cloud_box = Scheme::V4 {
                region: "one".into(),
                product: Product::CloudBox,
            };
            for scheme in [v4("one"), v4("two"), cloud_box, Scheme::V1] {
                let signed = sign(&mut signer, &scheme, "a", NOON);
                assert!(signed == fresh(&scheme, "a", NOON), "{scheme:?}");
            }
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut signer = signer();
        let signed = sign(&mut signer, &v4("region"), "a", NOON);
        let shown = format!("{signer:?} {signed:?} {signed:#?}");
        assert!(
            !shown.contains("\"token\"") && !shown.contains("116, 111, 107"),
            "{shown}"
        );
    }
}
