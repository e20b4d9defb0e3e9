//! Credentials that are held: since when, and until when they serve.

use std::time::{Duration, Instant, SystemTime};

use oss_origin_auth_core::oss::time::rfc3339_utc;

use crate::credential::Credential;

/// Credentials as they were fetched; overwritten when nobody uses them any more.
#[derive(Debug)]
pub struct Held {
    /// What was fetched.
    pub credential: Credential,
    /// When they were fetched.
    pub at: Instant,
    /// How long after the fetch newer ones are due: a third of their life, so
    /// that a caller that refreshes in the last fifth always gets newer ones.
    pub refresh_after: Duration,
}

impl Held {
    /// Credentials that have come `now`.
    pub fn new(credential: Credential, now: SystemTime) -> Held {
        let refresh_after = credential.expires.map_or(REREAD, |expires| {
            Duration::from_secs(expires.saturating_sub(unix(now))) / 3
        });
        Held {
            credential,
            at: Instant::now(),
            refresh_after,
        }
    }

    /// When they expire, in the form that Alibaba's SDKs read.
    pub fn expiration(&self) -> Option<String> {
        self.credential.expires.map(rfc3339_utc)
    }

    /// The expiration that callers get, who use a token until then. The end of
    /// a token from a variable or a profile is not known: callers ask again
    /// when this sidecar has read its source again.
    pub fn reported_expiration(&self, now: SystemTime) -> Option<String> {
        let known = self.expiration();
        known.or_else(|| {
            self.credential.token.as_ref()?;
            Some(rfc3339_utc(unix(now + REREAD * 2)))
        })
    }
}

/// Credentials without an end are read again after this time: their file may
/// have been replaced.
const REREAD: Duration = Duration::from_secs(60);

/// Seconds since 1970.
pub fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
