//! What is measured, one thing after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use testkit::origin::Origin;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Request, StubSidecar};

use super::chains::{self, BODIES, BOTH, FLOOR, HOT, LATENCY, SCALE, pick};
use super::envoy::{Chain, Envoy};
use super::load::{self, Load, Objects};
use super::measured::{
    Added, BASE, CONNECTIONS, Costs, LARGE, Measured, NATIVE, OURS, Start, Workers,
};
use super::{callgrind, natives, rounds, statistics};
use crate::command::{Result, step};

/// How long the measurement is.
#[derive(Clone, Copy)]
pub struct Length {
    rounds: usize,
    /// Rounds of few requests, and how many: what is compared is measured close together, so
    /// that less of the machine's noise comes between.
    short: (usize, u32),
    /// The limit for large bodies lies at 2 %, and the noise is greater.
    large_rounds: usize,
    /// Small bodies of one round.
    requests: u32,
    /// Large bodies of one round.
    bodies: u32,
}

impl Length {
    /// Less than 3 minutes.
    pub const QUICK: Length = Length {
        rounds: 11,
        short: (41, 600),
        large_rounds: 11,
        requests: 1_800,
        bodies: 24,
    };
    /// As long as `benches/RESULTS.md` takes.
    pub const FULL: Length = Length {
        rounds: 13,
        short: (121, 1_500),
        large_rounds: 20,
        requests: 6_000,
        bodies: 96,
    };
}

/// One object, again and again.
pub const ONE: Objects = Objects::One("/objects/example.txt");

/// What all measurements share.
pub struct Session {
    /// All chains that there are.
    pub chains: Vec<Chain>,
    /// The load of small bodies.
    pub small: Load,
    length: Length,
    origin: Origin,
    sidecar: StubSidecar,
}

impl Session {
    /// Starts an origin and a sidecar; small bodies are loaded with these objects.
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

    /// The instructions of these chains, or of all that the report has; a profile of each
    /// goes into the folder `profiles`.
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

    /// An Envoy with one worker and these chains.
    pub fn start(&self, chains: &[Chain]) -> Result<Envoy> {
        self.start_with(chains, 1)
    }

    fn start_with(&self, chains: &[Chain], workers: u32) -> Result<Envoy> {
        Envoy::start(chains, self.origin.oss_port, self.sidecar.port, workers)
    }

    /// Waits until all chains serve, and checks that those known do what they are
    /// measured for.
    pub fn check(&self, envoy: &Envoy, known: &[Chain], others: &[Chain]) -> Result {
        rounds::check(envoy, known, &self.origin)?;
        for other in others {
            let port = envoy.port(other.name);
            wait_until(other.name, || Request::get("/a").send(port).status == 200);
        }
        Ok(())
    }

    /// What small bodies cost over these chains.
    pub fn costs(&self, envoy: &Envoy, chains: &[Chain]) -> Result<Costs> {
        rounds::run(envoy, &names(chains), self.length.rounds, &self.small)
    }

    /// The same in many short rounds, which tell few chains better apart.
    pub fn short_costs(&self, envoy: &Envoy, chains: &[Chain]) -> Result<Costs> {
        let (rounds, requests) = self.length.short;
        let load = Load {
            requests,
            ..self.small
        };
        rounds::run(envoy, &names(chains), rounds, &load)
    }

    /// The rest of what the quick run measures too; `small` was measured in the same
    /// Envoy.
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

    /// What small bodies cost in an Envoy of its own, as `costs` measures it.
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

    /// What only the long run measures.
    pub fn measure_more(&self, envoy: &Envoy, measured: &mut Measured) -> Result {
        step("more headers");
        let load = Load {
            headers: 20,
            ..self.small
        };
        measured.headers = rounds::run(envoy, &HOSTS, self.length.rounds, &load)?;
        step("latency");
        for name in LATENCY {
            let load = Load {
                requests: 5_000,
                connections: 4,
                rate: Some(125),
                signed: false,
                ..self.small
            };
            let times = load::run(envoy.port(name), &load)?;
            measured.latency.push((name, times));
        }
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

    /// Medians of 7 new Envoys each, in turn: without a filter, with ours, and with the
    /// builds of these names.
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

/// No filter, and ours in each host.
const HOSTS: [&str; 3] = [BASE, OURS, NATIVE];
