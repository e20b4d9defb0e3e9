//! What holds of all input, not of examples. The fuzz targets in `fuzz/` check
//! the same for longer.

use oss_origin_auth_core::config::{Config, Facts, Route, Treatment};
use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::fetch::account::AccountId;
use oss_origin_auth_core::fetch::answer::{self, Answer};
use oss_origin_auth_core::fetch::entry::Entry;
use oss_origin_auth_core::oss::details::Details;
use oss_origin_auth_core::oss::error::{ErrorResponse, diagnose, verdict};
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::policy::{Admission, Incoming, Place, admit};
use oss_origin_auth_core::signing::{Product, Scheme, Signer};
use oss_origin_auth_core::words::Word;
use proptest::collection::vec;
use proptest::prelude::*;

const NOW: u64 = 1_764_946_083;
const ANSWER: &str = r#"{"Code":"Success","AccessKeyId":"STS.x","AccessKeySecret":"sesame",
    "SecurityToken":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
const CONFIGURATION: &str = r#"{"credentials":{"default":{"sidecar":{"cluster":"c"}}},
    "defaults":{"bucket":"bbb","region":"r","endpoint":"oss"},"routes":{"x":{"signature_version":"v1"}}}"#;
const ERROR: &str = "<Error><Code>AccessDenied</Code><Message>forbidden by kms</Message>\
    <AccessDeniedDetail><PolicyType>SessionPolicy</PolicyType></AccessDeniedDetail>\
    <EC>0003-00001403</EC><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>";

/// A text with a few bytes replaced, and cut somewhere.
fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((0..text.len(), any::<u8>()), 0..4);
    (edits, 0..=text.len()).prop_map(move |(edits, end)| {
        let mut bytes = text.as_bytes().to_vec();
        for (place, byte) in edits {
            bytes[place] = byte;
        }
        bytes.truncate(end.max(text.len() / 2));
        bytes
    })
}

fn on_cluster() -> Place {
    let earlier = Vec::new();
    Place::Cluster { earlier }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_sidecars_body_is_good_credentials_or_an_error(body in damaged(ANSWER), status in 0..600_u16) {
        let answer = Answer::Given { status, size: body.len(), body: &body };
        match answer::read(answer, NOW * 1000, 0) {
            Ok(credentials) => {
                prop_assert_eq!(status, 200);
                prop_assert!(credentials.expires_at.is_none_or(|time| time > NOW));
                prop_assert!(!credentials.access_key_id.is_empty());
                prop_assert!(credentials.access_key_id.bytes().all(|b| b.is_ascii_graphic()));
            }
            Err(error) => prop_assert!(!error.to_string().contains("sesame")),
        }
        Entry::decode(&body);
    }

    #[test]
    fn a_configuration_is_complete_or_refused(text in damaged(CONFIGURATION)) {
        if let Ok(config) = Config::parse(&text, |_| None) {
            for name in [&b"x"[..], b"y", b"\xff"] {
                if let Some(Treatment::Sign(route)) = config.treatment(&Facts::of_route(name)) {
                    prop_assert!(route.account.0 < config.credentials.len());
                    prop_assert!(!route.bucket.is_empty());
                }
            }
        }
    }

    #[test]
    fn what_leaves_is_canonical_and_names_the_same_key(raw in vec(any::<u8>(), 0..60)) {
        let raw = [b"/", raw.as_slice()].concat();
        let target = Target::parse(&raw).unwrap();
        let wire = target.wire();
        prop_assert!(wire.iter().all(|b| (b'!'..=b'~').contains(b)));
        let again = Target::parse(&wire).unwrap();
        prop_assert_eq!(again.key(), target.key());
        prop_assert_eq!(again.wire(), wire);
    }

    #[test]
    fn every_key_can_be_asked_for(key in vec(any::<u8>(), 0..60)) {
        let wire = Target::of_key(key.clone()).wire().into_owned();
        let target = Target::parse(&wire).unwrap();
        prop_assert_eq!(target.key(), key.as_slice());
    }

    #[test]
    fn a_request_that_leaves_asks_for_an_object_and_no_more(
        path in vec(any::<u8>(), 0..60),
        name in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..20),
        method in "GET|HEAD|PUT|DELETE|[A-Z]{0,8}",
        v1 in any::<bool>(),
    ) {
        let scheme = if v1 { Scheme::V1 } else { Scheme::V4 { region: "r".into(), product: Product::Oss } };
        let route = Route::new("bucket", "host", scheme, AccountId(0));
        let headers: &[(&[u8], &[u8])] =
            &[(b":method", method.as_bytes()), (b":path", &path), (&name, &value)];
        if let Ok(Admission::Signed(outgoing)) = admit(&route, Incoming { headers, now: 0, guards: false }, &on_cluster) {
            prop_assert!(method == "GET" || method == "HEAD");
            let credentials = Credentials {
                access_key_id: "id".into(),
                access_key_secret: Secret::new("secret"),
                security_token: Some(Secret::new("token")),
                expires_at: None,
            };
            let edits = outgoing.sign(&route, &mut Signer::new(credentials, 1), NOW);
            let rewritten = edits.set.iter().find(|(name, _)| *name == ":path");
            let wire = rewritten.map_or(&path[..], |(_, path)| path);
            prop_assert!(wire.len() > 1 && !wire.contains(&b'?'));
            let added = edits.add.unwrap();
            prop_assert_eq!(added.iter().next().unwrap().0, "authorization");
        }
    }

    #[test]
    fn every_error_of_oss_has_a_cause(status in any::<u16>(), ec in vec(any::<u8>(), 0..14), body in damaged(ERROR)) {
        let error = ErrorResponse { status, ec: &ec, xml: &body };
        let _ = verdict(&error);
        let cause = diagnose(&error);
        prop_assert!(!cause.word().is_empty() && !cause.fix().is_empty());
        let details = Details::of(&error, cause);
        prop_assert!(details.sentences().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
