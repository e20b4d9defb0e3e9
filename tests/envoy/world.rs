//! OSS as it really is, seen through the filter: what it makes of texts, keys, conditions
//! and objects that cannot be read.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::alibaba::BUCKET;
use testkit::process::wait_until;
use testkit::{Position, Request, Response, tools};

use crate::common::Stack;

pub const POSITIONS: [Position; 2] = [Position::Upstream, Position::Downstream];

/// A stack whose routes have these settings, too.
pub fn stack(settings: Value) -> Stack {
    Stack::start_with(|builder| {
        for (name, value) in settings.as_object().expect("settings") {
            builder.filter["defaults"][name] = value.clone();
        }
    })
}

/// A text that no two places of are alike.
fn text() -> String {
    (0..20_000).map(|n| format!("line {n}\n")).collect()
}

#[test]
fn a_text_that_oss_compresses_is_the_object_again() {
    let stack = stack(json!({}));
    let text = text();
    stack
        .alibaba
        .put_object("t", &text, json!({"content_type": "text/plain"}));
    let get = |method| Request::new(method, "/t").header("accept-encoding", "gzip");
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        let zipped = get("GET").send(port);
        assert_compressed(&zipped);
        assert_eq!(gunzip(&zipped.body), text.as_bytes());
        assert!(zipped.body.len() < text.len() / 2, "{}", zipped.body.len());
        assert_compressed(&get("HEAD").send(port));

        // A part is cut out of the object, not of what it is compressed to.
        let part = get("GET").header("range", "bytes=1000-1999").send(port);
        assert_eq!((part.status, part.header("content-encoding")), (206, None));
        assert_eq!(part.body, &text.as_bytes()[1000..2000]);

        let plain = Request::get("/t").send(port);
        assert_eq!(plain.body, text.as_bytes());
        assert!(plain.header("etag").is_some() && plain.header("vary").is_none());
    }
}

fn assert_compressed(response: &Response) {
    assert_eq!(response.status, 200);
    let header = |name| response.header(name);
    assert_eq!(header("content-encoding"), Some("gzip"), "{response:?}");
    assert_eq!(header("vary"), Some("Accept-Encoding"));
    for name in ["etag", "content-length", "accept-ranges"] {
        assert_eq!(header(name), None, "{name}");
    }
}

fn gunzip(body: &[u8]) -> Vec<u8> {
    let program =
        "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    let mut python = Command::new(tools::python())
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    // It reads all before it writes.
    let mut input = python.stdin.take().expect("its input");
    input.write_all(body).expect("to write");
    drop(input);
    let output = python.wait_with_output().expect("its output");
    assert!(output.status.success(), "not gzip: {}", body.escape_ascii());
    output.stdout
}

#[test]
fn keys_that_oss_does_not_take_are_told_to_the_client() {
    let stack = stack(json!({}));
    let longest = "k".repeat(1023);
    stack.alibaba.put(&longest, "longest");
    for method in ["GET", "HEAD"] {
        for position in POSITIONS {
            let port = stack.envoy.port(position);
            let ask = |path: &str| Request::new(method, path).send(port);
            for (path, ec) in [
                ("/%5Ca", "0016-00000005"),
                ("//a", "0016-00000005"),
                ("/%2Fa", "0016-00000005"),
                ("/%FF", "0016-00000002"),
            ] {
                let response = ask(path);
                let told = response.header("x-oss-origin-auth");
                if position == Position::Downstream && path == "/%2Fa" {
                    assert_eq!((response.status, told), (400, Some("ambiguous_path")));
                    continue;
                }
                assert_eq!((response.status, told), (400, None), "{path}: {response:?}");
                assert_eq!(response.header("x-oss-ec"), Some(ec), "{path}");
                if method == "GET" {
                    assert_eq!(response.json(), json!({"error": "bad_request"}), "{path}");
                }
            }
            assert_eq!(ask(&format!("/{longest}")).status, 200);
            // OSS need not be asked.
            assert_eq!(ask(&format!("/{longest}k")).status, 414);
        }
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_reason_for_new_credentials() {
    let stack = stack(json!({"cause_header": true}));
    let put = |key, more| stack.alibaba.put_object(key, "content", more);
    put("archived", json!({"storage_class": "Archive"}));
    put("encrypted", json!({"encrypted": "KMS"}));
    put("mirrored", json!({"mirror_failed": true}));
    let port = |position| stack.envoy.port(position);
    assert_eq!(
        Request::get("/encrypted")
            .send(port(Position::Upstream))
            .text(),
        "content"
    );
    stack.alibaba.set_key_state("STS.example", "kms");
    let hits = stack.stub.hits();
    for (key, get, head) in [
        ("archived", 403, 200),
        ("encrypted", 403, 403),
        ("mirrored", 424, 424),
        ("absent", 404, 404),
    ] {
        for position in POSITIONS {
            let ask = |method| Request::new(method, format!("/{key}")).send(port(position));
            let answer = ask("GET");
            assert_eq!(answer.status, get, "{key}: {answer:?}");
            assert_hides_oss(&answer);
            let answer = ask("HEAD");
            assert_eq!(answer.status, head, "{key}: {answer:?}");
            assert!(answer.body.is_empty() && answer.header("x-oss-err").is_none());
            if head == 200 {
                assert_eq!(answer.header("content-length"), Some("7"));
                assert_eq!(answer.header("x-oss-storage-class"), Some("Archive"));
            }
        }
    }
    assert_eq!(stack.stub.hits(), hits, "no newer credentials");
    let line = format!("OSS refused: kms_forbidden (settings defaults, bucket {BUCKET}");
    wait_until(&line, || stack.envoy.process.output().contains(&line));
}

fn assert_hides_oss(response: &Response) {
    let body = response.text().to_lowercase();
    for word in ["bucket", "oss", "aliyun", "hostid", "<"] {
        assert!(!body.contains(word), "{word}: {body}");
    }
}

/// The place it names is what a redirect is for; nothing else of it is shown.
#[test]
fn a_redirect_of_oss_keeps_the_place_that_it_names() {
    let stack = stack(json!({}));
    let place = "http://origin.example/moved";
    stack
        .alibaba
        .put_object("moved", "", json!({"redirect": place}));
    for position in POSITIONS {
        for method in ["GET", "HEAD"] {
            let answer = Request::new(method, "/moved").send(stack.envoy.port(position));
            assert_eq!(answer.status, 302);
            assert_eq!(answer.header("location"), Some(place));
            assert!(answer.body.is_empty(), "{answer:?}");
            assert!(answer.header("server").is_none_or(|name| name == "envoy"));
        }
    }
}

/// OSS has one range for an answer, and two ways of saying so.
#[test]
fn several_ranges_are_none_that_a_client_could_mistake() {
    for ranges in ["standard", "oss"] {
        let stack = stack(json!({"ranges": ranges}));
        for position in POSITIONS {
            let request = Request::get("/a").header("range", "bytes=0-1,4-5");
            let answer = request.send(stack.envoy.port(position));
            assert_eq!(
                (answer.status, answer.text()),
                (206, "co".into()),
                "{ranges}"
            );
            assert_eq!(answer.header("content-range"), Some("bytes 0-1/7"));
        }
    }
}

/// OSS gives the rule by which it has forced a download as an EC.
#[test]
fn an_ec_in_a_good_answer_is_no_error() {
    let stack = stack(json!({"cause_header": true, "forced_download": "keep"}));
    for position in POSITIONS {
        for method in ["GET", "HEAD"] {
            let answer = Request::new(method, "/a").send(stack.envoy.port(position));
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("x-oss-ec"), Some("0048-00000101"));
            assert_eq!(answer.header("x-oss-force-download"), Some("true"));
            assert_eq!(answer.header("content-disposition"), Some("attachment"));
            assert_eq!(answer.header("x-oss-origin-auth"), None);
        }
    }
    // An error that does count is the last one, so all before it have been told.
    Request::get("/absent").send(stack.envoy.port(Position::Upstream));
    let counted = "oss_errors.no_such_key";
    wait_until(counted, || stack.envoy.filter_stat(counted) == 1);
    let stats = stack.envoy.admin("/stats?filter=oss_errors");
    let errors = stats.lines().filter(|line| !line.ends_with(": 0"));
    assert_eq!(errors.count(), 1, "{stats}");
    assert!(!stack.envoy.process.output().contains("OSS refused"));
    assert_eq!(stack.stub.hits(), 1, "the first fetch alone");
}

#[test]
fn a_domain_of_its_own_forces_nothing() {
    let settings = json!({"endpoint": "static.example.com", "addressing": "cname",
                          "forced_download": "keep"});
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]
            .as_object_mut()
            .expect("settings")
            .extend(settings.as_object().expect("settings").clone());
        builder.oss_host = Some("static.example.com".into());
    });
    for position in POSITIONS {
        let answer = Request::get("/a").send(stack.envoy.port(position));
        assert_eq!(answer.text(), "content");
        for name in ["content-disposition", "x-oss-force-download", "x-oss-ec"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
}

#[test]
fn conditions_are_oss_s_to_judge() {
    let stack = stack(json!({}));
    let port = stack.envoy.port(Position::Upstream);
    let first = Request::get("/a").send(port);
    let etag = first.header("etag").expect("an ETag").to_owned();
    let modified = first.header("last-modified").expect("a date").to_owned();
    let (other, earlier) = ("\"other\"".to_owned(), "Wed, 01 Jan 2025 00:00:00 GMT");
    let earlier = earlier.to_owned();
    for position in POSITIONS {
        let port = stack.envoy.port(position);
        for (name, value, status) in [
            ("if-none-match", &etag, 304),
            ("if-none-match", &other, 200),
            ("if-match", &etag, 200),
            ("if-match", &other, 412),
            ("if-modified-since", &modified, 304),
            ("if-modified-since", &earlier, 200),
            ("if-unmodified-since", &modified, 200),
            ("if-unmodified-since", &earlier, 412),
        ] {
            let answer = Request::get("/a").header(name, value).send(port);
            assert_eq!(answer.status, status, "{name}: {value}");
            match status {
                200 => assert_eq!(answer.text(), "content"),
                304 => assert_eq!(answer.header("etag"), Some(etag.as_str())),
                _ => assert_hides_oss(&answer),
            }
        }
        for (condition, status, body) in [(&etag, 206, "nt"), (&other, 200, "content")] {
            let request = Request::get("/a").header("range", "bytes=2-3");
            let answer = request.header("if-range", condition).send(port);
            assert_eq!((answer.status, answer.text().as_str()), (status, body));
        }
    }
}
