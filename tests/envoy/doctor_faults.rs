//! `oss-origin-auth doctor` finds every error that OSS documents, what the role may do too
//! much, and says what it saw of answers that no OSS gives.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use oss_origin_auth_core::oss::error::Cause;
use oss_origin_auth_core::words::Word;
use serde_json::{Value, json};
use testkit::FakeAlibaba;
use testkit::alibaba::{BUCKET, Fault, READ_ONLY};
use testkit::in_parallel;

use crate::causes::expected;
use crate::common::doctor::{Doctor, KEY, Said, alibaba};

#[test]
fn every_error_that_oss_documents_is_found_with_its_fix() {
    let alibaba = alibaba();
    let faults = alibaba.faults();
    assert!(faults.len() > 50, "{faults:?}");
    for Fault { name, .. } in &faults {
        alibaba.put(name, "content");
        alibaba.plant(name, json!({"key": name}));
    }
    in_parallel(faults, |fault| {
        let doctor = Doctor::at(&alibaba, alibaba.oss_port, &json!({}));
        let doctor = doctor.with(&["--object", &fault.name]);
        let said = doctor.json();
        let cause = Cause::of(expected(&fault).word);
        let cause = cause.unwrap_or_else(|| panic!("no cause has the word of {}", fault.name));
        // The filter fetches new credentials; the doctor has just done so.
        let of_filter = "new credentials are fetched";
        let is_own = cause.fix().starts_with(of_filter);
        let fix = if is_own { "; fix: " } else { cause.fix() };
        for check in ["head", "get"] {
            let told = said.check(check)["fix"].as_str().unwrap().to_owned();
            assert!(!told.contains(of_filter), "{told}");
            assert!(is_own || told.contains(fix), "{told}");
            said.assert(check, "failed", &fault.status.to_string());
            let said = said.check(check);
            assert_eq!(said["cause"], cause.word(), "{}", fault.name);
            assert_eq!(said["ec"], json!(fault.ec), "{}", fault.name);
            assert!(said["request_id"].is_string(), "{}", fault.name);
        }
        assert_eq!(said.code, 1, "{}", fault.name);
        if cause == Cause::Unknown {
            let address = format!("https://api.aliyun.com/troubleshoot?q={}", fault.ec);
            said.assert("get", "failed", &address);
        }
        let (code, text) = doctor.text();
        assert_eq!(code, 1, "{text}");
        for part in [fix, &fault.code, &fault.ec] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        if cause != Cause::Unknown {
            assert!(text.contains(&format!("({})", cause.word())), "{text}");
        }
    });
}

/// What the doctor says of an OSS that was prepared so; `a` is there.
fn said(prepare: impl FnOnce(&FakeAlibaba), more: Value) -> Said {
    let alibaba = alibaba();
    prepare(&alibaba);
    Doctor::of_file(&alibaba, &more).json()
}

#[test]
fn a_wrong_place_is_found_and_the_right_one_named() {
    let elsewhere = |alibaba: &FakeAlibaba| {
        alibaba.set_bucket(BUCKET, json!({"region": "cn-shanghai"}));
    };
    let wrong = said(elsewhere, json!({}));
    for check in ["region", "head", "get"] {
        wrong.assert(check, "failed", "oss-cn-shanghai.aliyuncs.com");
        assert_eq!(wrong.check(check)["cause"], "wrong_endpoint");
    }
    let region = said(|_| {}, json!({"region": "cn-beijing"}));
    region.assert("region", "failed", "endpoint is one of cn-hangzhou");
    assert_eq!(region.check("get")["cause"], "wrong_region");
    let lies = |alibaba: &FakeAlibaba| {
        alibaba.allow(KEY, &["GetObject", "GetBucketLocation"]);
        alibaba.set("region", json!("cn-beijing"));
    };
    let own = json!({"region": "cn-beijing", "endpoint": "img.example.com", "addressing": "cname"});
    said(lies, own).assert("region", "ok", "is in cn-beijing");
    let product = said(
        |alibaba| alibaba.set("product", json!("oss-cloudbox")),
        json!({}),
    );
    assert_eq!(product.check("get")["cause"], "wrong_product");
    let refused = |alibaba: &FakeAlibaba| {
        alibaba.set_bucket(BUCKET, json!({"path_style": "refused"}));
    };
    let in_path = said(refused, json!({"addressing": "path_style"}));
    assert_eq!(in_path.check("get")["cause"], "path_style_refused");
    let bucket = said(|_| {}, json!({"bucket": "no-such-bucket"}));
    assert_eq!(
        bucket.check("region")["cause"],
        "no_such_bucket",
        "{}",
        bucket.text
    );
    let public = json!({"endpoint": "oss-cn-hangzhou.aliyuncs.com"});
    let forbidden = said(|_| {}, public.clone());
    forbidden.assert("public_endpoint", "failed", "oss-<region>-internal");
    let allow = |alibaba: &FakeAlibaba| alibaba.set("public_endpoint", json!("allowed"));
    said(allow, public).assert("public_endpoint", "ok", "by a public endpoint");
}

#[test]
fn what_is_special_about_an_object_is_found() {
    let encrypted = |alibaba: &FakeAlibaba| {
        alibaba.put_object("a", "content", json!({"encrypted": "KMS"}));
        alibaba.set_key_state(KEY, "kms");
    };
    let kms = said(encrypted, json!({}));
    kms.assert("kms", "failed", "AliyunKMSCryptoUserAccess");
    kms.assert("get", "failed", "AliyunKMSCryptoUserAccess");
    let archived = |alibaba: &FakeAlibaba| {
        alibaba.put_object("a", "content", json!({"storage_class": "Archive"}));
    };
    let archive = said(archived, json!({}));
    archive.assert("head", "ok", "200");
    archive.assert("archive", "failed", "restore");
    let download = said(|_| {}, json!({"forced_download": "keep"}));
    download.assert("forced_download", "failed", "`addressing`: \"cname\"");
    // Other objects than the one that is read.
    let alibaba = alibaba();
    alibaba.put_object("k", "content", json!({"encrypted": "KMS"}));
    alibaba.put_object("z", "content", json!({"storage_class": "Archive"}));
    alibaba.plant("kms_disabled", json!({"key": "k"}));
    let doctor = Doctor::of_file(&alibaba, &json!({}));
    let said = doctor.with(&["--encrypted", "k", "--archived", "z"]).json();
    assert_eq!(said.that_are("failed"), ["kms", "archive"], "{}", said.text);
    let alibaba = crate::common::doctor::alibaba();
    alibaba.set(
        "throttle",
        json!({"code": "QpsLimitExceeded", "times": 100}),
    );
    let said = Doctor::of_file(&alibaba, &json!({})).json();
    said.assert("get", "failed", Cause::ThrottledQps.fix());
}

#[test]
fn a_role_that_may_do_too_much_is_found() {
    let alibaba = alibaba();
    let may = |more: &[&str]| {
        alibaba.allow(KEY, &[&READ_ONLY, more].concat());
        let doctor = Doctor::of_file(&alibaba, &json!({}));
        doctor.with(&["--probe-write"]).json()
    };
    let reads = may(&[]);
    assert_eq!(reads.code, 0, "{}", reads.text);
    reads.assert("list", "ok", "the role may not list");
    reads.assert("acl", "ok", "the role may not see");
    reads.assert("write", "ok", "the role may not write");
    let more = may(&["ListObjects", "GetBucketAcl", "GetBucketLocation"]);
    assert_eq!(more.code, 3, "{}", more.text);
    more.assert("list", "warning", "leave oss:ListObjects out");
    more.assert("acl", "warning", "leave oss:GetBucketAcl out");
    more.assert("region", "ok", "the bucket is in cn-hangzhou");
    may(&["PutObject"]).assert("write", "failed", "a policy that reads alone");
    alibaba.set_bucket(BUCKET, json!({"acl": "public-read"}));
    may(&["GetBucketAcl"]).assert("acl", "failed", "anybody may read");
    alibaba.set_bucket(BUCKET, json!({"acl": "public-read-write"}));
    may(&["GetBucketAcl"]).assert("acl", "failed", "anybody may write");
    alibaba.plant("internal_error", json!({"methods": ["PUT"]}));
    may(&[]).assert("write", "unknown", "500 InternalError");
    let keys = alibaba
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "PUT");
    assert!(keys.map(|seen| seen.status).all(|status| status >= 400));
}

/// A server that answers every request with these bytes, and then ends the connection.
fn answering(answer: impl AsRef<[u8]>) -> u16 {
    serve(Duration::ZERO, answer.as_ref().to_vec())
}

fn serve(pause: Duration, answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                std::thread::sleep(pause);
                let _ = stream.write_all(&answer);
            });
        }
    });
    port
}

fn response(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// What the doctor says of an OSS that listens on this port.
fn said_of(alibaba: &FakeAlibaba, port: u16) -> Said {
    let more = ["--object", "a", "--probe-write", "--timeout", "1"];
    Doctor::at(alibaba, port, &json!({})).with(&more).json()
}

#[test]
fn what_no_oss_answers_is_unknown_and_harms_nothing() {
    let alibaba = alibaba();
    let many = "x: y\r\n".repeat(1000);
    let long = format!("x: {}\r\n", "y".repeat(200_000));
    let marked =
        |status: &str, id: &str| response(&format!("{status}\r\nx-oss-request-id: {id}"), "");
    let sesame = "<Error><Code>sesame CAIS</Code><Message>CAISsesame</Message>\
                  <EC>sesame</EC><RequestId>CAIS sesame</RequestId><Endpoint>sesame </Endpoint>";
    for (answer, says) in [
        (String::new(), "the connection ended"),
        ("SSH-2.0-sesame\r\n\r\n".into(), "is not HTTP"),
        (
            format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            "head is too large",
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{long}\r\n"),
            "head is too large",
        ),
        (
            response("502 Bad Gateway", "<html>sesame</html>"),
            "not an answer of OSS",
        ),
        (response("204 No Content", ""), "status 204"),
        (response("403 Forbidden", sesame), "403"),
        (marked("503 No", "se\u{1b}same"), "is not HTTP"),
        (marked("503 No", "CAIS sesame"), "status 503"),
        (response("200 OK", "sesame"), "not an answer of OSS"),
        (
            response(
                "302 Found\r\nlocation: http://other.example/a?Signature=sesame",
                "",
            ),
            "a redirect to other.example, which is not followed",
        ),
        (
            response("301 Moved\r\nlocation: sesame sesame", ""),
            "a redirect, which is not followed",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".into(),
            "the connection ended before",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into(),
            "the connection ended before",
        ),
    ] {
        let said = said_of(&alibaba, answering(&answer));
        let result = said.check("get")["result"].as_str().unwrap().to_owned();
        said.assert("get", &result, says);
        assert_ne!(result, "ok", "{}", said.text);
        if !says.starts_with("403") {
            assert_eq!(said.code, 3, "{answer:.60}: {}", said.text);
        }
    }
    let slow = said_of(&alibaba, serve(Duration::from_secs(60), Vec::new()));
    slow.assert("get", "unknown", "took too long");
    let port = serve(Duration::from_secs(60), Vec::new());
    let place = format!("127.0.0.1:{port}");
    let flags = [
        "--bucket",
        BUCKET,
        "--region",
        "cn-hangzhou",
        "--connect",
        &place,
    ];
    let hangs = Doctor::new(&alibaba, &flags)
        .with(&["--timeout", "1"])
        .json();
    assert_eq!(hangs.code, 3, "{}", hangs.text);
    hangs.assert("tls", "unknown", "the TLS handshake took too long");
}

/// A server that gives back what it was sent, wherever an answer has room.
fn repeating() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let value = |name: &str| {
                let mut values = lines.iter().filter_map(|line| line.split_once(": "));
                let found = values.find(|(known, _)| known.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_owned()).unwrap_or_default()
            };
            let (token, signature) = (value("x-oss-security-token"), value("authorization"));
            let hex = signature.rsplit('=').next().unwrap_or_default();
            let xml = format!(
                "<Error><Code>{hex}</Code><Message>{signature}</Message><EC>{token}</EC>\
                 <RequestId>{KEY}</RequestId><Endpoint>{token}</Endpoint><StringToSign>{token}\
                 </StringToSign><AccessDeniedDetail><PolicyType>{hex}</PolicyType>\
                 <AuthAction>{KEY}</AuthAction></AccessDeniedDetail></Error>"
            );
            let head = format!(
                "403 {token}\r\nx-oss-request-id: {hex}\r\nx-oss-ec: {token}\r\netag: {hex}\r\n\
                 content-type: {hex}/{token}\r\nlocation: http://{hex}/{token}\r\n\
                 x-oss-storage-class: {hex}\r\nx-oss-origin-auth: {token}"
            );
            let _ = stream.write_all(response(&head, &xml).as_bytes());
        }
    });
    port
}

#[test]
fn what_a_server_repeats_of_a_request_is_not_shown() {
    let alibaba = alibaba();
    let port = repeating();
    let envoy = format!("http://127.0.0.1:{port}");
    let doctor = Doctor::at(&alibaba, port, &json!({}));
    let doctor = doctor.with(&["--object", "a", "--probe-write", "--envoy", &envoy]);
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    for text in [doctor.json().text, doctor.text().1] {
        let mut runs = text.split(|c: char| !c.is_ascii() || !is_hex(c as u8));
        assert!(runs.all(|run| run.len() < 40), "{text}");
    }
}

#[test]
fn what_anybody_may_read_is_found() {
    let alibaba = alibaba();
    let doctor = Doctor::of_file(&alibaba, &json!({}));
    doctor.json().assert("unsigned", "ok", "refused");
    for acl in ["public-read", "public-read-write"] {
        alibaba.set_bucket(BUCKET, json!({"acl": acl}));
        let public = doctor.json();
        public.assert("unsigned", "failed", "anybody may read it without Envoy");
        public.assert("unsigned", "failed", "Block Public Access");
        public.assert("get", "ok", "200");
    }
    let everything = response("200 OK\r\nx-oss-request-id: 1", "content");
    let public = said_of(&alibaba, answering(everything));
    public.assert("unsigned", "failed", "anybody may read it without Envoy");
    public.assert("range", "failed", "the range is ignored");
}

/// A server that answers by the first line of a request.
fn by_request(answer: fn(&str) -> String) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let first = lines.first().map(String::as_str).unwrap_or_default();
            let _ = stream.write_all(answer(first).as_bytes());
        }
    });
    port
}

fn of_oss(status: &str, code: &str, ec: &str) -> String {
    let body = match code {
        "" => String::new(),
        code => format!("<Error><Code>{code}</Code><EC>{ec}</EC></Error>"),
    };
    response(&format!("{status}\r\nx-oss-request-id: 6A"), &body)
}

#[test]
fn a_refusal_for_another_reason_does_not_say_that_the_object_is_private() {
    let alibaba = alibaba();
    let unsigned = |answer| said_of(&alibaba, by_request(answer));
    let missing = |_: &str| of_oss("404 No", "NoSuchKey", "0026-00000001");
    unsigned(missing).assert("unsigned", "failed", "without checking who asks");
    let busy = |_: &str| of_oss("429 No", "QpsLimitExceeded", "");
    let archived = |_: &str| of_oss("403 No", "InvalidObjectState", "");
    let referer = |_: &str| of_oss("403 No", "AccessDenied", "0003-00000503");
    let elsewhere = |_: &str| of_oss("403 No", "AccessDenied", "0003-00001403");
    for answer in [busy, archived, referer, elsewhere] {
        unsigned(answer).assert("unsigned", "unknown", "not because there is no signature");
    }
    let denied = |_: &str| of_oss("403 No", "AccessDenied", "0003-00000001");
    let later = |_: &str| of_oss("403 No", "AccessDenied", "0003-00000999");
    for answer in [denied, later] {
        unsigned(answer).assert("unsigned", "ok", "refused, as it should be");
    }
    let access = json!({"access": {"url_signing": {"type": "A"}}});
    let doctor = Doctor::at(&alibaba, alibaba.oss_port, &access);
    let doctor = doctor.set("URL_KEY", "sesame-key-of-urls");
    let said = doctor.with(&["--object", "/a"]).json();
    said.assert("unsigned", "skipped", "the object was not asked for");
}

#[test]
fn what_a_probe_may_have_left_is_named() {
    let alibaba = alibaba();
    let left = |answer| said_of(&alibaba, by_request(answer));
    let kept = left(|_| of_oss("200 OK", "", ""));
    kept.assert("write", "failed", "has kept the object .doctor-");
    let hidden = left(|first| match first {
        first if first.starts_with("HEAD /.doctor-") => of_oss("403 No", "", ""),
        _ => of_oss("200 OK", "", ""),
    });
    hidden.assert("write", "failed", "may have kept the object .doctor-");
    let silent = left(|first| match first.contains("/.doctor-") {
        true => String::new(),
        false => of_oss("200 OK", "", ""),
    });
    silent.assert("write", "unknown", "check whether the object .doctor-");
}

#[test]
fn what_serves_nothing_is_not_said_to_refuse() {
    let alibaba = alibaba();
    for status in ["404 No", "429 No"] {
        let port = answering(response(status, ""));
        let envoy = format!("http://127.0.0.1:{port}");
        let doctor = Doctor::of_file(&alibaba, &json!({}));
        let said = doctor.with(&["--envoy", &envoy]).json();
        said.assert("envoy_get", "failed", "Envoy answers this itself");
        for check in ["envoy_list", "envoy_acl", "envoy_delete"] {
            said.assert(check, "unknown", "status 4");
        }
    }
}

#[test]
fn who_is_not_oss_does_not_tell_oss_s_time() {
    let page = response("200 OK\r\ndate: Fri, 01 Jan 2100 00:00:00 GMT", "page");
    said_of(&alibaba(), answering(page)).assert("clock", "unknown", "the server is not OSS");
}

#[test]
fn whoever_names_no_source_is_told_to_name_one() {
    let alibaba = alibaba();
    let metadata = format!("http://127.0.0.1:{}", answering(response("404 No", "")));
    let doctor = Doctor::of_file(&alibaba, &json!({}))
        .set("ALIBABA_CLOUD_ACCESS_KEY_ID", "")
        .set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")
        .set("ALIBABA_CLOUD_SECURITY_TOKEN", "")
        .set("ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT", &metadata);
    let said = doctor.json();
    said.assert("credentials", "failed", "say where the credentials are");
}
