//! STS, as far as a fleet meets it: a limit of calls a second, and outages.

use std::ops::Range;

/// STS of one account.
pub struct Sts {
    /// Calls a second that it takes. The others are refused with `Throttling.User`, and do
    /// not count.
    limit: u32,
    /// When it cannot be reached, in milliseconds.
    outages: Vec<Range<u64>>,
    second: u64,
    taken: u32,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Assumed,
    Throttled,
    Unreachable,
}

impl Sts {
    pub fn new(limit: u32, outages: &[Range<u64>]) -> Sts {
        Sts {
            limit,
            outages: outages.to_vec(),
            second: 0,
            taken: 0,
        }
    }

    /// A call: what becomes of it, and after how many milliseconds.
    pub fn call(&mut self, now: u64) -> (Outcome, u64) {
        if self.outages.iter().any(|outage| outage.contains(&now)) {
            // Refused connections: those that hang would be fewer.
            return (Outcome::Unreachable, 20);
        }
        if self.second != now / 1_000 {
            (self.second, self.taken) = (now / 1_000, 0);
        }
        if self.taken >= self.limit {
            return (Outcome::Throttled, 20);
        }
        self.taken += 1;
        (Outcome::Assumed, 100)
    }
}
