//! The credentials of one name: held, refreshed ahead of their end, fetched by
//! one at a time, and served as long as they are valid, whatever their source
//! does.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use reqsign_aliyun_oss::Credential;
use reqsign_core::Context;
use reqsign_core::time::Timestamp;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::metrics::Metrics;
use crate::providers::{self, Provider};
use crate::secret::Secret;
use crate::settings::SourceSettings;
use crate::wire::{self, Outcome, Step};

pub type Sources = HashMap<String, Arc<Source>>;

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

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    failed: Option<Failed>,
    /// When somebody last had others fetched, whose credentials were condemned.
    renewed_at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
struct Failed {
    at: SystemTime,
    error: SourceError,
    /// Failures in a row.
    count: u32,
}

/// Credentials as they were fetched; overwritten when nobody uses them any more.
pub struct Held {
    pub id: String,
    pub secret: Secret,
    pub token: Option<Secret>,
    pub expires: Option<Timestamp>,
    fetched_at: SystemTime,
}

/// Why a source gave nothing: which step, and what came of it. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What was asked of whom; empty if nothing was.
    pub step: String,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The other side said no, with a code of its own.
    Refused {
        code: String,
        request_id: Option<String>,
    },
    /// The other side answered with this status, and no code.
    Status(u16),
    /// It answered, but not with credentials that are good.
    Malformed,
    TimedOut,
    Unreachable,
    /// Nothing was asked: what is missing, in words of our own.
    Missing(String),
}

impl Cause {
    /// A word for programs: a label of the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Cause::Refused { .. } => "refused",
            Cause::Status(_) => "status",
            Cause::Malformed => "malformed",
            Cause::TimedOut => "timed_out",
            Cause::Unreachable => "unreachable",
            Cause::Missing(_) => "missing",
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "{}: ", self.step)?;
        }
        match &self.cause {
            Cause::Refused { code, request_id } => {
                write!(f, "refused: {code}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Cause::Status(status) => write!(f, "answered with status {status}"),
            Cause::Malformed => f.write_str("the answer holds no good credentials"),
            Cause::TimedOut => f.write_str("gave no answer in time"),
            Cause::Unreachable => f.write_str("cannot be reached; is the endpoint right?"),
            Cause::Missing(what) => f.write_str(what),
        }
    }
}

/// Builds a source for each name; one of `known` whose settings have not
/// changed stays as it is, with what it holds.
pub fn build(
    settings: &BTreeMap<String, SourceSettings>,
    context: &Context,
    metrics: &Arc<Metrics>,
    known: &Sources,
) -> Result<Sources, String> {
    let mut sources = Sources::new();
    for name in settings.keys() {
        build_one(name, settings, context, metrics, known, &mut sources)?;
    }
    Ok(sources)
}

/// The one that it stands on comes first; the settings have seen to it
/// that there is no circle.
fn build_one(
    name: &str,
    settings: &BTreeMap<String, SourceSettings>,
    context: &Context,
    metrics: &Arc<Metrics>,
    known: &Sources,
    sources: &mut Sources,
) -> Result<Arc<Source>, String> {
    if let Some(source) = sources.get(name) {
        return Ok(Arc::clone(source));
    }
    let own = settings
        .get(name)
        .ok_or_else(|| format!("credentials.{name}: missing"))?;
    let base = match own.base() {
        Some(base) => Some(build_one(base, settings, context, metrics, known, sources)?),
        None => None,
    };
    let base_is_known = base.as_ref().is_none_or(|base| {
        known
            .get(base.name())
            .is_some_and(|known| Arc::ptr_eq(known, base))
    });
    let unchanged = known
        .get(name)
        .filter(|source| source.settings == *own && base_is_known);
    let source = match unchanged {
        Some(source) => Arc::clone(source),
        None => {
            let provider = providers::build(own, base)
                .map_err(|problem| format!("credentials.{name}.{problem}"))?;
            Arc::new(Source {
                name: name.to_owned(),
                settings: own.clone(),
                provider,
                context: context.clone(),
                metrics: Arc::clone(metrics),
                state: RwLock::default(),
                fetching: Mutex::default(),
            })
        }
    };
    sources.insert(name.to_owned(), Arc::clone(&source));
    Ok(source)
}

/// A failure answers for this long, so that many callers make one fetch.
const FAILURE_HOLDS: Duration = Duration::from_millis(500);
/// For so long those who ask anew get what was fetched for the first of them. It
/// is not enough that what is held is young: refreshed ahead, it may have been
/// revoked together with what the caller had.
const JUST_RENEWED: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// A key pair without an end is read again after this time: its file may have
/// been replaced.
const REREAD: Duration = Duration::from_secs(60);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

impl Source {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> &'static str {
        self.settings.kind()
    }

    /// Credentials that are good now. `anew`: those that it holds were
    /// condemned; it fetches others unless it has just done so. While the
    /// source fails, the old ones serve as long as they are valid.
    pub async fn credential(&self, anew: bool) -> Result<Arc<Held>, SourceError> {
        let asked_at = SystemTime::now();
        if let Some(held) = self.valid(asked_at)
            && (!anew || self.state().is_just_renewed(asked_at))
        {
            return Ok(held);
        }
        let _one_at_a_time = self.fetching.lock().await;
        // Whoever fetched meanwhile has done it for this caller too.
        let now = SystemTime::now();
        if let Some(held) = self.valid(now)
            && (!anew || held.fetched_at >= asked_at)
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
        if anew && result.is_ok() {
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
                let _ = self.fetch().await;
            }
        }
    }

    /// Newer ones are due when a third of the life of the old ones is gone, so
    /// that a caller that refreshes in the last fifth always gets newer ones.
    fn until_due(&self, now: SystemTime) -> Duration {
        let State { held, failed, .. } = self.state();
        let due = held.map_or(Duration::ZERO, |held| {
            let life = held.expires.map(|expires| {
                let life = expires.as_system_time().duration_since(held.fetched_at);
                life.unwrap_or_default() / 3
            });
            let wait = life.unwrap_or(REREAD).max(SHORTEST_WAIT);
            wait.saturating_sub(held.age(now))
        });
        let held_off = failed.map_or(Duration::ZERO, |failed| {
            let backoff = FAILURE_HOLDS * 2_u32.pow(failed.count.min(8));
            let ago = now.duration_since(failed.at).unwrap_or_default();
            backoff.min(MAX_BACKOFF).saturating_sub(ago)
        });
        due.max(held_off)
    }

    /// Only with `fetching` locked.
    async fn fetch(&self) -> Result<Arc<Held>, SourceError> {
        let begin = Instant::now();
        let fetch = self.provider.provide_credential_dyn(&self.context);
        let (result, step) = wire::observed(fetch).await;
        let now = SystemTime::now();
        let result = match result {
            Ok(Some(credential)) => Held::new(credential, now).map_err(|cause| SourceError {
                step: step.map(|step| step.what).unwrap_or_default(),
                cause,
            }),
            Ok(None) => Err(SourceError::missing("no source has any credentials")),
            Err(error) => Err(SourceError::of(step, &error)),
        };
        let label = result
            .as_ref()
            .map_or_else(|error| error.cause.label(), |_| "ok");
        self.metrics
            .fetched(&self.name, label, begin.elapsed(), now);
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
                // The same problem again is told by the metrics.
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

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Source({}, {})", self.name, self.kind())
    }
}

impl SourceError {
    fn missing(what: impl Into<String>) -> SourceError {
        SourceError {
            step: String::new(),
            cause: Cause::Missing(what.into()),
        }
    }

    fn of(step: Option<Step>, error: &reqsign_core::Error) -> SourceError {
        if let Some(text) = providers::own_text(error) {
            return SourceError::missing(text);
        }
        let Some(Step { what, outcome }) = step else {
            // Nothing was asked, and the text is the library's: of a file that
            // cannot be read, or of credentials that cannot be used.
            return SourceError::missing("the source's settings or files cannot be used");
        };
        let cause = match outcome {
            Outcome::Answered | Outcome::TooLarge => Cause::Malformed,
            Outcome::TimedOut => Cause::TimedOut,
            Outcome::Unreachable => Cause::Unreachable,
            Outcome::Refused {
                code: Some(code),
                request_id,
                ..
            } => Cause::Refused { code, request_id },
            Outcome::Refused { status, .. } => Cause::Status(status),
        };
        SourceError { step: what, cause }
    }
}

impl Held {
    fn new(credential: Credential, now: SystemTime) -> Result<Held, Cause> {
        let held = Held {
            id: credential.access_key_id,
            secret: Zeroizing::new(credential.access_key_secret),
            token: credential.security_token.map(Zeroizing::new),
            expires: credential.expires_in,
            fetched_at: now,
        };
        let complete = !held.id.is_empty()
            && !held.secret.is_empty()
            && held.token.as_ref().is_none_or(|token| !token.is_empty());
        match complete && held.is_valid(now) {
            true => Ok(held),
            false => Err(Cause::Malformed),
        }
    }

    /// As SDKs read it.
    pub fn expiration(&self) -> Option<String> {
        self.expires.map(|time| time.format_rfc3339_zulu())
    }

    /// What callers are told, who take a token for good until then. The end of
    /// a token from a variable or a profile is not known: they shall ask again
    /// by when this sidecar will have read its source again.
    pub fn told_expiration(&self) -> Option<String> {
        let known = self.expiration();
        known.or_else(|| {
            self.token.as_ref()?;
            let again = Timestamp::now() + REREAD * 2;
            Some(again.format_rfc3339_zulu())
        })
    }

    pub fn to_credential(&self) -> Credential {
        Credential {
            access_key_id: self.id.clone(),
            access_key_secret: self.secret.to_string(),
            security_token: self.token.as_ref().map(|token| token.to_string()),
            expires_in: self.expires,
        }
    }

    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.fetched_at).unwrap_or_default()
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires
            .is_none_or(|expires| expires.as_system_time() > now + Duration::from_secs(1))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Held(until {:?})", self.expiration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let credential = Credential {
            access_key_id: "id-sesame".into(),
            access_key_secret: "secret-sesame".into(),
            security_token: Some("token-sesame".into()),
            expires_in: None,
        };
        let held = Held::new(credential, SystemTime::now()).unwrap();
        assert!(!format!("{held:?}").contains("sesame"));
    }

    #[test]
    fn credentials_that_are_past_or_incomplete_are_none() {
        let credential = |secret: &str, token: &str, seconds: i64| {
            let now = SystemTime::now();
            let credential = Credential {
                access_key_id: "id".into(),
                access_key_secret: secret.into(),
                security_token: Some(token.into()),
                expires_in: Some(Timestamp::from_second(unix(now) + seconds).unwrap()),
            };
            Held::new(credential, now).map(|held| held.id)
        };
        assert!(credential("secret", "token", 60).is_ok());
        assert_eq!(credential("secret", "token", -60), Err(Cause::Malformed));
        assert_eq!(credential("", "token", 60), Err(Cause::Malformed));
        assert_eq!(credential("secret", "", 60), Err(Cause::Malformed));
    }

    fn unix(now: SystemTime) -> i64 {
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64
    }
}
