//! The settings of credentials change by ECDS while requests come.

use serde_json::{Value, json};
use testkit::dynamic::Dynamic;
use testkit::origin::SIGNED_BY;
use testkit::process::wait_until;
use testkit::recorder::Answer;
use testkit::stub::Behaviour;
use testkit::{Recorder, Request};

use crate::common::changes::{DRAIN, Loads, World};
use crate::common::{SECRET, TOKEN, good_answer, good_json};

/// A change of the filter's settings, and what shows that they are in force.
struct Step {
    what: &'static str,
    change: fn(&mut Value),
    /// The id of the key that signs from then on.
    signer: &'static str,
    /// How often a sidecar is asked for that, by both places together.
    fetches: usize,
}

const STEPS: [Step; 9] = [
    Step {
        what: "another cluster",
        change: |filter| default(filter)["cluster"] = json!("sts_other"),
        signer: "STS.second.sts_other.default",
        fetches: 1,
    },
    Step {
        what: "another path",
        change: |filter| default(filter)["path"] = json!("/v1/credentials/elsewhere"),
        signer: "STS.second.sts_other.elsewhere",
        fetches: 1,
    },
    Step {
        what: "another authority",
        change: |filter| default(filter)["authority"] = json!("localhost"),
        signer: "STS.second.localhost.elsewhere",
        fetches: 1,
    },
    Step {
        what: "other margins",
        change: |filter| {
            default(filter)["refresh_margin_ms"] = json!(43_200_000);
            default(filter)["clock_margin_ms"] = json!(1_000);
        },
        signer: "STS.second.localhost.elsewhere",
        fetches: 0,
    },
    Step {
        what: "a key of the environment",
        change: |filter| {
            filter["credentials"]["default"] =
                json!({"access_key": {"id_env": KEY[0].0, "secret_env": KEY[1].0}});
        },
        signer: KEY[0].1,
        fetches: 0,
    },
    Step {
        what: "back to what is still held",
        change: |filter| {
            filter["credentials"]["default"] = json!({"sidecar": {"cluster": "sts_other",
                "path": "/v1/credentials/elsewhere", "authority": "localhost"}});
        },
        signer: "STS.second.localhost.elsewhere",
        fetches: 0,
    },
    Step {
        what: "another name, and a route that moves to it",
        change: |filter| {
            filter["credentials"]["second"] = json!({"sidecar": {"cluster": "sts_sidecar"}});
            filter["routes"] = json!({"default": {"credentials": "second"}});
        },
        signer: "STS.first.sts_sidecar.second",
        fetches: 1,
    },
    Step {
        what: "a name that means something else from now on",
        change: |filter| {
            filter["credentials"]["second"] =
                json!({"sidecar": {"cluster": "sts_other", "path": "/second"}});
        },
        signer: "STS.second.sts_other.second",
        fetches: 1,
    },
    Step {
        what: "the settings of the start",
        change: |filter| {
            filter["credentials"] = json!({"default": {"sidecar": {"cluster": "sts_sidecar"}}});
            filter["routes"] = json!({});
        },
        signer: AT_FIRST,
        fetches: 0,
    },
];

const AT_FIRST: &str = "STS.first.sts_sidecar.default";

/// The variables of Envoy's environment with a key.
const KEY: [(&str, &str); 2] = [("TEST_KEY_ID", "LTAIexample"), ("TEST_KEY_SECRET", SECRET)];

fn default(filter: &mut Value) -> &mut Value {
    &mut filter["credentials"]["default"]["sidecar"]
}

/// The settings of a world. The wasm filter sees the variables only if it uses them: other
/// variables take another VM.
fn config(world: &World) -> Value {
    let mut builder = world.builder.clone();
    if builder.filter["credentials"]["default"]["access_key"].is_null() {
        builder.environment.clear();
    }
    world.config(&builder)
}

/// A sidecar whose credentials say by their id which one was asked, by what host, for what.
fn sidecar(name: &'static str) -> Recorder {
    Recorder::answering(move |request| {
        let host = request.header("host").concat();
        let asked = request.target.rsplit('/').next().unwrap();
        let id = format!("STS.{name}.{host}.{asked}");
        let body = good_json().replace("STS.example", &id);
        Answer::new(200, &[], body.as_bytes())
    })
}

/// Makes OSS accept this key, again if it was revoked.
fn accept(world: &World, id: &str) {
    match id == KEY[0].1 {
        true => world.origin.add_key(id, SECRET, ""),
        false => world.origin.add_key(id, SECRET, TOKEN),
    }
}

fn check_signer(world: &World, signer: &str, what: &str) {
    for port in world.ports {
        // So many that each worker has some.
        for _ in 0..8 {
            let response = Request::get("/a").send(port);
            assert_eq!(response.status, 200, "{what}: {response:?}");
            assert_eq!(response.header(SIGNED_BY), Some(signer), "{what}");
        }
    }
}

#[test]
fn other_credentials_by_ecds_sign_at_once_and_fail_no_request() {
    let sidecars = [sidecar("first"), sidecar("second")];
    let mut world = World::new(good_answer());
    world.builder.sidecar_port = sidecars[0].port;
    world.builder.clusters = vec![("sts_other".into(), sidecars[1].port)];
    world.builder.environment = KEY.map(|(name, value)| (name.into(), value.into())).into();
    accept(&world, AT_FIRST);
    let mut envoy = Dynamic::discovering(&world.builder, &config(&world), &DRAIN);
    check_signer(&world, AT_FIRST, "the start");
    let loads = Loads::start(&world);
    let fetches = || -> usize { sidecars.iter().map(|sidecar| sidecar.seen().len()).sum() };
    let (mut before, mut fetched) = (AT_FIRST, fetches());
    for step in &STEPS {
        let what = step.what;
        accept(&world, step.signer);
        (step.change)(&mut world.builder.filter);
        assert_eq!(envoy.change_filters(&config(&world)), 0, "{what}");
        check_signer(&world, step.signer, what);
        loads.wait_for_each();
        if step.signer != before {
            // Whoever still signs with it fails from now on.
            world.origin.revoke(before);
        }
        loads.wait_for_each();
        assert_eq!(fetches(), fetched + step.fetches, "{what}");
        (before, fetched) = (step.signer, fetches());
    }
    loads.stop(&world);
    envoy.process.assert_running();
    assert_eq!(envoy.process.terminate(), Some(0));
    let output = envoy.process.output();
    for secret in [SECRET, TOKEN] {
        assert!(!output.contains(secret), "{output}");
    }
}

/// What the old settings had begun ends with them, and keeps nobody from beginning anew.
#[test]
fn a_change_while_a_fetch_is_under_way_begins_another() {
    let mut world = World::new(Behaviour::Wait);
    // Longer than a request waits: nothing begins anew in time for time alone.
    default(&mut world.builder.filter)["timeout_ms"] = json!(60_000);
    let mut envoy = Dynamic::discovering(&world.builder, &world.numbered(0), &DRAIN);
    wait_until("a fetch", || world.stub.hits() > 0);
    for number in 1..=4 {
        assert_eq!(envoy.change_filters(&world.numbered(number)), 0);
    }
    world.stub.set(good_answer());
    world.check(200);
    assert_eq!(envoy.process.terminate(), Some(0));
}
