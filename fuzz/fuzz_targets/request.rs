#![no_main]
//! Whatever a client sends as path and header is refused or signed, and what
//! leaves is canonical: read again, it is the same.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::config::Route;
use oss_origin_auth_core::fetch::account::AccountId;
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::policy::{Admission, Incoming, Place, admit};
use oss_origin_auth_core::signing::{Product, Scheme, SignedHeaders, Signer};

fn on_cluster() -> Place {
    Place::Cluster { earlier: Vec::new() }
}

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (path, name, value) = input;
    if let Some(target) = Target::parse(path) {
        let wire = target.wire();
        let again = Target::parse(&wire).expect("what leaves can be read");
        assert_eq!(again.wire(), wire);
        assert_eq!(again.key(), target.key());
    }
    let v4 = Scheme::V4 {
        region: "cn-hangzhou".into(),
        product: Product::Oss,
    };
    for scheme in [v4, Scheme::V1] {
        let route = Route::new("bucket", "host", scheme, AccountId(0));
        let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", path), (name, value)];
        let incoming = Incoming { headers, now: 0, guards: false };
        if let Ok(Admission::Signed(outgoing)) = admit(&route, incoming, &on_cluster) {
            let mut signer = Signer::new(
                Credentials {
                    access_key_id: "id".into(),
                    access_key_secret: Secret::new("secret"),
                    security_token: Some(Secret::new("token")),
                    expires_at: None,
                },
                1,
            );
            let edits = outgoing.sign(&route, &mut signer, 1_764_946_083);
            for (_, value) in edits.add.iter().flat_map(SignedHeaders::iter) {
                assert!(value.iter().all(|b| (b' '..=b'~').contains(b)));
            }
            for (_, value) in &edits.set {
                assert!(value.iter().all(|byte| (b'!'..=b'~').contains(byte)));
            }
        }
    }
});
