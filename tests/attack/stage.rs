//! What the attacks have in common.

use serde_json::json;
use testkit::alibaba::BUCKET;
use testkit::recorder::Received;
use testkit::stub::Behaviour;
use testkit::{Envoy, EnvoyBuilder, Recorder, Response, StubSidecar};

use crate::common::{filter, good_answer};

/// Makes two tests of each function: it is told where the filter sits.
macro_rules! in_both_positions {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn on_the_cluster() {
                super::$test(testkit::Position::Upstream);
            }

            #[test]
            fn among_the_listeners_filters() {
                super::$test(testkit::Position::Downstream);
            }
        }
    )*};
}

pub const ENDPOINT: &str = "oss-cn-hangzhou-internal.aliyuncs.com";

/// What OSS is to be called: by the filter on the cluster, by the routes in front of it.
pub fn oss_host() -> String {
    format!("{BUCKET}.{ENDPOINT}")
}

/// As every good configuration says: the bucket's host, by the filter and by the routes.
pub fn with_endpoint(builder: &mut EnvoyBuilder) {
    builder.filter["defaults"]["endpoint"] = json!(ENDPOINT);
    builder.oss_host = Some(oss_host());
}

/// An Envoy whose OSS judges nobody: it is there to see what came.
pub struct Stage {
    pub oss: Recorder,
    pub stub: StubSidecar,
    pub envoy: Envoy,
}

impl Stage {
    pub fn start_with(adapt: impl FnOnce(&mut EnvoyBuilder)) -> Stage {
        Stage::between(Recorder::start(), good_answer(), adapt)
    }

    /// With an OSS and a sidecar that answer in their own ways.
    pub fn between(
        oss: Recorder,
        sidecar: Behaviour,
        adapt: impl FnOnce(&mut EnvoyBuilder),
    ) -> Stage {
        let stub = StubSidecar::start(sidecar);
        let mut builder = EnvoyBuilder::new(filter(), oss.port, stub.port);
        with_endpoint(&mut builder);
        adapt(&mut builder);
        let envoy = builder.start();
        Stage { oss, stub, envoy }
    }

    /// Fails if anything has come to OSS.
    pub fn assert_nothing_left(&self, attack: &str) {
        assert_none(&self.oss.seen(), &format!("{attack} reached OSS"));
    }
}

/// Fails, and shows the requests, if there are any.
pub fn assert_none(requests: &[Received], what: &str) {
    let shown: Vec<String> = requests.iter().map(Received::to_string).collect();
    assert!(shown.is_empty(), "{what}:\n{}", shown.join("\n"));
}

/// Fails unless the filter itself has answered so.
pub fn assert_refused(response: &Response, status: u16, reason: &str, attack: &str) {
    let reply = (response.status, response.header("x-oss-origin-auth"));
    assert_eq!(reply, (status, Some(reason)), "{attack}");
}
