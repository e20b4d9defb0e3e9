//! The state of one worker: its configuration, its credentials, and the
//! requests that wait for them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::abi;
use crate::config::{Config, NamedSource, Sidecar, Source};
pub use crate::credentials::answer::MAX_BODY;
use crate::credentials::answer::{self, FetchError};
use crate::credentials::keyring::{Keyring, SharedData};
use crate::flow::{Event, Flow, Step};
use crate::request::{Incoming, Refusal, admit};
use crate::waiting::{Waiter, Waiting};

/// Soon after the configuration, so that the first request need not wait.
pub const FIRST_TICK_MS: u32 = 10;
/// While requests wait.
pub const WAITING_TICK_MS: u32 = 5;
const IDLE_TICK_MS: u32 = 1_000;

pub struct Worker {
    config: Config,
    keyring: Keyring,
    sidecars: Vec<Option<Rc<Sidecar>>>,
    waiting: Waiting,
    /// The callouts under way: which credentials each is for.
    callouts: HashMap<u32, usize>,
    tick_period: u32,
}

impl Worker {
    pub fn new(config: Config) -> Worker {
        let mut keyring = Keyring::new(RandomState::new().build_hasher().finish());
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
            callouts: HashMap::new(),
            tick_period: FIRST_TICK_MS,
        }
    }

    pub fn needs_route(&self) -> bool {
        self.config.has_routes()
    }

    pub fn on_request(&mut self, stream: u32, route: &[u8], headers: &[(&[u8], &[u8])]) -> Step {
        let route = self.config.route(route);
        let mut flow = Flow::Arrived;
        let outgoing = match admit(route.map(Rc::as_ref), Incoming { headers }) {
            Ok(outgoing) => outgoing,
            Err(refusal) => return flow.on(Event::Refused(refusal)),
        };
        let Some(route) = route.cloned() else {
            return Step::Nothing;
        };
        let now = now_ms();
        let signer = self.keyring.signer(route.credentials, now, &Envoy);
        if signer.is_none() && self.waiting.len() >= self.config.max_waiting {
            return flow.on(Event::Refused(self.no_credentials(route.credentials)));
        }
        let step = flow.on(Event::Admitted {
            route,
            outgoing,
            signer,
            now: now / 1000,
        });
        if step == Step::Wait {
            self.tick_period = WAITING_TICK_MS;
            self.waiting.push(Waiter {
                stream,
                flow,
                deadline: now + self.config.wait_timeout_ms,
            });
        }
        step
    }

    pub fn on_gone(&mut self, stream: u32) {
        self.waiting.forget(stream);
    }

    /// The fetches that this worker must make now.
    pub fn due_fetches(&mut self) -> Vec<(usize, Rc<Sidecar>)> {
        let now = now_ms();
        let mut due = Vec::new();
        for (index, sidecar) in self.sidecars.iter().enumerate() {
            if let Some(sidecar) = sidecar
                && self.keyring.refresh(index, now, &mut Envoy)
            {
                due.push((index, Rc::clone(sidecar)));
            }
        }
        due
    }

    /// A fetch was sent under this token, or Envoy refused to.
    pub fn on_dispatched(&mut self, index: usize, token: Option<u32>) {
        match token {
            Some(token) => {
                self.callouts.insert(token, index);
            }
            None => self.on_fetched(index, Err(FetchError::NotSent)),
        }
    }

    /// The answer to a fetch. `body` is empty if `body_size` is too large.
    pub fn on_answer(&mut self, token: u32, status: u16, body_size: usize, body: &[u8]) {
        let Some(index) = self.callouts.remove(&token) else {
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
                }
            }
        }
        let longest = self.config.wait_timeout_ms;
        for mut waiter in self.waiting.take_overdue(now, longest) {
            let refusal = self.no_credentials(waiter.flow.waits_for().unwrap_or(usize::MAX));
            let event = Event::NoCredentials(refusal);
            finished.push((waiter.stream, waiter.flow.on(event)));
        }
        finished
    }

    /// The period to set, if it is not the one that is set.
    pub fn tick_change(&mut self) -> Option<u32> {
        let wanted = match self.waiting.is_empty() {
            true => IDLE_TICK_MS,
            false => WAITING_TICK_MS,
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

/// Milliseconds since 1970, by the host's clock.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}
