//! Credentials that are held: since when, and until when they serve.

use std::time::{Duration, SystemTime};

use oss_origin_auth_core::oss::time::rfc3339_utc;

use crate::credential::Credential;

/// Credentials as they were fetched; overwritten when nobody uses them any more.
#[derive(Debug)]
pub struct Held {
    /// What was fetched.
    pub credential: Credential,
    /// When they were fetched.
    pub fetched_at: SystemTime,
}

impl Held {
    /// How long after the fetch newer ones are due: a third of their life, so
    /// that a caller that refreshes in the last fifth always gets newer ones.
    pub fn refresh_after(&self) -> Duration {
        self.credential.expires.map_or(REREAD, |expires| {
            let life = expires.saturating_sub(unix(self.fetched_at));
            Duration::from_secs(life) / 3
        })
    }

    /// How long ago they were fetched.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.fetched_at).unwrap_or_default()
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
