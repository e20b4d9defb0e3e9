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

    /// Takes out those that wait for these credentials, in order of arrival, but
    /// for those that wait for newer ones than `refused`.
    pub fn take_for(&mut self, credentials: usize, refused: Option<u64>) -> Vec<Waiter> {
        self.take(|waiter| match waiter.flow.waits_for() {
            Some((wanted, newer_than)) => {
                wanted == credentials && (newer_than.is_none() || newer_than != refused)
            }
            None => false,
        })
    }

    /// Takes out those whose deadline has passed. One further off than
    /// `longest` was set by a clock that has since been set back.
    pub fn take_overdue(&mut self, now: u64, longest: u64) -> Vec<Waiter> {
        self.take(|waiter| waiter.deadline <= now || waiter.deadline > now + longest)
    }

    /// Whether any waits for these credentials.
    pub fn any_for(&self, credentials: usize) -> bool {
        let mut waiting = self
            .queue
            .iter()
            .filter_map(|waiter| waiter.flow.waits_for());
        waiting.any(|(wanted, _)| wanted == credentials)
    }

    fn take(&mut self, wanted: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let (taken, kept) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(wanted);
        self.queue = kept;
        taken
    }
}
