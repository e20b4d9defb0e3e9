//! What a simulation has seen, second by second.

use std::ops::Range;

use super::sts::Outcome;

/// What was seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// Calls to STS in each second, whatever became of them.
    calls: Vec<u32>,
    /// Those of them that STS refused since there were too many.
    throttled: Vec<u32>,
    /// Requests in each second to the sidecar that had most in it.
    asked: Vec<u32>,
    /// By sidecar: the last second, and the requests in it.
    asking: Vec<(u64, u32)>,
    /// How many Envoys more or less than in the second before have no credentials.
    lacking: Vec<i32>,
    /// By Envoy: until when it can sign.
    can_sign_until: Vec<u64>,
}

impl Report {
    pub fn new(envoys: usize, sidecars: usize, until: u64) -> Report {
        let seconds = (until / 1_000) as usize + 2;
        Report {
            calls: vec![0; seconds],
            throttled: vec![0; seconds],
            asked: vec![0; seconds],
            asking: vec![(0, 0); sidecars],
            lacking: vec![0; seconds],
            can_sign_until: vec![0; envoys],
        }
    }

    pub fn called(&mut self, outcome: Outcome, now: u64) {
        self.calls[second(now)] += 1;
        if outcome == Outcome::Throttled {
            self.throttled[second(now)] += 1;
        }
    }

    pub fn asked(&mut self, sidecar: usize, now: u64) {
        let (last, count) = &mut self.asking[sidecar];
        if *last != now / 1_000 {
            (*last, *count) = (now / 1_000, 0);
        }
        *count += 1;
        let most = &mut self.asked[second(now)];
        *most = (*most).max(*count);
    }

    /// An answer has come to an Envoy, which could sign until `before` and can until `after`.
    pub fn answered(&mut self, envoy: usize, before: u64, after: u64, now: u64) {
        if after > now {
            self.can_sign_until[envoy] = after;
            if before < now {
                self.lacked(before, now);
            }
        }
    }

    pub fn end(&mut self, until: u64) {
        for last in self.can_sign_until.clone() {
            if last < until {
                self.lacked(last, until + 1_000);
            }
        }
    }

    fn lacked(&mut self, from: u64, to: u64) {
        self.lacking[second(from)] += 1;
        if let Some(more) = self.lacking.get_mut(second(to)) {
            *more -= 1;
        }
    }

    /// The most calls to STS in a second, of a range of seconds.
    pub fn worst_calls(&self, seconds: Range<usize>) -> u32 {
        worst(&self.calls[seconds])
    }

    /// Calls to STS a second.
    pub fn mean_calls(&self, seconds: Range<usize>) -> f64 {
        let count = seconds.len() as f64;
        f64::from(self.calls(seconds)) / count
    }

    pub fn calls(&self, seconds: Range<usize>) -> u32 {
        self.calls[seconds].iter().sum()
    }

    pub fn throttled(&self, seconds: Range<usize>) -> u32 {
        self.throttled[seconds].iter().sum()
    }

    /// The most requests to one sidecar in a second.
    pub fn worst_asked(&self, seconds: Range<usize>) -> u32 {
        worst(&self.asked[seconds])
    }

    /// How many Envoys had no credentials for a time, by the second in which that began or
    /// during which it lasted.
    pub fn lacking(&self) -> Vec<i32> {
        let mut sum = 0;
        let sums = self.lacking.iter().map(|more| {
            sum += more;
            sum
        });
        sums.collect()
    }

    /// The first second from which on all have credentials, not counting what is after
    /// `seconds`.
    pub fn whole_at(&self, seconds: Range<usize>) -> usize {
        let lacking = self.lacking();
        let last = seconds.clone().rev().find(|second| lacking[*second] > 0);
        last.map_or(seconds.start, |last| last + 1)
    }
}

fn worst(counts: &[u32]) -> u32 {
    counts.iter().copied().max().unwrap_or_default()
}

fn second(milliseconds: u64) -> usize {
    (milliseconds / 1_000) as usize
}
