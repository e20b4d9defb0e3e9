//! What goes wrong as it does with the real OSS, and not by a planted error: keys, places,
//! rights, objects. Each must be told like its row in the table of faults.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, Fault};
use testkit::process::wait_until;
use testkit::{EnvoyBuilder, FakeAlibaba, Position, Request};

use crate::causes::expected;
use crate::common::{SECRET, Stack, TOKEN};

/// What goes wrong, and how it is mended.
struct Condition {
    /// The fault that it is like.
    fault: &'static str,
    request: Request,
    plant: fn(&FakeAlibaba),
    mend: fn(&FakeAlibaba),
}

const KEY: &str = "STS.example";

fn get(fault: &'static str, path: &str) -> Condition {
    Condition {
        fault,
        request: Request::get(path),
        plant: |_| {},
        mend: |_| {},
    }
}

impl Condition {
    fn planted(mut self, plant: fn(&FakeAlibaba)) -> Condition {
        self.plant = plant;
        self
    }

    fn mended(mut self, mend: fn(&FakeAlibaba)) -> Condition {
        self.mend = mend;
        self
    }

    fn header(mut self, name: &str, value: &str) -> Condition {
        self.request = self.request.header(name, value);
        self
    }
}

/// Of the settings: each has a route.
fn routes() -> [(&'static str, Value); 8] {
    [
        ("region", json!({"region": "cn-beijing"})),
        (
            "product",
            json!({"region": "cb-f8z7yvzgwfkl9q0h", "product": "oss-cloudbox"}),
        ),
        (
            "public",
            json!({"endpoint": "oss-cn-hangzhou.aliyuncs.com"}),
        ),
        ("path", json!({"addressing": "path_style"})),
        ("bucket", json!({"bucket": "no-such-bucket"})),
        ("nobody", json!({"credentials": "nobody"})),
        ("wrong", json!({"credentials": "wrong"})),
        (
            "wrong-v1",
            json!({"credentials": "wrong", "signature_version": "v1"}),
        ),
    ]
}

fn of_settings() -> Vec<Condition> {
    let refuse_path_style = |oss: &FakeAlibaba| {
        oss.set_bucket(BUCKET, json!({"path_style": "refused"}));
    };
    vec![
        get("wrong_region", "/region/a"),
        get("wrong_product", "/product/a"),
        get("public_endpoint", "/public/a"),
        get("path_style_refused", "/path/a").planted(refuse_path_style),
        get("no_such_bucket", "/bucket/a"),
        get("key_unknown", "/nobody/a"),
        get("signature_v4", "/wrong/a"),
        get("signature_v1", "/wrong-v1/a"),
    ]
}

fn of_keys_and_rights() -> Vec<Condition> {
    vec![
        get("access_denied", "/a")
            .planted(|oss| oss.allow(KEY, &["ListObjects"]))
            .mended(|oss| oss.allow_all(KEY)),
        get("session_policy", "/a")
            .planted(|oss| oss.set_session_policy(KEY, &listing_alone()))
            .mended(|oss| oss.set_session_policy(KEY, &Value::Null)),
        get("wrong_endpoint", "/a")
            .planted(|oss| oss.set_bucket(BUCKET, json!({"region": "cn-shanghai"})))
            .mended(|oss| oss.set_bucket(BUCKET, json!({"region": null}))),
        get("throttled_total_qps", "/a").planted(|oss| {
            oss.set(
                "throttle",
                json!({"code": "TotalQpsLimitExceeded", "times": 1}),
            );
        }),
        get("kms_forbidden", "/encrypted")
            .planted(|oss| oss.set_key_state(KEY, "kms"))
            .mended(|oss| oss.set_key_state(KEY, "ok")),
        get("token_expired", "/a")
            .planted(|oss| oss.add_key(KEY, SECRET, Some(TOKEN), Some(1)))
            .mended(|oss| oss.add_key(KEY, SECRET, Some(TOKEN), None)),
        get("token_invalid", "/a")
            .planted(|oss| oss.set_key_state(KEY, "revoked"))
            .mended(|oss| oss.set_key_state(KEY, "ok")),
        // The last one: from now on signatures are of that time.
        get("clock_skew", "/a").planted(|oss| oss.set("clock_offset", json!(7200))),
    ]
}

fn listing_alone() -> Value {
    let resource = format!("acs:oss:*:*:{BUCKET}");
    json!({"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": ["oss:ListObjects"], "Resource": [resource]}]})
}

fn of_objects() -> Vec<Condition> {
    vec![
        get("archived", "/archived"),
        get("mirror_failed", "/mirrored"),
        get("kms_disabled", "/kms-disabled"),
        get("kms_pending_deletion", "/kms-pending_deletion"),
        get("kms_key_not_found", "/kms-key_not_found"),
        get("kms_not_activated", "/kms-not_activated"),
        get("no_such_key", "/absent"),
        get("bad_name_not_utf8", "/%FF"),
        get("range_not_satisfiable", "/a").header("range", "bytes=100-"),
        get("precondition_failed", "/a").header("if-match", "\"other\""),
    ]
}

fn start() -> Stack {
    let stack = Stack::start_with(|builder: &mut EnvoyBuilder| {
        builder.filter["defaults"]["cause_header"] = json!(true);
        // The filter sets the host, as its settings say.
        builder.oss_host = None;
        for (id, secret) in [
            ("nobody", "sesame-of-nobody"),
            ("wrong", "sesame-of-another"),
        ] {
            let (id_env, secret_env) = (format!("{id}_id"), format!("{id}_secret"));
            builder.filter["credentials"][id] =
                json!({"access_key": {"id_env": id_env, "secret_env": secret_env}});
            let variables = [(id_env, format!("LTAI{id}")), (secret_env, secret.into())];
            builder.environment.extend(variables);
        }
        for (name, mut settings) in routes() {
            let prefix = format!("/{name}/");
            settings["strip_prefix"] = json!(prefix);
            builder.filter["routes"][name] = settings;
            let matched = json!({"prefix": prefix});
            builder
                .routes
                .push(json!({"name": name, "match": matched, "route": {}}));
        }
    });
    let oss = &stack.alibaba;
    oss.add_key("LTAIwrong", "sesame-of-the-key", None, None);
    oss.put_object("archived", "content", json!({"storage_class": "Archive"}));
    oss.put_object("mirrored", "content", json!({"mirror_failed": true}));
    oss.put_object("encrypted", "content", json!({"encrypted": "KMS"}));
    for state in [
        "disabled",
        "pending_deletion",
        "key_not_found",
        "not_activated",
    ] {
        let more = json!({"encrypted": "KMS", "kms_state": state});
        oss.put_object(format!("kms-{state}"), "content", more);
    }
    stack
}

#[test]
fn what_really_goes_wrong_is_told_like_the_documented_error() {
    let stack = start();
    let faults = stack.alibaba.faults();
    let port = stack.envoy.port(Position::Upstream);
    let mut words = BTreeSet::new();
    let conditions = of_objects().into_iter().chain(of_settings());
    for condition in conditions.chain(of_keys_and_rights()) {
        let fault = faults.iter().find(|fault| fault.name == condition.fault);
        let fault: &Fault = fault.expect("a fault of that name");
        (condition.plant)(&stack.alibaba);
        stack.alibaba.clear_log();
        let answer = condition.request.send(port);
        (condition.mend)(&stack.alibaba);

        let what = format!("{fault:?}: {answer:?}");
        let seen = stack.alibaba.seen();
        assert_eq!(
            seen.last().map(|seen| &seen.code),
            Some(&fault.code),
            "{what}"
        );
        assert_eq!(answer.status, fault.status, "{what}");
        assert_eq!(answer.header("x-oss-ec"), Some(fault.ec.as_str()), "{what}");
        let expected = expected(fault);
        let told = answer.header("x-oss-origin-auth");
        assert_eq!(told, Some(expected.by_headers), "{what}");
        words.insert(expected.word);
    }
    for word in words {
        let name = format!("oss_errors.{word}");
        wait_until(&name, || stack.envoy.filter_stat(&name) > 0);
    }
    // Where the bucket is, OSS says alone; and whose clock is off.
    for part in [
        "OSS refused: wrong_endpoint (",
        "oss-cn-shanghai.aliyuncs.com",
        " s ahead",
    ] {
        wait_until(part, || stack.envoy.process.output().contains(part));
    }
    for secret in [SECRET, TOKEN, "sesame"] {
        assert!(!stack.envoy.process.output().contains(secret), "{secret}");
    }
}
