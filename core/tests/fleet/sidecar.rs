//! A sidecar with one name. When it asks STS is the real sidecar's own code (`schedule`);
//! what `source.rs` does around it, with tasks and locks, is written here once more.

use std::time::{Duration, Instant};

use super::schedule::{Failure, Schedule};
use super::sts::Outcome;

/// An Envoy's thread that waits for an answer.
pub type Caller = (usize, usize);

/// One sidecar.
#[derive(Default)]
pub struct Sidecar {
    schedule: Schedule,
    /// What it holds: until when, in milliseconds, and for how long when it came.
    held: Option<(u64, u64)>,
    /// When the call to STS that is under way began.
    calling: Option<u64>,
    waiting: Vec<Caller>,
    /// Tells the last plan of [`Sidecar::until_due`] from those before.
    pub plan: u32,
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Given {
    /// Credentials that expire then, in milliseconds.
    Until(u64),
    /// 502: the source gave none.
    Failure,
    /// 429: too many wait.
    Busy,
}

/// What comes of a request.
pub enum Asked {
    Given(Given),
    Waits,
    /// It waits, and STS is to be called.
    Calls,
}

/// As many may wait (`server.rs`).
const MOST_WAITING: usize = 1_024;

impl Sidecar {
    /// A caller asks for credentials, as in `Source::credential`.
    pub fn ask(&mut self, caller: Caller, now: u64, origin: Instant) -> Asked {
        if let Some(valid) = self.valid(now) {
            return Asked::Given(valid);
        }
        if self.calling.is_some() {
            if self.waiting.len() >= MOST_WAITING {
                return Asked::Given(Given::Busy);
            }
            self.waiting.push(caller);
            return Asked::Waits;
        }
        if self.schedule.is_held_off(at(origin, now)) {
            return Asked::Given(Given::Failure);
        }
        self.waiting.push(caller);
        self.calling = Some(now);
        Asked::Calls
    }

    /// Its own task is due, as in `Source::maintain`. Whether STS is to be called.
    pub fn is_due(&mut self, now: u64, origin: Instant) -> bool {
        let due = self.calling.is_none() && self.until_due(now, origin) == 0;
        if due {
            self.calling = Some(now);
        }
        due
    }

    /// Whether a call is under way: its end plans what follows.
    pub fn is_calling(&self) -> bool {
        self.calling.is_some()
    }

    /// In milliseconds.
    pub fn until_due(&self, now: u64, origin: Instant) -> u64 {
        let is_ageing = self
            .held
            .is_some_and(|(until, life)| until.saturating_sub(now) * 2 < life);
        let due = self.schedule.until_due(at(origin, now), is_ageing);
        due.as_micros().div_ceil(1_000) as u64
    }

    /// STS has answered: all that waited, and what they get.
    pub fn answered(
        &mut self,
        outcome: Outcome,
        life: u64,
        random: u64,
        now: u64,
        origin: Instant,
    ) -> (Vec<Caller>, Given) {
        let begin = self.calling.take().unwrap();
        if outcome == Outcome::Assumed {
            self.held = Some((now + life, life));
            let life = Some(Duration::from_millis(life));
            self.schedule.succeed(at(origin, begin), life, random);
        } else {
            let failure = match outcome {
                Outcome::Throttled => Failure::Throttled,
                _ => Failure::Silent,
            };
            self.schedule.fail(at(origin, now), failure, random);
        }
        let given = self.valid(now).unwrap_or(Given::Failure);
        (std::mem::take(&mut self.waiting), given)
    }

    fn valid(&self, now: u64) -> Option<Given> {
        let (until, _) = self.held.filter(|(until, _)| *until > now + 1_000)?;
        Some(Given::Until(until))
    }
}

fn at(origin: Instant, now: u64) -> Instant {
    origin + Duration::from_millis(now)
}
