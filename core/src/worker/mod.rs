//! The state of one thread of a host: the configuration, its copies of the credentials, the
//! requests that wait for them, and its counters.
//!
//! A host may have one thread that does everything, or one that fetches and others that serve
//! requests. The fetching thread calls [`Worker::fetch`] and [`Worker::on_answer`]; a thread
//! with waiting requests calls [`Worker::look`].

mod clock;
mod counters;
mod log_limit;
mod refusal;
mod settings;

use log::Level;

use crate::access::Key;
use crate::config::{Config, Route, RouteCache};
use crate::fetch::account::{Account, AccountId, Accounts, Fetch, Wanted};
use crate::fetch::answer::{self, Answer, FetchOutcome};
use crate::host::{Host, Note};
use crate::metrics::{Counter, Gauge};
use crate::oss::details::request_id;
use crate::oss::error::{Alert, Cause, Verdict};
use crate::policy::Place;
use crate::policy::reply::{Reason, Refusal};
use crate::signing::Signer;
use crate::words::Word;
use clock::{Clocks, Learned};
use counters::Counters;
use log_limit::{Line, LogLimit};
pub(crate) use refusal::OssError;

/// The state of one thread.
#[derive(Debug)]
pub struct Worker<H: Host> {
    /// The host of this worker.
    pub host: H,
    config: Config,
    accounts: Accounts,
    parked: Vec<(Wait, H::Handle)>,
    metadata: RouteCache,
    counters: Counters,
    log_limit: LogLimit,
    clocks: Clocks,
    /// The second in which the gauges were last set.
    gauged_at: Option<u64>,
    /// The time when all accounts were last checked, in milliseconds since 1970.
    looked_at: Option<u64>,
}

/// The wait of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The account whose credentials it waits for.
    pub account: AccountId,
    /// The generation with which the earlier attempt was refused. The request waits for newer
    /// credentials, and is signed with this generation if none come in time.
    pub newer_than: Option<u64>,
    /// The beginning of the wait, in milliseconds since 1970.
    pub since: u64,
    /// The end of the wait, in milliseconds since 1970.
    pub until: u64,
}

impl<H: Host> Worker<H> {
    /// A worker with this configuration. `random` is any number that differs between workers.
    pub fn new(config: Config, random: u64, host: H) -> Worker<H> {
        Worker {
            host,
            accounts: Accounts::new(&config.credentials, random),
            config,
            parked: Vec::new(),
            metadata: RouteCache::default(),
            counters: Counters::default(),
            log_limit: LogLimit::default(),
            clocks: Clocks::default(),
            gauged_at: None,
            looked_at: None,
        }
    }

    /// Whether any request waits; then [`Worker::look`] should be called soon.
    pub fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Begins the fetches that are due, unless another worker has begun them.
    pub fn fetch(&mut self) {
        let Some(now) = self.host.now() else { return };
        let wanted = self.wanted(now);
        for fetch in self.accounts.begin(&wanted, now, &mut self.host) {
            self.host.callout(fetch);
        }
    }

    /// Handles the answer to a fetch that [`Worker::fetch`] has begun.
    pub fn on_answer(&mut self, fetch: &Fetch, answer: Answer) {
        let Some(now) = self.host.now() else { return };
        let result = answer::read(answer, now, fetch.sidecar.clock_margin_ms);
        let name = self.accounts.name(fetch.account);
        let outcome = match &result {
            Ok(credentials) => {
                let id = credentials.masked_id();
                let expiry = match credentials.expires_at {
                    Some(time) => format!("expire at {time} (seconds since 1970)"),
                    None => "do not expire".to_owned(),
                };
                let what = format!("fetched {id}; they {expiry}");
                self.host
                    .log(Level::Info, &format!("credentials {name}: {what}"));
                FetchOutcome::Fetched
            }
            Err(error) => {
                if self.accounts.problem(fetch.account) != error.to_string() {
                    let message = format!("credentials {name}: not fetched: {error}");
                    self.host.log(Level::Warn, &message);
                }
                error.outcome()
            }
        };
        self.counters.count(Counter::Callouts(outcome));
        self.accounts
            .end(fetch.account, fetch.holder, result, now, &mut self.host);
    }

    /// Gives up a fetch that [`Worker::fetch`] has begun, because the host ends. Another worker
    /// may begin it again.
    pub fn give_up(&mut self, fetch: &Fetch) {
        if let Some(now) = self.host.now() {
            let (account, holder) = (fetch.account, fetch.holder);
            self.accounts.give_up(account, holder, now, &mut self.host);
        }
    }

    /// Follows the shared credentials, and wakes the requests whose wait is over.
    pub fn look(&mut self) {
        let Some(now) = self.host.now() else { return };
        let wanted = self.wanted(now);
        if wanted == Wanted::All {
            self.looked_at = Some(now);
        }
        self.accounts.follow(&wanted, now, &self.host);
        for (wait, handle) in std::mem::take(&mut self.parked) {
            match self.is_over(&wait, now) {
                true => self.host.wake(handle),
                false => self.parked.push((wait, handle)),
            }
        }
    }

    /// The accounts to check now: those for which requests wait, and all of them once a second.
    /// While requests wait, the host's timer is fast, and there may be many names.
    fn wanted(&self, now: u64) -> Wanted {
        let looked = |at: u64| (at..at + FULL_LOOK_MS).contains(&now);
        if self.parked.is_empty() || !self.looked_at.is_some_and(looked) {
            return Wanted::All;
        }
        let mut accounts = vec![false; self.config.credentials.len()];
        for (wait, _) in &self.parked {
            if let Some(waited_for) = accounts.get_mut(wait.account.0) {
                *waited_for = true;
            }
        }
        let waited_for = (0..).zip(accounts).filter(|(_, waited_for)| *waited_for);
        Wanted::These(waited_for.map(|(place, _)| AccountId(place)).collect())
    }

    /// Updates all copies of the credentials, for a host that knows when the shared ones have
    /// changed.
    pub fn follow(&mut self) {
        if let Some(now) = self.host.now() {
            self.accounts.follow(&Wanted::All, now, &self.host);
        }
    }

    /// Sends the counts to the host.
    pub fn flush(&mut self) {
        self.counters.flush(&mut self.host);
    }

    /// Sends the counts to the host and, once a second, sets the gauges of the credentials.
    pub fn report(&mut self) {
        self.flush();
        let Some(now) = self.host.now() else { return };
        if self.gauged_at.replace(now / 1000) == Some(now / 1000) {
            return;
        }
        for account in self.accounts.iter_mut() {
            let signer = account.signer(now, &self.host);
            let expiry = signer.map(|signer| signer.credentials().expires_at);
            let valid = expiry.is_some().into();
            self.host.gauge(Gauge::Valid(&account.name), valid);
            let left = match expiry {
                // These credentials do not expire.
                Some(None) => continue,
                Some(Some(time)) => time.saturating_sub(now / 1000),
                None => 0,
            };
            self.host.gauge(Gauge::SecondsLeft(&account.name), left);
        }
        // Each worker learns its own differences, but all share one gauge.
        if let Some(seconds) = self.clocks.largest() {
            self.host.gauge(Gauge::ClockCorrection, seconds);
        }
    }

    /// Whether some requests must pass checks that others need not pass.
    pub(crate) fn checks_access(&self) -> bool {
        self.config.checks_access
    }

    /// The place where the filter meets the request of this callback's stream. `noted` says
    /// whether an earlier attempt may have left a note.
    pub(crate) fn place(&self, noted: bool) -> Place {
        match self.host.attempt() {
            0 => Place::Listener,
            attempt => Place::Cluster {
                earlier: match attempt > 1 && noted {
                    true => self.host.noted(Note::Mapped),
                    false => Vec::new(),
                },
            },
        }
    }

    /// The time for a signature to a host, in seconds since 1970. `now` is this machine's time,
    /// in milliseconds since 1970.
    pub(crate) fn time_of(&self, host: &str, now: u64) -> u64 {
        self.clocks.of_host(host, now / 1000)
    }

    /// Handles a refusal because of a signature's time, whose `Date` this is: later signatures,
    /// also that of a retry, use the host's time. The result is `false` if the difference is
    /// too large to correct.
    pub(crate) fn on_clock_skew(&mut self, host: &str, date: &[u8]) -> bool {
        let Some(now) = self.host.now() else {
            return false;
        };
        let learned = self.clocks.learn(host, date, now / 1000);
        let (ahead, what) = match learned {
            Learned::Nothing => return true,
            Learned::Ahead(ahead) => (ahead, "signatures for it use its time from now on"),
            Learned::TooFar(ahead) => (ahead, "the difference is too large to correct"),
        };
        if self.log_limit.allows(Line::Clock, now) {
            let message = format!(
                "the clock of {host} is {ahead} s ahead of this machine's (less than 0: behind \
                 it): {what}; synchronize this machine's clock (NTP)"
            );
            self.host.log(Level::Warn, &message);
        }
        matches!(learned, Learned::Ahead(_))
    }

    /// The signer for a request at `now`.
    pub(crate) fn signer(&mut self, account: AccountId, now: u64) -> Option<&mut Signer> {
        self.accounts.get_mut(account)?.signer(now, &self.host)
    }

    /// The wait of a new request. `None` means that it can be signed now, or that too many
    /// requests wait already.
    pub(crate) fn new_wait(&mut self, account: AccountId, now: u64) -> Option<Wait> {
        let suspected = self.accounts.get(account)?.suspected;
        let generation = self.signer(account, now).map(|signer| signer.generation());
        // The earlier attempt was refused with these credentials, and newer ones may come soon.
        // The note is read only while a suspicion exists.
        let newer_than = generation.filter(|generation| {
            let note = || self.host.noted(Note::Suspect);
            suspected == Some(*generation) && note() == generation.to_string().as_bytes()
        });
        let waits = generation.is_none() || newer_than.is_some();
        (waits && self.parked.len() < self.config.max_waiting).then(|| Wait {
            account,
            newer_than,
            since: now,
            until: now + self.config.wait_timeout_ms,
        })
    }

    /// Registers a stream to be woken when its wait is over.
    pub(crate) fn park(&mut self, wait: Wait, handle: H::Handle) {
        self.parked.push((wait, handle));
    }

    /// Removes a stream that is gone.
    pub(crate) fn forget(&mut self, handle: &H::Handle) {
        self.parked.retain(|(_, parked)| parked != handle);
    }

    /// Whether the wait of a request is over: the credentials are available, or the time is up.
    /// An end too far in the future was set by a clock that has since been set back.
    pub(crate) fn is_over(&self, wait: &Wait, now: u64) -> bool {
        let late = wait.until <= now || wait.until > now + self.config.wait_timeout_ms;
        let ready = |account: &Account| {
            let pending = wait.newer_than.is_some() && account.suspected == wait.newer_than;
            !pending && account.can_sign(now)
        };
        late || self.accounts.get(wait.account).is_none_or(ready)
    }

    /// The refusal of a request for which there are no credentials.
    pub(crate) fn no_credentials(&self, account: AccountId) -> Refusal {
        let mut refusal = Refusal::from(Reason::NoCredentials);
        let problem = self.accounts.problem(account);
        if !problem.is_empty() {
            refusal.message = [NO_CREDENTIALS, problem, "."].concat().into();
        }
        refusal
    }

    /// Leaves a note that the request does not depend on.
    pub(crate) fn note(&mut self, note: Note, text: &str) {
        self.host.note(note, text.as_bytes());
    }

    /// Adds one to a counter.
    pub(crate) fn count(&mut self, counter: Counter) {
        self.counters.count(counter);
    }

    /// Counts the key that signed the URL of a request.
    pub(crate) fn count_key(&mut self, key: Option<Key>) {
        if let Some(key) = key {
            self.count(Counter::UrlKeys(key));
        }
    }

    /// Records the wait of a request.
    pub(crate) fn waited(&mut self, wait: &Wait, now: u64) {
        self.counters.waited(now.saturating_sub(wait.since));
    }

    /// Applies the verdict of an error to the credentials. `generation` is that of the
    /// credentials that signed the request; `id` is OSS's request id. The result says whether a
    /// retry should wait for newer credentials.
    pub(crate) fn on_verdict(
        &mut self,
        route: &Route,
        generation: u64,
        id: &[u8],
        verdict: Verdict,
    ) -> bool {
        if verdict == Verdict::Suspect {
            self.clocks.forget(&route.host);
        }
        let account = self.accounts.get_mut(route.account);
        let (Some(now), Some(account)) = (self.host.now(), account) else {
            return false;
        };
        let host = &mut self.host;
        let (changed, what) = match verdict {
            Verdict::Innocent => return false,
            Verdict::Rejected(cause) => {
                let what = format!("dropped, since OSS says {}", cause.word());
                (account.reject(generation, now, host), what)
            }
            Verdict::Suspect => {
                let id = request_id(id).unwrap_or("none");
                let why = "since OSS does not say why it refused";
                let what = format!("newer ones are fetched, {why} (request id {id})");
                (account.suspect(generation, now, host), what)
            }
        };
        if changed {
            let message = format!("credentials {}: {what}", account.name);
            host.log(Level::Info, &message);
        }
        verdict == Verdict::Suspect && account.suspected == Some(generation)
    }

    /// Whether a retry may be signed with other credentials, now or soon.
    pub(crate) fn has_others(&mut self, id: AccountId, generation: u64) -> bool {
        let Some(now) = self.host.now() else {
            return false;
        };
        let suspected = self.accounts.get(id).and_then(|account| account.suspected);
        let held = self.signer(id, now).map(|signer| signer.generation());
        suspected == Some(generation) || held != Some(generation)
    }

    /// The expiry of the credentials of this generation, in seconds since 1970, if this worker
    /// holds them and they expire.
    pub(crate) fn expiry(&mut self, id: AccountId, generation: u64) -> Option<u64> {
        let now = self.host.now()?;
        let signer = self.signer(id, now)?;
        let held = signer.generation() == generation;
        signer.credentials().expires_at.filter(|_| held)
    }

    /// Reports to the operator why OSS refused a request.
    pub(crate) fn on_diagnosis(&mut self, error: &OssError) {
        self.counters.count(Counter::OssErrors(error.cause));
        // A client's own mistake needs no action by the operator.
        let is_trouble = error.cause.alert() != Alert::None;
        let Some(now) = self.host.now().filter(|_| is_trouble) else {
            return;
        };
        let line = match error.cause {
            Cause::Unknown => Line::unknown(error.response.number()),
            cause => Line::Refused(cause),
        };
        if self.log_limit.allows(line, now) {
            let credentials = self.accounts.name(error.route.account);
            let line = error.line(credentials, now / 1000);
            self.host.log(Level::Warn, &line);
        }
    }
}

const FULL_LOOK_MS: u64 = 1_000;

const NO_CREDENTIALS: &str = "There are no credentials to sign with. The sidecar: ";
