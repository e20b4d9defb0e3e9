//! What is measured, one thing after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testkit::origin::Origin;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Request, StubSidecar};

use super::chains::{self, BODIES, FLOOR, HOT, LATENCY, SCALE, pick};
use super::envoy::{Chain, Envoy};
use super::load::{self, Load, Objects};
use super::measured::{Added, BASE, CONNECTIONS, Costs, LARGE, Measured, Start, Workers};
use super::{callgrind, rounds, statistics};
use crate::command::{Result, step};

/// How long the measurement is.
#[derive(Clone, Copy)]
pub struct Length {
    rounds: usize,
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
        large_rounds: 11,
        requests: 2_200,
        bodies: 24,
    };
    /// As long as `benches/RESULTS.md` takes.
    pub const FULL: Length = Length {
        rounds: 21,
        large_rounds: 42,
        requests: 8_000,
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

    /// The instructions of all chains.
    pub fn instructions(&self) -> Result<BTreeMap<String, Added>> {
        callgrind::count(&self.chains, &self.origin, self.sidecar.port)
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
        let names: Vec<_> = chains.iter().map(|chain| chain.name).collect();
        rounds::run(envoy, &names, self.length.rounds, &self.small)
    }

    /// The rest of what the quick run measures too; `small` was measured in the same
    /// Envoy.
    pub fn compare(&self, envoy: &Envoy, small: Costs) -> Result<Measured> {
        let Length {
            rounds,
            large_rounds,
            requests,
            bodies,
        } = self.length;
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
        let floor = self.group(&FLOOR)?;
        step("many routes and credentials");
        let scale = self.group(&SCALE)?;
        Ok(Measured {
            rounds,
            requests,
            small,
            hot,
            floor,
            scale,
            large,
            module_bytes: chains::module_bytes()?,
            ..Measured::default()
        })
    }

    /// What small bodies cost in an Envoy of its own.
    fn group(&self, names: &[&str]) -> Result<Costs> {
        let chains = pick(&self.chains, names);
        let envoy = self.start(&chains)?;
        rounds::check(&envoy, &chains, &self.origin)?;
        self.costs(&envoy, &chains)
    }

    /// What only the long run measures.
    pub fn measure_more(&self, envoy: &Envoy, measured: &mut Measured) -> Result {
        step("more headers");
        let load = Load {
            headers: 20,
            ..self.small
        };
        measured.headers = rounds::run(envoy, &[BASE, OURS], self.length.rounds, &load)?;
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
            for chain in [BASE, OURS] {
                measured.workers.push(self.workers(workers, chain)?);
            }
        }
        step("start");
        measured.start = Some(self.starts()?);
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

    /// Medians of 7 new Envoys each.
    fn starts(&self) -> Result<Start> {
        let (without, with) = (pick(&self.chains, &[BASE]), pick(&self.chains, &[OURS]));
        let mut starts = [Vec::new(), Vec::new()];
        let mut requests = [Vec::new(), Vec::new()];
        for _ in 0..7 {
            starts[0].push(self.start(&without)?.started_in.as_secs_f64());
            let envoy = self.start(&with)?;
            starts[1].push(envoy.started_in.as_secs_f64());
            for times in &mut requests {
                let begin = Instant::now();
                let _ = Request::get("/a").send(envoy.port(OURS));
                times.push(begin.elapsed().as_secs_f64());
            }
        }
        let of =
            |times: &Vec<f64>| Duration::from_secs_f64(statistics::median(times.iter().copied()));
        Ok(Start {
            without: of(&starts[0]),
            with: of(&starts[1]),
            first_request: of(&requests[0]),
            second_request: of(&requests[1]),
        })
    }
}

/// The filter where it stands by default.
const OURS: &str = "v4-upstream";
