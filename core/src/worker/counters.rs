//! Counters. They are batched, and flushed on each tick, so that counting costs a request no
//! call to the host.

use crate::host::Host;
use crate::metrics::Counter;

/// The counts since the last flush.
#[derive(Debug, Default)]
pub struct Counters {
    /// The counts, a few dozen at most.
    counts: Vec<(Counter, u64)>,
    /// The waits of requests, in milliseconds.
    waits: Vec<u64>,
}

impl Counters {
    /// Adds one to a counter.
    pub fn count(&mut self, counter: Counter) {
        match self.counts.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((counter, 1)),
        }
    }

    /// Records the wait of a request, in milliseconds.
    pub fn waited(&mut self, milliseconds: u64) {
        self.waits.push(milliseconds);
    }

    /// Sends the counts to the host.
    pub fn flush(&mut self, host: &mut impl Host) {
        for (counter, count) in self.counts.iter_mut().filter(|(_, count)| *count > 0) {
            host.count(*counter, std::mem::take(count));
        }
        for wait in self.waits.drain(..) {
            host.record_wait(wait);
        }
    }
}
