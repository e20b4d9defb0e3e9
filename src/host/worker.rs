//! The state of one worker: its configuration, its credentials, and the
//! requests that wait for them.

use std::rc::Rc;

use super::abi::{self, now_ms};
use super::stats::{Group, Stats};
use crate::config::{
    Config, ConfigError, Metadata, NamedSource, Route, RouteCache, Sidecar, Source, Sources,
};
pub use crate::credentials::answer::MAX_BODY;
use crate::credentials::answer::{self, FetchError};
use crate::credentials::keyring::{Fetch, Keyring, SharedData};
use crate::diagnosis::Cause;
use crate::flow::{Event, Flow, Sent, Step};
use crate::log_limit::LogLimit;
use crate::request::{Admission, Incoming, Outgoing, Refusal, admit};
use crate::waiting::{Waiter, Waiting};

/// Soon after the configuration, so that the first request need not wait.
pub const FIRST_TICK_MS: u32 = 10;
/// While requests wait or responses are held.
pub const BUSY_TICK_MS: u32 = 5;
const IDLE_TICK_MS: u32 = 1_000;
/// A body that OSS sends along with the headers has come by then.
const LONGEST_HOLD_MS: u64 = 500;

pub struct Worker {
    config: Config,
    keyring: Keyring,
    sidecars: Vec<Option<Rc<Sidecar>>>,
    waiting: Waiting,
    /// Requests that waited and were sent, until their answer comes.
    resumed: Vec<(u32, Flow)>,
    /// Responses that are held until their body has come: the stream, and
    /// until when. See [`Worker::hold_response`].
    held: Vec<(u32, u64)>,
    can_hold: bool,
    log_limit: LogLimit,
    metadata: RouteCache,
    stats: Stats,
    /// The second of the last word on how the credentials stand.
    told_at: u64,
    /// The callouts under way: which credentials each is for.
    callouts: Vec<(u32, usize)>,
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
            held: Vec::new(),
            can_hold: true,
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
    /// `earlier`: see [`Incoming::earlier`].
    pub fn on_request(
        &mut self,
        stream: u32,
        metadata: Metadata,
        headers: &[(&[u8], &[u8])],
        earlier: impl FnOnce() -> Vec<u8>,
    ) -> (Step, Flow) {
        let route = match self.metadata.route(&self.config, metadata) {
            Ok(route) => route,
            Err(error) => return self.refuse(misconfigured(error)),
        };
        // Asked for only where it may say something: it is a call to the host.
        let earlier = match route.as_ref().is_some_and(|route| route.maps_paths()) {
            true => earlier(),
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
                (flow.on(Event::Passed(changes)), flow)
            }
            Ok(Admission::Signed(outgoing)) => match route {
                Some(route) => self.on_admitted(stream, route, outgoing),
                None => (Step::Nothing, Flow::Over),
            },
        }
    }

    fn on_admitted(&mut self, stream: u32, route: Rc<Route>, outgoing: Outgoing) -> (Step, Flow) {
        let now = now_ms();
        let signer = self.keyring.signer(route.credentials, now, &Envoy);
        if signer.is_none() && self.waiting.len() >= self.config.max_waiting {
            let refusal = self.no_credentials(route.credentials);
            return self.refuse(refusal);
        }
        let mut flow = Flow::Arrived;
        let step = flow.on(Event::Admitted {
            route,
            outgoing,
            signer,
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
        self.release_response(stream);
    }

    /// Whether the headers of an error may be held until its body has come.
    /// Without `allow_on_headers_stop_iteration` Envoy gives no body while the
    /// headers are held; that shows when nothing comes in time.
    pub fn hold_response(&mut self, stream: u32) -> bool {
        if self.can_hold {
            self.held.push((stream, now_ms() + LONGEST_HOLD_MS));
            self.tick_period = BUSY_TICK_MS;
        }
        self.can_hold
    }

    /// Whether it was still held.
    pub fn release_response(&mut self, stream: u32) -> bool {
        let before = self.held.len();
        self.held.retain(|(held, _)| *held != stream);
        self.held.len() < before
    }

    /// The held responses for which no body came.
    pub fn overdue_responses(&mut self) -> Vec<u32> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let now = now_ms();
        let overdue = |until: u64| until <= now || until > now + LONGEST_HOLD_MS;
        let streams: Vec<u32> = self
            .held
            .iter()
            .filter(|(_, until)| overdue(*until))
            .map(|(stream, _)| *stream)
            .collect();
        self.held.retain(|(_, until)| !overdue(*until));
        if !streams.is_empty() && self.can_hold {
            self.can_hold = false;
            log::warn!(
                "oss-origin-auth: errors of OSS are judged too late for a retry of the same \
                 request; set allow_on_headers_stop_iteration: true beside `configuration`"
            );
        }
        streams
    }

    /// Tells the operator, and drops credentials that are condemned.
    pub fn on_diagnosed(&mut self, sent: &Sent, cause: Cause, request_id: &[u8]) {
        let now = now_ms();
        let index = sent.route.credentials;
        self.stats.count(Group::OssErrors, cause.name());
        if cause.condemns_credentials()
            && self.keyring.reject(index, sent.generation, now, &mut Envoy)
        {
            log::info!(
                "oss-origin-auth: credentials {}: dropped, since OSS says {}",
                self.name(index),
                cause.name()
            );
        }
        // An object that is not there is no trouble of the operator's.
        if cause != Cause::NoSuchKey && self.log_limit.allows(cause, now) {
            log::warn!(
                "oss-origin-auth: OSS refused: {} (settings {}, bucket {}, credentials {}, \
                 request id {}): {}",
                cause.name(),
                sent.route.name,
                sent.route.bucket,
                self.name(index),
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
    pub fn on_dispatched(&mut self, index: usize, token: Option<u32>) {
        match token {
            Some(token) => {
                self.callouts.push((token, index));
            }
            None => self.on_fetched(index, Err(FetchError::NotSent)),
        }
    }

    /// The answer to a fetch. `body` is empty if `body_size` is too large.
    pub fn on_answer(&mut self, token: u32, status: u16, body_size: usize, body: &[u8]) {
        let known = self.callouts.iter().position(|(known, _)| *known == token);
        let Some((_, index)) = known.map(|at| self.callouts.swap_remove(at)) else {
            return;
        };
        let result = match (status, body_size) {
            (200, size) if size > MAX_BODY => Err(FetchError::TooLarge(size)),
            _ => answer::parse(status, body, now_ms() / 1000),
        };
        self.on_fetched(index, result);
    }

    /// What happens to those requests for which the wait is over.
    pub fn finished_waits(&mut self) -> Vec<(u32, Step)> {
        let mut finished = Vec::new();
        if self.waiting.is_empty() {
            return finished;
        }
        let now = now_ms();
        for index in 0..self.keyring.len() {
            if !self.waiting.any_for(index) {
                continue;
            }
            if let Some(signer) = self.keyring.signer(index, now, &Envoy) {
                for mut waiter in self.waiting.take_for(index) {
                    let event = Event::Credentials {
                        signer,
                        now: now / 1000,
                    };
                    finished.push((waiter.stream, waiter.flow.on(event)));
                    self.stats.signed();
                    self.stats.waited(now.saturating_sub(waiter.since));
                    self.resumed.push((waiter.stream, waiter.flow));
                }
            }
        }
        let longest = self.config.wait_timeout_ms;
        for mut waiter in self.waiting.take_overdue(now, longest) {
            let refusal = self.no_credentials(waiter.flow.waits_for().unwrap_or(usize::MAX));
            self.stats.count(Group::Refused, refusal.reason);
            self.stats.waited(longest);
            let event = Event::NoCredentials(refusal);
            finished.push((waiter.stream, waiter.flow.on(event)));
        }
        finished
    }

    /// The period to set, if it is not the one that is set.
    pub fn tick_change(&mut self) -> Option<u32> {
        let wanted = match self.waiting.is_empty() && self.held.is_empty() {
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
        result: Result<crate::credentials::Credentials, FetchError>,
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
        self.keyring.answered(index, now_ms(), result, &mut Envoy);
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
