//! Every row of what a route's settings let pass: settings × method ×
//! operation × signature, seen from the client and from OSS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use crate::common;

use std::collections::HashMap;

use common::Stack;
use serde_json::{Value, json};
use testkit::alibaba::Seen;
use testkit::{EnvoyBuilder, Position, Request};

/// What is to become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It never reaches OSS.
    Refused(u16, &'static str),
    /// It reaches OSS with our signature alone, for this target.
    Signed(String),
    /// It reaches OSS as the client sent it; with the client's Authorization?
    Unsigned { authorization: bool },
}
use Outcome::{Refused, Signed, Unsigned};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Default,
    Writes,
    Operations,
    Parameters,
    StripsPresigned,
    PassesPresigned,
    Disabled,
    Denied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Object,
    ObjectAcl,
    Bucket,
    BucketList,
    BucketPolicy,
    Version,
    ContentType,
    Process,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    None,
    Header,
    UrlV1,
    UrlV2,
    UrlV4,
    HeaderAndUrl,
}

const POLICIES: [Policy; 8] = [
    Policy::Default,
    Policy::Writes,
    Policy::Operations,
    Policy::Parameters,
    Policy::StripsPresigned,
    Policy::PassesPresigned,
    Policy::Disabled,
    Policy::Denied,
];
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"];
const OPERATIONS: [Operation; 9] = [
    Operation::Object,
    Operation::ObjectAcl,
    Operation::Bucket,
    Operation::BucketList,
    Operation::BucketPolicy,
    Operation::Version,
    Operation::ContentType,
    Operation::Process,
    Operation::Unknown,
];
const SIGNATURES: [Signature; 6] = [
    Signature::None,
    Signature::Header,
    Signature::UrlV1,
    Signature::UrlV2,
    Signature::UrlV4,
    Signature::HeaderAndUrl,
];

fn settings(policy: Policy) -> Value {
    match policy {
        Policy::Default => json!({}),
        Policy::Writes => json!({"methods": ["GET", "PUT", "DELETE"]}),
        Policy::Operations => json!({"methods": METHODS, "operations": ["acl", "list", "bucket"]}),
        Policy::Parameters => json!({"forward_parameters": ["versionId", "x-oss-process"],
                                     "unknown_parameters": "forward"}),
        Policy::StripsPresigned => json!({"presigned_urls": "strip"}),
        Policy::PassesPresigned => json!({"presigned_urls": "pass"}),
        Policy::Disabled => json!({"enabled": false}),
        Policy::Denied => json!({"deny": true}),
    }
}

/// The path behind the route's prefix, and the query.
fn target(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Object => ("a", ""),
        Operation::ObjectAcl => ("a", "acl"),
        Operation::Bucket => ("", ""),
        Operation::BucketList => ("", "list-type=2&prefix=a"),
        Operation::BucketPolicy => ("", "policy"),
        Operation::Version => ("a", "versionId=1"),
        Operation::ContentType => ("a", "response-content-type=text/html"),
        Operation::Process => ("a", "x-oss-process=image%2Finfo"),
        Operation::Unknown => ("a", "b=2"),
    }
}

fn presigned_query(signature: Signature) -> &'static str {
    match signature {
        Signature::None | Signature::Header => "",
        Signature::UrlV1 | Signature::HeaderAndUrl => {
            "OSSAccessKeyId=i&Expires=9999999999&Signature=s"
        }
        Signature::UrlV2 => {
            "x-oss-signature-version=OSS2&x-oss-expires=9999999999&x-oss-access-key-id=i\
             &x-oss-signature=s"
        }
        Signature::UrlV4 => {
            "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=c&x-oss-date=d\
             &x-oss-expires=9&x-oss-signature=s"
        }
    }
}

/// What the documents promise, in their words' order.
fn promised(row: &Row) -> Outcome {
    let Row {
        position,
        policy,
        method,
        operation,
        signature,
    } = *row;
    let authorization = matches!(signature, Signature::Header | Signature::HeaderAndUrl);
    match policy {
        Policy::Disabled => return Unsigned { authorization },
        Policy::Denied => return Refused(403, "route_denied"),
        _ => {}
    }
    let methods: &[&str] = match policy {
        Policy::Writes => &["GET", "PUT", "DELETE"],
        Policy::Operations => &METHODS,
        _ => &["GET", "HEAD"],
    };
    if !methods.contains(&method) {
        return Refused(405, "method_not_allowed");
    }
    let presigned = !matches!(signature, Signature::None | Signature::Header);
    let passes = policy == Policy::PassesPresigned;
    if presigned && !passes && policy != Policy::StripsPresigned {
        return Refused(403, "presigned_url");
    }
    if let Some(refused) = refused_operation(policy, method, operation) {
        return refused;
    }
    if presigned && passes {
        return match operation {
            Operation::Unknown | Operation::BucketList => Refused(403, "parameter_not_allowed"),
            _ => Unsigned {
                authorization: false,
            },
        };
    }
    let forwards = policy == Policy::Parameters;
    let writes = matches!(method, "PUT" | "POST" | "DELETE");
    let dropped = match operation {
        Operation::ContentType => return Refused(403, "parameter_not_allowed"),
        Operation::Version | Operation::Process if !forwards => {
            return Refused(403, "parameter_not_allowed");
        }
        Operation::Unknown if writes => return Refused(403, "parameter_not_allowed"),
        Operation::Unknown => !forwards,
        // With a prefix the route has no bucket: it is a key that ends with a slash.
        Operation::BucketList => passes,
        _ => false,
    };
    if position == Position::Downstream && presigned {
        return Refused(403, "presigned_url");
    }
    if position == Position::Downstream && dropped {
        return Refused(403, "parameter_not_allowed");
    }
    let (path, query) = target(operation);
    let prefix = if passes { "PassesPresigned/" } else { "" };
    Signed(match dropped || query.is_empty() {
        true => format!("/{prefix}{path}"),
        false => format!("/{prefix}{path}?{query}"),
    })
}

fn refused_operation(policy: Policy, method: &str, operation: Operation) -> Option<Outcome> {
    let operates = policy == Policy::Operations;
    let lists = matches!(method, "GET" | "HEAD");
    let reason = match operation {
        Operation::ObjectAcl if !operates => "parameter_not_allowed",
        Operation::BucketPolicy => "parameter_not_allowed",
        Operation::BucketList if operates && !lists => "parameter_not_allowed",
        Operation::Bucket | Operation::BucketList
            if !operates && policy != Policy::PassesPresigned =>
        {
            "bucket_operation"
        }
        _ => return None,
    };
    Some(Refused(403, reason))
}

#[test]
fn every_combination_is_treated_as_promised() {
    let stack = Stack::start_with(|builder| {
        add_a_route_for_each_policy(builder);
        builder.access_log = false;
    });
    let rows = rows();
    assert_eq!(rows.len(), 5_184);
    let answers = std::sync::Mutex::new(Vec::new());
    let numbered: Vec<_> = rows.iter().copied().enumerate().collect();
    testkit::in_parallel(numbered, |(number, row)| {
        let request = row.request().header("x-test", number.to_string());
        let response = request.send(stack.envoy.port(row.position));
        let reason = response.header("x-oss-origin-auth").map(str::to_owned);
        answers
            .lock()
            .unwrap()
            .push((number, response.status, reason));
    });
    let seen = stack.alibaba.seen();
    let number = |seen: &Seen| seen.header("x-test")[0].parse::<usize>().unwrap();
    let at_oss: HashMap<usize, &Seen> = seen.iter().map(|seen| (number(seen), seen)).collect();
    assert_eq!(at_oss.len(), seen.len(), "each came once");
    let mut wrong = Vec::new();
    for (number, status, reason) in answers.into_inner().unwrap() {
        let row = rows[number];
        let found = match at_oss.get(&number) {
            None => format!("refused: {status} {reason:?}"),
            Some(seen) => describe(seen),
        };
        let wanted = row.wanted();
        if wanted != found {
            wrong.push(format!("{row:?}\nwanted: {wanted}\n found: {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The route of a policy has its name, and takes what begins with it.
fn add_a_route_for_each_policy(builder: &mut EnvoyBuilder) {
    let mut routes = serde_json::Map::new();
    for policy in POLICIES {
        let name = format!("{policy:?}");
        let prefix = format!("/{name}/");
        let mut own = settings(policy);
        own["strip_prefix"] = json!(prefix);
        own["forward_headers"] = json!(["x-test"]);
        let mut route = json!({"name": name, "match": {"prefix": prefix}, "route": {}});
        match policy {
            // What it has in its prefix are its keys, so that nothing is mapped.
            Policy::PassesPresigned => own["key_prefix"] = json!(format!("{name}/")),
            Policy::Disabled => {}
            _ => route["of_listener"] = json!({"prefix_rewrite": "/"}),
        }
        routes.insert(name, own);
        builder.routes.push(route);
    }
    builder.filter["routes"] = Value::Object(routes);
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for position in [Position::Upstream, Position::Downstream] {
        for policy in POLICIES {
            for method in METHODS {
                for operation in OPERATIONS {
                    for signature in SIGNATURES {
                        rows.push(Row {
                            position,
                            policy,
                            method,
                            operation,
                            signature,
                        });
                    }
                }
            }
        }
    }
    rows
}

#[derive(Clone, Copy, Debug)]
struct Row {
    position: Position,
    policy: Policy,
    method: &'static str,
    operation: Operation,
    signature: Signature,
}

impl Row {
    fn request(&self) -> Request {
        let mut request =
            Request::new(self.method, self.asked()).header("x-oss-object-acl", "public-read-write");
        if matches!(self.signature, Signature::Header | Signature::HeaderAndUrl) {
            request = request.header("Authorization", "Bearer of-the-client");
        }
        if matches!(self.method, "PUT" | "POST") {
            request = request.header("content-type", "text/plain").body("content");
        }
        request
    }

    /// What the client asks for.
    fn asked(&self) -> String {
        let (path, query) = target(self.operation);
        let queries: Vec<&str> = [query, presigned_query(self.signature)]
            .into_iter()
            .filter(|query| !query.is_empty())
            .collect();
        match queries.as_slice() {
            [] => format!("/{:?}/{path}", self.policy),
            queries => format!("/{:?}/{path}?{}", self.policy, queries.join("&")),
        }
    }

    /// What is promised, as [`describe`] would say it.
    fn wanted(&self) -> String {
        match promised(self) {
            Refused(status, reason) => format!("refused: {status} {:?}", Some(reason)),
            Signed(target) => format!("signed: {target}"),
            Unsigned { authorization } => {
                let target = match self.policy {
                    // Nothing is mapped: what was asked is what OSS gets.
                    Policy::Disabled | Policy::PassesPresigned => self.asked(),
                    _ => unreachable!(),
                };
                format!("unsigned: {target} {authorization}")
            }
        }
    }
}

fn describe(seen: &Seen) -> String {
    let authorization = seen.header("authorization");
    match authorization.as_slice() {
        [ours] if ours.starts_with("OSS4-HMAC-SHA256 Credential=STS.example/") => {
            let mut oss: Vec<&str> = seen
                .headers
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| name.starts_with("x-oss-"))
                .collect();
            oss.sort_unstable();
            let of_signature = ["x-oss-content-sha256", "x-oss-date", "x-oss-security-token"];
            match seen.code.as_str() {
                "SignatureDoesNotMatch" | "InvalidArgument" => {
                    format!("signed wrongly: {} {}", seen.target, seen.code)
                }
                _ if oss != of_signature => format!("signed with {oss:?}"),
                _ => format!("signed: {}", seen.target),
            }
        }
        ["Bearer of-the-client"] => format!("unsigned: {} true", seen.target),
        [] => format!("unsigned: {} false", seen.target),
        others => format!("with {others:?}"),
    }
}

#[test]
fn a_genuine_signed_url_is_passed_on_or_signed_anew() {
    let stack = Stack::start_with(|builder| {
        builder.filter["routes"] = json!({
            "pass": {"presigned_urls": "pass"},
            "strip": {"presigned_urls": "strip"},
        });
        builder.filter["defaults"]["forward_headers"] = json!(["x-test-route"]);
        for name in ["pass", "strip"] {
            builder.routes.push(
                json!({"name": name, "route": {}, "match": {"prefix": "/", "headers": [
                {"name": "x-test-route", "string_match": {"exact": name}}]}}),
            );
        }
    });
    stack.alibaba.add_key("LTAIother", "secret", None, None);
    stack.alibaba.put("dir/a b+c", "content");
    for version in ["v1", "v4"] {
        let target = stack.alibaba.presign(version, "dir/a b+c", "LTAIother");
        for position in [Position::Upstream, Position::Downstream] {
            let get = |route: &str| {
                let request = Request::get(&target).header("x-test-route", route);
                request.send(stack.envoy.port(position))
            };
            let refused = get("none");
            assert_eq!(refused.header("x-oss-origin-auth"), Some("presigned_url"));
            if position == Position::Downstream {
                let refused = get("strip");
                assert_eq!(refused.header("x-oss-origin-auth"), Some("presigned_url"));
            }
            for route in ["pass", "strip"] {
                if (position, route) == (Position::Downstream, "strip") {
                    continue;
                }
                stack.alibaba.clear_log();
                let response = get(route);
                assert_eq!(
                    (response.status, response.text()),
                    (200, "content".into()),
                    "{route}"
                );
                let seen = &stack.alibaba.seen()[0];
                match route {
                    "pass" => {
                        assert_eq!(seen.target, target);
                        assert!(seen.header("authorization").is_empty());
                    }
                    _ => assert_eq!(seen.target, "/dir/a%20b%2Bc"),
                }
            }
        }
    }
}

#[test]
fn allowed_headers_are_signed_and_bodies_arrive() {
    let stack = Stack::start_with(|builder| {
        builder.filter["defaults"]["methods"] = json!(["GET", "PUT"]);
        builder.filter["defaults"]["forward_headers"] =
            json!(["x-oss-meta-*", "x-oss-storage-class", "x-test-route"]);
        builder.filter["routes"] = json!({"v1": {"signature_version": "v1"}});
        builder.routes = vec![
            json!({"name": "v1", "route": {}, "match": {"prefix": "/", "headers": [
            {"name": "x-test-route", "string_match": {"exact": "v1"}}]}}),
        ];
    });
    let body = "x".repeat(300_000);
    for position in [Position::Upstream, Position::Downstream] {
        for route in ["v1", "v4"] {
            stack.alibaba.clear_log();
            let put = Request::new("PUT", "/new")
                .header("x-test-route", route)
                .header("Content-Type", "text/plain; charset=utf-8")
                .header("X-Oss-Meta-Author", "a b")
                .header("x-oss-storage-class", "IA")
                .header("x-oss-copy-source", "/other/secret")
                .body(&body)
                .send(stack.envoy.port(position));
            assert_eq!(put.status, 200, "{}", put.text());
            let seen = &stack.alibaba.seen()[0];
            assert_eq!(seen.header("x-oss-meta-author"), ["a b"]);
            assert_eq!(seen.header("content-type"), ["text/plain; charset=utf-8"]);
            assert!(seen.header("x-oss-copy-source").is_empty());
            let get = Request::get("/new").send(stack.envoy.port(position));
            assert!(get.text() == body);
            let twice = Request::get("/new")
                .header("x-oss-storage-class", "IA")
                .header("x-oss-storage-class", "IA")
                .send(stack.envoy.port(position));
            assert_eq!(
                twice.header("x-oss-origin-auth"),
                Some("duplicate_header"),
                "{twice:?}"
            );
        }
    }
}
