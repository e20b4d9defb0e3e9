//! The sidecar's cluster goes, comes and is replaced by CDS, whatever is under way.

use std::time::Duration;

use serde_json::Value;
use testkit::dynamic::Dynamic;
use testkit::process::wait_until;
use testkit::stub::{Behaviour, FAR_FUTURE};
use testkit::{Response, StubSidecar, host};

use crate::common::changes::{DRAIN, Loads, World};
use crate::common::native::clusters;
use crate::common::{good_answer, good_json};

/// The same without the sidecar's cluster.
fn without_sidecar(mut config: Value) -> Value {
    let clusters = config["static_resources"]["clusters"].as_array_mut();
    let is_other = |cluster: &Value| cluster["name"] != "sts_sidecar";
    clusters.unwrap().retain(is_other);
    config
}

/// The same with another server in the sidecar's cluster.
fn with_sidecar(mut config: Value, stub: &StubSidecar) -> Value {
    for cluster in clusters(&mut config, "sts_sidecar") {
        let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = stub.port.into();
    }
    config
}

/// A world whose requests wait for a fetch that its stub holds.
struct Waiting {
    world: World,
    envoy: Dynamic,
    streams: Vec<std::net::TcpStream>,
}

impl Waiting {
    fn start(wait_timeout_ms: u64) -> Waiting {
        let mut world = World::new(Behaviour::Wait);
        world.builder.filter["wait_timeout_ms"] = wait_timeout_ms.into();
        let config = world.config(&world.builder);
        let envoy = Dynamic::start(&world.builder, &config, &DRAIN);
        let streams = world.requests(6);
        wait_until("a fetch", || world.stub.hits() == 1);
        Waiting {
            world,
            envoy,
            streams,
        }
    }

    fn config(&self) -> Value {
        self.world.config(&self.world.builder)
    }

    /// The requests are signed once the cluster has another server, which is asked once.
    fn are_served_by_another(mut self) {
        let other = StubSidecar::start(good_answer());
        let config = with_sidecar(self.config(), &other);
        self.envoy.change(&config);
        self.check_waiting(200);
        assert_eq!((self.world.stub.hits(), other.hits()), (1, 1));
        self.end();
    }

    /// All that wait get this status.
    fn check_waiting(&mut self, status: u16) {
        for stream in std::mem::take(&mut self.streams) {
            let response = Response::read(stream, false).unwrap();
            assert_eq!(response.status, status, "{response:?}");
        }
    }

    fn end(mut self) {
        self.world.check(200);
        self.envoy.process.assert_running();
        assert_eq!(self.envoy.process.terminate(), Some(0));
    }
}

#[test]
fn requests_that_wait_are_answered_when_the_sidecars_cluster_goes() {
    let mut waiting = Waiting::start(2_000);
    let config = waiting.config();
    waiting.envoy.change(&without_sidecar(config.clone()));
    waiting.check_waiting(503);
    // The one that held the answer is asked no more.
    let other = StubSidecar::start(good_answer());
    waiting.envoy.change(&with_sidecar(config, &other));
    wait_until("a fetch without a request", || {
        host::stat(waiting.envoy.ports.admin, "callouts.ok") == 1
    });
    assert_eq!((waiting.world.stub.hits(), other.hits()), (1, 1));
    waiting.end();
}

#[test]
fn requests_that_wait_are_signed_when_the_cluster_is_back_in_time() {
    let mut waiting = Waiting::start(60_000);
    let config = waiting.config();
    waiting.envoy.change(&without_sidecar(config));
    waiting.are_served_by_another();
}

#[test]
fn another_server_in_the_cluster_answers_what_the_one_before_has_not() {
    Waiting::start(60_000).are_served_by_another();
}

#[test]
fn a_cluster_that_comes_later_than_the_filter_is_asked_then() {
    let mut world = World::new(good_answer());
    world.builder.filter["wait_timeout_ms"] = 60_000.into();
    let config = world.config(&world.builder);
    let mut envoy = Dynamic::start(&world.builder, &without_sidecar(config.clone()), &DRAIN);
    let streams = world.requests(6);
    wait_until("a fetch that Envoy cannot send", || {
        host::stat(envoy.ports.admin, "callouts.not_sent") > 0
    });
    assert_eq!(world.stub.hits(), 0);
    envoy.change(&config);
    for stream in streams {
        let response = Response::read(stream, false).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert_eq!(world.stub.hits(), 1);
    world.check(200);
    assert_eq!(envoy.process.terminate(), Some(0));
}

/// Credentials that are held go on signing while the cluster is gone, and a refresh was under
/// way; it is made anew when the cluster is back.
#[test]
fn held_credentials_serve_while_the_cluster_is_gone() {
    let body = good_json();
    assert!(body.contains(FAR_FUTURE));
    // Newer ones are fetched after a fifth of it.
    let life = Duration::from_secs(30);
    let mut world = World::new(Behaviour::Lasting(life, body));
    world.builder.filter["credentials"]["default"]["sidecar"]["refresh_margin_ms"] = 30_000.into();
    let config = world.config(&world.builder);
    let mut envoy = Dynamic::start(&world.builder, &config, &DRAIN);
    world.check(200);
    let loads = Loads::start(&world);
    world.stub.set(Behaviour::Wait);
    wait_until("the refresh", || world.stub.hits() == 2);
    envoy.change(&without_sidecar(config.clone()));
    // Envoy says of a callout that it gave up that its status is 503, or that there is none.
    wait_until("its end", || {
        let failed = |result: &str| host::stat(envoy.ports.admin, &format!("callouts.{result}"));
        failed("status") + failed("unreachable") > 0
    });
    loads.wait_for(200);
    let other = StubSidecar::start(good_answer());
    envoy.change(&with_sidecar(config, &other));
    wait_until("another refresh", || other.hits() == 1);
    loads.wait_for(200);
    loads.stop(&world);
    assert_eq!(envoy.process.terminate(), Some(0));
}
