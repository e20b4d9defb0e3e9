//! Credentials that the sidecar holds, and how long they are used.

use std::time::{Duration, Instant, SystemTime};

use oss_origin_auth_core::oss::time::rfc3339_utc;

use crate::credential::Credential;
use crate::schedule::REREAD;

/// Fetched credentials. They are overwritten when nobody uses them any more.
#[derive(Debug)]
pub struct Held {
    /// The credentials.
    pub credential: Credential,
    /// When the fetch began.
    pub at: Instant,
    /// The time from the fetch to the end of the credentials, if that is known.
    pub life: Option<Duration>,
}

impl Held {
    /// Credentials that arrived at `now`, by a fetch that began at `at`.
    pub fn new(credential: Credential, at: Instant, now: SystemTime) -> Held {
        let left = |expires: u64| Duration::from_secs(expires.saturating_sub(unix(now)));
        let life = credential.expires.map(left);
        Held {
            credential,
            at,
            life,
        }
    }

    /// Whether less than half of their life is left. Then newer ones were due long ago: this
    /// machine has slept, or its clock was set.
    pub fn is_ageing(&self, now: SystemTime) -> bool {
        let ends = self.life.zip(self.credential.expires);
        ends.is_some_and(|(life, expires)| {
            let left = Duration::from_secs(expires.saturating_sub(unix(now)));
            left * 2 < life
        })
    }

    /// When the credentials expire, in the form that Alibaba Cloud's SDKs read.
    pub fn expiration(&self) -> Option<String> {
        self.credential.expires.map(rfc3339_utc)
    }

    /// The expiration that callers get. They use a token until then. The end of a token from a
    /// variable or a profile is not known, so callers ask again when this sidecar has read its
    /// source again.
    pub fn reported_expiration(&self, now: SystemTime) -> Option<String> {
        let known = self.expiration();
        known.or_else(|| {
            self.credential.token.as_ref()?;
            Some(rfc3339_utc(unix(now + REREAD * 2)))
        })
    }
}

/// A time in seconds since 1970.
pub fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_ageing_after_half_of_their_life() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let held = |expires| {
            let credential = Credential::new("id".into(), "s".into(), None, expires).unwrap();
            Held::new(credential, Instant::now(), at(1_000))
        };
        let token = held(Some(1_300));
        assert_eq!(token.life, Some(Duration::from_secs(300)));
        assert!(!token.is_ageing(at(1_000)) && !token.is_ageing(at(1_149)));
        assert!(token.is_ageing(at(1_151)) && token.is_ageing(at(2_000)));
        let key = held(None);
        assert_eq!(key.life, None);
        assert!(!key.is_ageing(at(1_000_000)));
        assert_eq!(held(Some(5)).life, Some(Duration::ZERO));
    }
}
