//! Rounds of load over the chains of one Envoy.

use testkit::Request;
use testkit::origin::Origin;
use testkit::process::wait_until;

use super::chains;
use super::envoy::{Chain, Envoy};
use super::load::{self, Load};
use super::measured::Costs;
use crate::command::Result;

/// That each chain does what it is measured for.
pub fn check(envoy: &Envoy, chains: &[Chain], origin: &Origin) -> Result {
    let mut left = None;
    for chain in chains {
        let filter = chain.name.trim_start_matches("native-");
        // Without a filter, or without callbacks, among others.
        let signs = !["no-", "do-nothing", "floor-reads", "access"]
            .iter()
            .any(|other| filter.starts_with(other));
        let port = envoy.port(chain.name);
        let path = match chains::checks(chain.name) {
            true => chains::signed("/a"),
            false => "/a".to_owned(),
        };
        wait_until(chain.name, || Request::get(&path).send(port).status == 200);
        let before = origin.signed();
        let _ = Request::get(&path).send(port);
        if (origin.signed() > before) != signs {
            return Err(format!("{}: signed is not {signs}", chain.name));
        }
        // What is to be compared with the floor leaves with the same headers as from there.
        if signs && (chain.name.starts_with("floor-") || chain.name == "v4-upstream") {
            let shape = origin.shape();
            let left = left.get_or_insert_with(|| shape.clone());
            if *left != shape {
                return Err(format!("{}: {shape:?} left, not {left:?}", chain.name));
            }
        }
    }
    Ok(())
}

/// Each of `names` in every round, in an order that changes.
pub fn run(envoy: &Envoy, names: &[&'static str], rounds: usize, load: &Load) -> Result<Costs> {
    for name in names {
        load::run(envoy.port(name), &load.of(name))?;
    }
    let mut costs = Costs::new();
    for round in 0..rounds {
        for index in 0..names.len() {
            // Now forwards, now backwards, so that neighbours change too.
            let at = match round % 2 {
                0 => index,
                _ => names.len() - 1 - index,
            };
            let name = names[(at + round) % names.len()];
            let before = envoy.cpu_time()?;
            load::run(envoy.port(name), &load.of(name))?;
            let used = envoy.cpu_time()? - before;
            costs
                .entry(name)
                .or_default()
                .push(used.as_secs_f64() / f64::from(load.requests));
        }
    }
    Ok(costs)
}
