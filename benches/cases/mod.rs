//! What is measured of the signing core, in time by `signing.rs`, in
//! instructions by `instructions.rs`: from the headers that Envoy gives to those
//! that it is told to set.

use std::hint::black_box;
use std::rc::Rc;

use oss_origin_auth_core::access::{Access, Keys, UrlSigning, UrlType};
use oss_origin_auth_core::config::Route;
use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::fetch::account::AccountId;
use oss_origin_auth_core::policy::edits::Edits;
use oss_origin_auth_core::policy::entry::enter;
use oss_origin_auth_core::policy::{Admission, Incoming, Place, admit};
use oss_origin_auth_core::signing::{Product, Scheme, Signer};

pub struct Case {
    pub name: &'static str,
    work: Work,
    /// Begins with a number of eight digits, which grows with every request.
    path: Vec<u8>,
    /// Without the path.
    headers: Vec<(&'static [u8], &'static [u8])>,
}

enum Work {
    Sign(Box<(Route, Signer)>),
    /// A URL that the path has in full.
    Check(Access),
}

/// The route rewrites the host to it.
const HOST: &str = "demo-bucket.oss-cn-hangzhou.aliyuncs.com";
const NOW: u64 = 1_764_946_083;

/// The requests of a CDN, plain and ugly.
pub fn all() -> Vec<Case> {
    let plain: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b":authority", HOST.as_bytes()),
        (b":scheme", b"https"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, br"),
        (b"x-forwarded-proto", b"https"),
        (b"x-request-id", b"5b0ff6c4-8d6b-4d3f-9c5a-0f3f1f6f9d0e"),
    ];
    let ugly: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b"authorization", b"Bearer x"),
        (b"x-oss-object-acl", b"public-read"),
        (b"range", b"bytes=0-1023"),
    ];
    let path = "/00000000/2025/12/example.jpg";
    let ugly_path = "/00000000/a%20b/%E4%B8%AD%2F+?utm_source=x&b=1&c=%zz&d";
    vec![
        case("v4", v4(), true, path, plain),
        case("v4_without_token", v4(), false, path, plain),
        case("v4_ugly", v4(), true, ugly_path, ugly),
        case("v1", Scheme::V1, true, path, plain),
        access("access_a", UrlType::A, path, plain),
        access("access_b", UrlType::B, path, plain),
    ]
}

/// A URL that the second of two keys has signed.
fn access(
    name: &'static str,
    kind: UrlType,
    path: &str,
    headers: &[(&'static [u8], &'static [u8])],
) -> Case {
    let backup = Secret::new("another example of a key, of 40 letters.");
    let keys = Keys {
        name: "default".into(),
        main: Secret::new("an example of a key for URLs, 40 letters"),
        backup: Some(backup.clone()),
    };
    let signing = UrlSigning::new(kind, Rc::new(keys), 1_800);
    let signed = signing.sign(&backup, path, NOW, "477b3bbc253f467b8def6711128c7bec-0");
    let access = Access {
        url_signing: Some(signing),
        ..Access::default()
    };
    Case {
        name,
        work: Work::Check(access),
        path: signed.unwrap_or_default().into_bytes(),
        headers: headers.to_vec(),
    }
}

fn v4() -> Scheme {
    let region = "cn-hangzhou".into();
    let product = Product::Oss;
    Scheme::V4 { region, product }
}

fn case(
    name: &'static str,
    scheme: Scheme,
    token: bool,
    path: &str,
    headers: &[(&'static [u8], &'static [u8])],
) -> Case {
    let credentials = Credentials {
        access_key_id: "STS.NUgYrLnoC37mZZCNnAbez****".into(),
        access_key_secret: Secret::new("an example of a secret of forty letters.."),
        security_token: token.then(|| Secret::new("t".repeat(700))),
        expires_at: None,
    };
    Case {
        name,
        work: Work::Sign(Box::new((
            Route::new("demo-bucket", HOST, scheme, AccountId(0)),
            Signer::new(credentials, 1),
        ))),
        path: path.into(),
        headers: headers.to_vec(),
    }
}

impl Case {
    /// One request.
    #[inline(never)]
    pub fn run(&mut self) -> Option<Edits> {
        if matches!(self.work, Work::Sign(_)) {
            self.next_object();
        }
        let path: (&[u8], &[u8]) = (b":path", &self.path);
        let headers: Vec<_> = std::iter::once(path)
            .chain(self.headers.iter().copied())
            .collect();
        let incoming = Incoming {
            headers: black_box(&headers),
            now: black_box(NOW),
            guards: false,
        };
        let place = || Place::Cluster {
            earlier: Vec::new(),
        };
        match &mut self.work {
            Work::Sign(work) => {
                let (route, signer) = &mut **work;
                match admit(route, incoming, &place) {
                    Ok(Admission::Signed(outgoing)) => {
                        Some(outgoing.sign(route, signer, black_box(NOW)))
                    }
                    _ => None,
                }
            }
            Work::Check(access) => {
                let path = enter(Some(access), &incoming, None).ok()?.path()?;
                let set = vec![(":path".into(), path.into())];
                Some(Edits {
                    set,
                    ..Edits::default()
                })
            }
        }
    }

    fn next_object(&mut self) {
        for digit in self.path.iter_mut().skip(1).take(8).rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}
