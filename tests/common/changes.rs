//! An Envoy whose configuration changes while it serves, with the filter in both places.

use std::net::TcpStream;

use serde_json::{Value, json};
use testkit::dynamic::Dynamic;
use testkit::envoy::stat;
use testkit::load::Load;
use testkit::origin::Origin;
use testkit::process::{free_port, wait_until};
use testkit::stub::Behaviour;
use testkit::{EnvoyBuilder, Request, StubSidecar};

use super::native::clusters;
use super::{SECRET, TOKEN, filter};

const LISTENERS: [&str; 2] = ["upstream", "downstream"];

/// So short that a listener that is gone is soon destroyed.
pub const DRAIN: [&str; 4] = ["--drain-time-s", "2", "--drain-strategy", "immediate"];

pub struct World {
    pub origin: Origin,
    pub stub: StubSidecar,
    pub builder: EnvoyBuilder,
    /// Those of [`LISTENERS`], which keep them through all changes.
    pub ports: [u16; 2],
}

impl World {
    pub fn new(sidecar: Behaviour) -> World {
        let origin = Origin::start(100);
        origin.add_key("STS.example", SECRET, TOKEN);
        let stub = StubSidecar::start(sidecar);
        let mut builder = EnvoyBuilder::new(filter(), origin.oss_port, stub.port);
        builder.access_log = false;
        let ports = LISTENERS.map(|_| free_port());
        World {
            origin,
            stub,
            builder,
            ports,
        }
    }

    /// A configuration that differs from all with other numbers, in both positions.
    pub fn numbered(&self, number: usize) -> Value {
        let mut builder = self.builder.clone();
        builder.filter["wait_timeout_ms"] = json!(20_000 + number);
        self.config(&builder)
    }

    /// Settings with a field that nobody knows. They differ between the places, since the wasm
    /// host tries the same settings but once.
    pub fn wrong(&self, field: &str, number: usize) -> EnvoyBuilder {
        let mut builder = self.builder.clone();
        builder.filter["defaults"][field] = json!("x");
        builder.downstream_filter = Some(builder.filter.clone());
        builder.filter["wait_timeout_ms"] = json!(20_000 + number);
        builder
    }

    /// That of a builder, with the ports of this world.
    pub fn config(&self, builder: &EnvoyBuilder) -> Value {
        let mut config = builder.config();
        for (listener, port) in listeners(&mut config).zip(self.ports) {
            listener["address"]["socket_address"]["port_value"] = json!(port);
        }
        config
    }

    pub fn start(&self) -> Dynamic {
        Dynamic::start(&self.builder, &self.numbered(0), &DRAIN)
    }

    /// Both listeners answer a request with this status.
    pub fn check(&self, status: u16) {
        for port in self.ports {
            let response = Request::get("/a").send(port);
            assert_eq!(response.status, status, "{response:?}");
        }
    }

    /// Both listeners answer with this status as soon as all of Envoy's threads have a change of
    /// listeners and clusters, and until then with that of before.
    pub fn check_change(&self, before: u16, after: u16) {
        for port in self.ports {
            wait_until("the change to be in force", || {
                let response = Request::get("/a").send(port);
                assert!([before, after].contains(&response.status), "{response:?}");
                response.status == after
            });
        }
    }

    /// The log says of both places that this field was refused.
    pub fn check_refusals(&self, output: &str, field: &str) {
        let lines = output.lines();
        let refusals = lines.filter(|line| line.contains("configuration refused"));
        let field = format!("defaults.{field}");
        let count = refusals.filter(|line| line.contains(&field)).count();
        assert_eq!(count, 2, "{output}");
    }

    /// So many requests at each listener, of which nobody has read the answer.
    pub fn requests(&self, count: usize) -> Vec<TcpStream> {
        let ports = self
            .ports
            .iter()
            .flat_map(|port| std::iter::repeat_n(*port, count));
        ports
            .map(|port| Request::get("/a").start(port).unwrap())
            .collect()
    }
}

/// Load on both listeners.
pub struct Loads([Load; 2]);

impl Loads {
    pub fn start(world: &World) -> Loads {
        Loads(world.ports.map(|port| Load::start(port, 3)))
    }

    /// Waits until each listener has answered so many more.
    pub fn wait_for(&self, count: u64) {
        let before = self.0.each_ref().map(|load| load.counts().total);
        wait_until("load", || {
            let loads = self.0.iter().zip(before);
            loads
                .into_iter()
                .all(|(load, before)| load.counts().total > before + count)
        });
    }

    /// Waits until each client has begun and ended another request.
    pub fn wait_for_each(&self) {
        let each = || self.0.each_ref().map(Load::each);
        let before = each();
        wait_until("an answer for each client", || {
            let pairs = each().into_iter().flatten().zip(before.iter().flatten());
            // The first may have been under way.
            pairs.into_iter().all(|(now, before)| now > before + 1)
        });
    }

    /// Ends the load. Nothing has failed, the credentials were fetched once, and Envoy's resident
    /// memory has hardly grown since it had `early` KiB.
    pub fn end_as_begun(self, world: &World, envoy: &mut Dynamic, early: u64) {
        let late = settled(envoy);
        self.stop(world);
        assert!(
            late < early + 8 * 1024,
            "flat memory: {early} KiB, then {late} KiB"
        );
        assert_eq!(world.stub.hits(), 1, "the credentials are the same");
    }

    /// No request has failed.
    pub fn stop(self, world: &World) {
        self.stop_but_for(world, "nothing");
    }

    /// No request has failed but with what begins so.
    pub fn stop_but_for(self, world: &World, allowed: &str) {
        for load in self.0 {
            let counts = load.stop();
            assert!(
                counts.failed.keys().all(|how| how.starts_with(allowed)),
                "{counts:?} {:?}",
                world.origin.refused()
            );
        }
    }
}

fn listeners(config: &mut Value) -> impl Iterator<Item = &mut Value> {
    config["static_resources"]["listeners"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
}

/// The same without any filter of ours.
pub fn without_filters(mut config: Value) -> Value {
    let is_other = |filter: &Value| filter["name"] != "oss_origin_auth";
    for listener in listeners(&mut config) {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["http_filters"]
            .as_array_mut()
            .unwrap()
            .retain(is_other);
    }
    for cluster in clusters(&mut config, "oss_") {
        let options = cluster["typed_extension_protocol_options"]
            .as_object_mut()
            .unwrap();
        for options in options.values_mut() {
            options["http_filters"]
                .as_array_mut()
                .unwrap()
                .retain(is_other);
        }
    }
    config
}

/// Resident memory once nothing of an old configuration drains any more.
pub fn settled(envoy: &mut Dynamic) -> u64 {
    let admin = envoy.ports.admin;
    for what in ["listeners", "filter_chains"] {
        let name = format!("listener_manager.total_{what}_draining");
        wait_until(&name, || stat(admin, &name) == 0);
    }
    envoy.process.assert_running();
    envoy.process.resident_kib()
}
