//! Tests of what a route's settings allow.

use super::*;
use crate::config::choices::Ranges;

const SIGNED_URL: &str = "OSSAccessKeyId=i&Expires=1&Signature=s";

#[test]
fn a_signed_url_is_held_to_the_rules_of_its_route() {
    let mut passes = route();
    passes.rules.presigned_urls = PresignedUrls::Pass;
    passes.rules.key_prefix = "site/".into();
    let mut requires = passes.clone();
    requires.rules.presigned_urls = PresignedUrls::Require;
    for (path, want) in [
        ("/site/a?SIGNED", Ok(())),
        ("/site/a?SIGNED&response-expires=1", Ok(())),
        ("/site/a?SIGNED&v=1", Err(Reason::ParameterNotAllowed)),
        ("/site/a?SIGNED&acl", Err(Reason::ParameterNotAllowed)),
        ("/site/a?SIGNED&legalHold", Err(Reason::ParameterNotAllowed)),
        ("/other/a?SIGNED", Err(Reason::OutsidePrefix)),
        ("/?SIGNED", Err(Reason::OutsidePrefix)),
        ("/site/a?security-token=x", Err(Reason::PresignedUrl)),
        ("/site/a?Signature=s", Err(Reason::PresignedUrl)),
        ("/site/a?X-Amz-Signature=s", Err(Reason::PresignedUrl)),
        ("/site/a?SIGNED&x-amz-date=1", Err(Reason::PresignedUrl)),
    ] {
        let path = &path.replace("SIGNED", SIGNED_URL);
        let request = [
            (":method", "GET"),
            (":path", path),
            (":authority", "other"),
            ("x-oss-object-acl", "public-read"),
            ("authorization", "Bearer x"),
            ("content-type", "text/plain"),
            ("cookie", "a"),
        ];
        for route in [&passes, &requires] {
            let got = on_a_cluster(route, &request);
            assert_eq!(got.clone().map(|_| ()), want, "{path}");
            if let Ok(admission) = got {
                let edits = edits(route, admission);
                assert_eq!(edits.add, None);
                assert_eq!(edits.set, [(":authority".into(), HOST.as_bytes().into())]);
                let removed = [&b"x-oss-object-acl"[..], b"authorization", b"cookie"];
                assert_eq!(edits.remove, removed);
            }
        }
    }
    let plain = [(":method", "GET"), (":path", "/site/a")];
    assert_eq!(
        on_a_cluster(&requires, &plain),
        Err(Reason::PresignedUrlRequired)
    );
    assert!(matches!(
        on_a_cluster(&passes, &plain),
        Ok(Admission::Signed(_))
    ));
}

#[test]
fn a_signed_url_asks_for_no_index_document_and_no_list() {
    let mut route = route();
    route.rules.presigned_urls = PresignedUrls::Pass;
    route.rules.index_document = Some("index.html".into());
    let path = &format!("/?{SIGNED_URL}");
    let request = [(":method", "GET"), (":path", path), (":authority", HOST)];
    assert_eq!(on_a_cluster(&route, &request), Err(Reason::BucketOperation));
}

#[test]
fn a_signed_url_among_the_listeners_filters_keeps_its_host() {
    let mut route = route();
    route.rules.presigned_urls = PresignedUrls::Pass;
    let path = &format!("/a?{SIGNED_URL}");
    let request = [(":method", "GET"), (":path", path), (":authority", "other")];
    let admission = at_listener(&route, &request).unwrap();
    assert_eq!(edits(&route, admission).set, []);
}

#[test]
fn where_lists_are_allowed_too_the_root_is_the_index_document() {
    let mut route = route();
    route.rules.operations = vec!["list".to_owned()];
    route.rules.index_document = Some("index.html".into());
    for (path, want) in [
        ("/", "/index.html"),
        ("/?v=1", "/index.html"),
        ("/?prefix=a", "/?prefix=a"),
    ] {
        let request = [(":method", "GET"), (":path", path), (":authority", HOST)];
        let target = match on_a_cluster(&route, &request) {
            Ok(Admission::Signed(outgoing)) => outgoing.target,
            other => panic!("{other:?}"),
        };
        assert_eq!(*target.wire(), *want.as_bytes(), "{path}");
    }
}

#[test]
fn a_signed_url_in_path_style_names_the_bucket() {
    let mut route = route();
    route.rules.presigned_urls = PresignedUrls::Pass;
    route.rules.addressing = Addressing::PathStyle;
    for (path, want) in [
        ("/bucket/a", Ok(())),
        ("/bucket/", Err(Reason::BucketOperation)),
        ("/bucket", Err(Reason::OutsidePrefix)),
        ("/other/a", Err(Reason::OutsidePrefix)),
    ] {
        let path = &format!("{path}?{SIGNED_URL}");
        let request = [(":method", "GET"), (":path", path), (":authority", HOST)];
        let got = on_a_cluster(&route, &request).map(|_| ());
        assert_eq!(got, want, "{path}");
    }
}

#[test]
fn what_is_not_known_leaves_nowhere_but_is_harmless_to_a_read() {
    let mut route = route();
    route.rules.methods = Methods(Method::ALL.into());
    route.rules.operations = ["list", "tagging", "uploadId"].map(String::from).into();
    let mut forwards = route.clone();
    forwards.rules.unknown_parameters = UnknownParameters::Forward;
    let refused = Err(Reason::ParameterNotAllowed);
    for (method, path, strips, forwards_it) in [
        ("GET", "/a?new", Ok("/a"), Ok("/a?new")),
        ("OPTIONS", "/a?new", Ok("/a"), Ok("/a?new")),
        ("GET", "/a?legalHold", refused, refused),
        ("PUT", "/a?legalHold", refused, refused),
        ("PUT", "/a?new", refused, refused),
        ("POST", "/a?new", refused, refused),
        ("DELETE", "/a?new", refused, refused),
        ("GET", "/a?tagging&new", refused, refused),
        ("GET", "/a?tagging", Ok("/a?tagging"), Ok("/a?tagging")),
        ("GET", "/?policyStatus", refused, refused),
        ("GET", "/?new", refused, refused),
        ("GET", "/?prefix=b", Ok("/?prefix=b"), Ok("/?prefix=b")),
        ("GET", "/?key-marker=b", refused, refused),
        (
            "GET",
            "/a?uploadId=1&max-parts=2",
            Ok("/a?max-parts=2&uploadId=1"),
            Ok("/a?max-parts=2&uploadId=1"),
        ),
        ("GET", "/a?prefix=b", Ok("/a"), Ok("/a?prefix=b")),
    ] {
        for (route, want) in [(&route, strips), (&forwards, forwards_it)] {
            let request = [(":method", method), (":path", path), (":authority", HOST)];
            let got = on_a_cluster(route, &request).map(|admission| match admission {
                Admission::Signed(outgoing) => {
                    String::from_utf8(outgoing.target.wire().into_owned()).unwrap()
                }
                other => panic!("{other:?}"),
            });
            let got = got.as_deref().map_err(|reason| *reason);
            assert_eq!(got, want, "{method} {path}");
        }
    }
}

#[test]
fn a_browser_may_ask_first_for_what_it_may_read() {
    let mut route = route();
    route.rules.methods = Methods(Method::ALL.into());
    route.rules.index_document = Some("index.html".into());
    route.rules.operations = vec!["bucket".to_owned()];
    for (method, path, want) in [
        ("OPTIONS", "/", Ok(Some("/index.html"))),
        ("OPTIONS", "/?prefix=1", Ok(Some("/index.html"))),
        ("OPTIONS", "/d/", Ok(Some("/d/index.html"))),
        ("OPTIONS", "/a", Ok(None)),
        ("PUT", "/d/", Ok(None)),
        ("PUT", "/", Ok(None)),
    ] {
        let request = [(":method", method), (":path", path), (":authority", HOST)];
        let got = on_a_cluster(&route, &request).map(|admission| match admission {
            Admission::Signed(outgoing) => outgoing.path,
            other => panic!("{other:?}"),
        });
        let want = want.map(|path| path.map(|path: &str| path.as_bytes().to_vec()));
        assert_eq!(got, want, "{method} {path}");
    }
}

#[test]
fn the_spaces_around_a_value_are_not_signed() {
    let mut route = route();
    route.rules.forward_headers = Patterns::of(&["x-oss-meta-*"]);
    let signed = |value: &str| {
        let request = [(":method", "GET"), (":path", "/a"), ("x-oss-meta-a", value)];
        authorization(&route, on_a_cluster(&route, &request).unwrap())
    };
    assert_eq!(signed("  a b\t"), signed("a b"));
    assert_ne!(signed("a  b"), signed("a b"));
}

#[test]
fn the_headers_of_a_route_stand_in_place_of_a_clients() {
    let mut route = route();
    route.rules.forward_headers = Patterns::of(&["x-oss-*"]);
    route.rules.add_headers = vec![("x-oss-request-payer".into(), b"requester".into())];
    let asked = |more: &[(&'static str, &'static str)]| {
        let mut request = vec![(":method", "GET"), (":path", "/a"), (":authority", HOST)];
        request.extend(more);
        let signed = || on_a_cluster(&route, &request).unwrap();
        (edits(&route, signed()), authorization(&route, signed()))
    };
    let (plain, signature) = asked(&[]);
    let payer = ("x-oss-request-payer".into(), b"requester".into());
    assert_eq!(plain.set, std::slice::from_ref(&payer));
    // A client's is replaced; that of an earlier attempt is ours.
    for value in ["somebody-else", "requester"] {
        let (edits, again) = asked(&[("x-oss-request-payer", value)]);
        assert_eq!((&edits.set, &edits.remove), (&plain.set, &plain.remove));
        assert_eq!(again, signature);
    }
    let (ranged, of_range) = asked(&[("range", "bytes=0-1")]);
    let standard = ("x-oss-range-behavior".into(), b"standard".into());
    assert_eq!(ranged.set, [payer, standard]);
    assert_ne!(of_range, signature, "it is signed");
    let (_, without) = asked(&[("range", "bytes=0-1"), ("x-oss-range-behavior", "other")]);
    assert_eq!(without, of_range);
}

#[test]
fn ranges_are_those_of_http_unless_the_settings_say_else() {
    let mut route = route();
    let sets = |route: &Route, method, header| {
        let request = [
            (":method", method),
            (":path", "/a"),
            (":authority", HOST),
            header,
        ];
        !edits(route, on_a_cluster(route, &request).unwrap())
            .set
            .is_empty()
    };
    let range = ("range", "bytes=0-1");
    assert!(sets(&route, "GET", range));
    assert!(
        !sets(&route, "GET", ("accept", "a")),
        "only a range takes it"
    );
    assert!(
        !sets(&route, "GET", ("range", "bytes=0-1,5-6")),
        "OSS refuses these"
    );
    assert!(!sets(&route, "HEAD", range), "HeadObject has no ranges");
    route.rules.ranges = Ranges::Oss;
    assert!(!sets(&route, "GET", range));
}

#[test]
fn two_ranges_are_refused() {
    let mut route = route();
    let two = [("range", "bytes=0-1"), ("range", "bytes=5-6")];
    for path in ["/a", "/a?OSSAccessKeyId=i&Expires=1&Signature=s"] {
        let mut request = vec![(":method", "GET"), (":path", path), (":authority", HOST)];
        request.extend(two);
        let refused = on_a_cluster(&route, &request).unwrap_err();
        let want = match path.contains('?') {
            true => Reason::PresignedUrl,
            false => Reason::DuplicateHeader,
        };
        assert_eq!(refused, want);
        route.rules.presigned_urls = PresignedUrls::Pass;
        let refused = on_a_cluster(&route, &request).unwrap_err();
        assert_eq!(refused, Reason::DuplicateHeader);
        route.rules.presigned_urls = PresignedUrls::Refuse;
    }
}

#[test]
fn headers_leave_by_name() {
    let mut route = route();
    route.rules.methods = Methods(Method::ALL.into());
    route.rules.forward_headers = Patterns::of(&["x-oss-meta-*", "x-canary"]);
    let names = [
        "range",
        "if-match",
        "accept-language",
        "user-agent",
        "origin",
        "cookie",
        "referer",
        "x-forwarded-for",
        "x-request-id",
        "x-envoy-attempt-count",
        "x-amz-acl",
        "x-canary",
        "x-oss-meta-a",
        "x-oss-object-acl",
        "cache-control",
        "content-type",
        "expect",
        "accept-other",
        "te",
        "upgrade",
        "x-oss-date",
        "date",
    ];
    for (method, write) in [("GET", false), ("PUT", true), ("OPTIONS", false)] {
        let mut request = vec![(":method", method), (":path", "/a"), (":authority", HOST)];
        request.extend(names.map(|name| (name, "v")));
        let edits = edits(&route, on_a_cluster(&route, &request).unwrap());
        let kept: Vec<&str> = names
            .into_iter()
            .filter(|name| !edits.remove.contains(&name.as_bytes().to_vec()))
            .collect();
        let mut want = vec![
            "range",
            "if-match",
            "accept-language",
            "user-agent",
            "origin",
        ];
        want.extend(["x-canary", "x-oss-meta-a"]);
        if write {
            want.extend(["cache-control", "content-type", "expect"]);
        }
        assert_eq!(kept, want, "{method}");
    }
}
