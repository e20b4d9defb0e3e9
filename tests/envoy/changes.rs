//! Envoy changes its configuration by LDS and CDS, is started again and ends, with the filter
//! in it.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::dynamic::Dynamic;
use testkit::envoy::{Ports, serve, stat};
use testkit::process::{scratch, wait_until};
use testkit::stub::Behaviour;
use testkit::{Process, Response, host};

use crate::common::changes::{Loads, World, settled, without_filters};
use crate::common::good_answer;

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
    loads.end_as_begun(&world, &mut envoy, early);
    goes_and_comes_back(envoy, &world);
}

/// A wrong configuration, in both positions: Envoy says which field, and serves with the one
/// before.
fn refuse(envoy: &mut Dynamic, world: &World, number: usize) {
    let admin = envoy.ports.admin;
    let rejected = || {
        let counters = ["cluster_manager.cds", "listener_manager.lds"];
        counters.map(|counter| stat(admin, &format!("{counter}.update_rejected")))
    };
    let before = rejected();
    let name = format!("buckett{number}");
    envoy.change(&world.config(&world.wrong(&name, number)));
    assert_eq!(rejected(), before.map(|count| count + 1));
    world.check_refusals(&envoy.process.output(), &name);
}

fn goes_and_comes_back(mut envoy: Dynamic, world: &World) {
    for round in 0..2 {
        envoy.change(&without_filters(world.numbered(100 + round)));
        // Without a signature.
        world.check_change(200, 403);
        settled(&mut envoy);
        envoy.change(&world.numbered(200 + round));
        world.check_change(403, 200);
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
