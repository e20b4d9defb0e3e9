//! What one thread of a host has: the configuration, its copies of the credentials, the
//! requests that wait for them, and what it has counted.
//!
//! A host may have one thread that does everything, or one that fetches and others that
//! serve: [`Worker::fetch`] and [`Worker::on_answer`] are for whoever fetches,
//! [`Worker::look`] for whoever has requests that wait.

mod counters;
mod log_limit;

use crate::config::choices::MetadataOf;
use crate::config::{Config, Metadata, RouteCache, Settings};
use crate::fetch::account::{Account, AccountId, Accounts, Fetch};
use crate::fetch::answer::{self, Answer, FetchOutcome};
use crate::host::{Attribute, Host, Level, Note};
use crate::metrics::{Counter, Gauge};
use crate::oss::error::{Cause, Verdict};
use crate::policy::reply::{Reason, Refusal};
use crate::signing::Signer;
use crate::words::Word;
use counters::Counters;
use log_limit::LogLimit;

/// The state of one thread.
#[derive(Debug)]
pub struct Worker<H: Host> {
    /// What the core asks for all that is not its own.
    pub host: H,
    config: Config,
    accounts: Accounts,
    parked: Vec<(Wait, H::Handle)>,
    metadata: RouteCache,
    counters: Counters,
    log_limit: LogLimit,
    /// The second in which the gauges were last set.
    gauged_at: Option<u64>,
}

/// What a request waits for, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whose credentials.
    pub account: AccountId,
    /// The generation that its attempt before was refused with: newer
    /// credentials are better, these are good enough.
    pub newer_than: Option<u64>,
    /// When it began, in milliseconds since 1970.
    pub since: u64,
    /// When it is over, in milliseconds since 1970.
    pub until: u64,
}

/// How OSS refused a request that was signed.
#[derive(Clone, Copy, Debug)]
pub struct Complaint<'a> {
    /// Whose credentials signed it.
    pub account: AccountId,
    /// Which of them.
    pub generation: u64,
    /// OSS's name of the request.
    pub request_id: &'a [u8],
}

impl<H: Host> Worker<H> {
    /// A worker of this configuration. `random` is any number that differs between
    /// workers.
    pub fn new(config: Config, random: u64, host: H) -> Worker<H> {
        Worker {
            host,
            accounts: Accounts::new(&config.credentials, random),
            config,
            parked: Vec::new(),
            metadata: RouteCache::default(),
            counters: Counters::default(),
            log_limit: LogLimit::default(),
            gauged_at: None,
        }
    }

    /// Whether any request waits, so that [`Worker::look`] should be called soon.
    pub fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Begins the fetches that are due, unless another has begun them.
    pub fn fetch(&mut self) {
        let Some(now) = self.host.now() else { return };
        for fetch in self.accounts.begin(now, &mut self.host) {
            self.host.callout(fetch);
        }
    }

    /// Takes in the answer to a fetch that [`Worker::fetch`] has begun.
    pub fn on_answer(&mut self, fetch: &Fetch, answer: Answer) {
        let Some(now) = self.host.now() else { return };
        let result = answer::read(answer, now / 1000);
        let name = self.accounts.name(fetch.account);
        let outcome = match &result {
            Ok(credentials) => {
                let expiry = match credentials.expires_at {
                    Some(time) => time.to_string(),
                    None => "no time".to_owned(),
                };
                let message = format!(
                    "credentials {name}: fetched {}, expire at {expiry} (seconds since 1970)",
                    credentials.masked_id()
                );
                self.host.log(Level::Info, &message);
                FetchOutcome::Fetched
            }
            Err(error) => {
                let known = self.accounts.problem(fetch.account);
                if known != error.to_string() {
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

    /// Looks at what all workers share, and wakes the requests for which the wait is
    /// over.
    pub fn look(&mut self) {
        let Some(now) = self.host.now() else { return };
        self.accounts.follow(now, &self.host);
        for (wait, handle) in std::mem::take(&mut self.parked) {
            match self.is_over(&wait, now) {
                true => self.host.wake(handle),
                false => self.parked.push((wait, handle)),
            }
        }
    }

    /// Tells the host what was counted, and once a second how the credentials stand.
    pub fn report(&mut self) {
        self.counters.flush(&mut self.host);
        let Some(now) = self.host.now() else { return };
        if self.gauged_at.replace(now / 1000) == Some(now / 1000) {
            return;
        }
        for account in self.accounts.iter_mut() {
            let signer = account.signer(now, &self.host);
            let expiry = signer
                .as_ref()
                .map(|signer| signer.credentials().expires_at);
            self.host
                .gauge(Gauge::Valid, &account.name, expiry.is_some().into());
            let left = match expiry {
                // They have no end.
                Some(None) => continue,
                Some(Some(time)) => time.saturating_sub(now / 1000),
                None => 0,
            };
            self.host.gauge(Gauge::SecondsLeft, &account.name, left);
        }
    }

    /// The settings of the request of this callback's stream.
    pub(crate) fn settings(&mut self) -> Settings {
        let read = |wanted: bool, attribute| match wanted {
            true => self.host.attribute(attribute),
            false => Vec::new(),
        };
        let reads = |of| self.config.reads_metadata(of);
        let metadata = Metadata {
            route_name: read(self.config.needs_route_name(), Attribute::RouteName),
            route: read(reads(MetadataOf::Route), Attribute::RouteMetadata),
            cluster: read(reads(MetadataOf::Cluster), Attribute::ClusterMetadata),
        };
        let settings = self.metadata.settings(&self.config, metadata);
        if let Settings::Wrong(Some(error)) = &settings {
            let message = format!("settings in metadata refused: {error}");
            self.host.log(Level::Error, &message);
        }
        settings
    }

    /// What signs a request now.
    pub(crate) fn signer(&mut self, account: AccountId, now: u64) -> Option<&mut Signer> {
        self.accounts.get_mut(account)?.signer(now, &self.host)
    }

    /// The wait of a request that comes now. `None`: it can be signed, or there are too
    /// many already that wait.
    pub(crate) fn new_wait(&mut self, account: AccountId, now: u64) -> Option<Wait> {
        let suspected = self.accounts.get(account)?.suspected;
        let generation = self.signer(account, now).map(|signer| signer.generation());
        // The attempt before was refused with these, and newer ones may come soon. The
        // note is read only while there are suspects.
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

    /// Wakes the stream when its wait is over.
    pub(crate) fn park(&mut self, wait: Wait, handle: H::Handle) {
        self.parked.push((wait, handle));
    }

    /// The stream is gone.
    pub(crate) fn forget(&mut self, handle: &H::Handle) {
        self.parked.retain(|(_, parked)| parked != handle);
    }

    /// Whether a request need wait no longer: what it waits for is there, or time is up.
    pub(crate) fn is_over(&self, wait: &Wait, now: u64) -> bool {
        let ready = |account: &Account| {
            let pending = wait.newer_than.is_some() && account.suspected == wait.newer_than;
            !pending && account.can_sign(now)
        };
        wait.is_late(now, self.config.wait_timeout_ms)
            || self.accounts.get(wait.account).is_none_or(ready)
    }

    /// Why there is nothing to sign with.
    pub(crate) fn no_credentials(&self, account: AccountId) -> Refusal {
        let refusal = Refusal::from(Reason::NoCredentials);
        match self.accounts.problem(account) {
            "" => refusal,
            problem => Refusal {
                message: format!("There are no credentials to sign with. The sidecar: {problem}.")
                    .into(),
                ..refusal
            },
        }
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, counter: Counter) {
        self.counters.count(counter);
    }

    /// A request has waited.
    pub(crate) fn waited(&mut self, wait: &Wait, now: u64) {
        self.counters.waited(now.saturating_sub(wait.since));
    }

    /// Does to the credentials what an error of OSS takes. Whether its request had
    /// better wait for newer ones, if it comes again.
    pub(crate) fn on_verdict(&mut self, complaint: Complaint, verdict: Verdict) -> bool {
        let Complaint {
            account,
            generation,
            request_id,
        } = complaint;
        let (Some(now), Some(account)) = (self.host.now(), self.accounts.get_mut(account)) else {
            return false;
        };
        match verdict {
            Verdict::Innocent => false,
            Verdict::Rejected(cause) => {
                if account.reject(generation, now, &mut self.host) {
                    let message = format!(
                        "credentials {}: dropped, since OSS says {}",
                        account.name,
                        cause.word()
                    );
                    self.host.log(Level::Info, &message);
                }
                false
            }
            Verdict::Suspect => {
                if account.suspect(generation, now, &mut self.host) {
                    let message = format!(
                        "credentials {}: newer ones are fetched, since OSS does not say why it \
                         refused (request id {})",
                        account.name,
                        request_id.escape_ascii()
                    );
                    self.host.log(Level::Info, &message);
                }
                account.suspected == Some(generation)
            }
        }
    }

    /// Tells the operator why OSS refused. `route`: where its settings stand;
    /// `bucket`: whose object was asked for.
    pub(crate) fn on_diagnosis(
        &mut self,
        complaint: Complaint,
        cause: Cause,
        (route, bucket): (&str, &str),
    ) {
        self.counters.count(Counter::OssErrors(cause));
        // An object that is not there is no trouble of the operator's.
        let Some(now) = self.host.now().filter(|_| cause != Cause::NoSuchKey) else {
            return;
        };
        if self.log_limit.allows(cause, now) {
            let name = self.accounts.name(complaint.account);
            let message = format!(
                "OSS refused: {} (settings {route}, bucket {bucket}, credentials {name}, \
                 request id {}): {}",
                cause.word(),
                complaint.request_id.escape_ascii(),
                cause.fix()
            );
            self.host.log(Level::Warn, &message);
        }
    }
}

impl Wait {
    /// Whether time is up. A time further off than `longest` was set by a clock that has
    /// since been set back.
    fn is_late(&self, now: u64, longest: u64) -> bool {
        self.until <= now || self.until > now + longest
    }
}
