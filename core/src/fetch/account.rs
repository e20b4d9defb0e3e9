//! The credentials of one worker: its own copies, and how they follow the entries that all
//! workers share.

use std::rc::Rc;

use super::SharedData;
use super::answer::FetchError;
use super::entry::{Entry, Timing};
use super::source::{Sidecar, Source, SourceKind};
use crate::credentials::Credentials;
use crate::signing::Signer;

/// The id of an account of [`Accounts`]: the index of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountId(pub usize);

/// One worker's copies of the credentials of all names.
#[derive(Debug)]
pub struct Accounts {
    accounts: Vec<Account>,
    random: Random,
}

/// One worker's copy of the credentials of one name.
#[derive(Debug)]
pub struct Account {
    /// The operator's name of the credentials.
    pub name: String,
    /// The generation of the copy, while newer credentials are fetched because of a suspicion.
    pub suspected: Option<u64>,
    /// The error of the last fetch, by whichever worker; empty if it succeeded.
    pub problem: String,
    /// The credentials and the keys derived from them.
    signer: Option<Signer>,
    /// The entry that all workers share; `None` for a key pair of the configuration.
    shared: Option<Shared>,
}

/// The place where all workers share the credentials of one name.
#[derive(Debug)]
struct Shared {
    key: String,
    timing: Timing,
    sidecar: Rc<Sidecar>,
}

/// A fetch that the host must perform.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The account whose credentials are fetched.
    pub account: AccountId,
    /// The name of this fetch in the lease. It comes back with the result, so that the result
    /// of an earlier fetch by the same worker is not mistaken for this one's.
    pub holder: u64,
    /// Whether the sidecar must not answer from its cache, because the last credentials were
    /// rejected or are suspected.
    pub no_cache: bool,
    /// The sidecar that is asked.
    pub sidecar: Rc<Sidecar>,
}

/// The accounts that an operation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All accounts.
    All,
    /// Each account of this list.
    These(Vec<AccountId>),
}

/// The limit of attempts at a compare-and-set. Each lost attempt means that another worker
/// succeeded, and there are not that many workers.
const MAX_TURNS: usize = 1_000;

impl Accounts {
    /// One account for each source. `random` is any number that differs between workers.
    pub fn new(sources: &[Source], random: u64) -> Accounts {
        Accounts {
            accounts: sources.iter().map(Account::new).collect(),
            random: Random(random | 1),
        }
    }

    /// The account of this id. It exists if the id comes from the same sources.
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(id.0)
    }

    /// The account of this id, to be changed.
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

    /// The error of the last fetch; empty if it succeeded.
    pub fn problem(&self, id: AccountId) -> &str {
        self.get(id).map_or("", |account| &account.problem)
    }

    /// Updates the copies of these accounts.
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

    /// Begins the fetches of these accounts that are due. This worker now holds their leases,
    /// and must perform each fetch and end it with [`Accounts::end`].
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
                    no_cache: entry.rejected.is_some() || entry.suspected().is_some(),
                    sidecar: Rc::clone(&shared.sidecar),
                });
            }
        }
        fetches
    }

    /// Stores the result of a fetch; `id` and `holder` come from its [`Fetch`].
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

    /// Gives up a fetch; `id` and `holder` come from its [`Fetch`].
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

    /// The signer for a request at `now`. Shared data is read only if this worker's copy is not
    /// usable.
    pub fn signer(&mut self, now: u64, data: &impl SharedData) -> Option<&mut Signer> {
        if !self.can_sign(now) {
            self.look(now, data);
        }
        self.signer.as_mut()
    }

    /// Whether this worker's copy is usable. Shared data is not read.
    pub fn can_sign(&self, now: u64) -> bool {
        let margin = self
            .shared
            .as_ref()
            .map_or(0, |shared| shared.timing.clock_margin);
        let usable = |signer: &Signer| signer.credentials().is_usable(now, margin);
        self.signer.as_ref().is_some_and(usable)
    }

    /// Drops credentials that OSS has rejected, here and for all workers. The result says
    /// whether this call dropped them.
    pub fn reject(&mut self, generation: u64, now: u64, data: &mut impl SharedData) -> bool {
        self.change(now, data, |entry, _| entry.reject(generation, now))
    }

    /// Requests a fetch of newer credentials, because OSS may have refused these. The result
    /// says whether this call raised the suspicion.
    pub fn suspect(&mut self, generation: u64, now: u64, data: &mut impl SharedData) -> bool {
        self.change(now, data, |entry, _| entry.suspect(generation, now))
    }

    /// Changes the shared entry and follows it. The result says whether `changed` made a
    /// change.
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

    /// Updates this copy from `entry`.
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

/// The xorshift64 generator. It spreads refreshes and distinguishes fetches; it protects no
/// secret.
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
