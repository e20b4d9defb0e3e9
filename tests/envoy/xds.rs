//! A control plane sends the filter's settings by ECDS, as Istio's does for a `WasmPlugin`.

use serde_json::{Value, json};
use testkit::Request;
use testkit::discovery::allow_all;
use testkit::dynamic::Dynamic;

use crate::common::changes::{DRAIN, Loads, World, settled, without_filters};
use crate::common::good_answer;

/// So often, under load, the settings change; every eighth change is wrong.
const CHANGES: usize = 100;

/// What is visible of a number: every second one allows PUT.
fn numbered(world: &World, number: usize) -> Value {
    let mut builder = world.builder.clone();
    builder.filter["wait_timeout_ms"] = json!(20_000 + number);
    if number.is_multiple_of(2) {
        builder.filter["defaults"]["methods"] = json!(["GET", "HEAD", "PUT"]);
    }
    world.config(&builder)
}

fn check_taken(world: &World, number: usize) {
    for port in world.ports {
        let put = Request::new("PUT", "/a").send(port);
        let expected = match number.is_multiple_of(2) {
            true => 200,
            false => 405,
        };
        assert_eq!(put.status, expected, "{number}: {put:?}");
    }
}

#[test]
fn a_hundred_changes_by_ecds_under_load_fail_no_request() {
    let world = World::new(good_answer());
    let mut envoy = Dynamic::discovering(&world.builder, &numbered(&world, 0), &DRAIN);
    world.check(200);
    let loads = Loads::start(&world);
    let (mut early, mut last) = (0, 0);
    for number in 1..=CHANGES {
        match number % 8 {
            4 => refuse(&mut envoy, &world, number),
            _ => {
                assert_eq!(envoy.change_filters(&numbered(&world, number)), 0);
                last = number;
            }
        }
        check_taken(&world, last);
        loads.wait_for(20);
        if number == CHANGES / 4 {
            early = settled(&mut envoy);
        }
    }
    loads.end_as_begun(&world, &mut envoy, early);
    goes_and_comes_back(envoy, &world);
}

/// A wrong configuration, in both places: Envoy says which field, and serves with the one
/// before.
fn refuse(envoy: &mut Dynamic, world: &World, number: usize) {
    let name = format!("buckett{number}");
    let wrong = world.config(&world.wrong(&name, number));
    assert_eq!(envoy.change_filters(&wrong), 2);
    world.check_refusals(&envoy.process.output(), &name);
}

/// The filter leaves the chain and returns, also while a control plane has put in its place
/// what lets all pass.
fn goes_and_comes_back(mut envoy: Dynamic, world: &World) {
    let loads = Loads::start(world);
    for number in 0..3 {
        let config = numbered(world, number);
        assert_eq!(envoy.change_filters(&config), 0);
        envoy.change(&without_filters(config.clone()));
        // Without a signature.
        world.check_change(200, 403);
        envoy.change(&config);
        world.check_change(403, 200);
        assert_eq!(envoy.replace_filters(&config, &allow_all()), 0);
        world.check(403);
        assert_eq!(envoy.change_filters(&config), 0);
        world.check(200);
    }
    loads.stop_but_for(world, "403 ");
    comes_back_wrong(&mut envoy, world);
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
}

/// Nothing is served in the place of a filter that has never had settings that are right:
/// neither signed nor unsigned.
fn comes_back_wrong(envoy: &mut Dynamic, world: &World) {
    let config = numbered(world, 0);
    refuse(envoy, world, 1_000);
    world.check(200);
    envoy.change(&without_filters(config.clone()));
    world.check_change(200, 403);
    // Envoy refuses a listener with what was wrong for one that drains.
    settled(envoy);
    envoy.change(&config);
    world.check_change(403, 500);
    assert_eq!(envoy.change_filters(&config), 0);
    world.check(200);
}
