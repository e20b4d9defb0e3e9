//! The credentials of one worker: what it holds itself, and how it keeps that
//! in step with the entries that all workers share.

use std::rc::Rc;

use super::SharedData;
use super::answer::FetchError;
use super::entry::{Entry, Timing};
use super::source::{Sidecar, Source, SourceKind};
use crate::credentials::Credentials;
use crate::signing::Signer;

/// Names an account of [`Accounts`]: its place among the sources that they were made
/// from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountId(pub usize);

/// What one worker holds of the credentials of every name.
#[derive(Debug)]
pub struct Accounts {
    accounts: Vec<Account>,
    random: Random,
}

/// What one worker holds of the credentials of one name.
#[derive(Debug)]
pub struct Account {
    name: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// A key pair of the configuration: always there.
    Fixed(Signer),
    Fetched(Fetched),
}

/// A copy of what all workers share.
#[derive(Debug)]
struct Fetched {
    sidecar: Rc<Sidecar>,
    /// In shared data.
    key: String,
    timing: Timing,
    /// The credentials, with the keys derived from them.
    signer: Option<Signer>,
    /// Their generation, while newer ones are fetched because of a suspicion.
    suspected: Option<u64>,
    /// Why the last fetch failed, whichever worker made it.
    problem: String,
}

/// A fetch to make.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// What it is for.
    pub account: AccountId,
    /// Names it in the lease, and is given back with its result: an earlier fetch of
    /// the same worker is not mistaken for it.
    pub holder: u64,
    /// The last credentials were rejected, or are suspected: a copy of them will
    /// not do.
    pub anew: bool,
    /// Whom to ask.
    pub sidecar: Rc<Sidecar>,
}

/// Each turn of a compare-and-set that is lost means that another worker made
/// progress; there are not that many.
const MAX_TURNS: usize = 1_000;

impl Accounts {
    /// One account for each source. `random` is any number that differs between
    /// workers.
    pub fn new(sources: &[Source], random: u64) -> Accounts {
        Accounts {
            accounts: sources.iter().map(Account::new).collect(),
            random: Random(random | 1),
        }
    }

    /// The account of this id, which is there if the id comes from the same sources.
    pub fn get_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(id.0)
    }

    /// As [`Accounts::get_mut`].
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(id.0)
    }

    /// All accounts.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.accounts.iter_mut()
    }

    /// Brings the copies up to date.
    pub fn follow(&mut self, now: u64, shared: &impl SharedData) {
        for account in &mut self.accounts {
            if let Held::Fetched(fetched) = &mut account.held {
                let (entry, _) = read(shared, &fetched.key);
                fetched.follow(&entry, now);
            }
        }
    }

    /// The fetches that are due, and whose leases this call has got: each must now be
    /// made, and be ended by [`Accounts::end`].
    pub fn begin(&mut self, now: u64, shared: &mut impl SharedData) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        for (place, account) in self.accounts.iter_mut().enumerate() {
            let Held::Fetched(fetched) = &mut account.held else {
                continue;
            };
            let (entry, cas) = read(shared, &fetched.key);
            let holder = self.random.next();
            if let Some(begun) = entry.begin(holder, now, &fetched.timing)
                && shared.set(&fetched.key, &begun.encode(), cas)
            {
                fetches.push(Fetch {
                    account: AccountId(place),
                    holder,
                    anew: entry.rejected.is_some() || entry.suspected().is_some(),
                    sidecar: Rc::clone(&fetched.sidecar),
                });
            }
        }
        fetches
    }

    /// Stores what a fetch has brought; `id` and `holder` are those of [`Fetch`].
    pub fn end(
        &mut self,
        id: AccountId,
        holder: u64,
        result: Result<Credentials, FetchError>,
        now: u64,
        shared: &mut impl SharedData,
    ) {
        let jitter = self.random.next();
        let Some(account) = self.get_mut(id) else {
            return;
        };
        account.change(now, shared, |entry, timing| {
            let next = match &result {
                Ok(credentials) => entry.succeed(holder, credentials.clone(), now, timing, jitter),
                Err(error) => entry.fail(holder, &error.to_string(), now, timing, jitter),
            };
            (next != *entry).then_some(next)
        });
    }
}

impl Account {
    fn new(source: &Source) -> Account {
        Account {
            name: source.name.clone(),
            held: match &source.kind {
                SourceKind::AccessKey(credentials) => {
                    Held::Fixed(Signer::new(credentials.clone(), 0))
                }
                SourceKind::Sidecar(sidecar) => Held::Fetched(Fetched {
                    sidecar: Rc::clone(sidecar),
                    key: sidecar.shared_key(),
                    timing: sidecar.timing(),
                    signer: None,
                    suspected: None,
                    problem: String::new(),
                }),
            },
        }
    }

    /// The operator's name of the credentials.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What signs a request now. Shared data is read only if this worker holds
    /// nothing that is good.
    pub fn signer(&mut self, now: u64, shared: &impl SharedData) -> Option<&mut Signer> {
        match &mut self.held {
            Held::Fixed(signer) => Some(signer),
            Held::Fetched(fetched) => {
                if !fetched.can_sign(now) {
                    let (entry, _) = read(shared, &fetched.key);
                    fetched.follow(&entry, now);
                }
                fetched.signer.as_mut()
            }
        }
    }

    /// Whether this worker holds what is good, without a look at shared data.
    pub fn can_sign(&self, now: u64) -> bool {
        match &self.held {
            Held::Fixed(_) => true,
            Held::Fetched(fetched) => fetched.can_sign(now),
        }
    }

    /// The generation that is held, while newer credentials are fetched because of
    /// a suspicion.
    pub fn suspected(&self) -> Option<u64> {
        match &self.held {
            Held::Fetched(fetched) => fetched.suspected,
            Held::Fixed(_) => None,
        }
    }

    /// Why there are no new credentials; empty if the last fetch went well.
    pub fn problem(&self) -> &str {
        match &self.held {
            Held::Fetched(fetched) => &fetched.problem,
            Held::Fixed(_) => "",
        }
    }

    /// Drops credentials that OSS has rejected, here and for all workers.
    /// Whether it was this call that dropped them.
    pub fn reject(&mut self, generation: u64, now: u64, shared: &mut impl SharedData) -> bool {
        self.change(now, shared, |entry, _| entry.reject(generation, now))
    }

    /// Has newer credentials fetched, since OSS may have refused these. Whether it
    /// was this call that made them suspect.
    pub fn suspect(&mut self, generation: u64, now: u64, shared: &mut impl SharedData) -> bool {
        self.change(now, shared, |entry, _| entry.suspect(generation, now))
    }

    /// Changes what all workers share, and follows it. Whether `changed` changed
    /// anything.
    fn change(
        &mut self,
        now: u64,
        shared: &mut impl SharedData,
        changed: impl Fn(&Entry, &Timing) -> Option<Entry>,
    ) -> bool {
        let Held::Fetched(fetched) = &mut self.held else {
            return false;
        };
        for _ in 0..MAX_TURNS {
            let (entry, cas) = read(shared, &fetched.key);
            match changed(&entry, &fetched.timing) {
                None => {
                    fetched.follow(&entry, now);
                    return false;
                }
                Some(next) if shared.set(&fetched.key, &next.encode(), cas) => {
                    fetched.follow(&next, now);
                    return true;
                }
                Some(_) => {}
            }
        }
        false
    }
}

impl Fetched {
    fn can_sign(&self, now: u64) -> bool {
        let margin = self.timing.clock_margin;
        let usable = |signer: &Signer| signer.credentials().is_usable(now, margin);
        self.signer.as_ref().is_some_and(usable)
    }

    /// Becomes what `entry` has for use now: a copy or nothing.
    fn follow(&mut self, entry: &Entry, now: u64) {
        self.suspected = entry.suspected();
        self.problem.clone_from(&entry.problem);
        match entry.usable(now, &self.timing) {
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

/// xorshift64: spreads refreshes and tells fetches apart, guards nothing.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn read(shared: &impl SharedData, key: &str) -> (Entry, u32) {
    let (value, cas) = shared.get(key);
    (value.as_deref().map(Entry::decode).unwrap_or_default(), cas)
}
