//! The credentials of one name: held, refreshed ahead of their end, fetched by
//! one at a time, and served as long as they are valid, whatever their source
//! does.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use reqsign_aliyun_oss::Credential;
use reqsign_core::{Context, ProvideCredentialDyn};
use tokio::sync::Mutex;

use crate::error::{Cause, SourceError};
use crate::held::Held;
use crate::metrics::Metrics;
use crate::settings::SourceSettings;
use crate::wire;

/// What a source fetches with.
pub type Provider = Arc<dyn ProvideCredentialDyn<Credential = Credential>>;

/// The credentials of one name.
pub struct Source {
    name: String,
    settings: SourceSettings,
    provider: Provider,
    context: Context,
    metrics: Arc<Metrics>,
    state: RwLock<State>,
    /// Locked while a fetch is under way: the others wait for its result.
    fetching: Mutex<()>,
}

/// Which credentials a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Any that are valid.
    Valid,
    /// Others than those that the caller had: they were rejected.
    Renewed,
}

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    failed: Option<Failed>,
    /// When a caller last asked for renewed credentials and caused a fetch.
    renewed_at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
struct Failed {
    at: SystemTime,
    error: SourceError,
    /// Failures in a row.
    count: u32,
}

impl Source {
    /// A source that holds nothing yet. `settings` are those that `provider` was
    /// built from.
    pub fn new(
        name: &str,
        settings: &SourceSettings,
        provider: Provider,
        context: &Context,
        metrics: &Arc<Metrics>,
    ) -> Source {
        Source {
            name: name.to_owned(),
            settings: settings.clone(),
            provider,
            context: context.clone(),
            metrics: Arc::clone(metrics),
            state: RwLock::default(),
            fetching: Mutex::default(),
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
    pub async fn credential(&self, ask: Ask) -> Result<Arc<Held>, SourceError> {
        let asked_at = SystemTime::now();
        if let Some(held) = self.valid(asked_at)
            && (ask == Ask::Valid || self.state().is_just_renewed(asked_at))
        {
            return Ok(held);
        }
        let _one_at_a_time = self.fetching.lock().await;
        // Whoever fetched meanwhile has done it for this caller too.
        let now = SystemTime::now();
        if let Some(held) = self.valid(now)
            && (ask == Ask::Valid || held.fetched_at >= asked_at)
        {
            return Ok(held);
        }
        let state = self.state();
        if let Some(failed) = state.failed
            && now
                .duration_since(failed.at)
                .is_ok_and(|ago| ago < FAILURE_HOLDS)
        {
            return self.valid(now).ok_or(failed.error);
        }
        let result = self.fetch().await;
        if ask == Ask::Renewed && result.is_ok() {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.renewed_at = Some(now);
        }
        result.or_else(|error| self.valid(SystemTime::now()).ok_or(error))
    }

    /// What it holds, if that is valid: for those who must not cause a fetch.
    pub fn valid(&self, now: SystemTime) -> Option<Arc<Held>> {
        self.state().held.filter(|held| held.is_valid(now))
    }

    /// Why the last fetch failed, if it did.
    pub fn problem(&self) -> Option<SourceError> {
        self.state().failed.map(|failed| failed.error)
    }

    /// Refreshes ahead, without end.
    pub async fn maintain(self: Arc<Source>) {
        loop {
            tokio::time::sleep(self.until_due(SystemTime::now())).await;
            let _one_at_a_time = self.fetching.lock().await;
            if self.until_due(SystemTime::now()).is_zero() {
                // A failure is logged, and kept for those who ask.
                let _ = self.fetch().await;
            }
        }
    }

    fn until_due(&self, now: SystemTime) -> Duration {
        let State { held, failed, .. } = self.state();
        let due = held.map_or(Duration::ZERO, |held| {
            let wait = held.refresh_after().max(SHORTEST_WAIT);
            wait.saturating_sub(held.age(now))
        });
        let held_off = failed.map_or(Duration::ZERO, |failed| {
            let backoff = FAILURE_HOLDS * 2_u32.pow(failed.count.min(8));
            let ago = now.duration_since(failed.at).unwrap_or_default();
            backoff.min(MAX_BACKOFF).saturating_sub(ago)
        });
        due.max(held_off)
    }

    /// Asks the provider once and keeps the result; only with `fetching` locked.
    async fn fetch(&self) -> Result<Arc<Held>, SourceError> {
        let begin = Instant::now();
        let fetch = self.provider.provide_credential_dyn(&self.context);
        let (provided, step) = wire::observed(fetch).await;
        let now = SystemTime::now();
        let result = match provided {
            Ok(Some(credential)) => Held::new(credential, now).ok_or_else(|| SourceError {
                step: step.map(|step| step.what),
                cause: Cause::Malformed,
            }),
            Ok(None) => Err(SourceError::missing("no source has any credentials")),
            Err(error) => Err(SourceError::of(step, &error)),
        };
        let outcome = result.as_ref().map(|_| ()).map_err(|error| &error.cause);
        self.metrics
            .fetched(&self.name, outcome, begin.elapsed(), now);
        self.keep(result, now)
    }

    fn keep(
        &self,
        result: Result<Held, SourceError>,
        now: SystemTime,
    ) -> Result<Arc<Held>, SourceError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(held) => {
                tracing::info!(
                    name = self.name,
                    expires = held.expiration(),
                    "credentials fetched"
                );
                let held = Arc::new(held);
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
                    at: now,
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
    fn is_just_renewed(&self, now: SystemTime) -> bool {
        let renewed = self.renewed_at.and_then(|at| now.duration_since(at).ok());
        renewed.is_some_and(|ago| ago < JUST_RENEWED)
    }
}

/// A failure is the answer for this long, so that many callers make one fetch.
const FAILURE_HOLDS: Duration = Duration::from_millis(500);
/// Callers that ask for renewed credentials share one fetch for this long. That
/// the held ones are young is not enough: refreshed ahead, they may have been
/// revoked together with those that the caller had.
const JUST_RENEWED: Duration = Duration::from_secs(1);
/// A refresh comes no sooner after the last fetch, however short a token's life.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// A source that fails is tried again at least this often.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Source({}, {})", self.name, self.kind())
    }
}
