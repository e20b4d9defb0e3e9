//! Credentials, the trait of what fetches them, and the errors of a fetch. The types keep what
//! the other side said apart from our own texts.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::schedule::Failure;
use crate::secret::Secret;

/// An AccessKey, and the token that belongs to it if it is a role's.
#[derive(Clone)]
pub struct Credential {
    /// The id of the AccessKey.
    pub id: String,
    /// The secret of the AccessKey.
    pub secret: Secret,
    /// The STS token; a long-lived key has none.
    pub token: Option<Secret>,
    /// When the credentials expire, in seconds since 1970, if that is known.
    pub expires: Option<u64>,
}

impl Credential {
    /// Checks the parts of credentials. The error says, in our own words, why they are not
    /// usable.
    pub fn new(
        id: String,
        secret: String,
        token: Option<String>,
        expires: Option<u64>,
    ) -> Result<Credential, &'static str> {
        let credential = Credential {
            id,
            secret: Zeroizing::new(secret),
            token: token.map(Zeroizing::new),
            expires,
        };
        let fits = |text: &str| {
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let fit = fits(&credential.id)
            && fits(&credential.secret)
            && credential.token.as_ref().is_none_or(|token| fits(token));
        match (
            fit,
            credential.token.is_none() && credential.id.starts_with("STS."),
        ) {
            (false, _) => Err(NO_HEADER),
            (true, true) => Err(LACKS_TOKEN),
            (true, false) => Ok(credential),
        }
    }

    /// Whether the credentials are valid for at least one more second.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        let end = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        self.expires
            .is_none_or(|at| end(at).is_none_or(|end| end > now + Duration::from_secs(1)))
    }
}

const NO_HEADER: &str = "the AccessKey or its token has a character that no HTTP header can hold";
/// OSS refuses temporary AccessKeys without a token, with EC 0002-00000003.
const LACKS_TOKEN: &str =
    "the AccessKey begins with `STS.`: it belongs to a role, and its token is missing";

/// The most bytes that a part of credentials may have; real tokens have about one thousand.
const MAX_LENGTH: usize = 16 * 1024;

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Credential(until {:?})", self.expires)
    }
}

/// The credentials that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Any valid credentials.
    Valid,
    /// Newer credentials than those of the caller, which were rejected.
    Renewed,
}

/// A place that credentials can be fetched from.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Fetches credentials. `ask` matters only where credentials are held; the others fetch
    /// anyway.
    fn fetch(&self, ask: Ask) -> Fetching<'_>;
}

/// A fetch that is under way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Credential, FetchError>> + Send + 'a>>;

/// A failed fetch: the step that failed and its cause. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// The request that failed, if one was sent.
    pub step: Option<String>,
    /// The cause of the failure.
    pub cause: Cause,
}

/// The cause of a failed fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The other side refused, with a code of its own.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The code, such as `SignatureDoesNotMatch`: letters, digits and dots.
        code: String,
        /// The id by which the other side finds the request in its logs: hexadecimal
        /// digits and dashes.
        request_id: Option<String>,
        /// The other side's clock, in seconds since 1970, if the answer has a date.
        date: Option<u64>,
    },
    /// The other side answered with this status and without a code.
    Status(u16),
    /// The other side's answer holds no valid credentials.
    Malformed,
    /// The other side gave no answer in time.
    TimedOut,
    /// There was no connection to the other side; the text is our own and says why.
    Unreachable(&'static str),
    /// Nothing was sent, since something is missing; the text is our own and says what.
    Missing(String),
}

impl FetchError {
    /// The error of a fetch that was not begun, since `what` is missing.
    pub fn missing(what: impl Into<String>) -> FetchError {
        FetchError {
            step: None,
            cause: Cause::Missing(what.into()),
        }
    }

    /// The same error, reported by a source that uses the credentials `name`.
    pub fn of_base(mut self, name: &str) -> FetchError {
        self.step = Some(match self.step {
            Some(step) => format!("{name}: {step}"),
            None => name.to_owned(),
        });
        self
    }
}

impl Cause {
    /// All values that [`Cause::label`] can return.
    pub const LABELS: [&str; 6] = [
        "refused",
        "status",
        "malformed",
        "timed_out",
        "unreachable",
        "missing",
    ];

    /// What the cause says of when to ask again.
    pub fn failure(&self) -> Failure {
        match self {
            Cause::Refused { status, code, .. } => {
                // Alibaba Cloud throttles with statuses of all kinds.
                let is_throttled = code == "Throttling" || code.starts_with("Throttling.");
                match status {
                    _ if is_throttled => Failure::Throttled,
                    429 => Failure::Throttled,
                    500.. => Failure::Silent,
                    _ => Failure::Answered(code.clone()),
                }
            }
            Cause::Status(429) => Failure::Throttled,
            Cause::Status(..500) | Cause::Malformed | Cause::Missing(_) => {
                Failure::Answered(self.label().to_owned())
            }
            Cause::Status(_) | Cause::TimedOut | Cause::Unreachable(_) => Failure::Silent,
        }
    }

    /// The word for the cause that callers get.
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Refused { .. } => "SourceRefused",
            Cause::Malformed | Cause::Status(_) => "SourceMalformed",
            Cause::TimedOut => "SourceTimedOut",
            Cause::Unreachable(_) => "SourceUnreachable",
            Cause::Missing(_) => "SourceIncomplete",
        }
    }

    /// The word for the cause in the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Cause::Refused { .. } => "refused",
            Cause::Status(_) => "status",
            Cause::Malformed => "malformed",
            Cause::TimedOut => "timed_out",
            Cause::Unreachable(_) => "unreachable",
            Cause::Missing(_) => "missing",
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "{step}: ")?;
        }
        match &self.cause {
            Cause::Refused {
                code, request_id, ..
            } => {
                write!(f, "refused: {code}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Cause::Status(status) => write!(f, "answered with status {status}"),
            Cause::Malformed => f.write_str("the answer holds no valid credentials"),
            Cause::TimedOut => f.write_str("gave no answer in time"),
            Cause::Unreachable(why) => write!(f, "cannot be reached: {why}"),
            Cause::Missing(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let [id, secret, token] = ["id", "secret", "token"].map(|part| format!("{part}-sesame"));
        let credential = Credential::new(id, secret, Some(token), None).unwrap();
        assert!(!format!("{credential:?}").contains("sesame"));
    }

    #[test]
    fn a_key_of_sts_without_its_token_is_none() {
        let new = |token: Option<&str>| {
            Credential::new("STS.id".into(), "s".into(), token.map(Into::into), None)
        };
        assert!(new(Some("token")).is_ok());
        assert_eq!(new(None).unwrap_err(), LACKS_TOKEN);
    }

    #[test]
    fn what_no_header_can_carry_makes_no_credentials() {
        let is_good = |secret: &str, token: &str| {
            Credential::new("id".into(), secret.into(), Some(token.into()), None).is_ok()
        };
        assert!(is_good("secret", "token"));
        let long = "a".repeat(MAX_LENGTH + 1);
        for bad in ["", "a\r\nb: c", "a b", "\u{e9}", "a\0", &long] {
            assert!(!is_good("secret", bad), "{bad:?}");
            assert!(!is_good(bad, "token"), "{bad:?}");
        }
    }

    #[test]
    fn credentials_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let is_valid = |expires| {
            let credential = Credential::new("id".into(), "secret".into(), None, expires);
            credential.unwrap().is_valid(now)
        };
        assert!(is_valid(None) && is_valid(Some(1_002)) && is_valid(Some(u64::MAX)));
        assert!(!is_valid(Some(1_001)) && !is_valid(Some(0)));
    }

    #[test]
    fn a_cause_says_when_to_ask_again() {
        let refused_with = |status: u16, code: &str| Cause::Refused {
            status,
            code: code.into(),
            request_id: Some("A-1".into()),
            date: None,
        };
        let refused = |code: &str| refused_with(400, code);
        let answered = |reason: &str| Failure::Answered(reason.into());
        for (cause, failure) in [
            (refused("Throttling"), Failure::Throttled),
            (refused("Throttling.User"), Failure::Throttled),
            (refused("Throttling.Api"), Failure::Throttled),
            (Cause::Status(429), Failure::Throttled),
            (refused_with(503, "Throttling.Api"), Failure::Throttled),
            (refused_with(429, "Busy"), Failure::Throttled),
            (refused_with(503, "ServiceUnavailable"), Failure::Silent),
            (refused("Throttlingx"), answered("Throttlingx")),
            (refused("NoPermission"), answered("NoPermission")),
            (Cause::Status(404), answered("status")),
            (Cause::Malformed, answered("malformed")),
            (Cause::Status(503), Failure::Silent),
            (Cause::TimedOut, Failure::Silent),
            (Cause::Unreachable("x"), Failure::Silent),
        ] {
            assert_eq!(cause.failure(), failure, "{cause:?}");
        }
    }

    #[test]
    fn an_error_of_the_base_keeps_its_cause() {
        let refused = FetchError {
            step: Some("AssumeRole at h".into()),
            cause: Cause::Status(500),
        };
        let shown = refused.of_base("first").to_string();
        assert_eq!(shown, "first: AssumeRole at h: answered with status 500");
        let missing = FetchError::missing("needs uri").of_base("first");
        assert_eq!(missing.to_string(), "first: needs uri");
    }
}
