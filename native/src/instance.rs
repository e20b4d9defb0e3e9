//! One thread's state of a configuration.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use oss_origin_auth_core::config::Config;
use oss_origin_auth_core::exchange::{Action, Event, Exchange};
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::fetch::answer::{Answer, MAX_BODY};
use oss_origin_auth_core::worker::Worker;

use crate::abi::{Configuration, Filter, Header, Result};
use crate::envoy::{Envoy, Handle, Place};
use crate::module::Module;
use crate::{store, ticker};

/// How often the main thread checks for due fetches while requests wait. It is not more often,
/// because there may be many names of credentials.
const LOOK: Duration = Duration::from_millis(20);

thread_local! {
    /// The instances of this thread. Those of a destroyed configuration are removed when the
    /// next configuration arrives.
    static INSTANCES: RefCell<Vec<(Weak<Module>, Instance)>> = const { RefCell::new(Vec::new()) };
}

/// A configuration on one thread. The main thread fetches credentials, and the others sign with
/// them.
///
/// It is borrowed while the core decides, which calls only functions of Envoy that call nothing
/// back; and never while an action is performed (`stream.rs`).
#[derive(Clone, Debug)]
pub struct Instance(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    module: u64,
    /// The state; `None` if the settings could not be read again.
    state: RefCell<Option<State>>,
}

#[derive(Debug)]
struct State {
    worker: Worker<Envoy>,
    /// The fetches under way and Envoy's ids of their callouts.
    callouts: Vec<(u64, Fetch)>,
    /// The number of changes of the store that this thread has followed.
    seen: u64,
    /// The time of the last check for due fetches.
    looked: Option<Instant>,
}

/// The answer to a callout. Its body is a secret.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// The HTTP status in digits.
    pub status: &'a [u8],
    /// The body in pieces.
    pub body: &'a [&'a [u8]],
}

impl Instance {
    /// The instance of this thread.
    pub fn of(module: &Arc<Module>) -> Instance {
        let known = INSTANCES.with_borrow(|instances| {
            let mut known = instances.iter().map(|(_, instance)| instance);
            known.find(|known| known.0.module == module.id).cloned()
        });
        known.unwrap_or_else(|| Instance::keep(module, module.settings()))
    }

    /// Creates the instance of the main thread.
    pub fn add(module: &Arc<Module>, settings: Config) {
        Instance::keep(module, Some(settings));
    }

    fn keep(module: &Arc<Module>, settings: Option<Config>) -> Instance {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let state = settings.map(|settings| {
            let random = RandomState::new().build_hasher().finish();
            let envoy = Envoy::new(module.id, Arc::clone(&module.metrics));
            State {
                worker: Worker::new(settings, random, envoy),
                callouts: Vec::new(),
                // No change has been followed: the first request follows all.
                seen: u64::MAX,
                looked: None,
            }
        });
        let instance = Instance(Rc::new(Inner {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            module: module.id,
            state: RefCell::new(state),
        }));
        INSTANCES.with_borrow_mut(|instances| {
            instances.retain(|(module, _)| module.strong_count() > 0);
            instances.push((Arc::downgrade(module), instance.clone()));
        });
        instance
    }

    /// The id of this instance, which no other has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Calls this configuration on the main thread.
    pub fn call_main(&self) {
        ticker::call(self.0.module);
    }

    /// Passes an event of a stream to the core and returns its action. `None` without a
    /// configuration, or if Envoy called this hook from within another one.
    pub fn decide(
        &self,
        filter: Filter,
        exchange: &RefCell<Exchange<Handle>>,
        event: Event,
    ) -> Option<Action> {
        let begins = matches!(event, Event::RequestHeaders(_));
        let decided = self.with(Place::Stream(filter), |state| {
            if begins {
                state.follow();
            }
            let mut exchange = exchange.try_borrow_mut().ok()?;
            let action = exchange.on(event, &mut state.worker);
            match begins {
                true => state.worker.report(),
                false => state.worker.flush(),
            }
            Some(action)
        });
        decided.flatten()
    }

    /// The streams of this thread whose wait is over. `filter` is that of a waiting stream.
    pub fn look(&self, filter: Filter) -> Vec<Handle> {
        let woken = self.with(Place::Stream(filter), |state| {
            state.follow();
            state.worker.look();
            std::mem::take(&mut state.worker.host.woken)
        });
        woken.unwrap_or_default()
    }

    /// Handles a tick, on the main thread.
    pub fn on_tick(&self, config: Configuration) {
        let fetches = self.with(Place::Main(config), |state| {
            let has_changed = state.follow();
            if has_changed || state.looked.is_none_or(|at| at.elapsed() >= LOOK) {
                state.looked = Some(Instant::now());
                state.worker.fetch();
            }
            std::mem::take(&mut state.worker.host.fetches)
        });
        for fetch in fetches.unwrap_or_default() {
            let id = dispatch(config, &fetch);
            self.with(Place::Main(config), |state| match id {
                Ok(id) => state.callouts.push((id, fetch)),
                Err(_) => state.worker.on_answer(&fetch, Answer::NotSent),
            });
        }
        self.with(Place::Main(config), |state| state.worker.report());
    }

    /// Handles the answer to a fetch; `reply` is `None` if there is none.
    pub fn on_callout(&self, config: Configuration, id: u64, reply: Option<Reply>) {
        let size = |reply: &Reply| reply.body.iter().map(|piece| piece.len()).sum();
        let size: usize = reply.as_ref().map_or(0, size);
        let body = match &reply {
            Some(reply) if size <= MAX_BODY => reply.body.concat(),
            _ => Vec::new(),
        };
        let body = &body;
        let status = reply.and_then(|reply| std::str::from_utf8(reply.status).ok()?.parse().ok());
        let answer = match status {
            Some(status) => Answer::Given { status, size, body },
            None => Answer::None,
        };
        self.with(Place::Main(config), |state| {
            let known = state.callouts.iter().position(|(known, _)| *known == id);
            if let Some(at) = known {
                let (_, fetch) = state.callouts.swap_remove(at);
                state.worker.on_answer(&fetch, answer);
            }
            state.worker.report();
        });
    }

    /// Handles the end of a configuration: Envoy cancels its callouts and reports nothing.
    pub fn end(module: &Arc<Module>) {
        let of_this = |(_, instance): &(Weak<Module>, Instance)| instance.0.module == module.id;
        let instance = INSTANCES.with_borrow_mut(|instances| {
            let at = instances.iter().position(of_this)?;
            Some(instances.swap_remove(at).1)
        });
        if let Some(instance) = instance {
            instance.with(Place::Nowhere, |state| {
                for (_, fetch) in state.callouts.drain(..) {
                    state.worker.give_up(&fetch);
                }
            });
        }
    }

    fn with<T>(&self, place: Place, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.0.state.try_borrow_mut().ok()?;
        let state = state.as_mut()?;
        state.worker.host.place = place;
        let result = act(state);
        state.worker.host.place = Place::Nowhere;
        Some(result)
    }
}

impl State {
    /// Updates this thread's copies if the store has changed. The result says whether it has.
    fn follow(&mut self) -> bool {
        let changes = store::changes();
        let has_changed = std::mem::replace(&mut self.seen, changes) != changes;
        if has_changed {
            self.worker.follow();
        }
        has_changed
    }
}

/// Sends a request for credentials and returns Envoy's id of it.
fn dispatch(config: Configuration, fetch: &Fetch) -> Result<u64> {
    let sidecar = &fetch.sidecar;
    let headers = sidecar.request_headers(fetch.no_cache);
    let headers: Vec<Header> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    config.callout(&sidecar.cluster, &headers, sidecar.timeout_ms)
}
