//! A bucket under test: the requests to it, and its answers.

use std::time::{SystemTime, UNIX_EPOCH};

use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::oss::time::rfc3339_utc;
use oss_origin_auth_core::policy::reply::{Reason, Refusal};
use oss_origin_auth_core::words::Word;
use ring::rand::{SecureRandom, SystemRandom};

use super::explained::{Explained, untold};
use super::filter::Filter;
use super::plan::Plan;
use super::report::Check;
use super::wire::{Answer, Message, Trouble, Wire};

/// A bucket, with credentials for it.
pub struct Bucket {
    pub plan: Plan,
    wire: Wire,
    filter: Filter,
    /// The number of seconds that OSS's clock is ahead of this machine's, or 0 if the
    /// difference is small enough for signatures.
    ahead: i64,
    /// When the credentials expire, in seconds since 1970.
    expires: Option<u64>,
}

/// The most bytes that are read of a body.
pub const MAX_BODY: usize = 1024 * 1024;

impl Bucket {
    /// A bucket with credentials; without them, only unsigned requests make sense.
    pub fn new(
        plan: Plan,
        wire: Wire,
        credentials: Option<&Credentials>,
    ) -> Result<Bucket, String> {
        let none = Credentials {
            access_key_id: "none".into(),
            access_key_secret: Secret::new("none"),
            security_token: None,
            expires_at: None,
        };
        let filter = Filter::new(&plan, credentials.unwrap_or(&none), now())?;
        Ok(Bucket {
            plan,
            wire,
            filter,
            ahead: 0,
            expires: credentials.and_then(|credentials| credentials.expires_at),
        })
    }

    /// Makes signatures use a clock that is `ahead` seconds ahead of this machine's.
    pub fn set_ahead(&mut self, ahead: i64) {
        self.ahead = ahead;
    }

    /// Runs the filter on a client's request and returns the request that it would send.
    pub fn pass(
        &mut self,
        method: &str,
        path: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Message, Refusal> {
        self.filter
            .set_clock(now().saturating_add_signed(self.ahead));
        self.filter.pass(method, path, headers)
    }

    /// Sends a client's request as the filter would.
    pub async fn ask(&mut self, method: &str, path: &[u8], headers: &[(&str, &str)]) -> Response {
        match self.pass(method, path, headers) {
            Ok(message) => self.send(&message).await,
            Err(refusal) => Response::Refused(refusal),
        }
    }

    /// Requests the object without a signature, or the bucket if the filter refuses the path.
    /// Returns the response, and whether the object was requested.
    pub async fn ask_unsigned(&mut self, path: &[u8]) -> (Response, bool) {
        let message = self.pass("GET", path, &[]);
        let is_object = message.is_ok();
        let message =
            message.unwrap_or_else(|_| self.filter.sign("GET", b"", "location", Vec::new()));
        (self.send(&message.unsigned()).await, is_object)
    }

    /// The hint about the expiry of the token, for when OSS says that it has expired and this
    /// machine does not.
    pub fn compare_expiry(&self) -> String {
        let (now, ahead) = (now(), self.ahead);
        match self.expires.filter(|at| *at > now) {
            None => String::new(),
            Some(at) => format!(
                " The source says that the token is good until {}; it is {} here, and {} by OSS's \
                 clock",
                rfc3339_utc(at),
                rfc3339_utc(now),
                rfc3339_utc(now.saturating_add_signed(ahead)),
            ),
        }
    }

    /// Sends a request that no client could make through the filter.
    pub async fn ask_beside(
        &mut self,
        method: &str,
        key: &[u8],
        query: &str,
        headers: Vec<(String, Vec<u8>)>,
        body: &[u8],
    ) -> Response {
        self.filter
            .set_clock(now().saturating_add_signed(self.ahead));
        let message = self.filter.sign(method, key, query, headers);
        let body = body.to_vec();
        self.send(&Message { body, ..message }).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, message: &Message) -> Response {
        match self.wire.send(message, MAX_BODY).await {
            Ok(answer) => Response::Given(answer),
            Err(trouble) => Response::None(trouble),
        }
    }

    /// The path by which a client asks for an object. A text that begins with a slash is a path
    /// already. Without an object it is the path of a key that does not exist.
    pub fn path_of(&self, object: Option<&str>) -> Vec<u8> {
        let rules = &self.plan.route.rules;
        let prefix = rules.strip_prefix.as_str();
        match object {
            Some(path) if path.starts_with('/') => path.as_bytes().to_vec(),
            Some(key) => match key.strip_prefix(rules.key_prefix.as_str()) {
                // With `strip_prefix` alone, the path itself may begin with the prefix, too.
                Some(rest) if !rules.key_prefix.is_empty() || !key.starts_with(prefix) => {
                    encoded(&format!("{prefix}{rest}"))
                }
                _ => encoded(key),
            },
            None => encoded(&format!("{prefix}{}", random_key())),
        }
    }

    /// The path, without a query, that the filter asks OSS for when a client asks for `path`.
    pub fn shown_path(&mut self, path: &[u8]) -> String {
        let message = self.pass("GET", path, &[]).unwrap_or_default();
        let shown = message.path.split(|byte| *byte == b'?').next();
        shown.unwrap_or_default().escape_ascii().to_string()
    }

    /// The beginning of all paths by which clients ask for objects.
    pub fn root(&self) -> Vec<u8> {
        encoded(&self.plan.route.rules.strip_prefix)
    }
}

fn encoded(key: &str) -> Vec<u8> {
    Target::of_key(key.as_bytes().to_vec()).path().to_vec()
}

/// A key that does not exist, chosen at random.
pub fn random_key() -> String {
    let mut bytes = [0; 8];
    // Without random bytes, the time makes the keys of two runs different.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes = now().to_be_bytes();
    }
    format!(".doctor-{:016x}", u64::from_be_bytes(bytes))
}

/// The time, in seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The result of a request.
pub enum Response {
    /// OSS, or another server in its place, answered.
    Given(Answer),
    /// The filter refuses the request from any client.
    Refused(Refusal),
    /// No answer came.
    None(Trouble),
}

impl Response {
    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Response::Given(answer) => Some(answer),
            Response::Refused(_) | Response::None(_) => None,
        }
    }

    /// The answer, if its status is one of `wanted` and it is complete.
    pub fn with_status(&self, wanted: &[u16]) -> Option<&Answer> {
        let answer = self.answer()?;
        (wanted.contains(&answer.status) && answer.cut.is_none()).then_some(answer)
    }

    /// The answer, if it holds the whole object and has OSS's request id.
    pub fn object(&self) -> Option<&Answer> {
        let answer = self.with_status(&[200])?;
        answer.is_of_oss().then_some(answer)
    }

    /// The error that OSS gave, if it gave one.
    pub fn explained(&self) -> Option<Explained> {
        Explained::of(self.answer()?)
    }

    /// The check that this response does not pass: failed for an error of OSS, unknown for
    /// anything else.
    pub fn problem(&self, check: &'static str) -> Check {
        match (self, self.explained()) {
            (_, Some(explained)) => explained.failed(check),
            (Response::Given(answer), None) => untold(check, answer),
            (Response::None(trouble), None) => Check::unknown(check, trouble.to_string()),
            (Response::Refused(refusal), None) => refused(check, refusal),
        }
    }
}

/// The check for a request that the filter refuses from any client.
fn refused(check: &'static str, refusal: &Refusal) -> Check {
    let word = refusal.reason.word();
    let check = match refusal.reason {
        // The credentials were valid a moment ago, so they have expired since.
        Reason::NoCredentials => Check::failed(
            check,
            "the credentials have expired, by OSS's clock or meanwhile",
            "synchronize this machine's clock (NTP), and let tokens live longer",
        ),
        _ => Check::unknown(
            check,
            format!(
                "the filter refuses this request ({word}): {}",
                refusal.message
            ),
        )
        .fix(
            "give --object the path that a client asks for, with its signature if the settings \
             want one (oss-origin-auth sign-url)",
        ),
    };
    Check {
        cause: Some(word),
        ..check
    }
}
