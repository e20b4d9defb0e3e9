//! Every error that OSS's documentation knows, from the fake through Envoy to the header,
//! the metric and the log. The expected words stand here; the fake's table has the errors.

use std::collections::BTreeMap;

use serde_json::json;
use testkit::alibaba::Fault;
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, Position, Request, Response};

use crate::common::{SECRET, Stack, TOKEN};

/// What the filter makes of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The cause, where the Code is seen: in the body, or in `x-oss-err`.
    pub word: &'static str,
    /// The cause by the headers of an answer to a GET: by the EC, or the status.
    pub by_headers: &'static str,
}

/// A word for every fault; one without a word fails the test.
pub fn expected(fault: &Fault) -> Expected {
    let (word, by_headers) = match fault.name.as_str() {
        "token_expired" => same("token_expired"),
        "token_invalid" | "token_invalid_08" | "token_of_another_key" => same("token_invalid"),
        "token_missing" => same("token_missing"),
        "key_unknown" | "key_unknown_02" | "key_disabled" | "key_not_for_this_address" => {
            same("key_unknown")
        }
        "signature_v1" | "signature_v4" => same("signature_mismatch"),
        "clock_skew" => same("clock_skew"),
        "wrong_region" | "wrong_region_of_url" | "wrong_region_forbidden" => same("wrong_region"),
        "wrong_product" => same("wrong_product"),
        "two_signatures" => same("two_signatures"),
        "access_denied" => same("access_denied"),
        "bucket_policy_deny" => same("bucket_policy"),
        "explicit_deny" | "explicit_deny_of_directory" | "explicit_deny_of_both" => {
            same("explicit_deny")
        }
        "session_policy" => same("session_policy"),
        "referer_empty" | "referer_black" | "referer_not_white" => same("bucket_referer"),
        "vpc_policy" => same("vpc_policy"),
        "user_disabled" | "user_denied" => same("account_suspended"),
        // Of these the EC is published nowhere, and a 403 says too little.
        "in_debt" | "in_debt_overdue" | "bucket_disabled" => ("account_suspended", "unknown"),
        "path_style_refused" => same("path_style_refused"),
        "wrong_endpoint" => same("wrong_endpoint"),
        "public_endpoint" => same("public_endpoint"),
        "archived" => same("archived"),
        "kms_forbidden" => ("kms_forbidden", "unknown"),
        "kms_not_activated" => same("kms_not_activated"),
        "kms_pending_deletion" | "kms_rejected_pending_deletion" | "kms_disabled" => {
            same("kms_key_unusable")
        }
        "kms_key_not_found" => ("kms_key_unusable", "unknown"),
        "no_such_key" => same("no_such_key"),
        // It has the EC of a key that is not there.
        "no_such_version" => ("no_such_version", "no_such_key"),
        "no_such_bucket" => same("no_such_bucket"),
        "no_such_symlink_target" => same("no_such_symlink_target"),
        "no_such_style" => ("no_such_style", "unknown"),
        "mirror_failed" => same("mirror_failed"),
        // The status alone says it.
        "range_not_satisfiable" => same("range_not_satisfiable"),
        "precondition_failed" => same("precondition_failed"),
        "method_not_allowed" => same("method_not_supported"),
        "internal_error" | "bad_gateway" => same("server_error"),
        "already_exists" | "image_parameter" | "no_length" => same("bad_request"),
        "image_encoding" => ("bad_request", "unknown"),
        "bad_name_slash" | "bad_name_backslash" | "bad_name_too_long" | "bad_name_not_utf8" => {
            same("bad_object_name")
        }
        "throttled_total_qps" => same("throttled_qps"),
        "throttled_download" | "throttled_upload" => same("throttled_traffic"),
        "throttled_qps" => ("throttled_qps", "throttled"),
        "throttled_somehow" => same("throttled"),
        // A 503 without more says that alone.
        "throttled_requests" => ("throttled_requests", "service_unavailable"),
        "throttled_cpu" => ("throttled_cpu", "service_unavailable"),
        "throttled_meta" => ("throttled", "service_unavailable"),
        "service_unavailable" => same("service_unavailable"),
        "unknown_refusal" | "unknown_404" | "unknown_400" => same("unknown"),
        other => panic!("no word is expected of {other}: {fault:?}"),
    };
    Expected { word, by_headers }
}

fn same(word: &'static str) -> (&'static str, &'static str) {
    (word, word)
}

/// Faults of which the credentials may be the reason: newer ones are fetched.
const REJECTED: [&str; 9] = [
    "token_expired",
    "token_invalid",
    "token_invalid_08",
    "token_of_another_key",
    "token_missing",
    "key_unknown",
    "key_unknown_02",
    "key_disabled",
    "key_not_for_this_address",
];

/// What a client does by itself: it is counted, and not logged.
const OF_CLIENTS: [&str; 8] = [
    "no_such_key",
    "no_such_version",
    "no_such_style",
    "range_not_satisfiable",
    "bad_object_name",
    "precondition_failed",
    "method_not_supported",
    "bad_request",
];

/// Those that are tried among the listener's filters, too: one of each kind.
const DOWNSTREAM: [&str; 6] = [
    "bucket_policy_deny",
    "wrong_endpoint",
    "kms_disabled",
    "no_such_version",
    "throttled_download",
    "unknown_404",
];

/// How OSS's error is asked for, and comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With its XML in the body.
    Get,
    /// With its XML in `x-oss-err`.
    Head,
    /// With an EC, and no XML.
    Bare,
}

const FORMS: [Form; 3] = [Form::Get, Form::Head, Form::Bare];

impl Form {
    /// The key for which the fault is planted.
    fn key(self, fault: &str) -> String {
        match self {
            Form::Get | Form::Head => format!("{fault}/xml"),
            Form::Bare => format!("{fault}/bare"),
        }
    }

    /// The route of a case that has one of its own.
    fn route(self, fault: &str) -> String {
        format!("{fault}-{self:?}").to_lowercase()
    }

    fn ask(self, path: &str, port: u16) -> Response {
        let method = if self == Form::Head { "HEAD" } else { "GET" };
        Request::new(method, path).send(port)
    }

    /// The word in the header, which is known before the body.
    fn told(self, expected: Expected) -> &'static str {
        match self {
            Form::Get | Form::Bare => expected.by_headers,
            Form::Head => expected.word,
        }
    }

    /// The word in the metric and in the log.
    fn counted(self, expected: Expected) -> &'static str {
        match self {
            Form::Get | Form::Head => expected.word,
            Form::Bare => expected.by_headers,
        }
    }
}

/// The faults, each planted for keys of its own; and how often each word is to be counted.
struct Faults {
    stack: Stack,
    faults: Vec<Fault>,
    counts: BTreeMap<&'static str, u64>,
}

#[test]
fn every_error_of_oss_is_named_in_header_metric_and_log() {
    let mut faults = Faults::start();
    // The first fetch of each name, and no other.
    let names = 1 + REJECTED.len() * FORMS.len();
    let stub = &faults.stack.stub;
    wait_until("the first fetches", || stub.hits() == names);
    faults.meet_those_of_good_credentials();
    // Another fetch would have been made by the tick that tells the metrics.
    faults.assert_counted_and_logged();
    assert_eq!(faults.stack.stub.hits(), names, "no reason to fetch");

    faults.meet_those_of_bad_credentials();
    faults.assert_counted_and_logged();
    assert_eq!(faults.stack.stub.hits(), 2 * names - 1, "a fetch for each");
    let log = faults.stack.envoy.process.output();
    assert_nothing_secret(&log);
    // What the body alone tells: the endpoint, and which kind of policy it is.
    for told in ["oss-cn-shanghai.aliyuncs.com", "SessionPolicy"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    // OSS's own help for an EC that nobody knows.
    assert!(
        log.contains("https://api.aliyun.com/troubleshoot?q=0099-00000001"),
        "{log}"
    );
}

impl Faults {
    fn start() -> Faults {
        let stack = Stack::start_with(|builder| {
            builder.filter["defaults"]["cause_header"] = json!(true);
            // Where OSS's XML is shown, rewritten.
            add_route(builder, "shown", json!({"errors": "oss"}));
            // A name's credentials are not rejected twice in a second: each case has others.
            for name in REJECTED
                .iter()
                .flat_map(|fault| FORMS.map(|form| form.route(fault)))
            {
                builder.filter["credentials"][&name] =
                    json!({"sidecar": {"cluster": "sts_sidecar", "timeout_ms": 30_000}});
                add_route(builder, &name, json!({"credentials": name}));
            }
        });
        let faults = stack.alibaba.faults();
        for fault in &faults {
            for (form, more) in [(Form::Get, json!({})), (Form::Bare, json!({"bare": true}))] {
                let scope = json!({"key": form.key(&fault.name), "form": more});
                stack.alibaba.plant(&fault.name, scope);
            }
        }
        let counts = BTreeMap::new();
        Faults {
            stack,
            faults,
            counts,
        }
    }

    fn meet_those_of_good_credentials(&mut self) {
        for fault in self.faults.clone() {
            if is_rejected(&fault) {
                continue;
            }
            for form in FORMS {
                let path = format!("/{}", form.key(&fault.name));
                self.meet(&fault, form, Position::Upstream, &path);
                if DOWNSTREAM.contains(&fault.name.as_str()) {
                    self.meet(&fault, form, Position::Downstream, &path);
                }
            }
            let path = format!("/shown/{}", Form::Get.key(&fault.name));
            let shown = self.meet(&fault, Form::Get, Position::Upstream, &path);
            let code = format!("<Code>{}</Code>", fault.code);
            assert!(shown.text().contains(&code), "{fault:?}: {shown:?}");
        }
    }

    fn meet_those_of_bad_credentials(&mut self) {
        let rejected: Vec<_> = self
            .faults
            .iter()
            .filter(|fault| is_rejected(fault))
            .collect();
        let cases = rejected
            .into_iter()
            .flat_map(|fault| FORMS.map(|form| (fault.clone(), form)));
        let cases: Vec<_> = cases.collect();
        for (fault, form) in &cases {
            let path = format!("/{}/a", form.route(&fault.name));
            let port = self.stack.envoy.port(Position::Upstream);
            assert_eq!(Request::get(&path).send(port).text(), "content", "{path}");
        }
        let wanted = self.stack.stub.hits() + cases.len();
        for (fault, form) in cases {
            let path = format!("/{}/{}", form.route(&fault.name), form.key(&fault.name));
            self.meet(&fault, form, Position::Upstream, &path);
        }
        // Each name was asked for once, so each has been fetched once.
        let stub = &self.stack.stub;
        wait_until(&format!("{wanted} fetches"), || stub.hits() >= wanted);
    }

    fn meet(&mut self, fault: &Fault, form: Form, position: Position, path: &str) -> Response {
        let expected = expected(fault);
        let answer = form.ask(path, self.stack.envoy.port(position));
        assert_told(&answer, fault, form.told(expected));
        // Only what newer credentials, or OSS's time, may heal is worth another attempt.
        let healed = is_rejected(fault) || fault.name == "clock_skew";
        let retried = answer.header("x-origin-auth-retry").is_some();
        assert_eq!(retried, healed, "{fault:?} {form:?}: {answer:?}");
        *self.counts.entry(form.counted(expected)).or_default() += 1;
        answer
    }

    fn assert_counted_and_logged(&self) {
        let envoy = &self.stack.envoy;
        for (word, count) in &self.counts {
            let name = format!("oss_errors.{word}");
            let counted = || envoy.filter_stat(&name);
            wait_until(&format!("{name}: {count}"), || counted() >= *count);
            assert_eq!(counted(), *count, "{name}");
            let line = format!("OSS refused: {word} (");
            if OF_CLIENTS.contains(word) {
                assert!(
                    !envoy.process.output().contains(&line),
                    "{word}: a client's doing"
                );
            } else {
                wait_until(&line, || envoy.process.output().contains(&line));
            }
        }
    }
}

/// A route for all that begins with `/name/`.
fn add_route(builder: &mut EnvoyBuilder, name: &str, mut settings: serde_json::Value) {
    let prefix = format!("/{name}/");
    settings["strip_prefix"] = json!(prefix);
    builder.filter["routes"][name] = settings;
    builder
        .routes
        .push(json!({"name": name, "match": {"prefix": prefix}, "route": {}}));
}

fn is_rejected(fault: &Fault) -> bool {
    REJECTED.contains(&fault.name.as_str())
}

fn assert_told(answer: &Response, fault: &Fault, word: &str) {
    let what = format!("{fault:?}: {answer:?}");
    assert_eq!(answer.status, fault.status, "{what}");
    assert_eq!(answer.header("x-oss-origin-auth"), Some(word), "{what}");
    assert_eq!(answer.header("x-oss-ec"), Some(fault.ec.as_str()), "{what}");
    assert_eq!(answer.header("x-oss-err"), None, "{what}");
    assert_nothing_secret(&format!("{:?} {}", answer.headers, answer.text()));
}

/// OSS's errors repeat the token in clear: `SecurityToken`, `StringToSign`.
fn assert_nothing_secret(text: &str) {
    for secret in [
        SECRET,
        TOKEN,
        "StringToSign",
        "SecurityToken>",
        "AQIBIAAAACB1",
        "Signature=",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}
