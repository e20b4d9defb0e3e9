//! Reads the answer of a credentials-URI server.

use std::fmt;

use crate::credentials::{Credentials, Secret};
use crate::json::{self, Value};
use crate::oss::time::parse_rfc3339_utc;
use crate::words::words;

/// The largest body that is read. A real answer has about 1 KiB.
pub const MAX_BODY: usize = 64 * 1024;

/// The outcome of a fetch, as the host reports it.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// The request could not be sent.
    NotSent,
    /// No answer arrived in time.
    None,
    /// An answer arrived.
    Given {
        /// The HTTP status.
        status: u16,
        /// The size of the body in bytes.
        size: usize,
        /// The body, which may be left empty if it is longer than [`MAX_BODY`].
        body: &'a [u8],
    },
}

words! {
    /// The outcomes of fetches in the statistics.
    pub enum FetchOutcome {
        /// The fetch brought credentials.
        Fetched = "ok",
        /// The request could not be sent.
        NotSent = "not_sent",
        /// No answer arrived.
        Unreachable = "unreachable",
        /// The status was not 200.
        Status = "status",
        /// The credentials have expired, or are about to.
        Expired = "expired",
        /// The answer contained no valid credentials.
        Malformed = "malformed",
    }
}

/// The reason why a fetch failed. Its `Display` is a message for an operator and contains
/// nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Envoy could not send the request: the cluster does not exist.
    NotSent,
    /// No answer arrived: the connection failed, or the timeout passed.
    Unreachable,
    /// The answer has this status.
    Status(u16),
    /// The body has this many bytes.
    TooLarge(usize),
    /// The body is not a JSON object of the protocol.
    NotJson,
    /// The JSON has a `Code` other than `Success`.
    Code,
    /// The JSON lacks this field, or the field is empty or has another type.
    Missing(&'static str),
    /// This field contains a character that a header cannot carry.
    Malformed(&'static str),
    /// The key is one of STS, and `SecurityToken` is missing.
    LacksToken,
    /// `Expiration` is this time, in seconds since 1970, which has passed.
    Expired(u64),
    /// The time until `Expiration` is too short to use the credentials.
    ShortLived,
}

impl FetchError {
    /// The outcome that the statistics count.
    pub fn outcome(&self) -> FetchOutcome {
        match self {
            FetchError::NotSent => FetchOutcome::NotSent,
            FetchError::Unreachable => FetchOutcome::Unreachable,
            FetchError::Status(_) => FetchOutcome::Status,
            FetchError::Expired(_) | FetchError::ShortLived => FetchOutcome::Expired,
            FetchError::TooLarge(_)
            | FetchError::NotJson
            | FetchError::Code
            | FetchError::Missing(_)
            | FetchError::LacksToken
            | FetchError::Malformed(_) => FetchOutcome::Malformed,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        use FetchError::{
            Code, Expired, LacksToken, Malformed, Missing, NotJson, NotSent, ShortLived, Status,
            TooLarge, Unreachable,
        };
        f.write_str(match self {
            NotSent => "Envoy has no cluster of the name in `sidecar.cluster`",
            Unreachable => "no answer",
            // Envoy itself sends these two statuses if there is no answer.
            Status(503) => NOBODY,
            Status(504) => "status 504: no answer within `sidecar.timeout_ms`",
            Status(401) => WANTS_TOKEN,
            Status(403) => FOREIGN_NAME,
            NotJson => "the body is not a JSON object",
            Code => "`Code` is not \"Success\"",
            Malformed("Expiration") => "`Expiration` is not of the form 2006-01-02T15:04:05Z",
            Status(status) => return write!(f, "status {status} instead of 200"),
            TooLarge(size) => {
                return write!(f, "a body of {size} bytes; at most {MAX_BODY} are read");
            }
            Missing(field) => return write!(f, "`{field}` is missing or not a string"),
            Malformed(field) => {
                return write!(f, "`{field}` contains spaces or non-ASCII characters");
            }
            ShortLived => SHORT_LIVED,
            LacksToken => LACKS_TOKEN,
            Expired(at) => {
                return write!(
                    f,
                    "`Expiration`, {at} s since 1970, is in the past; {CLOCKS}"
                );
            }
        })
    }
}

const NOBODY: &str =
    "status 503: nobody answers; is the sidecar running, and is its address right in the cluster?";
const WANTS_TOKEN: &str =
    "status 401: the sidecar requires a token; set `token_env` to the variable that holds it";
const FOREIGN_NAME: &str = "status 403: for a sidecar without a token, `authority` must be an IP \
     address, `localhost` or a name without a dot";
const LACKS_TOKEN: &str = "`AccessKeyId` begins with `STS.`, but `SecurityToken` is missing; OSS \
     refuses such a key without it";
const SHORT_LIVED: &str = "`Expiration` is too soon: the credentials are not used in their last \
     `clock_margin_ms`; let the source issue a longer life";
const CLOCKS: &str = "compare the clocks of Envoy and the sidecar";

/// Reads credentials from an answer at `now`, in milliseconds since 1970. They must be usable
/// for at least a second before the `clock_margin` (in milliseconds) at their end; otherwise
/// they would have to be fetched again at once. A valid answer has status 200 and is a JSON
/// object with the `Code` `Success`, `AccessKeyId`, `AccessKeySecret`, `SecurityToken` and
/// `Expiration`. Keys that do not expire lack the last two.
pub fn read(answer: Answer, now: u64, clock_margin: u64) -> Result<Credentials, FetchError> {
    let credentials = match answer {
        Answer::NotSent => Err(FetchError::NotSent),
        Answer::None => Err(FetchError::Unreachable),
        Answer::Given {
            status: 200, size, ..
        } if size > MAX_BODY => Err(FetchError::TooLarge(size)),
        Answer::Given {
            status: 200, body, ..
        } => parse(body, now / 1000),
        Answer::Given { status, .. } => Err(FetchError::Status(status)),
    }?;
    match credentials.is_usable(now + LEAST_USE, clock_margin) {
        true => Ok(credentials),
        false => Err(FetchError::ShortLived),
    }
}

/// The shortest time for which credentials must be usable, in milliseconds.
const LEAST_USE: u64 = 1_000;

/// Reads credentials from a body at `now`, in seconds since 1970.
fn parse(body: &[u8], now: u64) -> Result<Credentials, FetchError> {
    let fields = match json::parse(body) {
        Ok(Value::Object(fields)) => Fields(fields),
        _ => return Err(FetchError::NotJson),
    };
    match fields.text("Code")? {
        Some("Success") => {}
        Some(_) => return Err(FetchError::Code),
        None => return Err(FetchError::Missing("Code")),
    }
    let security_token = fields.header_text("SecurityToken")?.map(Secret::new);
    let expires_at = match fields.text("Expiration")? {
        None if security_token.is_none() => None,
        None => return Err(FetchError::Missing("Expiration")),
        Some(text) => {
            let time = parse_rfc3339_utc(text).ok_or(FetchError::Malformed("Expiration"))?;
            if time <= now {
                return Err(FetchError::Expired(time));
            }
            Some(time)
        }
    };
    let required = |name| {
        let found = fields.header_text(name)?;
        found.ok_or(FetchError::Missing(name))
    };
    let credentials = Credentials {
        access_key_id: required("AccessKeyId")?.to_owned(),
        access_key_secret: Secret::new(required("AccessKeySecret")?),
        security_token,
        expires_at,
    };
    match credentials.lacks_token() {
        true => Err(FetchError::LacksToken),
        false => Ok(credentials),
    }
}

/// The fields of the answer. Each is looked up by name, so that an error can name it.
struct Fields(json::Object);

impl Fields {
    /// The text of a field; `None` if it is absent, null or empty.
    fn text(&self, name: &'static str) -> Result<Option<&str>, FetchError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(FetchError::Missing(name)),
        }
    }

    /// The text of a field that goes into a header or signs one.
    fn header_text(&self, name: &'static str) -> Result<Option<&str>, FetchError> {
        match self.text(name)? {
            Some(text) if !text.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(FetchError::Malformed(name))
            }
            text => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_764_946_083;
    const GOOD: &str = r#"{"Code": "Success", "AccessKeyId": "STS.id", "AccessKeySecret": "sesame",
        "SecurityToken": "CAIS/+=", "Expiration": "2025-12-05T15:48:03Z", "LastUpdated": 1}"#;

    #[test]
    fn a_good_answer_gives_credentials() {
        let credentials = parse(GOOD.as_bytes(), NOW).unwrap();
        assert_eq!(credentials.access_key_id, "STS.id");
        assert_eq!(credentials.access_key_secret.expose(), "sesame");
        assert_eq!(credentials.security_token.unwrap().expose(), "CAIS/+=");
        assert_eq!(credentials.expires_at, Some(NOW + 3600));
    }

    #[test]
    fn a_long_lived_key_has_neither_token_nor_expiry() {
        for tail in [
            "",
            r#", "SecurityToken": """#,
            r#", "SecurityToken": null, "Expiration": null"#,
        ] {
            let body = format!(
                r#"{{"Code": "Success", "AccessKeyId": "id", "AccessKeySecret": "s"{tail}}}"#
            );
            let credentials = parse(body.as_bytes(), NOW).unwrap();
            assert_eq!(credentials.security_token, None);
            assert_eq!(credentials.expires_at, None);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        use FetchError::*;
        let without = |field: &str| GOOD.replace(field, "Other");
        let large = format!("{GOOD}{}", " ".repeat(1 << 20));
        for (name, status, body, want) in [
            ("500", 500, GOOD.into(), Status(500)),
            ("redirect", 302, GOOD.into(), Status(302)),
            ("html", 200, "<html>login</html>".into(), NotJson),
            ("empty", 200, String::new(), NotJson),
            ("list", 200, "[1]".into(), NotJson),
            ("truncated", 200, GOOD[..GOOD.len() / 2].into(), NotJson),
            ("1 MiB", 200, large.clone(), TooLarge(large.len())),
            ("failed", 200, GOOD.replace("Success", "Failed"), Code),
            ("no code", 200, without("Code"), Missing("Code")),
            ("no id", 200, without("AccessKeyId"), Missing("AccessKeyId")),
            (
                "empty id",
                200,
                GOOD.replace("STS.id", ""),
                Missing("AccessKeyId"),
            ),
            (
                "no secret",
                200,
                without("AccessKeySecret"),
                Missing("AccessKeySecret"),
            ),
            (
                "number",
                200,
                GOOD.replace("\"sesame\"", "5"),
                Missing("AccessKeySecret"),
            ),
            (
                "line break",
                200,
                GOOD.replace("CAIS", r"CA\nIS"),
                Malformed("SecurityToken"),
            ),
            ("no token", 200, without("SecurityToken"), LacksToken),
            (
                "no expiry",
                200,
                without("Expiration"),
                Missing("Expiration"),
            ),
            (
                "bad expiry",
                200,
                GOOD.replace("15:48:03Z", "15:48:03+08:00"),
                Malformed("Expiration"),
            ),
            (
                "unix expiry",
                200,
                GOOD.replace("\"2025-12-05T15:48:03Z\"", "1764949683"),
                Missing("Expiration"),
            ),
            (
                "expired",
                200,
                GOOD.replace("15:48:03Z", "14:48:03Z"),
                Expired(NOW),
            ),
            (
                "long expired",
                200,
                GOOD.replace("15:48:03Z", "14:47:03Z"),
                Expired(NOW - 60),
            ),
        ] {
            let (body, size) = (body.as_bytes(), body.len());
            let answer = Answer::Given { status, size, body };
            let error = read(answer, NOW * 1000, 0).expect_err(name);
            assert_eq!(error, want, "{name}");
            assert!(!error.to_string().contains("sesame"), "{name}: {error}");
        }
    }

    #[test]
    fn what_could_not_be_used_is_none() {
        let (body, size) = (GOOD.as_bytes(), GOOD.len());
        let answer = Answer::Given {
            status: 200,
            size,
            body,
        };
        let end = (NOW + 3600) * 1000;
        for (now, margin, good) in [
            (end - 6_001, 5_000, true),
            (end - 6_000, 5_000, false),
            (end - 5_000, 5_000, false),
            (end - 1_001, 0, true),
            (end - 1_000, 0, false),
        ] {
            let want = if good {
                None
            } else {
                Some(FetchError::ShortLived)
            };
            assert_eq!(read(answer, now, margin).err(), want, "{now} {margin}");
        }
    }

    #[test]
    fn no_body_panics() {
        for cut in 0..GOOD.len() {
            let _ = parse(&GOOD.as_bytes()[..cut], NOW);
            let mut bytes = GOOD.as_bytes().to_vec();
            for byte in [0, b'"', b'{', b'}', 0xff, b'\\'] {
                bytes[cut] = byte;
                let _ = parse(&bytes, NOW);
            }
        }
    }
}
