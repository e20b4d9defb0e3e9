//! Accepts connections, and limits their number and their time. Each connection has one
//! request: an idle connection would have to be closed at some time, perhaps just when its
//! caller sends the next request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::listener::Listener;
use crate::routes::App;

/// The limits on the connections of callers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The number of connections that have not yet shown that they may have credentials.
    pub strangers: usize,
    /// The number of connections that may have credentials, and wait or are being answered.
    pub callers: usize,
}

impl Limits {
    /// The limits of this process. It raises its limit of open files as far as it may, and uses
    /// as many as that leaves room for.
    pub fn of_this_process() -> Result<Limits, String> {
        let files = rlimit::increase_nofile_limit(MOST_FILES);
        let files = files.map_err(|error| format!("limit of open files: {error}"))?;
        if files < LEAST_FILES {
            return Err(format!(
                "this process may open {files} files; give it {LEAST_FILES} at least (ulimit -n)"
            ));
        }
        Ok(Limits::of(usize::try_from(files).unwrap_or(usize::MAX)))
    }

    /// The limits for a process that may open `files` files. Half of them are for the sources,
    /// the log and the runtime, until there are enough for all.
    fn of(files: usize) -> Limits {
        Limits {
            strangers: (files / 4).min(STRANGERS),
            callers: (files / 4).min(CALLERS),
        }
    }
}

const STRANGERS: usize = 256;
const CALLERS: usize = 1_024;
const MOST_FILES: u64 = 4_096;
const LEAST_FILES: u64 = 64;
/// The time that a connection has at least, before it is closed to make room for another.
const LEAST_TIME: Duration = Duration::from_millis(50);
/// The time for the whole head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The time for the caller to take its answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The most bytes of the head of a request.
const HEAD_SIZE: usize = 16 * 1024;
/// The time after SIGTERM for requests that have begun to arrive, and for their answers.
const LAST_HEADS: Duration = Duration::from_secs(1);
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// The pause after the system could not accept a connection, since it is likely to fail again.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`; then gives the requests under way a short time to finish.
pub async fn serve(
    listener: Listener,
    app: Arc<App>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Slots::new(limits));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    let mut waiting = None;
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok(stream) => {
                    waiting = Some(stream);
                    is_failing = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    // The system may have no files left for it.
                    slots.evict_oldest(&app);
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = slots.make_room(&app), if waiting.is_some() => {
                if let Some(stream) = waiting.take() {
                    let slot = slots.take();
                    connections.spawn(converse(stream, Arc::clone(&app), slot));
                }
            }
        }
    }
    drop(listener);
    let begin = Instant::now();
    let mut strangers = true;
    loop {
        let limit = if strangers { LAST_HEADS } else { LAST_ANSWERS };
        let left = limit.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, connections.join_next()).await {
            Ok(None) => return,
            Ok(Some(_)) => {}
            Err(_) if strangers => {
                strangers = false;
                let ended = slots.evict_all();
                tracing::info!(connections = ended, "connections closed without a request");
            }
            // The remaining connections are dropped, which ends them.
            Err(_) => return,
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Arc<App>,
    slot: Slot,
) {
    slot.begin();
    let answered = Notify::new();
    let service = service_fn(|request| {
        let (app, slot, answered) = (&app, &slot, &answered);
        async move {
            let answer = app.answer(&request, || slot.promote()).await;
            answered.notify_one();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_SIZE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let too_slow = async {
        answered.notified().await;
        tokio::time::sleep(ANSWER_TIME).await;
    };
    tokio::select! {
        // The caller knows what was wrong with its connection.
        _ = connection => {}
        () = slot.evicted.notified() => {}
        () = too_slow => {}
    }
}

/// The connections, by the limit that they count for.
struct Slots {
    limits: Limits,
    state: Mutex<State>,
    /// The signal that a stranger has gone.
    freed: Notify,
}

#[derive(Default)]
struct State {
    /// The strangers in the order of their numbers; the oldest has the lowest. Each has the
    /// time at which its request is first looked at, if it has been, and the signal that ends
    /// it.
    strangers: BTreeMap<u64, (Option<Instant>, Arc<Notify>)>,
    callers: usize,
    taken: u64,
}

impl Slots {
    fn new(limits: Limits) -> Slots {
        Slots {
            limits,
            state: Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there is room for one more stranger. If all places are taken, the oldest is
    /// closed as soon as it has had its time.
    async fn make_room(&self, app: &App) {
        while self.state().strangers.len() >= self.limits.strangers {
            let wait = self.evict_oldest(app);
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.freed.notified() => {}
            }
        }
    }

    /// Closes the oldest stranger if it has had its time; otherwise returns the time that it
    /// has left.
    fn evict_oldest(&self, app: &App) -> Duration {
        let mut state = self.state();
        let Some(oldest) = state.strangers.first_entry() else {
            return LEAST_TIME;
        };
        let left = match oldest.get().0 {
            Some(since) => LEAST_TIME.saturating_sub(since.elapsed()),
            // All of its request may have arrived.
            None => LEAST_TIME,
        };
        if left.is_zero() {
            let (_, evicted) = oldest.remove();
            evicted.notify_one();
            app.metrics().evicted();
        }
        left
    }

    fn take(self: &Arc<Slots>) -> Slot {
        let evicted = Arc::new(Notify::new());
        let mut state = self.state();
        let number = state.taken;
        state.taken += 1;
        let stranger = (None, Arc::clone(&evicted));
        state.strangers.insert(number, stranger);
        Slot {
            slots: Arc::clone(self),
            number,
            evicted,
            is_caller: AtomicBool::new(false),
        }
    }

    fn evict_all(&self) -> usize {
        let strangers = std::mem::take(&mut self.state().strangers);
        for (_, evicted) in strangers.values() {
            evicted.notify_one();
        }
        strangers.len()
    }
}

/// The place of one connection; it is free again when this is dropped.
struct Slot {
    slots: Arc<Slots>,
    number: u64,
    evicted: Arc<Notify>,
    is_caller: AtomicBool,
}

impl Slot {
    /// Starts the time of the connection: from now on its request is looked at.
    fn begin(&self) {
        let mut state = self.slots.state();
        if let Some((since, _)) = state.strangers.get_mut(&self.number) {
            *since = Some(Instant::now());
        }
    }

    /// Makes a stranger a caller, if there is room for one more.
    fn promote(&self) -> bool {
        let mut state = self.slots.state();
        if state.callers >= self.slots.limits.callers
            || state.strangers.remove(&self.number).is_none()
        {
            return false;
        }
        state.callers += 1;
        drop(state);
        self.is_caller.store(true, Ordering::Relaxed);
        self.slots.freed.notify_one();
        true
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        if self.is_caller.load(Ordering::Relaxed) {
            state.callers -= 1;
        } else {
            state.strangers.remove(&self.number);
        }
        drop(state);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn slots(strangers: usize, callers: usize) -> Arc<Slots> {
        Arc::new(Slots::new(Limits { strangers, callers }))
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_makes_room_and_not_before_its_time() {
        let app = App::new(Arc::new(Metrics::new())).unwrap();
        let slots = slots(2, 2);
        let held = [slots.take(), slots.take()];
        // Strangers stay until their request has been looked at.
        let early = tokio::time::timeout(LEAST_TIME * 10, slots.make_room(&app)).await;
        assert!(early.is_err());
        held.iter().for_each(Slot::begin);
        let begin = Instant::now();
        slots.make_room(&app).await;
        assert!(begin.elapsed() >= LEAST_TIME);
        let ended = |slot: &Slot| {
            let evicted = Arc::clone(&slot.evicted);
            async move {
                let ended = tokio::time::timeout(Duration::from_millis(1), evicted.notified());
                ended.await.is_ok()
            }
        };
        assert!(held[0].slots.state().strangers.len() == 1);
        assert!(ended(&held[0]).await && !ended(&held[1]).await);
        // A stranger that was closed is not served any more.
        assert!(!held[0].promote() && held[1].promote());
    }

    #[test]
    fn connections_leave_files_for_the_sources() {
        for files in [64, 128, 1_024, 4_096, usize::MAX] {
            let Limits { strangers, callers } = Limits::of(files);
            assert!(strangers >= 16 && callers >= 16, "{files}");
            assert!(strangers + callers <= files / 2, "{files}");
        }
        let most = Limits::of(4_096);
        assert_eq!((most.strangers, most.callers), (256, 1_024));
    }

    #[test]
    fn callers_have_a_limit_and_give_their_place_back() {
        let slots = slots(9, 1);
        let (first, second) = (slots.take(), slots.take());
        assert!(first.promote() && !second.promote());
        drop(first);
        assert!(second.promote());
        drop(second);
        let state = slots.state();
        assert_eq!((state.callers, state.strangers.len()), (0, 0));
    }
}
