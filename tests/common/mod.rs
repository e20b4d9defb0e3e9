//! The stack that most tests use: the fake OSS with an object `a`, a stub for
//! the sidecar that has good credentials, and Envoy.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod certificate;
pub mod changes;
pub mod doctor;
pub mod native;
pub mod refusals;
pub mod sidecar;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, ENDPOINT, REGION};
use testkit::stub::Behaviour;
use testkit::{Envoy, EnvoyBuilder, FakeAlibaba, StubSidecar};

pub const SECRET: &str = "sesame-secret-of-sts";
pub const TOKEN: &str = "CAISsesame/token+=";

pub struct Stack {
    pub alibaba: FakeAlibaba,
    pub stub: StubSidecar,
    pub envoy: Envoy,
}

impl Stack {
    pub fn start() -> Stack {
        Stack::start_with(|_| {})
    }

    pub fn start_with(adapt: impl FnOnce(&mut EnvoyBuilder)) -> Stack {
        Stack::start_on(good_answer(), adapt)
    }

    /// With a sidecar that behaves so.
    pub fn start_on(sidecar: Behaviour, adapt: impl FnOnce(&mut EnvoyBuilder)) -> Stack {
        let alibaba = FakeAlibaba::start();
        alibaba.put("a", "content");
        alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
        let stub = StubSidecar::start(sidecar);
        let mut builder = EnvoyBuilder::new(filter(), alibaba.oss_port, stub.port);
        adapt(&mut builder);
        let envoy = builder.start();
        Stack {
            alibaba,
            stub,
            envoy,
        }
    }

    /// The object `a` is encrypted by KMS, which a key may not use whose state is `kms`.
    pub fn encrypt(&self) {
        let encrypted = json!({"encrypted": "KMS"});
        self.alibaba.put_object("a", "content", encrypted);
    }

    /// From now on the sidecar has other credentials, of this id, which OSS knows
    /// too; each answer takes `delay`.
    pub fn give_others(&self, id: &str, delay: Duration) {
        self.alibaba.add_key(id, SECRET, Some(TOKEN), None);
        let body = good_json().replace("STS.example", id);
        self.stub.set(Behaviour::late_body(delay, 200, body));
    }
}

/// The smallest configuration; but it is as patient as it may be, since no test
/// counts on a machine that is quick.
pub fn filter() -> Value {
    json!({
        "credentials": {"default": {"sidecar": {"cluster": "sts_sidecar", "timeout_ms": 30_000}}},
        // By that header a test tells the fake OSS to refuse.
        "defaults": {"bucket": BUCKET, "region": REGION, "endpoint": ENDPOINT,
                     "forward_headers": ["x-test-refusal"]},
        "wait_timeout_ms": 30_000,
    })
}

pub fn good_json() -> String {
    json!({"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": SECRET,
           "SecurityToken": TOKEN, "Expiration": "2099-01-01T00:00:00Z"})
    .to_string()
}

pub fn good_answer() -> Behaviour {
    Behaviour::body(200, good_json())
}
