//! The sequence of the measurements.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use testkit::origin::Origin;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Request, StubSidecar};

use super::chains::{self, BODIES, BOTH, FLOOR, HOT, LATENCY, SCALE, pick};
use super::envoy::{Chain, Envoy};
use super::load::{Load, Objects};
use super::measured::{
    Added, BASE, CONNECTIONS, Costs, LARGE, Measured, NATIVE, OURS, Start, Workers,
};
use super::{callgrind, natives, rounds, statistics};
use crate::command::{Result, step};

/// The length of the measurements.
#[derive(Clone, Copy)]
pub struct Length {
    rounds: usize,
    /// The number of short rounds, and the requests in each. Chains that are compared are
    /// measured close together, so that less noise of the machine comes between.
    short: (usize, u32),
    /// The number of rounds with large bodies. Their limit is 2 %, and the noise is greater.
    large_rounds: usize,
    /// The number of small bodies in a round.
    requests: u32,
    /// The number of large bodies in a round.
    bodies: u32,
}

impl Length {
    /// The length for less than 3 minutes.
    pub const QUICK: Length = Length {
        rounds: 11,
        short: (41, 600),
        large_rounds: 11,
        requests: 1_800,
        bodies: 24,
    };
    /// The length for `benches/RESULTS.md`.
    pub const FULL: Length = Length {
        rounds: 13,
        short: (121, 1_500),
        large_rounds: 20,
        requests: 6_000,
        bodies: 96,
    };
}

/// The number of rounds for the latency, of one second each.
pub const LATENCY_ROUNDS: usize = 25;

/// A single object, again and again.
pub const ONE: Objects = Objects::One("/objects/example.txt");

/// The state that all measurements share.
pub struct Session {
    /// All chains.
    pub chains: Vec<Chain>,
    /// The load of small bodies.
    pub small: Load,
    length: Length,
    origin: Origin,
    sidecar: StubSidecar,
}

impl Session {
    /// Starts an origin and a sidecar; `objects` are requested as small bodies.
    pub fn open(chains: Vec<Chain>, length: Length, objects: Objects) -> Session {
        Session {
            chains,
            small: Load {
                requests: length.requests,
                connections: CONNECTIONS,
                objects,
                headers: 0,
                rate: None,
                signed: false,
            },
            length,
            origin: Origin::open(LARGE),
            sidecar: StubSidecar::start(Behaviour::body(200, chains::credentials())),
        }
    }

    /// Counts the instructions of these chains, or of all chains of the report. The folder
    /// `profiles` gets a profile of each.
    pub fn instructions(
        &self,
        names: &[&str],
        profiles: Option<&Path>,
    ) -> Result<BTreeMap<String, Added>> {
        let names = match names {
            [] => &callgrind::COUNTED,
            names => names,
        };
        let (origin, sidecar) = (&self.origin, self.sidecar.port);
        callgrind::count(&self.chains, names, origin, sidecar, profiles)
    }

    /// Starts an Envoy with one worker and these chains.
    pub fn start(&self, chains: &[Chain]) -> Result<Envoy> {
        self.start_with(chains, 1)
    }

    fn start_with(&self, chains: &[Chain], workers: u32) -> Result<Envoy> {
        Envoy::start(chains, self.origin.oss_port, self.sidecar.port, workers)
    }

    /// Waits until all chains serve, and checks that `known` ones do what they are measured
    /// for.
    pub fn check(&self, envoy: &Envoy, known: &[Chain], others: &[Chain]) -> Result {
        rounds::check(envoy, known, &self.origin)?;
        for other in others {
            let port = envoy.port(other.name);
            wait_until(other.name, || Request::get("/a").send(port).status == 200);
        }
        Ok(())
    }

    /// Measures the cost of small bodies over these chains.
    pub fn costs(&self, envoy: &Envoy, chains: &[Chain]) -> Result<Costs> {
        rounds::run(envoy, &names(chains), self.length.rounds, &self.small)
    }

    /// Measures the cost of small bodies in many short rounds, which separate a few chains
    /// better.
    pub fn short_costs(&self, envoy: &Envoy, chains: &[Chain]) -> Result<Costs> {
        let (rounds, requests) = self.length.short;
        let load = Load {
            requests,
            ..self.small
        };
        rounds::run(envoy, &names(chains), rounds, &load)
    }

    /// Measures the rest of the quick run; `small` was measured in the same Envoy.
    pub fn compare(&self, envoy: &Envoy, small: Costs) -> Result<Measured> {
        let Length {
            rounds,
            short,
            large_rounds,
            requests,
            bodies,
        } = self.length;
        step("both hosts");
        let both = self.group(&BOTH, Session::short_costs)?;
        step("one object");
        let hot = Load {
            objects: ONE,
            ..self.small
        };
        let hot = rounds::run(envoy, &HOT, rounds, &hot)?;
        step("large bodies");
        let large = Load {
            requests: bodies,
            connections: 4,
            objects: Objects::One("/large"),
            ..self.small
        };
        let large = rounds::run(envoy, &BODIES, large_rounds, &large)?;
        step("the floor");
        let floor = self.group(&FLOOR, Session::costs)?;
        step("many routes and credentials");
        let scale = self.group(&SCALE, Session::costs)?;
        Ok(Measured {
            rounds,
            requests,
            short,
            both,
            small,
            hot,
            floor,
            scale,
            large,
            module_bytes: chains::module_bytes()?,
            native_bytes: natives::filter_bytes()?,
            ..Measured::default()
        })
    }

    /// Measures the cost of small bodies in an Envoy of its own, like `costs`.
    fn group(
        &self,
        names: &[&str],
        costs: impl Fn(&Session, &Envoy, &[Chain]) -> Result<Costs>,
    ) -> Result<Costs> {
        let chains = pick(&self.chains, names);
        let envoy = self.start(&chains)?;
        rounds::check(&envoy, &chains, &self.origin)?;
        costs(self, &envoy, &chains)
    }

    /// Measures what only the long run has.
    pub fn measure_more(&self, envoy: &Envoy, measured: &mut Measured) -> Result {
        step("more headers");
        let load = Load {
            headers: 20,
            ..self.small
        };
        measured.headers = rounds::run(envoy, &HOSTS, self.length.rounds, &load)?;
        step("latency");
        measured.latency = self.latency()?;
        step("workers");
        for workers in [1, 2, 4] {
            for chain in HOSTS {
                measured.workers.push(self.workers(workers, chain)?);
            }
        }
        step("start");
        measured.starts = self.starts(&[])?;
        Ok(())
    }

    /// Measures the latency at a rate that leaves Envoy idle in between.
    pub fn latency(&self) -> Result<[Costs; 3]> {
        let chains = pick(&self.chains, &LATENCY);
        let envoy = self.start(&chains)?;
        rounds::check(&envoy, &chains, &self.origin)?;
        let load = Load {
            requests: 500,
            connections: 4,
            rate: Some(125),
            ..self.small
        };
        rounds::latency(&envoy, &LATENCY, LATENCY_ROUNDS, &load)
    }

    fn workers(&self, workers: u32, chain: &'static str) -> Result<Workers> {
        let envoy = self.start_with(&pick(&self.chains, &[chain]), workers)?;
        let costs = rounds::run(&envoy, &[chain], 5, &self.small)?;
        Ok(Workers {
            workers,
            chain,
            cost: statistics::median(costs[chain].iter().copied()),
            kib: envoy.process.resident_kib(),
        })
    }

    /// Measures the medians of 7 new Envoys each, in turn: without a filter, with ours, and
    /// with the builds of these names.
    pub fn starts(&self, builds: &[&str]) -> Result<Vec<Start>> {
        let chains = pick(&self.chains, &[&HOSTS, builds].concat());
        let mut times: Vec<_> = chains
            .iter()
            .map(|chain| (chain.name, [const { Vec::new() }; 3]))
            .collect();
        for _ in 0..7 {
            for (chain, (_, times)) in chains.iter().zip(&mut times) {
                let envoy = self.start(std::slice::from_ref(chain))?;
                let [serves, requests @ ..] = times;
                serves.push(envoy.started_in.as_secs_f64());
                for times in requests {
                    let begin = Instant::now();
                    let _ = Request::get("/a").send(envoy.port(chain.name));
                    times.push(begin.elapsed().as_secs_f64());
                }
            }
        }
        let start = |(chain, times): (&'static str, [Vec<f64>; 3])| {
            let [serves, first_request, second_request] = times.map(statistics::median);
            Start {
                chain,
                serves,
                first_request,
                second_request,
            }
        };
        Ok(times.into_iter().map(start).collect())
    }
}

fn names(chains: &[Chain]) -> Vec<&'static str> {
    chains.iter().map(|chain| chain.name).collect()
}

/// The chains without a filter and with ours in each host.
const HOSTS: [&str; 3] = [BASE, OURS, NATIVE];
