//! The shared state of the credentials of one name. All workers of a process share it as one
//! value, which is changed only by compare-and-set. Each change is a function from entry to
//! entry. Times are in milliseconds since 1970.

use crate::credentials::Credentials;

/// The shared state of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The credentials, if there are any.
    pub issued: Option<Issued>,
    /// The number of the last credentials that were stored.
    pub generation: u64,
    /// The lease of the fetch under way. While it is valid, no other fetch begins.
    pub lease: Option<Lease>,
    /// The number of fetches that failed since the last success.
    pub failures: u32,
    /// The time before which no fetch begins.
    pub not_before: u64,
    /// The error message of the last fetch; empty if it succeeded.
    pub problem: String,
    /// The time when OSS last rejected credentials of this name.
    pub rejected_at: u64,
    /// The AccessKey id of the last stored credentials, if OSS rejected them.
    pub rejected: Option<String>,
    /// The last suspicion that caused a fetch.
    pub suspicion: Option<Suspicion>,
}

/// A suspicion: OSS refused a request without giving a reason. The credentials that signed it
/// stay in use and newer ones are fetched, but not often, because the credentials may not be
/// the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The generation of the credentials that signed the request.
    pub generation: u64,
    /// The time of the suspicion.
    pub at: u64,
    /// How long after `at` other suspicions are ignored.
    pub pause: u64,
    /// The outcome of the fetch that the suspicion caused.
    pub outcome: Outcome,
}

/// The outcome of the fetch that a suspicion caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The fetch has not ended.
    Pending,
    /// The fetch brought credentials.
    Answered,
    /// The fetch failed.
    Failed,
}

/// Stored credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The credentials themselves.
    pub credentials: Credentials,
    /// The number of these credentials: see [`Entry::generation`].
    pub generation: u64,
    /// The time from which newer credentials are fetched.
    pub refresh_at: u64,
}

/// The lease of a fetch: while it is valid, no other fetch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name of the fetch.
    pub holder: u64,
    /// The time when the lease ends; a fetch that has not ended by then is considered dead.
    pub until: u64,
}

/// The times that govern the credentials of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The last part of the credentials' life, in which they are not used, because the clocks
    /// of Envoy and OSS may differ.
    pub clock_margin: u64,
    /// The remaining life at which newer credentials are fetched; `None` stands for a fifth of
    /// the life, at most 15 minutes.
    pub refresh_margin: Option<u64>,
    /// How long the sidecar's answer may take.
    pub fetch_timeout: u64,
}

impl Entry {
    /// The credentials, if they may sign a request at `now`.
    pub fn usable(&self, now: u64, timing: &Timing) -> Option<&Issued> {
        let issued = self.issued.as_ref()?;
        let usable = issued.credentials.is_usable(now, timing.clock_margin);
        usable.then_some(issued)
    }

    /// Whether a fetch is due.
    pub fn is_due(&self, now: u64, timing: &Timing) -> bool {
        let wanted = match self.usable(now, timing) {
            Some(issued) => now >= issued.refresh_at || self.suspected().is_some(),
            None => true,
        };
        // A time further ahead than any that this code writes comes from a clock that has since
        // been set back. It must not block anybody.
        let leased = self
            .lease
            .is_some_and(|lease| in_near_future(lease.until, now, timing.lease()));
        let held_off = in_near_future(self.not_before, now, MAX_BACKOFF * 2);
        wanted && !leased && !held_off
    }

    /// The generation of the credentials, while newer ones are fetched because of a suspicion.
    pub fn suspected(&self) -> Option<u64> {
        let generation = self.issued.as_ref()?.generation;
        let suspicion = self.suspicion?;
        (suspicion.outcome == Outcome::Pending && suspicion.generation == generation)
            .then_some(generation)
    }

    /// Takes the lease, if a fetch is due.
    pub fn begin(&self, holder: u64, now: u64, timing: &Timing) -> Option<Entry> {
        self.is_due(now, timing).then(|| Entry {
            lease: Some(Lease {
                holder,
                until: now + timing.lease(),
            }),
            ..self.clone()
        })
    }

    /// Stores the result of a fetch. If the fetch no longer holds the lease, its result is
    /// dropped if it brings the rejected or suspected credentials again, or if the stored ones
    /// live longer. `jitter` is any number.
    pub fn succeed(
        &self,
        holder: u64,
        credentials: Credentials,
        now: u64,
        timing: &Timing,
        jitter: u64,
    ) -> Entry {
        let issued = self.issued.as_ref();
        if !self.is_held_by(holder) {
            let lives_longer =
                |issued: &Issued| match (issued.credentials.expires_at, credentials.expires_at) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(old), Some(new)) => old > new,
                };
            let id = &credentials.access_key_id;
            let suspect = issued.filter(|_| self.suspected().is_some());
            let suspect = suspect.map(|issued| &issued.credentials.access_key_id);
            let the_same_again = self.rejected.as_ref() == Some(id) || suspect == Some(id);
            if the_same_again || self.usable(now, timing).is_some_and(lives_longer) {
                return self.clone();
            }
        }
        // The same credentials keep their generation, so that a later refusal applies to them.
        let generation = match issued {
            Some(issued) if issued.credentials == credentials => issued.generation,
            _ => self.generation + 1,
        };
        Entry {
            generation,
            issued: Some(Issued {
                refresh_at: refresh_at(credentials.expires_at, now, timing, jitter),
                credentials,
                generation,
            }),
            lease: self.lease.filter(|lease| lease.holder != holder),
            failures: 0,
            not_before: 0,
            problem: String::new(),
            rejected_at: self.rejected_at,
            rejected: None,
            suspicion: self.suspicion.map(|last| last.ended(Outcome::Answered)),
        }
    }

    /// Gives the lease back, because no answer will arrive. The result is `None` if another
    /// fetch holds it.
    pub fn give_up(&self, holder: u64) -> Option<Entry> {
        self.is_held_by(holder).then(|| Entry {
            lease: None,
            ..self.clone()
        })
    }

    /// Gives the lease back after a failure, and starts the backoff.
    pub fn fail(
        &self,
        holder: u64,
        problem: &str,
        now: u64,
        timing: &Timing,
        jitter: u64,
    ) -> Entry {
        if !self.is_held_by(holder) {
            return self.clone();
        }
        let failures = self.failures.saturating_add(1);
        let most = match self.usable(now, timing) {
            // The backoff leaves time for several more attempts before the credentials expire.
            Some(issued) => match issued.credentials.expires_at {
                Some(expires_at) => ((expires_at * 1000 - now) / 10).min(MAX_BACKOFF),
                None => MAX_BACKOFF,
            },
            None => MAX_BACKOFF_WITHOUT_CREDENTIALS,
        };
        let backoff = (FIRST_BACKOFF << (failures - 1).min(16)).min(most.max(FIRST_BACKOFF));
        Entry {
            lease: None,
            failures,
            not_before: now + backoff + jitter % (backoff / 4 + 1),
            problem: problem.to_owned(),
            suspicion: self.suspicion.map(|last| last.ended(Outcome::Failed)),
            ..self.clone()
        }
    }

    /// Drops credentials that OSS has rejected. The result is `None` if they have been replaced
    /// already, or if others were rejected a moment ago: then newer ones are no better, and
    /// more fetches would only load the sidecar. A fetch under way may bring the same
    /// credentials again, so it loses its lease. The backoff of earlier failures ends, because
    /// requests wait now.
    pub fn reject(&self, generation: u64, now: u64) -> Option<Entry> {
        let issued = self.issued.as_ref()?;
        let current = issued.generation == generation;
        let allowed = !in_near_future(self.rejected_at + REJECTION_PAUSE, now, REJECTION_PAUSE);
        (current && allowed).then(|| Entry {
            issued: None,
            lease: None,
            not_before: 0,
            rejected_at: now,
            rejected: Some(issued.credentials.access_key_id.clone()),
            ..self.clone()
        })
    }

    /// Requests newer credentials, because these may be why OSS refused a request. The result
    /// is `None` if they have been replaced already, or if the pause since the last suspicion
    /// is not over. The pause is ten seconds, and doubles each time that newer credentials are
    /// refused as well. As with [`reject`](Self::reject), a fetch under way loses its lease and
    /// the backoff ends.
    pub fn suspect(&self, generation: u64, now: u64) -> Option<Entry> {
        if self.issued.as_ref()?.generation != generation {
            return None;
        }
        let pause = match self.suspicion {
            None => FIRST_SUSPICION_PAUSE,
            Some(last) if in_near_future(last.at + last.pause, now, last.pause) => return None,
            // The last fetch failed.
            Some(last) if last.outcome == Outcome::Failed => last.pause,
            // The newer credentials have been accepted for a while.
            Some(last) if now >= last.at + last.pause * 2 => FIRST_SUSPICION_PAUSE,
            Some(last) => (last.pause * 2).min(LONGEST_SUSPICION_PAUSE),
        };
        Some(Entry {
            lease: None,
            not_before: 0,
            suspicion: Some(Suspicion {
                generation,
                at: now,
                pause,
                outcome: Outcome::Pending,
            }),
            ..self.clone()
        })
    }

    fn is_held_by(&self, holder: u64) -> bool {
        self.lease.is_some_and(|lease| lease.holder == holder)
    }
}

impl Suspicion {
    fn ended(self, outcome: Outcome) -> Suspicion {
        match self.outcome {
            Outcome::Pending => Suspicion { outcome, ..self },
            Outcome::Answered | Outcome::Failed => self,
        }
    }
}

impl Timing {
    /// The length of a lease, after which the fetch is considered dead.
    fn lease(&self) -> u64 {
        self.fetch_timeout + 1_000
    }
}

const FIRST_BACKOFF: u64 = 200;
const MAX_BACKOFF: u64 = 30_000;
/// The longest backoff without credentials. It is short, because requests wait or fail.
const MAX_BACKOFF_WITHOUT_CREDENTIALS: u64 = 1_000;
const REJECTION_PAUSE: u64 = 1_000;
const FIRST_SUSPICION_PAUSE: u64 = 10_000;
const LONGEST_SUSPICION_PAUSE: u64 = 10 * 60 * 1000;
const LONGEST_REFRESH_MARGIN: u64 = 15 * 60 * 1000;
/// How often an AccessKey without expiry is fetched again, in case it was replaced.
const REREAD_WITHOUT_EXPIRY: u64 = 10 * 60 * 1000;

/// The time of the refresh. The jitter, at most a tenth of the time, only makes it earlier.
fn refresh_at(expires_at: Option<u64>, now: u64, timing: &Timing, jitter: u64) -> u64 {
    let wait = match expires_at {
        None => REREAD_WITHOUT_EXPIRY,
        Some(expires_at) => {
            let life = (expires_at * 1000).saturating_sub(now);
            let margin = timing
                .refresh_margin
                .unwrap_or((life / 5).min(LONGEST_REFRESH_MARGIN));
            // A margin as long as the whole life would cause one fetch after another.
            life.saturating_sub(margin).max(life / 5)
        }
    };
    now + wait - jitter % (wait / 10 + 1)
}

fn in_near_future(time: u64, now: u64, most: u64) -> bool {
    time > now && time - now <= most
}

#[cfg(test)]
mod tests;
