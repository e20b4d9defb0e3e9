//! What all workers of a process know about the credentials of one name: one
//! value in shared data, changed only by compare-and-set. Each change is a
//! function from entry to entry; times are milliseconds since 1970.

use crate::credentials::Credentials;

/// The value in shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The credentials, if there are any.
    pub issued: Option<Issued>,
    /// Counts the credentials that were stored: the last one's number.
    pub generation: u64,
    /// Whoever fetches, until when the others leave it to them.
    pub lease: Option<Lease>,
    /// Fetches that failed since the last that did not.
    pub failures: u32,
    /// No fetch begins before this time.
    pub not_before: u64,
    /// Why the last fetch failed, in words; empty if it did not.
    pub problem: String,
    /// When OSS last rejected credentials of this name.
    pub rejected_at: u64,
    /// The AccessKey id of the last that were stored, if it rejected these.
    pub rejected: Option<String>,
    /// The last suspicion that was acted on.
    pub suspicion: Option<Suspicion>,
}

/// OSS refused a request without saying why. The credentials that signed it go on
/// signing, and newer ones are fetched, but not often: it may be no fault of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The generation of the credentials that signed.
    pub generation: u64,
    /// When it was.
    pub at: u64,
    /// For so long after `at`, no other suspicion is acted on.
    pub pause: u64,
    /// What became of the fetch that it takes.
    pub outcome: Outcome,
}

/// How the fetch that a suspicion takes has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Pending,
    /// It brought credentials.
    Answered,
    /// It brought none.
    Failed,
}

/// Credentials as they were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What requests are signed with.
    pub credentials: Credentials,
    /// Their number: see [`Entry::generation`].
    pub generation: u64,
    /// From this time on, newer ones are fetched.
    pub refresh_at: u64,
}

/// Whoever fetches, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name of the fetch.
    pub holder: u64,
    /// From this time on it is taken for dead.
    pub until: u64,
}

/// How long credentials are good, and how long a fetch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Credentials are not used in the last part of their life, since the
    /// clocks of Envoy and OSS differ.
    pub clock_margin: u64,
    /// Newer ones are fetched when this much life is left; `None`: a fifth of
    /// the life, at most 15 minutes.
    pub refresh_margin: Option<u64>,
    /// How long the sidecar's answer may take.
    pub fetch_timeout: u64,
}

impl Entry {
    /// The credentials, if they are good for a request now.
    pub fn usable(&self, now: u64, timing: &Timing) -> Option<&Issued> {
        let issued = self.issued.as_ref()?;
        let usable = issued.credentials.is_usable(now, timing.clock_margin);
        usable.then_some(issued)
    }

    /// Whether somebody should fetch now.
    pub fn is_due(&self, now: u64, timing: &Timing) -> bool {
        let wanted = match self.usable(now, timing) {
            Some(issued) => now >= issued.refresh_at || self.suspected().is_some(),
            None => true,
        };
        // A time further off than any that this code writes comes from a
        // clock that was set back since; it must not block anybody.
        let leased = self
            .lease
            .is_some_and(|lease| in_near_future(lease.until, now, timing.lease()));
        let held_off = in_near_future(self.not_before, now, MAX_BACKOFF * 2);
        wanted && !leased && !held_off
    }

    /// The generation of the credentials, while newer ones are being fetched since
    /// these may be why OSS refused a request.
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

    /// Stores what was fetched. An answer that comes after the lease has passed to
    /// another, or was taken back, replaces nothing that lives longer, and is no
    /// answer to a complaint if it brings the same again. `jitter` is any number.
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
        // The same again are no newer ones: a refusal of them is one of these.
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

    /// Gives the lease back: nobody will answer. `None` if it is another's.
    pub fn give_up(&self, holder: u64) -> Option<Entry> {
        self.is_held_by(holder).then(|| Entry {
            lease: None,
            ..self.clone()
        })
    }

    /// Gives the lease back and holds everybody off for a while.
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
            // Several more tries fit into the life that is left.
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

    /// Drops credentials that OSS has rejected. `None` if they have been
    /// replaced already, or if others were rejected a moment ago: then newer
    /// ones are no better, and asking on would only load the sidecar. A fetch under
    /// way may bring the same again, so its lease is taken back; and earlier
    /// failures hold nobody off any longer, since requests wait now.
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

    /// Has newer credentials fetched, since these may be why OSS refused a
    /// request. `None` if they have been replaced already, or if there was such a
    /// suspicion a while ago: ten seconds, and twice as long each time that newer
    /// ones were refused as well. As with [`reject`](Self::reject), nothing from
    /// before holds the fetch off.
    pub fn suspect(&self, generation: u64, now: u64) -> Option<Entry> {
        if self.issued.as_ref()?.generation != generation {
            return None;
        }
        let pause = match self.suspicion {
            None => FIRST_SUSPICION_PAUSE,
            Some(last) if in_near_future(last.at + last.pause, now, last.pause) => return None,
            // Nobody has answered.
            Some(last) if last.outcome == Outcome::Failed => last.pause,
            // The newer ones have been good for a while.
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
    /// A holder that has not answered by then is taken for dead.
    fn lease(&self) -> u64 {
        self.fetch_timeout + 1_000
    }
}

const FIRST_BACKOFF: u64 = 200;
const MAX_BACKOFF: u64 = 30_000;
/// Requests wait or fail: ask more often.
const MAX_BACKOFF_WITHOUT_CREDENTIALS: u64 = 1_000;
const REJECTION_PAUSE: u64 = 1_000;
const FIRST_SUSPICION_PAUSE: u64 = 10_000;
const LONGEST_SUSPICION_PAUSE: u64 = 10 * 60 * 1000;
const LONGEST_REFRESH_MARGIN: u64 = 15 * 60 * 1000;
/// An AccessKey that does not expire is read again in case it was replaced.
const REREAD_WITHOUT_EXPIRY: u64 = 10 * 60 * 1000;

/// The jitter, at most a tenth of the time, makes it earlier only.
fn refresh_at(expires_at: Option<u64>, now: u64, timing: &Timing, jitter: u64) -> u64 {
    let wait = match expires_at {
        None => REREAD_WITHOUT_EXPIRY,
        Some(expires_at) => {
            let life = (expires_at * 1000).saturating_sub(now);
            let margin = timing
                .refresh_margin
                .unwrap_or((life / 5).min(LONGEST_REFRESH_MARGIN));
            // A margin as long as the life would mean: without a pause.
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
