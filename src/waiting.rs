//! The requests of one worker that stand still until there are credentials.

use crate::flow::Flow;

#[derive(Debug, Default)]
pub struct Waiting {
    queue: Vec<Waiter>,
}

#[derive(Debug)]
pub struct Waiter {
    /// The host's id of the stream.
    pub stream: u32,
    pub flow: Flow,
    /// When it came, in milliseconds since 1970.
    pub since: u64,
    /// As `since`.
    pub deadline: u64,
}

impl Waiting {
    pub fn push(&mut self, waiter: Waiter) {
        self.queue.push(waiter);
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The client went away.
    pub fn forget(&mut self, stream: u32) {
        self.queue.retain(|waiter| waiter.stream != stream);
    }

    /// Takes out those that wait for these credentials, in order of arrival.
    pub fn take_for(&mut self, credentials: usize) -> Vec<Waiter> {
        self.take(|waiter| waiter.flow.waits_for() == Some(credentials))
    }

    /// Takes out those whose deadline has passed. One further off than
    /// `longest` was set by a clock that has since been set back.
    pub fn take_overdue(&mut self, now: u64, longest: u64) -> Vec<Waiter> {
        self.take(|waiter| waiter.deadline <= now || waiter.deadline > now + longest)
    }

    /// Whether any waits for these credentials.
    pub fn any_for(&self, credentials: usize) -> bool {
        self.queue
            .iter()
            .any(|waiter| waiter.flow.waits_for() == Some(credentials))
    }

    fn take(&mut self, wanted: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let (taken, kept) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(wanted);
        self.queue = kept;
        taken
    }
}
