//! Credentials as a source gave them, and until when they serve.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqsign_aliyun_oss::Credential;
use reqsign_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Credentials as they were fetched; overwritten when nobody uses them any more.
pub struct Held {
    /// The id of the AccessKey.
    pub id: String,
    /// The secret of the AccessKey.
    pub secret: Secret,
    /// The STS token; a long-lived key has none.
    pub token: Option<Secret>,
    /// When they expire, if that is known.
    pub expires: Option<Timestamp>,
    /// When they were fetched.
    pub fetched_at: SystemTime,
}

impl Held {
    /// `None` for credentials that are incomplete, that no header can carry, or that
    /// are not valid `now`.
    pub fn new(credential: Credential, now: SystemTime) -> Option<Held> {
        let held = Held {
            id: credential.access_key_id,
            secret: Zeroizing::new(credential.access_key_secret),
            token: credential.security_token.map(Zeroizing::new),
            expires: credential.expires_in,
            fetched_at: now,
        };
        let fits = |text: &str| {
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let complete = fits(&held.id)
            && fits(&held.secret)
            && held.token.as_ref().is_none_or(|token| fits(token));
        (complete && held.is_valid(now)).then_some(held)
    }

    /// Whether they serve for at least one more second.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.expires
            .is_none_or(|expires| expires.as_system_time() > now + Duration::from_secs(1))
    }

    /// How long after the fetch newer ones are due: a third of their life, so
    /// that a caller that refreshes in the last fifth always gets newer ones.
    pub fn refresh_after(&self) -> Duration {
        self.expires.map_or(REREAD, |expires| {
            let life = expires.as_system_time().duration_since(self.fetched_at);
            life.unwrap_or_default() / 3
        })
    }

    /// How long ago they were fetched.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.fetched_at).unwrap_or_default()
    }

    /// When they expire, in the form that Alibaba's SDKs read.
    pub fn expiration(&self) -> Option<String> {
        self.expires.map(|time| time.format_rfc3339_zulu())
    }

    /// The expiration that callers get, who use a token until then. The end of
    /// a token from a variable or a profile is not known: callers ask again
    /// when this sidecar has read its source again.
    pub fn reported_expiration(&self) -> Option<String> {
        let known = self.expiration();
        known.or_else(|| {
            self.token.as_ref()?;
            let again = Timestamp::now() + REREAD * 2;
            Some(again.format_rfc3339_zulu())
        })
    }

    /// The credentials in the form of the library.
    pub fn to_credential(&self) -> Credential {
        Credential {
            access_key_id: self.id.clone(),
            access_key_secret: self.secret.to_string(),
            security_token: self.token.as_ref().map(|token| token.to_string()),
            expires_in: self.expires,
        }
    }
}

/// No part of credentials is longer, in bytes; real tokens have about one thousand.
const MAX_LENGTH: usize = 16 * 1024;

/// Credentials without an end are read again after this time: their file may
/// have been replaced.
const REREAD: Duration = Duration::from_secs(60);

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
        let is_good = |secret: &str, token: &str, seconds: i64| {
            let now = SystemTime::now();
            let credential = Credential {
                access_key_id: "id".into(),
                access_key_secret: secret.into(),
                security_token: Some(token.into()),
                expires_in: Some(Timestamp::from_second(unix(now) + seconds).unwrap()),
            };
            Held::new(credential, now).is_some()
        };
        assert!(is_good("secret", "token", 60));
        assert!(!is_good("secret", "token", -60));
        assert!(!is_good("", "token", 60));
        assert!(!is_good("secret", "", 60));
        for bad in [
            "a\r\nb: c",
            "a b",
            "\u{e9}",
            "a\0",
            &"a".repeat(MAX_LENGTH + 1),
        ] {
            assert!(!is_good("secret", bad, 60), "{bad:?}");
            assert!(!is_good(bad, "token", 60), "{bad:?}");
        }
    }

    fn unix(now: SystemTime) -> i64 {
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64
    }
}
