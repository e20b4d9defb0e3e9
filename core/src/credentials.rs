//! Credentials, and texts that are kept secret.

use std::fmt;

/// An AccessKey pair, with a security token if STS issued it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The AccessKey id, which is not a secret.
    pub access_key_id: String,
    /// The AccessKey secret.
    pub access_key_secret: Secret,
    /// The security token that STS issued with the key.
    pub security_token: Option<Secret>,
    /// The time of expiry, in seconds since 1970; `None` for an AccessKey that does not expire.
    pub expires_at: Option<u64>,
}

/// Shows no secret, and only the kind (`LTAI…`, `STS.…`) and the end of the key id.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.masked_id())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether a request may be signed at `now`, in milliseconds since 1970.
    pub fn is_usable(&self, now: u64, clock_margin: u64) -> bool {
        match self.expires_at {
            Some(expires_at) => now + clock_margin < expires_at * 1000,
            None => true,
        }
    }

    /// Whether this is a key of STS (its id begins with `STS.`) without its security token. OSS
    /// refuses such a key with EC 0002-00000003.
    pub fn lacks_token(&self) -> bool {
        self.security_token.is_none() && self.access_key_id.starts_with("STS.")
    }

    /// The masked key id, such as `STS.…abcd`, which is enough to distinguish two keys in a
    /// log.
    pub fn masked_id(&self) -> String {
        let id = &self.access_key_id;
        match (
            id.get(..4),
            id.len().checked_sub(4).and_then(|at| id.get(at..)),
        ) {
            (Some(kind), Some(end)) if id.len() >= 12 => format!("{kind}…{end}"),
            _ => "…".to_owned(),
        }
    }
}

/// A secret text, which only [`Secret::expose`] reveals.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for signing and for shared data, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials {
            access_key_id: "STS.NUabcdefghijkl".into(),
            access_key_secret: Secret::new("sesame-secret"),
            security_token: Some(Secret::new("sesame-token")),
            expires_at: Some(7),
        };
        for shown in [format!("{credentials:?}"), format!("{credentials:#?}")] {
            assert!(!shown.contains("sesame"), "{shown}");
            assert!(!shown.contains("abcdefgh"), "{shown}");
            assert!(shown.contains("STS.…ijkl"), "{shown}");
        }
    }
}
