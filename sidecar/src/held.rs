//! Credentials that are held: since when, and until when they serve.

use std::time::{Duration, Instant, SystemTime};

use oss_origin_auth_core::oss::time::rfc3339_utc;

use crate::credential::Credential;

/// Credentials as they were fetched; overwritten when nobody uses them any more.
#[derive(Debug)]
pub struct Held {
    /// What was fetched.
    pub credential: Credential,
    /// When their fetch began.
    pub at: Instant,
    /// How long after the fetch newer ones are due: a third of their life, so
    /// that a caller that refreshes in the last fifth always gets newer ones.
    pub refresh_after: Duration,
}

impl Held {
    /// Credentials that have come `now`, by a fetch that began then.
    pub fn new(credential: Credential, at: Instant, now: SystemTime) -> Held {
        let refresh_after = credential.expires.map_or(REREAD, |expires| {
            Duration::from_secs(expires.saturating_sub(unix(now))) / 3
        });
        Held {
            credential,
            at,
            refresh_after,
        }
    }

    /// Whether less than half of their life is left: newer ones were due long ago, and
    /// this machine has slept or its clock was set.
    pub fn is_ageing(&self, now: SystemTime) -> bool {
        self.credential.expires.is_some_and(|expires| {
            let left = Duration::from_secs(expires.saturating_sub(unix(now)));
            left * 2 < self.refresh_after * 3
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_ones_are_due_after_a_third_and_overdue_after_half() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let held = |expires| {
            let credential = Credential::new("id".into(), "s".into(), None, expires).unwrap();
            Held::new(credential, Instant::now(), at(1_000))
        };
        let token = held(Some(1_300));
        assert_eq!(token.refresh_after, Duration::from_secs(100));
        assert!(!token.is_ageing(at(1_000)) && !token.is_ageing(at(1_149)));
        assert!(token.is_ageing(at(1_151)) && token.is_ageing(at(2_000)));
        let key = held(None);
        assert_eq!(key.refresh_after, REREAD);
        assert!(!key.is_ageing(at(1_000_000)));
        assert_eq!(held(Some(5)).refresh_after, Duration::ZERO);
    }
}
