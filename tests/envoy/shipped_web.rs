//! envoy/cors.yaml, envoy/spa.yaml, envoy/site.yaml and envoy/domain.yaml.

use serde_json::json;
use testkit::http::Version;
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, Request, Response, StubSidecar};

use crate::common::{SECRET, TOKEN, good_answer};
use crate::shipped::start;

#[test]
fn pages_of_known_origins_may_read_answers_and_errors() {
    let (alibaba, _stub, envoy) = start("cors.yaml", &["a"]);
    let allowed = |response: &Response| {
        let header = response.header("access-control-allow-origin");
        header.map(str::to_owned)
    };
    for (origin, known) in [
        ("https://www.example.com", true),
        ("https://app-2.example.com", true),
        ("https://example.com.evil.example", false),
        ("https://evil.example/https://www.example.com", false),
        ("http://www.example.com", false),
        ("null", false),
    ] {
        let want = known.then(|| origin.to_owned());
        for (method, path, status) in [
            ("GET", "/a", 200),
            ("HEAD", "/a", 200),
            ("GET", "/absent", 404),
            ("GET", "/a?acl", 403),
            ("DELETE", "/a", 405),
        ] {
            let request = Request::new(method, path).header("origin", origin);
            let response = request.send(envoy.port);
            assert_eq!(response.status, status, "{origin} {method} {path}");
            assert_eq!(allowed(&response), want, "{origin} {method} {path}");
            assert_eq!(response.header("vary"), Some("Origin"), "{origin} {path}");
        }
        // The preflight of a page that asks for a part.
        let before = alibaba.seen().len();
        let preflight = Request::new("OPTIONS", "/a")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "range")
            .send(envoy.port);
        assert_eq!(allowed(&preflight), want, "{origin}");
        if known {
            assert_eq!(preflight.status, 200);
            let headers = preflight.header("access-control-allow-headers").unwrap();
            assert!(headers.split(", ").any(|name| name == "range"), "{headers}");
            let methods = preflight.header("access-control-allow-methods");
            assert_eq!(methods, Some("GET, HEAD"));
        }
        assert_eq!(alibaba.seen().len(), before, "no preflight reaches OSS");
    }
    // Credentials that are denied: OSS's error is as readable.
    alibaba.set_key_state("STS.example", "denied");
    let origin = "https://www.example.com";
    let denied = Request::get("/a").header("origin", origin).send(envoy.port);
    assert_eq!(
        (denied.status, allowed(&denied)),
        (403, Some(origin.into()))
    );
    let seen = alibaba.seen();
    assert!(seen.iter().all(|seen| seen.header("origin").is_empty()));
}

#[test]
fn a_page_that_is_no_object_is_the_index_and_a_file_that_is_none_a_404() {
    let (alibaba, _stub, envoy) = start("spa.yaml", &["index.html", "app.js", "about"]);
    for (path, status, text) in [
        ("/", 200, "content of index.html"),
        ("/index.html", 200, "content of index.html"),
        ("/users", 200, "content of index.html"),
        ("/users/7", 200, "content of index.html"),
        ("/users/", 200, "content of index.html"),
        ("/v1.2/users", 200, "content of index.html"),
        ("/users?file=a.js", 200, "content of index.html"),
        ("/about", 200, "content of about"),
        ("/app.js", 200, "content of app.js"),
        ("/old.js", 404, "{\"error\":\"not_found\"}\n"),
        ("/users/old.js", 404, "{\"error\":\"not_found\"}\n"),
    ] {
        let response = Request::get(path).send(envoy.port);
        let got = (response.status, response.text());
        assert_eq!(got, (status, text.into()), "{path}");
        let head = Request::new("HEAD", path).send(envoy.port);
        assert_eq!(head.status, status, "HEAD {path}");
    }
    // Neither a refusal nor OSS's other errors are the page.
    assert_eq!(Request::get("/users?acl").send(envoy.port).status, 403);
    alibaba.set_key_state("STS.example", "denied");
    assert_eq!(Request::get("/users").send(envoy.port).status, 403);
}

#[test]
fn the_bucket_is_reached_by_its_own_domain() {
    let alibaba = FakeAlibaba::start();
    alibaba.put_object("a.html", "<p>", json!({"content_type": "text/html"}));
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let more = [("OSS_HOST", "media.example.org")];
    let envoy = Shipped::start_with("domain.yaml", alibaba.oss_port, stub.port, &more, |text| {
        text
    });
    let response = Request::get("/a.html").send(envoy.port);
    assert_eq!((response.status, response.text()), (200, "<p>".into()));
    let seen = alibaba.seen();
    assert_eq!(seen[0].header("host"), ["media.example.org"]);
    assert_eq!(response.header("content-disposition"), None);
}

/// What a browser makes of a page that it has, and what becomes of one that is refused.
#[test]
fn a_page_that_is_no_object_has_the_status_of_the_index() {
    let (alibaba, _stub, envoy) = start("spa.yaml", &["index.html"]);
    let page = Request::get("/users").send(envoy.port);
    let etag = page.header("etag").unwrap().to_owned();
    let ask = |name: &str, value: &str| {
        let response = Request::get("/users").header(name, value).send(envoy.port);
        (response.status, response.text())
    };
    assert_eq!(ask("if-none-match", &etag), (304, String::new()));
    assert_eq!(ask("range", "bytes=0-6"), (206, "content".into()));
    assert_eq!(ask("range", "bytes=9999-").0, 416);
    assert_eq!(ask("if-match", "\"x\"").0, 412);
    // A page that OSS does not give is no page.
    for (more, status) in [
        (json!({"storage_class": "Archive"}), 403),
        (json!({"mirror_failed": true}), 424),
    ] {
        alibaba.put_object("index.html", "<p>", more);
        assert_eq!(Request::get("/users").send(envoy.port).status, status);
    }
    let (_alibaba, _stub, envoy) = start("spa.yaml", &["a"]);
    for path in ["/users", "/", "/index.html"] {
        let response = Request::get(path).send(envoy.port);
        let got = (response.status, response.header("x-page"));
        assert_eq!(got, (404, None), "{path}");
    }
}

/// What the client asks of the object says nothing of the document that stands in its place.
#[test]
fn the_error_document_comes_whole() {
    let (_alibaba, _stub, envoy) = start("site.yaml", &["404.html"]);
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-match", "\"x\""),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("range", "bytes=0-3"),
        ("range", "bytes=5000-"),
    ] {
        let response = Request::get("/absent").header(name, value).send(envoy.port);
        let got = (response.status, response.text());
        assert_eq!(got, (404, "content of 404.html".into()), "{name}: {value}");
    }
}

#[test]
fn a_client_of_http_1_0_is_served() {
    let (_alibaba, _stub, envoy) = start("minimal.yaml", &["a"]);
    let response = Request::get("/a").version(Version::Http10).send(envoy.port);
    let got = (response.status, response.text());
    assert_eq!(got, (200, "content of a".into()));
}

#[test]
fn another_host_for_one_bucket_is_none_for_the_other() {
    let alibaba = FakeAlibaba::start();
    alibaba.put_into("their-bucket", "a", "theirs");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let more = [("OSS_HOST", "media.example.org")];
    let (oss, sidecar) = (alibaba.oss_port, stub.port);
    // OSS_ADDRESS holds for both.
    let envoy = Shipped::start_with("accounts.yaml", oss, sidecar, &more, |text| text);
    let response = Request::get("/partner/a").send(envoy.port);
    assert_eq!((response.status, response.text()), (200, "theirs".into()));
}
