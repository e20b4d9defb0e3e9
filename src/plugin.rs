//! The state that the contexts of one worker share. The core's actions are performed only here.

use std::cell::RefCell;
use std::rc::Rc;

use oss_origin_auth_core::config::Config;
use oss_origin_auth_core::exchange::{Action, Event, Exchange};
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::fetch::answer::{Answer, MAX_BODY};
use oss_origin_auth_core::policy::edits::Edits;
use oss_origin_auth_core::policy::reply::{Reason, Refusal};
use oss_origin_auth_core::worker::Worker;
use proxy_wasm::types::{self, BufferType, MapType};

use crate::abi;
use crate::envoy::{self, Envoy, Handle};

/// The delay of the first tick. It is short, so that the first request need not wait.
const FIRST_TICK_MS: u32 = 10;
/// The tick while requests wait.
const BUSY_TICK_MS: u32 = 5;
const IDLE_TICK_MS: u32 = 1_000;

/// The state of one worker and configuration; the main thread has one, too.
///
/// It is borrowed while the core decides, which calls only functions of Envoy that call nothing
/// back ([`Host`](oss_origin_auth_core::host::Host)); and never while an action is performed.
#[derive(Clone, Debug, Default)]
pub struct Plugin(Rc<RefCell<Option<State>>>);

#[derive(Debug)]
struct State {
    worker: Worker<Envoy>,
    /// The fetches under way and Envoy's tokens of their callouts.
    callouts: Vec<(u32, Fetch)>,
    tick_period: Option<u32>,
}

impl Plugin {
    /// Takes a configuration. `random` is any number that differs between workers.
    pub fn configure(&self, config: Config, random: u64) {
        self.0.replace(Some(State {
            worker: Worker::new(config, random, Envoy::default()),
            callouts: Vec::new(),
            tick_period: None,
        }));
        // A callout from `on_configure` crashes Envoy if the filter is on a static cluster. So
        // the first tick begins the fetches.
        self.set_tick_period(FIRST_TICK_MS);
    }

    /// Passes an event of a stream to the core, and performs its action. `part` holds the
    /// message of the event, whose headers may be edited.
    pub fn on(
        &self,
        exchange: &RefCell<Exchange<Handle>>,
        event: Event,
        part: MapType,
    ) -> types::Action {
        let is_request = matches!(
            part,
            MapType::HttpRequestHeaders | MapType::HttpRequestTrailers
        );
        let action = self
            .decide(exchange, event)
            .unwrap_or_else(|| match is_request {
                true => Action::Reply(Refusal::from(Reason::InternalError)),
                false => Action::Continue(Edits::default()),
            });
        let waits = action == Action::Hold;
        let result = match perform(action, part) {
            Err(_) if is_request => match self.decide(exchange, Event::EditsFailed) {
                Some(action) => perform(action, part),
                None => Ok(types::Action::Pause),
            },
            result => result,
        };
        if waits {
            self.adjust_tick_period();
        }
        // A request that could neither be edited nor answered must not be forwarded.
        result.unwrap_or(match is_request {
            true => types::Action::Pause,
            false => types::Action::Continue,
        })
    }

    /// Handles the end of a stream.
    pub fn on_gone(&self, exchange: &RefCell<Exchange<Handle>>) {
        if exchange.try_borrow().is_ok_and(|e| e.needs_gone()) {
            self.decide(exchange, Event::Gone);
        }
    }

    /// Asks the core for an action. `None` without a configuration, or if Envoy called from
    /// within another callback.
    fn decide(&self, exchange: &RefCell<Exchange<Handle>>, event: Event) -> Option<Action> {
        let decided = self.with(|state| {
            let mut exchange = exchange.try_borrow_mut().ok()?;
            Some(exchange.on(event, &mut state.worker))
        });
        decided.flatten()
    }

    /// Handles a tick. `root` is the id of the root context.
    pub fn on_tick(&self, root: u32) {
        self.with(|State { worker, .. }| {
            worker.fetch();
            worker.look();
        });
        self.settle(root);
        self.with(|state| state.worker.report());
    }

    /// Handles the answer to a fetch; `status` is `None` if there is none.
    pub fn on_callout(&self, root: u32, token: u32, status: Option<u16>, size: usize) {
        let body = match size {
            0 => Vec::new(),
            size if size > MAX_BODY => Vec::new(),
            size => abi::buffer(BufferType::HttpCallResponseBody, size).unwrap_or_default(),
        };
        let body = &body;
        let answer = match status {
            Some(status) => Answer::Given { status, size, body },
            None => Answer::None,
        };
        self.with(|state| {
            let known = state.callouts.iter().position(|(known, _)| *known == token);
            if let Some(at) = known {
                let (_, fetch) = state.callouts.swap_remove(at);
                state.worker.on_answer(&fetch, answer);
                state.worker.look();
            }
        });
        self.settle(root);
    }

    /// Gives back the leases of the fetches that are under way. Envoy drops the callouts of a
    /// configuration that ends, and reports nothing.
    pub fn end(&self) {
        self.with(|state| {
            for (_, fetch) in state.callouts.drain(..) {
                state.worker.give_up(&fetch);
            }
        });
    }

    /// Performs the fetches and wake-ups that the core noted during the callback.
    fn settle(&self, root: u32) {
        let fetches = self.with(|state| std::mem::take(&mut state.worker.host.fetches));
        for fetch in fetches.unwrap_or_default() {
            let token = envoy::dispatch(&fetch);
            self.with(|state| match token {
                Some(token) => state.callouts.push((token, fetch)),
                None => state.worker.on_answer(&fetch, Answer::NotSent),
            });
        }
        let woken = self.with(|state| std::mem::take(&mut state.worker.host.woken));
        for Handle { stream, exchange } in woken.unwrap_or_default() {
            if let Some(exchange) = exchange.upgrade()
                && abi::act_on(stream).is_ok()
                && self.on(&exchange, Event::Woken, MapType::HttpRequestHeaders)
                    == types::Action::Continue
            {
                let _ = abi::resume_request();
            }
        }
        let _ = abi::act_on(root);
        self.adjust_tick_period();
    }

    fn adjust_tick_period(&self) {
        let busy = self.with(|state| state.worker.has_parked());
        self.set_tick_period(match busy {
            Some(true) => BUSY_TICK_MS,
            _ => IDLE_TICK_MS,
        });
    }

    fn set_tick_period(&self, period: u32) {
        let before = self.with(|state| state.tick_period.replace(period));
        if before != Some(Some(period)) {
            let _ = abi::set_tick_period(period);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.0.try_borrow_mut().ok()?.as_mut().map(act)
    }
}

/// Performs an action. The result says whether the message of the event continues.
fn perform(action: Action, part: MapType) -> abi::Result<types::Action> {
    match action {
        Action::Continue(edits) => apply(&edits, part)?,
        Action::Hold => return Ok(types::Action::Pause),
        Action::Reply(refusal) => {
            reply(&refusal)?;
            return Ok(types::Action::Pause);
        }
        Action::ReplaceBody(text) => abi::replace_response_body(&text)?,
    }
    Ok(types::Action::Continue)
}

/// Makes all edits that are possible, and returns the first error.
fn apply(edits: &Edits, part: MapType) -> abi::Result<()> {
    let mut result = Ok(());
    for name in &edits.remove {
        result = result.and(abi::remove_header(part, name));
    }
    for (name, value) in &edits.set {
        result = result.and(abi::set_header(part, name, value));
    }
    if let Some(signed) = &edits.add {
        for (name, value) in signed.iter() {
            result = result.and(abi::add_header(part, name, value));
        }
    }
    result
}

fn reply(refusal: &Refusal) -> abi::Result<()> {
    let (status, headers) = (refusal.status(), refusal.headers());
    abi::reply(status.into(), &refusal.details(), &headers, &refusal.body())
}
