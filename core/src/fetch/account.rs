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
    /// The operator's name of them.
    pub name: String,
    /// The generation that is held, while newer credentials are fetched because of a
    /// suspicion.
    pub suspected: Option<u64>,
    /// Why the last fetch failed, whichever worker made it; empty if it did not.
    pub problem: String,
    /// The credentials, with the keys derived from them.
    signer: Option<Signer>,
    /// What all workers know of them. `None`: they are a key pair of the configuration.
    shared: Option<Shared>,
}

/// Where all workers share the credentials of one name.
#[derive(Debug)]
struct Shared {
    key: String,
    timing: Timing,
    sidecar: Rc<Sidecar>,
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

/// Which accounts to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    All,
    /// Each of these.
    These(Vec<AccountId>),
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
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(id.0)
    }

    /// As [`Accounts::get`].
    pub fn get_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(id.0)
    }

    /// All accounts.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Account> {
        self.accounts.iter_mut()
    }

    /// The operator's name of the credentials.
    pub fn name(&self, id: AccountId) -> &str {
        self.get(id).map_or("", |account| &account.name)
    }

    /// Why there are no new credentials; empty if the last fetch went well.
    pub fn problem(&self, id: AccountId) -> &str {
        self.get(id).map_or("", |account| &account.problem)
    }

    /// Brings the copies of these up to date.
    pub fn follow(&mut self, wanted: &Wanted, now: u64, data: &impl SharedData) {
        for id in self.ids(wanted) {
            if let Some(account) = self.get_mut(id) {
                account.look(now, data);
            }
        }
    }

    fn ids(&self, wanted: &Wanted) -> Vec<AccountId> {
        match wanted {
            Wanted::All => (0..self.accounts.len()).map(AccountId).collect(),
            Wanted::These(ids) => ids.clone(),
        }
    }

    /// The fetches of these that are due, and whose leases this call has got: each must now
    /// be made, and be ended by [`Accounts::end`].
    pub fn begin(&mut self, wanted: &Wanted, now: u64, data: &mut impl SharedData) -> Vec<Fetch> {
        let mut fetches = Vec::new();
        for account in self.ids(wanted) {
            let holder = self.random.next();
            let Some(shared) = self.get(account).and_then(|known| known.shared.as_ref()) else {
                continue;
            };
            let (entry, cas) = shared.read(data);
            if let Some(begun) = entry.begin(holder, now, &shared.timing)
                && data.set(&shared.key, &begun.encode(), cas)
            {
                fetches.push(Fetch {
                    account,
                    holder,
                    anew: entry.rejected.is_some() || entry.suspected().is_some(),
                    sidecar: Rc::clone(&shared.sidecar),
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
        data: &mut impl SharedData,
    ) {
        let jitter = self.random.next();
        let Some(account) = self.get_mut(id) else {
            return;
        };
        account.change(now, data, |entry, timing| {
            let next = match &result {
                Ok(credentials) => entry.succeed(holder, credentials.clone(), now, timing, jitter),
                Err(error) => entry.fail(holder, &error.to_string(), now, timing, jitter),
            };
            (next != *entry).then_some(next)
        });
    }

    /// Gives up a fetch; `id` and `holder` are those of [`Fetch`].
    pub fn give_up(&mut self, id: AccountId, holder: u64, now: u64, data: &mut impl SharedData) {
        if let Some(account) = self.get_mut(id) {
            account.change(now, data, |entry, _| entry.give_up(holder));
        }
    }
}

impl Account {
    fn new(source: &Source) -> Account {
        let (signer, shared) = match &source.kind {
            SourceKind::AccessKey(key) => (Some(Signer::new(key.clone(), 0)), None),
            SourceKind::Sidecar(sidecar) => {
                let shared = Shared {
                    key: sidecar.shared_key(),
                    timing: sidecar.timing(),
                    sidecar: Rc::clone(sidecar),
                };
                (None, Some(shared))
            }
        };
        Account {
            name: source.name.clone(),
            suspected: None,
            problem: String::new(),
            signer,
            shared,
        }
    }

    /// What signs a request now. Shared data is read only if this worker holds
    /// nothing that is good.
    pub fn signer(&mut self, now: u64, data: &impl SharedData) -> Option<&mut Signer> {
        if !self.can_sign(now) {
            self.look(now, data);
        }
        self.signer.as_mut()
    }

    /// Whether this worker holds what is good, without a look at shared data.
    pub fn can_sign(&self, now: u64) -> bool {
        let margin = self
            .shared
            .as_ref()
            .map_or(0, |shared| shared.timing.clock_margin);
        let usable = |signer: &Signer| signer.credentials().is_usable(now, margin);
        self.signer.as_ref().is_some_and(usable)
    }

    /// Drops credentials that OSS has rejected, here and for all workers.
    /// Whether it was this call that dropped them.
    pub fn reject(&mut self, generation: u64, now: u64, data: &mut impl SharedData) -> bool {
        self.change(now, data, |entry, _| entry.reject(generation, now))
    }

    /// Has newer credentials fetched, since OSS may have refused these. Whether it
    /// was this call that made them suspect.
    pub fn suspect(&mut self, generation: u64, now: u64, data: &mut impl SharedData) -> bool {
        self.change(now, data, |entry, _| entry.suspect(generation, now))
    }

    /// Changes what all workers share, and follows it. Whether `changed` changed
    /// anything.
    fn change(
        &mut self,
        now: u64,
        data: &mut impl SharedData,
        changed: impl Fn(&Entry, &Timing) -> Option<Entry>,
    ) -> bool {
        for _ in 0..MAX_TURNS {
            let Some(shared) = &self.shared else { break };
            let (entry, cas) = shared.read(data);
            let next = changed(&entry, &shared.timing);
            let written = next
                .as_ref()
                .map(|next| data.set(&shared.key, &next.encode(), cas));
            if written != Some(false) {
                self.follow(next.as_ref().unwrap_or(&entry), now);
                return written.is_some();
            }
        }
        false
    }

    fn look(&mut self, now: u64, data: &impl SharedData) {
        if let Some(shared) = &self.shared {
            let (entry, _) = shared.read(data);
            self.follow(&entry, now);
        }
    }

    /// Becomes what `entry` has for use now: a copy or nothing.
    fn follow(&mut self, entry: &Entry, now: u64) {
        self.suspected = entry.suspected();
        self.problem.clone_from(&entry.problem);
        let timing = self.shared.as_ref().map(|shared| &shared.timing);
        let issued = timing.and_then(|timing| entry.usable(now, timing));
        let held = self.signer.as_ref().map(Signer::generation);
        if held != issued.map(|issued| issued.generation) {
            self.signer =
                issued.map(|issued| Signer::new(issued.credentials.clone(), issued.generation));
        }
    }
}

impl Shared {
    fn read(&self, data: &impl SharedData) -> (Entry, u32) {
        let (value, cas) = data.get(&self.key);
        (value.as_deref().map(Entry::decode).unwrap_or_default(), cas)
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
