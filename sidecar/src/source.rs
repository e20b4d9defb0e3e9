//! The credentials of one name. One fetch runs at a time. The credentials are refreshed ahead
//! of their end, and served as long as they are valid, even if their source fails.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::credential::{Ask, Cause, Credential, Fetch, FetchError, Fetching};
use crate::held::{Held, unix};
use crate::metrics::Metrics;
use crate::schedule::Schedule;
use crate::settings::SourceSettings;

/// The credentials of one name.
pub struct Source {
    name: String,
    settings: SourceSettings,
    provider: Arc<dyn Fetch>,
    metrics: Arc<Metrics>,
    state: RwLock<State>,
    /// Whether a reload has removed the name.
    is_retired: AtomicBool,
    /// The lock that a fetch holds while it is under way: the others wait for its result.
    fetching: Arc<Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    /// Why the last fetch failed, if it did.
    problem: Option<FetchError>,
    schedule: Schedule,
    /// When a caller last asked for renewed credentials and caused a fetch.
    renewed_at: Option<Instant>,
}

impl Source {
    /// A source that holds nothing yet. `provider` was built from `settings`.
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

    /// The name of the source, which callers ask for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the source, for messages.
    pub fn kind(&self) -> &'static str {
        self.settings.kind()
    }

    /// The settings that the source was built from.
    pub fn settings(&self) -> &SourceSettings {
        &self.settings
    }

    /// Credentials that are valid now, fetched if need be. While the source fails, the old ones
    /// are served as long as they are valid.
    pub async fn credential(self: &Arc<Source>, ask: Ask) -> Result<Arc<Held>, FetchError> {
        let asked_at = Instant::now();
        if let Some(held) = self.valid(SystemTime::now())
            && (ask == Ask::Valid || self.state().is_just_renewed())
        {
            return Ok(held);
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        // A caller that began to fetch meanwhile has done it for this one, too.
        let now = SystemTime::now();
        if let Some(held) = self.valid(now)
            && (ask == Ask::Valid || held.at >= asked_at)
        {
            return Ok(held);
        }
        let State {
            problem, schedule, ..
        } = self.state();
        let (valid, instant) = (self.valid(now), Instant::now());
        let is_held_off = match ask == Ask::Renewed && valid.is_some() {
            true => schedule.is_held_off_from_renewal(instant),
            false => schedule.is_held_off(instant),
        };
        if let Some(problem) = problem
            && is_held_off
        {
            return valid.ok_or(problem);
        }
        let result = self.fetch_in_turn(turn, ask).await;
        result.or_else(|error| self.valid(SystemTime::now()).ok_or(error))
    }

    /// The credentials that are held, if they are valid: for callers that must not cause a
    /// fetch.
    pub fn valid(&self, now: SystemTime) -> Option<Arc<Held>> {
        self.state()
            .held
            .filter(|held| held.credential.is_valid(now))
    }

    /// The error of the last fetch, if it failed.
    pub fn problem(&self) -> Option<FetchError> {
        self.state().problem
    }

    /// Marks the name as removed by a reload, so that the metrics forget it.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        self.forget();
    }

    /// Refreshes the credentials ahead of their end, for ever.
    pub async fn maintain(self: Arc<Source>) {
        loop {
            // The wait is in steps, since a changed clock may move the end of the credentials
            // closer.
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

    /// The time until the next fetch. The monotonic clock measures it. Nobody sets that clock,
    /// but it stands still while a machine sleeps; so the wall clock counts, too.
    fn until_due(&self) -> Duration {
        let State { held, schedule, .. } = self.state();
        let is_ageing = held.is_some_and(|held| held.is_ageing(SystemTime::now()));
        schedule.until_due(Instant::now(), is_ageing)
    }

    /// Fetches in a task of its own: a caller that leaves does not stop a fetch that others
    /// wait for.
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

    /// Asks the provider once and keeps the result; the caller holds the lock `fetching`.
    async fn fetch_once(&self, ask: Ask) -> Result<Arc<Held>, FetchError> {
        let begin = Instant::now();
        let result = self.provider.fetch(Ask::Valid).await;
        let failed = result.as_ref().err().map(|error| error.cause.label());
        let now = unix(SystemTime::now());
        self.metrics
            .fetched(&self.name, failed, begin.elapsed(), now);
        // The order matters: nothing must be left of a name that is removed meanwhile.
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

    /// Keeps the result of a fetch that began at `begin`.
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
                state.schedule.succeed(begin, held.life, random());
                state.held = Some(Arc::clone(&held));
                state.problem = None;
                Ok(held)
            }
            Err(error) => {
                // The metrics count the same problem again; the log does not.
                if state.problem.as_ref() != Some(&error) {
                    tracing::warn!(name = self.name, %error, "credentials not fetched");
                }
                let failure = error.cause.failure();
                state.schedule.fail(Instant::now(), failure, random());
                state.problem = Some(error.clone());
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

const BROKEN_OFF: &str = "the fetch was interrupted";
/// The time that callers which ask for renewed credentials share one fetch. That the held
/// credentials are young is not enough: if they were refreshed ahead, they may have been
/// revoked together with those of the caller.
const JUST_RENEWED: Duration = Duration::from_secs(1);
/// The longest time between two looks at the clock for the end of credentials.
const LONGEST_STEP: Duration = Duration::from_secs(30);

/// A random number. It spreads fetches, and protects nothing.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A source serves as the base of another one.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::schedule::Failure;

    /// Counts who asks, and gives nothing.
    #[derive(Debug, Default)]
    struct Failing(AtomicUsize);

    impl Fetch for Failing {
        fn fetch(&self, _: Ask) -> Fetching<'_> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let code = "Throttling.User".into();
            let refused = Cause::Refused {
                status: 400,
                code,
                request_id: None,
                date: None,
            };
            let error = FetchError {
                step: None,
                cause: refused,
            };
            Box::pin(async { Err(error) })
        }
    }

    #[tokio::test]
    async fn callers_do_not_ask_a_source_that_has_too_many() {
        let provider = Arc::new(Failing::default());
        let metrics = Arc::new(Metrics::new());
        let asked: Arc<dyn Fetch> = Arc::clone(&provider) as _;
        let settings = SourceSettings::Environment {};
        let source = Arc::new(Source::new("default", &settings, asked, &metrics));
        for ask in [Ask::Valid, Ask::Renewed, Ask::Valid] {
            let error = source.credential(ask).await.unwrap_err();
            assert_eq!(error.cause.failure(), Failure::Throttled, "each learns why");
        }
        assert_eq!(provider.0.load(Ordering::SeqCst), 1);
    }
}
