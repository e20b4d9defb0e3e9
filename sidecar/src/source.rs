//! The credentials of one name: held, refreshed ahead of their end, fetched by
//! one at a time, and served as long as they are valid, whatever their source
//! does.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::credential::{Ask, Cause, Credential, Fetch, FetchError, Fetching};
use crate::held::{Held, unix};
use crate::metrics::Metrics;
use crate::settings::SourceSettings;

/// The credentials of one name.
pub struct Source {
    name: String,
    settings: SourceSettings,
    provider: Arc<dyn Fetch>,
    metrics: Arc<Metrics>,
    state: RwLock<State>,
    /// Whether a reload has taken the name away.
    is_retired: AtomicBool,
    /// Locked while a fetch is under way: the others wait for its result.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    failed: Option<Failed>,
    /// When a caller last asked for renewed credentials and caused a fetch.
    renewed_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Failed {
    at: Instant,
    error: FetchError,
    /// Failures in a row.
    count: u32,
}

impl Source {
    /// A source that holds nothing yet. `settings` are those that `provider` was
    /// built from.
    pub fn new(
        name: &str,
        settings: &SourceSettings,
        provider: Arc<dyn Fetch>,
        metrics: &Arc<Metrics>,
    ) -> Source {
        Source {
            name: name.to_owned(),
            settings: settings.clone(),
            provider,
            metrics: Arc::clone(metrics),
            state: RwLock::default(),
            is_retired: AtomicBool::new(false),
            fetching: Arc::default(),
        }
    }

    /// The name that callers ask for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the source, in a word for messages.
    pub fn kind(&self) -> &'static str {
        self.settings.kind()
    }

    /// The settings that the source was built from.
    pub fn settings(&self) -> &SourceSettings {
        &self.settings
    }

    /// Credentials that are valid now, fetched if need be. While the source
    /// fails, the old ones serve as long as they are valid.
    pub async fn credential(self: &Arc<Source>, ask: Ask) -> Result<Arc<Held>, FetchError> {
        let asked_at = Instant::now();
        if let Some(held) = self.valid(SystemTime::now())
            && (ask == Ask::Valid || self.state().is_just_renewed())
        {
            return Ok(held);
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        // Whoever began to fetch meanwhile has done it for this caller too.
        let now = SystemTime::now();
        if let Some(held) = self.valid(now)
            && (ask == Ask::Valid || held.at >= asked_at)
        {
            return Ok(held);
        }
        let state = self.state();
        if let Some(failed) = state.failed
            && failed.at.elapsed() < FAILURE_HOLDS
        {
            return self.valid(now).ok_or(failed.error);
        }
        let result = self.fetch_in_turn(turn, ask).await;
        result.or_else(|error| self.valid(SystemTime::now()).ok_or(error))
    }

    /// What it holds, if that is valid: for those who must not cause a fetch.
    pub fn valid(&self, now: SystemTime) -> Option<Arc<Held>> {
        self.state()
            .held
            .filter(|held| held.credential.is_valid(now))
    }

    /// Why the last fetch failed, if it did.
    pub fn problem(&self) -> Option<FetchError> {
        self.state().failed.map(|failed| failed.error)
    }

    /// A reload has taken the name away: the metrics forget it.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        self.forget();
    }

    /// Refreshes ahead, without end.
    pub async fn maintain(self: Arc<Source>) {
        loop {
            // In steps, since the end of what is held may come nearer all at once.
            tokio::time::sleep(self.until_due().min(LONGEST_STEP)).await;
            if !self.until_due().is_zero() {
                continue;
            }
            let turn = Arc::clone(&self.fetching).lock_owned().await;
            if self.until_due().is_zero() {
                // A failure is logged, and kept for those who ask.
                let _ = self.fetch_in_turn(turn, Ask::Valid).await;
            }
        }
    }

    /// By the monotonic clock, which nobody sets but which stands still while a machine
    /// sleeps; so the wall clock has a word too.
    fn until_due(&self) -> Duration {
        let State { held, failed, .. } = self.state();
        let due = held.map_or(Duration::ZERO, |held| {
            let wait = if held.is_ageing(SystemTime::now()) {
                SHORTEST_WAIT
            } else {
                held.refresh_after.max(SHORTEST_WAIT)
            };
            wait.saturating_sub(held.at.elapsed())
        });
        let held_off = failed.map_or(Duration::ZERO, |failed| {
            let backoff = FAILURE_HOLDS * 2_u32.pow(failed.count.min(8));
            backoff.min(MAX_BACKOFF).saturating_sub(failed.at.elapsed())
        });
        due.max(held_off)
    }

    /// Fetches in a task of its own: a caller that leaves breaks off nothing that
    /// others wait for.
    async fn fetch_in_turn(
        self: &Arc<Source>,
        turn: OwnedMutexGuard<()>,
        ask: Ask,
    ) -> Result<Arc<Held>, FetchError> {
        let source = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = source.fetch_once(ask).await;
            drop(turn);
            result
        });
        let broken_off = |_| self.keep(Err(FetchError::missing(BROKEN_OFF)), Instant::now());
        task.await.unwrap_or_else(broken_off)
    }

    /// Asks the provider once and keeps the result; only with `fetching` locked.
    async fn fetch_once(&self, ask: Ask) -> Result<Arc<Held>, FetchError> {
        let begin = Instant::now();
        let result = self.provider.fetch(Ask::Valid).await;
        let failed = result.as_ref().err().map(|error| error.cause.label());
        let now = unix(SystemTime::now());
        self.metrics
            .fetched(&self.name, failed, begin.elapsed(), now);
        // In this order, so that nothing is left of a name that is taken away meanwhile.
        if self.is_retired.load(Ordering::SeqCst) {
            self.forget();
        }
        let result = self.keep(result, begin);
        if ask == Ask::Renewed && result.is_ok() {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.renewed_at = Some(Instant::now());
        }
        result
    }

    fn forget(&self) {
        let failed = Cause::LABELS.into_iter();
        self.metrics.forget(&self.name, failed.chain(["ok"]));
    }

    /// `begin`: of the fetch.
    fn keep(
        &self,
        result: Result<Credential, FetchError>,
        begin: Instant,
    ) -> Result<Arc<Held>, FetchError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(credential) => {
                let held = Arc::new(Held::new(credential, begin, SystemTime::now()));
                tracing::info!(
                    name = self.name,
                    expires = held.expiration(),
                    "credentials fetched"
                );
                state.held = Some(Arc::clone(&held));
                state.failed = None;
                Ok(held)
            }
            Err(error) => {
                let last = state.failed.take();
                // The metrics count the same problem again.
                if last.as_ref().is_none_or(|last| last.error != error) {
                    tracing::warn!(name = self.name, %error, "credentials not fetched");
                }
                state.failed = Some(Failed {
                    at: Instant::now(),
                    error: error.clone(),
                    count: last.map_or(0, |last| last.count.saturating_add(1)),
                });
                Err(error)
            }
        }
    }

    fn state(&self) -> State {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl State {
    fn is_just_renewed(&self) -> bool {
        let ago = self.renewed_at.map(|at| at.elapsed());
        ago.is_some_and(|ago| ago < JUST_RENEWED)
    }
}

const BROKEN_OFF: &str = "the fetch was broken off";
/// A failure is the answer for this long, so that many callers make one fetch.
const FAILURE_HOLDS: Duration = Duration::from_millis(500);
/// Callers that ask for renewed credentials share one fetch for this long. That
/// the held ones are young is not enough: refreshed ahead, they may have been
/// revoked together with those that the caller had.
const JUST_RENEWED: Duration = Duration::from_secs(1);
/// A refresh comes no sooner after the last fetch, however short a token's life.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The clock of the end of credentials is looked at this often.
const LONGEST_STEP: Duration = Duration::from_secs(30);
/// A source that fails is tried again at least this often.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// For what stands on these credentials.
impl Fetch for Arc<Source> {
    fn fetch(&self, ask: Ask) -> Fetching<'_> {
        Box::pin(async move {
            let held = self.credential(ask).await;
            let held = held.map_err(|error| error.of_base(&self.name))?;
            Ok(held.credential.clone())
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Source({}, {})", self.name, self.kind())
    }
}
