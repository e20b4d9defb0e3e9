//! Envoy changes its configuration, is started again and ends, with the native module in it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::dynamic::Dynamic;
use testkit::envoy::{Ports, serve, stat};
use testkit::load::Load;
use testkit::origin::Origin;
use testkit::process::{free_port, scratch, wait_until};
use testkit::stub::Behaviour;
use testkit::{EnvoyBuilder, Process, Request, Response, StubSidecar, host};

use crate::common::native::clusters;
use crate::common::{SECRET, TOKEN, filter, good_answer};

const LISTENERS: [&str; 2] = ["upstream", "downstream"];

/// So short that a listener that is gone is soon destroyed.
const DRAIN: [&str; 4] = ["--drain-time-s", "2", "--drain-strategy", "immediate"];

struct World {
    origin: Origin,
    stub: StubSidecar,
    builder: EnvoyBuilder,
    /// Those of [`LISTENERS`], which keep them through all changes.
    ports: [u16; 2],
}

impl World {
    fn new(sidecar: Behaviour) -> World {
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
    fn numbered(&self, number: usize) -> Value {
        let mut builder = self.builder.clone();
        builder.filter["wait_timeout_ms"] = json!(20_000 + number);
        self.config(&builder)
    }

    /// That of a builder, with the ports of this world.
    fn config(&self, builder: &EnvoyBuilder) -> Value {
        let mut config = builder.config();
        for (listener, port) in listeners(&mut config).zip(self.ports) {
            listener["address"]["socket_address"]["port_value"] = json!(port);
        }
        config
    }

    fn start(&self) -> Dynamic {
        Dynamic::start(&self.builder, &self.numbered(0), &DRAIN)
    }

    /// Both listeners answer a request with this status.
    fn check(&self, status: u16) {
        for port in self.ports {
            let response = Request::get("/a").send(port);
            assert_eq!(response.status, status, "{response:?}");
        }
    }

    /// So many requests at each listener, of which nobody has read the answer.
    fn requests(&self, count: usize) -> Vec<TcpStream> {
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
struct Loads([Load; 2]);

impl Loads {
    fn start(world: &World) -> Loads {
        Loads(world.ports.map(|port| Load::start(port, 3)))
    }

    /// Waits until each listener has answered so many more.
    fn wait_for(&self, count: u64) {
        let before = self.0.each_ref().map(|load| load.counts().total);
        wait_until("load", || {
            let loads = self.0.iter().zip(before);
            loads
                .into_iter()
                .all(|(load, before)| load.counts().total > before + count)
        });
    }

    fn stop(self, world: &World) {
        for load in self.0 {
            let counts = load.stop();
            assert!(
                counts.failed.is_empty(),
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
fn without_filters(mut config: Value) -> Value {
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

#[test]
fn forty_changes_under_load_fail_no_request() {
    let world = World::new(good_answer());
    let mut envoy = world.start();
    world.check(200);
    let loads = Loads::start(&world);
    let mut early = 0;
    for number in 1..=40 {
        match number % 8 {
            4 => refuse(&mut envoy, &world, number),
            _ => envoy.change(&world.numbered(number)),
        }
        loads.wait_for(100);
        if number == 10 {
            early = settled(&mut envoy);
        }
    }
    let late = settled(&mut envoy);
    loads.stop(&world);
    assert!(
        late < early + 8 * 1024,
        "flat memory: {early} KiB, then {late} KiB"
    );
    assert_eq!(world.stub.hits(), 1, "the credentials are the same");
    goes_and_comes_back(envoy, &world);
}

/// A wrong configuration, in both positions: Envoy says which field, and serves with the one
/// before.
fn refuse(envoy: &mut Dynamic, world: &World, number: usize) {
    let mut wrong = world.builder.clone();
    let name = format!("buckett{number}");
    wrong.filter["defaults"][&name] = json!("x");
    envoy.change(&world.config(&wrong));
    let output = envoy.process.output();
    let lines = output
        .lines()
        .filter(|line| line.contains("configuration refused"));
    let count = lines
        .filter(|line| line.contains(&format!("defaults.{name}")))
        .count();
    assert_eq!(count, 2, "{output}");
}

/// Resident memory once nothing of an old configuration drains any more.
fn settled(envoy: &mut Dynamic) -> u64 {
    let admin = envoy.ports.admin;
    for what in ["listeners", "filter_chains"] {
        let name = format!("listener_manager.total_{what}_draining");
        wait_until(&name, || stat(admin, &name) == 0);
    }
    envoy.process.assert_running();
    envoy.process.resident_kib()
}

fn goes_and_comes_back(mut envoy: Dynamic, world: &World) {
    for round in 0..2 {
        envoy.change(&without_filters(world.numbered(100 + round)));
        settled(&mut envoy);
        // Without a signature.
        world.check(403);
        envoy.change(&world.numbered(200 + round));
        world.check(200);
    }
    assert!(world.stub.hits() <= 3, "{}", world.stub.hits());
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
}

/// Requests of an old configuration wait, and so does its fetch, when Envoy has forgotten it.
#[test]
fn changes_while_requests_wait_harm_none_of_them() {
    let mut world = World::new(Behaviour::Wait);
    world.builder.workers = 4;
    let mut envoy = world.start();
    let mut streams = Vec::new();
    for number in 1..=8 {
        streams.extend(world.requests(6));
        envoy.change(&world.numbered(number));
        // Some clients go away: streams of old configurations end.
        let mut number = 0;
        streams.retain(|_| {
            number += 1;
            number % 4 != 0
        });
    }
    world.stub.set(good_answer());
    for stream in streams {
        // A listener that is gone closes what has not been answered in its drain time.
        if let Ok(response) = Response::read(stream, false) {
            assert_eq!(response.status, 200, "{response:?}");
        }
    }
    world.check(200);
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
}

/// Whatever is under way when a configuration goes: a fetch that nobody answers, requests that
/// wait for it, clients that go away. Then others may fetch at once.
#[test]
fn configurations_go_while_their_fetches_are_under_way() {
    let mut world = World::new(Behaviour::Wait);
    world.builder.workers = 4;
    let mut envoy = world.start();
    for number in 1..=10 {
        let streams = world.requests(8);
        wait_until("a fetch", || world.stub.hits() > 0);
        match number % 2 {
            0 => envoy.change(&world.numbered(number)),
            _ => envoy.change(&without_filters(world.numbered(number))),
        }
        drop(streams);
    }
    settled(&mut envoy);
    world.stub.set(good_answer());
    envoy.change(&world.numbered(100));
    world.check(200);
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
}

#[test]
fn a_hot_restart_under_load_fails_no_request() {
    let world = World::new(good_answer());
    let config = host::write("envoy.json", &world.numbered(0).to_string());
    let start = |arguments: &[&str]| -> (Process, Ports) {
        let mut command = host::envoy(&world.builder.binary, &config);
        command.args(["--concurrency", "2", "--drain-time-s", "2"]);
        serve(
            command
                .args(["--parent-shutdown-time-s", "4"])
                .args(arguments),
        )
    };
    let file = scratch("base-id");
    let path = file.display().to_string();
    let (mut first, _) = start(&[
        "--restart-epoch",
        "0",
        "--use-dynamic-base-id",
        "--base-id-path",
        &path,
    ]);
    let base_id = std::fs::read_to_string(&file).unwrap();
    let loads = Loads::start(&world);
    loads.wait_for(200);
    let (mut second, _) = start(&["--restart-epoch", "1", "--base-id", base_id.trim()]);
    assert_eq!(first.wait(), Some(0), "{}", first.output());
    loads.wait_for(200);
    loads.stop(&world);
    assert_eq!(world.stub.hits(), 2, "each process has its own");
    second.assert_running();
    assert_eq!(second.terminate(), Some(0));
}

#[test]
fn a_configuration_is_validated_without_a_fetch() {
    let world = World::new(good_answer());
    let builder = &world.builder;
    let mut wrong = builder.clone();
    wrong.filter["defaults"]["region"] = json!("no region");
    let mut lacking = builder.clone();
    lacking.filter["credentials"]["default"] =
        json!({"access_key": {"id_env": "NOT_SET", "secret_env": "NOT_SET"}});
    for (builder, code, says) in [
        (builder, 0, "OK"),
        (&wrong, 1, "defaults.region"),
        (&lacking, 1, "access_key.id_env"),
    ] {
        let mut command = builder.command(&builder.config());
        let begin = Instant::now();
        let mut process = Process::start("envoy", command.args(["--mode", "validate"]));
        assert_eq!(process.wait(), Some(code), "{}", process.output());
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert!(process.output().contains(says), "{}", process.output());
    }
    assert_eq!(world.stub.hits(), 0);
}
