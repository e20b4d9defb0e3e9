//! What is counted. A request costs no call to the host for it: the host is told at a
//! tick.

use crate::host::Host;
use crate::metrics::Counter;

/// What was counted since the host was told.
#[derive(Debug, Default)]
pub struct Counters {
    /// A few dozen at most.
    counts: Vec<(Counter, u64)>,
    /// How long requests have waited, in milliseconds.
    waits: Vec<u64>,
}

impl Counters {
    /// Counts one more.
    pub fn count(&mut self, counter: Counter) {
        match self.counts.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((counter, 1)),
        }
    }

    /// A request has waited so long, in milliseconds.
    pub fn waited(&mut self, milliseconds: u64) {
        self.waits.push(milliseconds);
    }

    /// Tells the host.
    pub fn flush(&mut self, host: &mut impl Host) {
        for (counter, count) in self.counts.iter_mut().filter(|(_, count)| *count > 0) {
            host.count(*counter, std::mem::take(count));
        }
        for wait in self.waits.drain(..) {
            host.record_wait(wait);
        }
    }
}
