//! The credentials of one worker: what it holds itself, and how it keeps that
//! in step with the entries that all workers share.

use super::Credentials;
use super::answer::FetchError;
use super::entry::{Entry, Timing};
use crate::signing::Signer;

/// Envoy's shared data, as seen from one worker.
pub trait SharedData {
    /// The value, and the number that a compare-and-set of it takes. An absent
    /// value has one too, with which only one of several can create it.
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32);
    /// `false` if another was faster.
    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool;
}

#[derive(Debug)]
pub struct Keyring {
    slots: Vec<Slot>,
    /// The last random number: see [`Keyring::next_random`].
    random: u64,
}

/// A fetch to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Names it in the lease, and is given back with its result: an earlier fetch of
    /// the same worker is not mistaken for it.
    pub holder: u64,
    /// The last credentials were rejected, or are suspected: a copy of them will
    /// not do.
    pub anew: bool,
}

/// Each turn of a compare-and-set that is lost means that another worker made
/// progress; there are not that many.
const MAX_TURNS: usize = 1_000;

/// The credentials of one name.
#[derive(Debug)]
enum Slot {
    /// A key pair of the configuration: always there.
    Fixed(Signer),
    Fetched {
        /// In shared data.
        key: String,
        timing: Timing,
        held: Held,
        /// Why the last fetch failed, whichever worker made it.
        problem: String,
    },
}

/// What a worker has of the shared credentials.
#[derive(Debug, Default)]
struct Held {
    /// The credentials, with the keys derived from them.
    signer: Option<Signer>,
    /// Their generation, while newer ones are fetched because of a suspicion.
    suspected: Option<u64>,
}

impl Keyring {
    /// `random` is any number that differs between workers.
    pub fn new(random: u64) -> Keyring {
        Keyring {
            slots: Vec::new(),
            random: random | 1,
        }
    }

    /// Adds credentials that need no fetching; returns their index.
    pub fn add_fixed(&mut self, credentials: Credentials) -> usize {
        self.slots.push(Slot::Fixed(Signer::new(credentials, 0)));
        self.slots.len() - 1
    }

    /// Adds credentials that are fetched and shared under `key`.
    pub fn add_fetched(&mut self, key: String, timing: Timing) -> usize {
        self.slots.push(Slot::Fetched {
            key,
            timing,
            held: Held::default(),
            problem: String::new(),
        });
        self.slots.len() - 1
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What signs a request now. Shared data is read only if this worker holds
    /// nothing that is good.
    pub fn signer(
        &mut self,
        index: usize,
        now: u64,
        shared: &impl SharedData,
    ) -> Option<&mut Signer> {
        match self.slots.get_mut(index)? {
            Slot::Fixed(signer) => Some(signer),
            Slot::Fetched {
                key, timing, held, ..
            } => {
                let usable =
                    |signer: &Signer| signer.credentials().is_usable(now, timing.clock_margin);
                if !held.signer.as_ref().is_some_and(usable) {
                    held.follow(&read(shared, key).0, now, timing);
                }
                held.signer.as_mut()
            }
        }
    }

    /// Brings the own copy up to date. If a fetch is due and this worker got
    /// the lease, it must now fetch and call [`Keyring::answered`].
    pub fn refresh(
        &mut self,
        index: usize,
        now: u64,
        shared: &mut impl SharedData,
    ) -> Option<Fetch> {
        let holder = self.next_random();
        let Some(Slot::Fetched {
            key,
            timing,
            held,
            problem,
        }) = self.slots.get_mut(index)
        else {
            return None;
        };
        let (entry, cas) = read(shared, key);
        held.follow(&entry, now, timing);
        problem.clone_from(&entry.problem);
        let begun = entry.begin(holder, now, timing)?;
        let fetch = Fetch {
            holder,
            anew: entry.rejected.is_some() || entry.suspected().is_some(),
        };
        shared.set(key, &begun.encode(), cas).then_some(fetch)
    }

    /// Drops credentials that OSS has rejected, here and for all workers.
    /// Whether it was this call that dropped them.
    pub fn reject(
        &mut self,
        index: usize,
        generation: u64,
        now: u64,
        shared: &mut impl SharedData,
    ) -> bool {
        self.change(index, now, shared, |entry| entry.reject(generation, now))
    }

    /// Has newer credentials fetched, since OSS may have refused these. Whether it
    /// was this call that made them suspect.
    pub fn suspect(
        &mut self,
        index: usize,
        generation: u64,
        now: u64,
        shared: &mut impl SharedData,
    ) -> bool {
        self.change(index, now, shared, |entry| entry.suspect(generation, now))
    }

    /// The generation that is held, while newer credentials are fetched because of
    /// a suspicion.
    pub fn suspected(&self, index: usize) -> Option<u64> {
        match self.slots.get(index)? {
            Slot::Fetched { held, .. } => held.suspected,
            Slot::Fixed(_) => None,
        }
    }

    /// Whether `changed` changed anything.
    fn change(
        &mut self,
        index: usize,
        now: u64,
        shared: &mut impl SharedData,
        changed: impl Fn(&Entry) -> Option<Entry>,
    ) -> bool {
        let Some(Slot::Fetched {
            key, timing, held, ..
        }) = self.slots.get_mut(index)
        else {
            return false;
        };
        for _ in 0..MAX_TURNS {
            let (entry, cas) = read(shared, key);
            let new = changed(&entry);
            let next = new.as_ref().unwrap_or(&entry);
            if new.is_none() || shared.set(key, &next.encode(), cas) {
                held.follow(next, now, timing);
                return new.is_some();
            }
        }
        false
    }

    /// Takes in the result of a fetch. `holder`: the fetch's.
    pub fn answered(
        &mut self,
        index: usize,
        holder: u64,
        now: u64,
        result: Result<Credentials, FetchError>,
        shared: &mut impl SharedData,
    ) {
        let jitter = self.next_random();
        let Some(Slot::Fetched {
            key,
            timing,
            held,
            problem,
        }) = self.slots.get_mut(index)
        else {
            return;
        };
        let changed = |entry: &Entry| match &result {
            Ok(credentials) => entry.succeed(holder, credentials.clone(), now, timing, jitter),
            Err(error) => entry.fail(holder, &error.to_string(), now, timing, jitter),
        };
        for _ in 0..MAX_TURNS {
            let (entry, cas) = read(shared, key);
            let next = changed(&entry);
            if next == entry || shared.set(key, &next.encode(), cas) {
                held.follow(&next, now, timing);
                *problem = next.problem;
                return;
            }
        }
    }

    /// Why there are no new credentials; empty if the last fetch went well.
    pub fn problem(&self, index: usize) -> &str {
        match self.slots.get(index) {
            Some(Slot::Fetched { problem, .. }) => problem,
            Some(Slot::Fixed(_)) | None => "",
        }
    }

    /// xorshift64: spreads refreshes and tells fetches apart, guards nothing.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Held {
    /// Becomes what `entry` has for use now: a copy or nothing.
    fn follow(&mut self, entry: &Entry, now: u64, timing: &Timing) {
        self.suspected = entry.suspected();
        match entry.usable(now, timing) {
            None => self.signer = None,
            Some(issued) => {
                let same = |signer: &Signer| signer.generation() == issued.generation;
                if !self.signer.as_ref().is_some_and(same) {
                    let credentials = issued.credentials.clone();
                    self.signer = Some(Signer::new(credentials, issued.generation));
                }
            }
        }
    }
}

fn read(shared: &impl SharedData, key: &str) -> (Entry, u32) {
    let (value, cas) = shared.get(key);
    (value.as_deref().map(Entry::decode).unwrap_or_default(), cas)
}
