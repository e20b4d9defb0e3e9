//! Many Envoys, their sidecars and STS, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::Instant;

use super::envoy::Envoy;
use super::report::Report;
use super::sidecar::{Asked, Caller, Given, Sidecar};
use super::sts::{Outcome, Sts};

/// What is simulated. Times are milliseconds since the start.
#[derive(Clone)]
pub struct Plan {
    pub envoys: usize,
    /// Of each Envoy, its main thread included.
    pub threads: usize,
    pub sidecars: Sidecars,
    /// How long a token lives.
    pub life: u64,
    /// Calls a second that STS takes.
    pub limit: u32,
    /// All Envoys and sidecars begin within this time.
    pub begin_within: u64,
    pub outages: Vec<Range<u64>>,
    pub until: u64,
    /// All ticks are made, also those that do nothing.
    pub every_tick: bool,
    pub seed: u64,
}

/// Where the sidecars are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sidecars {
    /// One for each so many Envoys: a pod, or a node.
    OneFor(usize),
    /// So many for all, and each request goes to any of them.
    Replicas(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick {
        envoy: usize,
        thread: usize,
        plan: u32,
    },
    Ask {
        caller: Caller,
    },
    Answer {
        caller: Caller,
        given: Given,
    },
    Upkeep {
        sidecar: usize,
        plan: u32,
    },
    StsAnswer {
        sidecar: usize,
        outcome: Outcome,
    },
}

struct Simulation<'a> {
    plan: &'a Plan,
    now: u64,
    /// Any time will do: only differences count.
    origin: Instant,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// How many events there were: those of the same time keep their order.
    count: u64,
    random: Random,
    envoys: Vec<Envoy>,
    sidecars: Vec<Sidecar>,
    sts: Sts,
    report: Report,
}

/// Of a request or an answer between Envoy and its sidecar.
const HOP: u64 = 1;

impl Plan {
    /// Does it.
    pub fn run(&self) -> Report {
        let mut simulation = Simulation::new(self);
        while let Some(Reverse((time, _, event))) = simulation.events.pop()
            && time < self.until
        {
            simulation.now = time;
            simulation.on(event);
        }
        simulation.report.end(self.until);
        simulation.report
    }

    fn sidecars(&self) -> usize {
        match self.sidecars {
            Sidecars::OneFor(envoys) => self.envoys.div_ceil(envoys),
            Sidecars::Replicas(replicas) => replicas,
        }
    }
}

impl Simulation<'_> {
    fn new(plan: &Plan) -> Simulation<'_> {
        let mut random = Random(plan.seed);
        let mut simulation = Simulation {
            plan,
            now: 0,
            origin: Instant::now(),
            events: BinaryHeap::new(),
            count: 0,
            envoys: Vec::new(),
            sidecars: Vec::new(),
            sts: Sts::new(plan.limit, &plan.outages),
            report: Report::new(plan.envoys, plan.sidecars(), plan.until),
            random: Random(random.next()),
        };
        for sidecar in 0..plan.sidecars() {
            simulation.sidecars.push(Sidecar::default());
            let begin = random.below(plan.begin_within);
            simulation.after(begin, Event::Upkeep { sidecar, plan: 0 });
        }
        for envoy in 0..plan.envoys {
            let begin = random.below(plan.begin_within);
            let new = Envoy::new(plan.threads, begin, || random.next());
            simulation.envoys.push(new);
            match plan.every_tick {
                true => (0..plan.threads).for_each(|thread| simulation.plan_tick(envoy, thread)),
                false => simulation.plan_next_tick(envoy),
            }
        }
        simulation
    }

    fn after(&mut self, time: u64, event: Event) {
        self.count += 1;
        let entry = (self.now + time, self.count, event);
        self.events.push(Reverse(entry));
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Tick { envoy, plan, .. } if plan != self.envoys[envoy].plan => {}
            Event::Tick { envoy, thread, .. } => self.tick(envoy, thread),
            Event::Ask { caller } => self.ask(caller),
            Event::Answer { caller, given } => self.answer(caller, given),
            Event::Upkeep { sidecar, plan } if plan != self.sidecars[sidecar].plan => {}
            Event::Upkeep { sidecar, .. } => self.upkeep(sidecar),
            Event::StsAnswer { sidecar, outcome } => self.sts_answers(sidecar, outcome),
        }
    }

    fn tick(&mut self, envoy: usize, thread: usize) {
        let caller = (envoy, thread);
        let known = &mut self.envoys[envoy];
        let is_due = known.due() <= self.now;
        let fetches = known.tick(thread, self.now);
        assert_eq!(fetches, is_due, "no tick that was passed over would fetch");
        if fetches {
            self.after(HOP, Event::Ask { caller });
        }
        match self.plan.every_tick {
            true => {
                let known = &mut self.envoys[envoy];
                assert!(known.says_what_is_assumed(thread, self.now));
                self.plan_tick(envoy, thread);
            }
            false => self.plan_next_tick(envoy),
        }
    }

    fn plan_tick(&mut self, envoy: usize, thread: usize) {
        let next = self.envoys[envoy].following_tick(thread, self.now);
        let plan = self.envoys[envoy].plan;
        let tick = Event::Tick {
            envoy,
            thread,
            plan,
        };
        self.after(next - self.now, tick);
    }

    fn plan_next_tick(&mut self, envoy: usize) {
        let known = &mut self.envoys[envoy];
        known.plan += 1;
        let (plan, (next, thread)) = (known.plan, known.next_tick(self.now));
        let tick = Event::Tick {
            envoy,
            thread,
            plan,
        };
        self.after(next - self.now, tick);
    }

    fn ask(&mut self, caller: Caller) {
        let sidecar = match self.plan.sidecars {
            Sidecars::OneFor(envoys) => caller.0 / envoys,
            Sidecars::Replicas(replicas) => self.random.below(replicas as u64) as usize,
        };
        self.report.asked(sidecar, self.now);
        match self.sidecars[sidecar].ask(caller, self.now, self.origin) {
            Asked::Given(given) => self.after(HOP, Event::Answer { caller, given }),
            Asked::Waits => {}
            Asked::Calls => self.call_sts(sidecar),
        }
    }

    fn answer(&mut self, caller: Caller, given: Given) {
        let (envoy, thread) = caller;
        let known = &mut self.envoys[envoy];
        let before = known.can_sign_until();
        known.answer(thread, given, self.now);
        let after = known.can_sign_until();
        self.report.answered(envoy, before, after, self.now);
        if !self.plan.every_tick {
            self.plan_next_tick(envoy);
        }
    }

    fn upkeep(&mut self, sidecar: usize) {
        let known = &mut self.sidecars[sidecar];
        if known.is_due(self.now, self.origin) {
            self.call_sts(sidecar);
        } else if !known.is_calling() {
            self.plan_upkeep(sidecar);
        }
    }

    fn call_sts(&mut self, sidecar: usize) {
        let (outcome, time) = self.sts.call(self.now);
        self.report.called(outcome, self.now);
        self.after(time, Event::StsAnswer { sidecar, outcome });
    }

    fn sts_answers(&mut self, sidecar: usize, outcome: Outcome) {
        let (life, random) = (self.plan.life, self.random.next());
        let known = &mut self.sidecars[sidecar];
        let (callers, given) = known.answered(outcome, life, random, self.now, self.origin);
        for caller in callers {
            self.after(HOP, Event::Answer { caller, given });
        }
        self.plan_upkeep(sidecar);
    }

    fn plan_upkeep(&mut self, sidecar: usize) {
        let known = &mut self.sidecars[sidecar];
        known.plan += 1;
        let (plan, wait) = (known.plan, known.until_due(self.now, self.origin));
        self.after(wait, Event::Upkeep { sidecar, plan });
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }
}
