//! Rounds of load over the chains of one Envoy.

use testkit::Request;
use testkit::origin::Origin;
use testkit::process::wait_until;

use super::chains;
use super::envoy::{Chain, Envoy};
use super::load::{self, Load};
use super::measured::{Costs, PERCENTILES};
use super::statistics::percentile;
use crate::command::Result;

/// Checks that each chain does what it is measured for.
pub fn check(envoy: &Envoy, chains: &[Chain], origin: &Origin) -> Result {
    let mut left = None;
    for chain in chains {
        let filter = chain.name.trim_start_matches("native-");
        // These chains have no filter, or no callbacks, or do not sign.
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
        // A chain that is compared with the floor must send the same headers as the floor.
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

/// Measures the cost of each of `names` in every round.
pub fn run(envoy: &Envoy, names: &[&'static str], rounds: usize, load: &Load) -> Result<Costs> {
    let mut costs = Costs::new();
    interleaved(envoy, names, rounds, load, |name, load| {
        let before = envoy.cpu_time()?;
        load::run(envoy.port(name), load)?;
        let used = envoy.cpu_time()? - before;
        let cost = used.as_secs_f64() / f64::from(load.requests);
        costs.entry(name).or_default().push(cost);
        Ok(())
    })?;
    Ok(costs)
}

/// Measures the time of requests to each of `names` in every round, in seconds, by
/// [`PERCENTILES`].
pub fn latency(
    envoy: &Envoy,
    names: &[&'static str],
    rounds: usize,
    load: &Load,
) -> Result<[Costs; 3]> {
    let mut latency = [const { Costs::new() }; 3];
    interleaved(envoy, names, rounds, load, |name, load| {
        let times = load::run(envoy.port(name), load)?;
        if times.is_empty() {
            return Err(format!("{name}: h2load has noted no times"));
        }
        for (costs, percent) in latency.iter_mut().zip(PERCENTILES) {
            let micros = times.iter().map(|time| *time as f64);
            let time = percentile(micros, percent) / 1e6;
            costs.entry(name).or_default().push(time);
        }
        Ok(())
    })?;
    Ok(latency)
}

/// Measures each of `names` in every round, in an order that changes, after a warm-up that is
/// not counted.
fn interleaved(
    envoy: &Envoy,
    names: &[&'static str],
    rounds: usize,
    load: &Load,
    mut measure: impl FnMut(&'static str, &Load) -> Result,
) -> Result {
    for name in names {
        load::run(envoy.port(name), &load.of(name))?;
    }
    for round in 0..rounds {
        for index in 0..names.len() {
            // The order alternates between forwards and backwards, so that neighbours change,
            // too.
            let at = match round % 2 {
                0 => index,
                _ => names.len() - 1 - index,
            };
            let name = names[(at + round) % names.len()];
            measure(name, &load.of(name))?;
        }
    }
    Ok(())
}
