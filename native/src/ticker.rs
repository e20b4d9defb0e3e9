//! The module's one thread, which wakes the others: Envoy calls a module only when something
//! happens to a stream. It calls each configuration on the main thread, which performs the
//! fetches. While requests wait, it also calls one waiting stream of each thread, which checks
//! the others of its thread.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::abi::Waker;

/// The delay of the first tick. It is short, so that the first request need not wait.
const FIRST: Duration = Duration::from_millis(10);
/// The tick while requests wait.
const BUSY: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_secs(1);

static STATE: Mutex<State> = Mutex::new(State {
    modules: BTreeMap::new(),
    waiting: BTreeMap::new(),
    is_running: false,
});
static CHANGED: Condvar = Condvar::new();

struct State {
    /// The configurations by their ids.
    modules: BTreeMap<u64, Module>,
    /// The waiting streams by the ids of their instances and their numbers.
    waiting: BTreeMap<(u64, u64), Sleeper>,
    is_running: bool,
}

struct Module {
    sleeper: Sleeper,
    next: Instant,
}

/// A configuration or a stream that can be woken.
struct Sleeper {
    waker: Waker,
    /// Whether it was called, and has not run yet.
    is_called: bool,
}

impl Sleeper {
    fn new(waker: Waker) -> Sleeper {
        let is_called = false;
        Sleeper { waker, is_called }
    }

    fn call(&mut self) {
        if !std::mem::replace(&mut self.is_called, true) {
            self.waker.wake();
        }
    }
}

/// Adds a configuration. The result is `false` if no thread can be started.
pub fn add(module: u64, waker: Waker) -> bool {
    let mut state = state();
    let module_of = |waker| Module {
        sleeper: Sleeper::new(waker),
        next: Instant::now() + FIRST,
    };
    state.modules.insert(module, module_of(waker));
    if !state.is_running {
        let thread = thread::Builder::new().name("oss_origin_auth".to_owned());
        state.is_running = thread.spawn(run).is_ok();
    }
    if !state.is_running {
        state.modules.remove(&module);
    }
    CHANGED.notify_one();
    state.is_running
}

/// Removes a configuration. The result says whether it was the last.
pub fn remove(module: u64) -> bool {
    let mut state = state();
    state.modules.remove(&module);
    state.modules.is_empty()
}

/// Records that a called configuration runs.
pub fn has_come(module: u64) {
    if let Some(module) = state().modules.get_mut(&module) {
        module.sleeper.is_called = false;
    }
}

/// Calls a configuration at once.
pub fn call(module: u64) {
    if let Some(module) = state().modules.get_mut(&module) {
        module.sleeper.call();
    }
}

/// Adds a waiting stream of an instance.
pub fn add_waiting(instance: u64, stream: u64, waker: Waker) {
    let mut state = state();
    let sleeper = Sleeper::new(waker);
    state.waiting.insert((instance, stream), sleeper);
    // While requests wait, the thread sleeps only briefly. This is the first one.
    if state.waiting.len() == 1 {
        CHANGED.notify_one();
    }
}

/// Removes a stream that no longer waits.
pub fn remove_waiting(instance: u64, stream: u64) {
    state().waiting.remove(&(instance, stream));
}

/// Records that a called stream runs.
pub fn waiting_has_come(instance: u64, stream: u64) {
    if let Some(sleeper) = state().waiting.get_mut(&(instance, stream)) {
        sleeper.is_called = false;
    }
}

/// Calls a waiting stream of each instance at once.
pub fn call_waiting() {
    state().call_waiting();
}

impl State {
    fn call_waiting(&mut self) {
        let mut last = None;
        for ((instance, _), sleeper) in &mut self.waiting {
            if last.replace(*instance) != Some(*instance) {
                sleeper.call();
            }
        }
    }

    /// Calls whatever is due, and returns how long to sleep.
    fn tick(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.call_waiting();
        let is_busy = !self.waiting.is_empty();
        for module in self.modules.values_mut() {
            if module.next <= now || is_busy {
                module.sleeper.call();
                module.next = now + IDLE;
            }
        }
        let next = self.modules.values().map(|module| module.next).min()?;
        match is_busy {
            true => Some(BUSY),
            false => Some(next.saturating_duration_since(now)),
        }
    }
}

fn run() {
    let mut state = state();
    loop {
        state = match state.tick() {
            Some(pause) => {
                let waited = CHANGED.wait_timeout(state, pause);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = CHANGED.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
