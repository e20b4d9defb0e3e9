#![no_main]
//! Whatever the settings, the place and the request: what leaves keeps to the lists.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::config::choices::{
    Addressing, DotSegments, Method, PathEncoding, PresignedUrls, UnknownParameters,
};
use oss_origin_auth_core::config::{Methods, Patterns, Route};
use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::fetch::account::AccountId;
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::policy::{Admission, Incoming, Place, admit};
use oss_origin_auth_core::signing::{Product, Scheme, Signer};
use oss_origin_auth_core::words::Word;

fuzz_target!(|input: (u32, u8, &[u8], &[u8])| {
    let (choices, method, path, name) = input;
    let route = route(choices);
    let method = Method::ALL[usize::from(method) % Method::ALL.len()];
    let is_listener = choices >> 31 == 0;
    let place = &|| match is_listener {
        true => Place::Listener,
        false => Place::Cluster { earlier: path.to_vec() },
    };
    let headers: &[(&[u8], &[u8])] = &[
        (b":method", method.word().as_bytes()),
        (b":path", path),
        (b":authority", b"of the client"),
        (name, b"value"),
    ];
    let incoming = Incoming { headers, now: 0, guards: choices & 1 << 30 != 0 };
    let Ok(admission) = admit(&route, incoming, place) else {
        return;
    };
    let signs_itself = |path: &[u8]| {
        let asked = Target::parse(path).expect("what is admitted can be read");
        let query = asked.parameters().iter().map(|p| p.name.to_ascii_lowercase());
        query.into_iter().any(|name| {
            matches!(&name[..], b"signature" | b"x-oss-signature") || name.starts_with(b"x-amz-")
        })
    };
    let (edits, is_signed) = match admission {
        Admission::Presigned { edits, .. } => (edits, false),
        Admission::Signed(outgoing) => {
            let credentials = Credentials {
                access_key_id: "id".into(),
                access_key_secret: Secret::new("secret"),
                security_token: Some(Secret::new("token")),
                expires_at: None,
            };
            (outgoing.sign(&route, &mut Signer::new(credentials, 1), 1_764_946_083), true)
        }
    };
    assert_eq!(edits.add.is_some(), is_signed);
    let set = |wanted: &str| edits.set.iter().find(|(name, _)| name == wanted);
    let leaves = set(":path").map_or(path, |(_, path)| path);
    assert_eq!(signs_itself(leaves), !is_signed, "one signature, and no other");
    match is_listener {
        true => assert!(edits.set.iter().all(|(name, _)| !name.starts_with(':'))),
        false => {
            let (_, host) = set(":authority").expect("the host of the settings");
            assert_eq!(&host[..], route.host.as_bytes());
        }
    }
    for (name, _) in &route.rules.add_headers {
        assert_eq!(set(name).is_some(), is_signed);
    }
    if matches!(name, b"cookie" | b"x-forwarded-for" | b"authorization" | b"x-oss-object-acl") {
        assert!(edits.remove.iter().any(|removed| removed == name));
    }
});

fn route(choices: u32) -> Route {
    let scheme = Scheme::V4 {
        region: "cn-hangzhou".into(),
        product: Product::Oss,
    };
    let mut route = Route::new("bucket", "host", scheme, AccountId(0));
    let bit = |number: u32| choices >> number & 1 == 1;
    let rules = &mut route.rules;
    rules.presigned_urls = PresignedUrls::ALL[(choices & 3) as usize];
    rules.addressing = if bit(2) { Addressing::PathStyle } else { Addressing::VirtualHosted };
    rules.strip_prefix = if bit(3) { "a/" } else { "" }.into();
    rules.key_prefix = if bit(4) { "a/" } else { "" }.into();
    rules.index_document = bit(5).then(|| "index.html".into());
    rules.dot_segments = DotSegments::ALL[usize::from(bit(6))];
    rules.path_encoding = PathEncoding::ALL[usize::from(bit(7))];
    rules.unknown_parameters = UnknownParameters::ALL[usize::from(bit(8))];
    rules.forward_parameters = Patterns::of(if bit(9) { &["x-oss-process", "v*"] } else { &[] });
    rules.forward_headers = Patterns::of(if bit(10) { &["x-oss-meta-*"] } else { &[] });
    let operations: &[&str] = if bit(11) { &["list", "bucket", "tagging"] } else { &[] };
    rules.operations = operations.iter().map(|name| (*name).to_owned()).collect();
    if bit(13) {
        rules.add_headers = vec![("x-oss-request-payer".into(), b"requester".into())];
    }
    if bit(12) {
        rules.methods = Methods(Method::ALL.into());
    }
    route
}
