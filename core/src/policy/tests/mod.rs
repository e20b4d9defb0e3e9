#![allow(clippy::panic, reason = "test support")]

mod rules;

use super::*;
use crate::config::Methods;
use crate::config::Patterns;
use crate::config::choices::{Addressing, UnknownParameters};
use crate::credentials::{Credentials, Secret};
use crate::fetch::account::AccountId;
use crate::signing::{Product, Scheme};

fn route() -> Route {
    let region = "cn-hangzhou".into();
    Route::new(
        "bucket",
        HOST,
        Scheme::V4 {
            region,
            product: Product::Oss,
        },
        AccountId(0),
    )
}

const HOST: &str = "bucket.oss-cn-hangzhou.aliyuncs.com";

fn on_cluster() -> Place {
    Place::Cluster {
        earlier: Vec::new(),
    }
}

fn incoming<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Incoming<'a> {
    Incoming {
        headers,
        now: 0,
        guards: false,
    }
}

#[test]
fn every_byte_of_what_is_compared_counts() {
    for length in 0..40 {
        let bytes = vec![7; length];
        assert!(are_same(&bytes, &bytes.clone()));
        assert!(!are_same(&bytes, &vec![7; length + 1]));
        for at in 0..length {
            let mut other = bytes.clone();
            other[at] = 8;
            assert!(!are_same(&bytes, &other), "{length} {at}");
        }
    }
}

#[test]
fn a_retry_is_mapped_as_the_first_attempt_was() {
    let mut route = route();
    route.rules.strip_prefix = "media/".into();
    route.rules.key_prefix = "site/".into();
    let attempt = |path: &str, earlier: &[u8]| {
        let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", path.as_bytes())];
        let earlier = earlier.to_vec();
        let place = &|| Place::Cluster {
            earlier: earlier.clone(),
        };
        match admit(&route, incoming(headers), place)? {
            Admission::Signed(outgoing) => Ok::<_, Reason>(outgoing),
            other => panic!("{other:?}"),
        }
    };
    let first = attempt("/media/a%2Fb", b"").unwrap();
    assert_eq!(first.path.as_deref(), Some(&b"/site/a/b"[..]));
    let mapped = first.note.clone().unwrap();
    let second = attempt("/site/a/b", &mapped).unwrap();
    assert_eq!(second.target, first.target);
    assert_eq!(second.path, None, "it is there already");
    // Another path than the one that was left is one of its own.
    assert_eq!(
        attempt("/site/a", &mapped).unwrap_err(),
        Reason::OutsidePrefix
    );
    let other = attempt("/media/c", &mapped).unwrap();
    assert_eq!(other.path.as_deref(), Some(&b"/site/c"[..]));
}

fn admit_headers(headers: &[(&str, &str)]) -> Result<Outgoing, Reason> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .collect();
    match admit(&route(), incoming(&headers), &on_cluster)? {
        Admission::Signed(outgoing) => Ok(outgoing),
        other => panic!("{other:?}"),
    }
}

fn get(path: &str) -> Result<Outgoing, Reason> {
    admit_headers(&[(":method", "GET"), (":path", path)])
}

#[test]
fn a_read_of_an_object_leaves_in_canonical_form() {
    for (path, want) in [
        ("/a", None),
        ("/a%20b", None),
        ("/a b", Some("/a%20b")),
        ("/a?utm_source=x&prefix=y", Some("/a")),
        ("/a?", Some("/a")),
    ] {
        let outgoing = get(path).unwrap();
        assert_eq!(outgoing.path.as_deref(), want.map(str::as_bytes), "{path}");
    }
}

#[test]
fn what_is_more_than_a_read_is_refused() {
    for (method, path, status, reason) in [
        ("PUT", "/a", 405, "method_not_allowed"),
        ("POST", "/a", 405, "method_not_allowed"),
        ("DELETE", "/a", 405, "method_not_allowed"),
        ("OPTIONS", "*", 405, "method_not_allowed"),
        ("get", "/a", 405, "method_not_allowed"),
        ("", "", 405, "method_not_allowed"),
        ("GET", "", 400, "malformed_path"),
        ("GET", "a", 400, "malformed_path"),
        ("GET", "/", 403, "bucket_operation"),
        ("HEAD", "/?list-type=2", 403, "bucket_operation"),
        ("GET", "/?prefix=a", 403, "bucket_operation"),
        ("GET", "/?acl", 403, "parameter_not_allowed"),
        ("GET", "/a?acl", 403, "parameter_not_allowed"),
        ("GET", "/a?%61cl=", 403, "parameter_not_allowed"),
        ("GET", "/a?uploadId=1", 403, "parameter_not_allowed"),
        (
            "GET",
            "/a?response-content-type=text/html",
            403,
            "parameter_not_allowed",
        ),
        (
            "GET",
            "/a?x-oss-process=image/info",
            403,
            "parameter_not_allowed",
        ),
        ("GET", "/a?x-oss-new=1", 403, "parameter_not_allowed"),
        (
            "GET",
            "/a?OSSAccessKeyId=i&Expires=1&Signature=s",
            403,
            "presigned_url",
        ),
        (
            "GET",
            "/a?x-oss-signature-version=OSS4-HMAC-SHA256",
            403,
            "presigned_url",
        ),
        ("GET", "/a?x=1&x-oss-signature=1", 403, "presigned_url"),
        ("GET", "/a?X-Oss-Signature=1", 403, "presigned_url"),
    ] {
        let refused = admit_headers(&[(":method", method), (":path", path)])
            .expect_err(&format!("{method} {path}"));
        assert_eq!(
            (refused.status(), refused.word()),
            (status, reason),
            "{method} {path}"
        );
    }
}

#[test]
fn a_clients_credentials_and_oss_headers_stay_behind() {
    let outgoing = admit_headers(&[
        (":method", "GET"),
        (":path", "/a"),
        ("authorization", "Bearer x"),
        ("authorization", "Bearer y"),
        ("x-oss-object-acl", "public-read"),
        ("x-oss-security-token", "t"),
        ("range", "bytes=0-1"),
        ("content-type", "text/plain"),
    ])
    .unwrap();
    assert_eq!(
        outgoing.headers.remove,
        [
            &b"authorization"[..],
            b"x-oss-object-acl",
            b"x-oss-security-token",
            b"content-type"
        ]
    );
}

#[test]
fn no_bytes_panic() {
    for byte in 0..=255_u8 {
        let path = [
            b'/', byte, b'%', byte, b'?', byte, b'=', byte, b'&', b'%', byte,
        ];
        let headers: &[(&[u8], &[u8])] = &[
            (b":method", b"GET"),
            (b":path", &path),
            (&[byte], &[byte]),
            (b"content-type", &[byte]),
        ];
        let _ = admit(&route(), incoming(headers), &on_cluster);
    }
}

/// Admits a request among the listener's filters.
fn at_listener(route: &Route, headers: &[(&str, &str)]) -> Result<Admission, Reason> {
    admit(route, incoming(&bytes(headers)), &|| Place::Listener)
}

fn bytes<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
    let bytes = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    bytes.collect()
}

fn on_a_cluster(route: &Route, headers: &[(&str, &str)]) -> Result<Admission, Reason> {
    admit(route, incoming(&bytes(headers)), &on_cluster)
}

/// The edits of an admitted request.
fn edits(route: &Route, admission: Admission) -> Edits {
    match admission {
        Admission::Presigned { edits, .. } => edits,
        Admission::Signed(outgoing) => {
            let credentials = Credentials {
                access_key_id: "id".into(),
                access_key_secret: Secret::new("secret"),
                security_token: None,
                expires_at: None,
            };
            outgoing.sign(route, &mut Signer::new(credentials, 1), 1_764_946_083)
        }
    }
}

fn authorization(route: &Route, admission: Admission) -> String {
    let edits = edits(route, admission);
    let added = edits.add.unwrap();
    let (_, value) = added.iter().next().unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

#[test]
fn among_the_listeners_filters_neither_path_nor_host_is_changed() {
    let mut mapping = route();
    mapping.rules.strip_prefix = "media/".into();
    mapping.rules.key_prefix = "site/".into();
    mapping.rules.index_document = Some("index.html".into());
    let mut path_style = route();
    path_style.rules.addressing = Addressing::PathStyle;
    for (route, path, key) in [
        (&route(), "/a(1)%20b,c", "a(1) b,c"),
        (&route(), "/a?", "a"),
        (&mapping, "/media/a", "site/a"),
        (&mapping, "/media/d/", "site/d/index.html"),
        (&path_style, "/a", "a"),
    ] {
        for host in ["media.example.com", HOST] {
            let request = [(":method", "GET"), (":path", path), (":authority", host)];
            let here = at_listener(route, &request).unwrap();
            assert_eq!(edits(route, here.clone()).set, [], "{path}");
            // What is signed is what OSS reads, wherever the filter stands.
            let canonical = Target::of_key(key.into()).wire().into_owned();
            let plain = Route::new("bucket", HOST, route.scheme.clone(), AccountId(0));
            let canonical = std::str::from_utf8(&canonical).unwrap();
            let same = [
                (":method", "GET"),
                (":path", canonical),
                (":authority", HOST),
            ];
            let there = on_a_cluster(&plain, &same).unwrap();
            let (here, there) = (authorization(route, here), authorization(&plain, there));
            match host == HOST {
                true => assert_eq!(here, there, "{path}"),
                false => assert!(here.contains("AdditionalHeaders=host,"), "{here}"),
            }
        }
    }
}

#[test]
fn among_the_listeners_filters_what_would_have_to_be_changed_is_refused() {
    let mut strips = route();
    strips.rules.presigned_urls = PresignedUrls::Strip;
    let mut names = route();
    names.rules.forward_parameters = Patterns::of(&["v"]);
    for (route, path, want) in [
        (&route(), "/%61pp/admin", Err(Reason::AmbiguousPath)),
        (&route(), "/app%2Fadmin", Err(Reason::AmbiguousPath)),
        (&route(), "/a?v=1", Err(Reason::ParameterNotAllowed)),
        (&names, "/a?v=1", Ok(())),
        (&names, "/a?v=a+b%2B", Ok(())),
        (&names, "/a?v=%", Err(Reason::AmbiguousPath)),
        (&strips, "/a?Signature=1", Err(Reason::PresignedUrl)),
        (&strips, "/a", Ok(())),
    ] {
        let request = [(":method", "GET"), (":path", path), (":authority", HOST)];
        let got = at_listener(route, &request).map(|_| ());
        assert_eq!(got, want, "{path}");
    }
}

#[test]
fn on_the_cluster_the_host_is_that_of_the_settings() {
    for (host, set) in [("evil.example.com", true), (HOST, false)] {
        let request = [(":method", "GET"), (":path", "/a"), (":authority", host)];
        let route = route();
        let edits = edits(&route, on_a_cluster(&route, &request).unwrap());
        let want = set.then(|| (":authority".into(), HOST.as_bytes().into()));
        assert_eq!(edits.set, Vec::from_iter(want));
    }
}

#[test]
fn the_place_is_asked_for_only_where_it_makes_a_difference() {
    for (path, host, asked) in [
        ("/a", HOST, false),
        ("/a%20b", HOST, false),
        ("/a(b", HOST, true),
        ("/a?x=1", HOST, true),
        ("/a", "other", true),
    ] {
        let count = std::cell::Cell::new(0);
        let headers = bytes(&[(":method", "GET"), (":path", path), (":authority", host)]);
        let place = &|| {
            count.set(count.get() + 1);
            on_cluster()
        };
        let headers = &headers;
        admit(&route(), incoming(headers), place).unwrap();
        assert_eq!(count.get(), u32::from(asked), "{path} {host}");
    }
}
