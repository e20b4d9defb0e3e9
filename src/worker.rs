//! The state of one worker: its configuration, its credentials, and the
//! requests that wait for them.

use std::rc::Rc;

use super::abi::{self, now_ms};
use super::stats::{Group, Stats};
use oss_origin_auth_core::config::{
    Config, ConfigError, Metadata, NamedSource, Route, RouteCache, Sidecar, Source, Sources,
};
pub use oss_origin_auth_core::credentials::answer::MAX_BODY;
use oss_origin_auth_core::credentials::answer::{self, FetchError};
use oss_origin_auth_core::credentials::keyring::{Fetch, Keyring, SharedData};
use oss_origin_auth_core::diagnosis::{Cause, Verdict};
use oss_origin_auth_core::flow::{Event, Flow, Sent, Step};
use oss_origin_auth_core::log_limit::LogLimit;
use oss_origin_auth_core::request::{Admission, Incoming, Outgoing, Refusal, admit};
use oss_origin_auth_core::waiting::{Waiter, Waiting};

/// Soon after the configuration, so that the first request need not wait.
pub const FIRST_TICK_MS: u32 = 10;
/// While requests wait.
pub const BUSY_TICK_MS: u32 = 5;
const IDLE_TICK_MS: u32 = 1_000;

/// Of filter state, which all attempts at a request share:
/// [`oss_origin_auth_core::request::Changes::mapped`].
pub const MAPPED: &str = "oss_origin_auth.mapped";
/// As above: the generation of the credentials with which an attempt was refused,
/// where newer ones may heal it.
pub const REFUSED: &str = "oss_origin_auth.refused";

pub struct Worker {
    config: Config,
    keyring: Keyring,
    sidecars: Vec<Option<Rc<Sidecar>>>,
    waiting: Waiting,
    /// Requests that waited and were sent, until their answer comes.
    resumed: Vec<(u32, Flow)>,
    log_limit: LogLimit,
    metadata: RouteCache,
    stats: Stats,
    /// The second of the last word on how the credentials stand.
    told_at: u64,
    /// The callouts under way: which credentials each is for, and the fetch's
    /// holder.
    callouts: Vec<(u32, usize, u64)>,
    tick_period: u32,
}

impl Worker {
    pub fn new(config: Config) -> Worker {
        let mut keyring = Keyring::new(abi::random());
        let mut sidecars = Vec::new();
        for NamedSource { source, .. } in &config.credentials {
            match source {
                Source::AccessKey(credentials) => {
                    keyring.add_fixed(credentials.clone());
                    sidecars.push(None);
                }
                Source::Sidecar(sidecar) => {
                    keyring.add_fetched(sidecar.shared_key(), sidecar.timing());
                    sidecars.push(Some(Rc::clone(sidecar)));
                }
            }
        }
        Worker {
            config,
            keyring,
            sidecars,
            waiting: Waiting::default(),
            resumed: Vec::new(),
            log_limit: LogLimit::default(),
            metadata: RouteCache::default(),
            stats: Stats::default(),
            told_at: 0,
            callouts: Vec::new(),
            tick_period: FIRST_TICK_MS,
        }
    }

    /// Which of [`Metadata`] make any difference: the route's name, its
    /// metadata, the cluster's.
    pub fn wanted_metadata(&self) -> (bool, Sources) {
        (self.config.has_routes(), self.config.metadata)
    }

    /// What becomes of a request, and its flow unless it waits here.
    /// `remembered`: what an earlier attempt at it left under a name; asked for
    /// only where it may say something, since it is a call to the host.
    pub fn on_request(
        &mut self,
        stream: u32,
        metadata: Metadata,
        headers: &[(&[u8], &[u8])],
        remembered: impl Fn(&str) -> Vec<u8>,
    ) -> (Step, Flow) {
        let route = match self.metadata.route(&self.config, metadata) {
            Ok(route) => route,
            Err(error) => return self.refuse(misconfigured(error)),
        };
        let earlier = match route.as_ref().is_some_and(|route| route.maps_paths()) {
            true => remembered(MAPPED),
            false => Vec::new(),
        };
        let incoming = Incoming {
            headers,
            earlier: &earlier,
        };
        match admit(route.as_deref(), incoming) {
            Err(refusal) => self.refuse(refusal),
            Ok(Admission::Unsigned(changes)) => {
                self.stats.count(Group::Requests, "unsigned");
                let mut flow = Flow::Arrived;
                let step = match route {
                    Some(route) => flow.on(Event::Passed { route, changes }),
                    None => Step::Nothing,
                };
                (step, flow)
            }
            Ok(Admission::Signed(outgoing)) => match route {
                Some(route) => self.on_admitted(stream, route, outgoing, remembered),
                None => (Step::Nothing, Flow::Over),
            },
        }
    }

    fn on_admitted(
        &mut self,
        stream: u32,
        route: Rc<Route>,
        outgoing: Outgoing,
        remembered: impl Fn(&str) -> Vec<u8>,
    ) -> (Step, Flow) {
        let now = now_ms();
        let may_wait = self.waiting.len() < self.config.max_waiting;
        let suspected = self.keyring.suspected(route.credentials);
        let signer = self.keyring.signer(route.credentials, now, &Envoy);
        if signer.is_none() && !may_wait {
            let refusal = self.no_credentials(route.credentials);
            return self.refuse(refusal);
        }
        let awaits_newer = may_wait
            && suspected.is_some_and(|generation| {
                let same = signer.as_ref().map(|signer| signer.generation()) == Some(generation);
                same && remembered(REFUSED) == generation.to_string().as_bytes()
            });
        let mut flow = Flow::Arrived;
        let step = flow.on(Event::Admitted {
            route,
            outgoing,
            signer,
            awaits_newer,
            now: now / 1000,
        });
        if step == Step::Wait {
            self.tick_period = BUSY_TICK_MS;
            self.waiting.push(Waiter {
                stream,
                flow,
                since: now,
                deadline: now + self.config.wait_timeout_ms,
            });
            return (step, Flow::Over);
        }
        self.stats.signed();
        (step, flow)
    }

    fn refuse(&mut self, refusal: Refusal) -> (Step, Flow) {
        self.stats.count(Group::Refused, refusal.reason);
        let mut flow = Flow::Arrived;
        (flow.on(Event::Refused(refusal)), flow)
    }

    /// Tells Envoy's statistics what happened since the last time, and once a
    /// second how the credentials stand.
    pub fn flush_stats(&mut self) {
        self.stats.flush();
        let now = now_ms();
        if self.told_at == now / 1000 {
            return;
        }
        self.told_at = now / 1000;
        for (index, NamedSource { name, .. }) in self.config.credentials.iter().enumerate() {
            let signer = self.keyring.signer(index, now, &Envoy);
            let expires_at = signer
                .as_ref()
                .map(|signer| signer.credentials().expires_at);
            let left = expires_at
                .flatten()
                .map(|at| at.saturating_sub(self.told_at));
            self.stats.credentials(index, name, signer.is_some(), left);
        }
    }

    /// The flow of a request that waited, once it has been sent.
    pub fn take_resumed(&mut self, stream: u32) -> Option<Flow> {
        let mut resumed = self.resumed.iter();
        let at = resumed.position(|(known, _)| *known == stream)?;
        Some(self.resumed.swap_remove(at).1)
    }

    pub fn on_gone(&mut self, stream: u32) {
        self.waiting.forget(stream);
        self.take_resumed(stream);
    }

    /// Does to the credentials what an error of OSS takes. Whether its request had
    /// better wait for newer ones, if it comes again: see [`REFUSED`].
    pub fn on_judged(&mut self, sent: &Sent, verdict: Verdict, request_id: &[u8]) -> bool {
        let now = now_ms();
        let index = sent.route.credentials;
        match verdict {
            Verdict::Innocent => false,
            Verdict::Rejected(cause) => {
                if self.keyring.reject(index, sent.generation, now, &mut Envoy) {
                    log::info!(
                        "oss-origin-auth: credentials {}: dropped, since OSS says {}",
                        self.name(index),
                        cause.name()
                    );
                }
                false
            }
            Verdict::Suspect => {
                if self
                    .keyring
                    .suspect(index, sent.generation, now, &mut Envoy)
                {
                    log::info!(
                        "oss-origin-auth: credentials {}: newer ones are fetched, since OSS does \
                         not say why it refused (request id {})",
                        self.name(index),
                        request_id.escape_ascii()
                    );
                }
                self.keyring.suspected(index) == Some(sent.generation)
            }
        }
    }

    /// Tells the operator.
    pub fn on_diagnosed(&mut self, sent: &Sent, cause: Cause, request_id: &[u8]) {
        self.stats.count(Group::OssErrors, cause.name());
        // An object that is not there is no trouble of the operator's.
        if cause != Cause::NoSuchKey && self.log_limit.allows(cause, now_ms()) {
            log::warn!(
                "oss-origin-auth: OSS refused: {} (settings {}, bucket {}, credentials {}, \
                 request id {}): {}",
                cause.name(),
                sent.route.name,
                sent.route.bucket,
                self.name(sent.route.credentials),
                request_id.escape_ascii(),
                cause.fix()
            );
        }
    }

    /// The fetches that this worker must make now.
    pub fn due_fetches(&mut self) -> Vec<(usize, Rc<Sidecar>, Fetch)> {
        let now = now_ms();
        let mut due = Vec::new();
        for (index, sidecar) in self.sidecars.iter().enumerate() {
            if let Some(sidecar) = sidecar
                && let Some(fetch) = self.keyring.refresh(index, now, &mut Envoy)
            {
                due.push((index, Rc::clone(sidecar), fetch));
            }
        }
        due
    }

    /// A fetch was sent under this token, or Envoy refused to.
    pub fn on_dispatched(&mut self, index: usize, fetch: Fetch, token: Option<u32>) {
        match token {
            Some(token) => self.callouts.push((token, index, fetch.holder)),
            None => self.on_fetched(index, fetch.holder, Err(FetchError::NotSent)),
        }
    }

    /// The answer to a fetch. `body` is empty if `body_size` is too large.
    pub fn on_answer(&mut self, token: u32, status: u16, body_size: usize, body: &[u8]) {
        let known = self.callouts.iter().position(|(known, ..)| *known == token);
        let Some((_, index, holder)) = known.map(|at| self.callouts.swap_remove(at)) else {
            return;
        };
        let result = match (status, body_size) {
            (200, size) if size > MAX_BODY => Err(FetchError::TooLarge(size)),
            _ => answer::parse(status, body, now_ms() / 1000),
        };
        self.on_fetched(index, holder, result);
    }

    /// What happens to those requests for which the wait is over.
    pub fn finished_waits(&mut self) -> Vec<(u32, Step)> {
        let now = now_ms();
        let mut over = Vec::new();
        for index in 0..self.keyring.len() {
            if self.waiting.any_for(index) && self.keyring.signer(index, now, &Envoy).is_some() {
                let suspected = self.keyring.suspected(index);
                over.extend(self.waiting.take_for(index, suspected));
            }
        }
        let longest = self.config.wait_timeout_ms;
        over.extend(self.waiting.take_overdue(now, longest));
        let finished = over.into_iter().map(|waiter| self.finish(waiter, now));
        finished.collect()
    }

    /// Ends a wait: with the credentials that there are, or without any.
    fn finish(&mut self, mut waiter: Waiter, now: u64) -> (u32, Step) {
        let wanted = waiter.flow.waits_for();
        let index = wanted.map_or(usize::MAX, |(index, _)| index);
        self.stats.waited(now.saturating_sub(waiter.since));
        let Some(signer) = self.keyring.signer(index, now, &Envoy) else {
            let refusal = self.no_credentials(index);
            self.stats.count(Group::Refused, refusal.reason);
            return (waiter.stream, waiter.flow.on(Event::NoCredentials(refusal)));
        };
        let step = waiter.flow.on(Event::Credentials {
            signer,
            now: now / 1000,
        });
        self.stats.signed();
        self.resumed.push((waiter.stream, waiter.flow));
        (waiter.stream, step)
    }

    /// The period to set, if it is not the one that is set.
    pub fn tick_change(&mut self) -> Option<u32> {
        let wanted = match self.waiting.is_empty() {
            true => IDLE_TICK_MS,
            false => BUSY_TICK_MS,
        };
        let changed = wanted != self.tick_period;
        self.tick_period = wanted;
        changed.then_some(wanted)
    }

    fn on_fetched(
        &mut self,
        index: usize,
        holder: u64,
        result: Result<oss_origin_auth_core::credentials::Credentials, FetchError>,
    ) {
        let label = result.as_ref().map_or_else(FetchError::label, |_| "ok");
        self.stats.count(Group::Callouts, label);
        let name = self.name(index);
        match &result {
            Ok(credentials) => log::info!(
                "oss-origin-auth: credentials {name}: fetched {}, expire at {} (seconds since 1970)",
                credentials.masked_id(),
                credentials
                    .expires_at
                    .map_or("no time".to_owned(), |time| time.to_string()),
            ),
            Err(error) if self.keyring.problem(index) != error.to_string() => {
                log::warn!("oss-origin-auth: credentials {name}: not fetched: {error}");
            }
            Err(_) => {}
        }
        self.keyring
            .answered(index, holder, now_ms(), result, &mut Envoy);
    }

    fn name(&self, index: usize) -> &str {
        let source = self.config.credentials.get(index);
        source.map_or("", |source| source.name.as_str())
    }

    fn no_credentials(&self, index: usize) -> Refusal {
        let message = match self.keyring.problem(index) {
            "" => "There are no credentials to sign with yet.".to_owned(),
            problem => format!("There are no credentials to sign with. The sidecar: {problem}."),
        };
        Refusal::new(503, "no_credentials", message).retry_after(1)
    }
}

/// `error` where it was not told yet.
fn misconfigured(error: Option<ConfigError>) -> Refusal {
    if let Some(error) = error {
        log::error!("oss-origin-auth: settings in metadata refused: {error}");
    }
    let message = "The settings in the route's metadata are wrong; the log of Envoy says how.";
    Refusal::new(500, "route_misconfigured", message)
}

/// The host's shared data.
struct Envoy;

impl SharedData for Envoy {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        abi::shared_data(key)
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        abi::set_shared_data(key, value, cas).is_ok()
    }
}
