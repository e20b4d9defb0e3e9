//! What the providers see of the world: files, the environment, and HTTP that
//! remembers how the last request of a fetch went, since the providers put the
//! other side's whole answer into the text of their errors, and with it
//! secrets: a refused signature comes with the string that STS signed.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv};

/// One request of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was asked of whom; holds no query.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200, whatever its body may be.
    Answered,
    /// Another status.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The code in its body, if there was a plain one.
        code: Option<String>,
        /// The request id in its body, if there was a plain one.
        request_id: Option<String>,
    },
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke.
    Unreachable,
    /// An answer that was too long to be read.
    TooLarge,
}

tokio::task_local! {
    static LAST: RefCell<Option<Step>>;
}

/// Runs a fetch; returns its result, and its last request if it made any.
pub async fn observed<T>(fetch: impl Future<Output = T>) -> (T, Option<Step>) {
    LAST.scope(RefCell::default(), async {
        let result = fetch.await;
        (result, LAST.with(RefCell::take))
    })
    .await
}

/// How long one request may take, in milliseconds: nothing until it is set, and a
/// reload sets it again for all requests that follow.
#[derive(Clone, Debug, Default)]
pub struct Timeout(Arc<AtomicU64>);

impl Timeout {
    /// Sets it for all requests from now on.
    pub fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// The context of all providers; one request may take as long as `timeout` says.
pub fn context(timeout: &Timeout) -> Result<Context, String> {
    // The only provider that is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| format!("HTTPS client: {error}"))?;
    Ok(Context::new()
        .with_http_send(Http(client, timeout.clone()))
        .with_file_read(Files)
        .with_env(OsEnv))
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let bytes = tokio::fs::read(path).await;
        bytes.map_err(|error| Error::config_invalid(format!("{path}: {error}")))
    }
}

/// No answer is longer; more is not read.
const MAX_BODY: usize = 64 * 1024;

struct Http(reqwest::Client, Timeout);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Http")
    }
}

impl HttpSend for Http {
    async fn http_send(
        &self,
        request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        let what = describe(&request);
        let (outcome, response) = match self.exchange(request).await {
            Ok(response) if response.status() == http::StatusCode::OK => {
                (Outcome::Answered, Some(response))
            }
            Ok(response) => (refusal(&response), Some(response)),
            Err(outcome) => (outcome, None),
        };
        let _ = LAST.try_with(|last| last.replace(Some(Step { what, outcome })));
        response.ok_or_else(|| Error::unexpected("no answer"))
    }
}

impl Http {
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, Outcome> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                Outcome::TimedOut
            } else {
                Outcome::Unreachable
            }
        };
        let mut request = reqwest::Request::try_from(request).map_err(failed)?;
        *request.timeout_mut() = Some(self.1.get());
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Outcome::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = response.status();
        Ok(answer)
    }
}

/// `AssumeRole at sts.aliyuncs.com`, or the method, the path and the host.
fn describe(request: &http::Request<Bytes>) -> String {
    let uri = request.uri();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    // In front of the host may be a user and a password.
    let host = host.rsplit('@').next().unwrap_or_default();
    let action = uri.query().and_then(|query| {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("Action="))
    });
    match action {
        Some(action) => format!("{action} at {host}"),
        None => format!("{} {} at {host}", request.method(), uri.path()),
    }
}

fn refusal(response: &http::Response<Bytes>) -> Outcome {
    let answer: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    let word = |name: &str| {
        let text = answer.as_ref()?.get(name)?.as_str()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        (text.len() <= 64 && text.bytes().all(plain)).then(|| text.to_owned())
    };
    Outcome::Refused {
        status: response.status().as_u16(),
        code: word("Code"),
        request_id: word("RequestId"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_code_and_request_id_are_kept() {
        let outcome = |body: &str| {
            let mut response = http::Response::new(Bytes::from(body.to_owned()));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            refusal(&response)
        };
        let refused = |code: Option<&str>, request_id: Option<&str>| Outcome::Refused {
            status: 400,
            code: code.map(str::to_owned),
            request_id: request_id.map(str::to_owned),
        };
        assert_eq!(
            outcome(
                r#"{"Code": "SignatureDoesNotMatch", "RequestId": "4E-1",
                    "Message": "server string to sign is: SecurityToken%3Dsesame"}"#
            ),
            refused(Some("SignatureDoesNotMatch"), Some("4E-1"))
        );
        for body in ["", "{", "[]", "{\"Code\": 5}", "{\"Code\": \"a b sesame\"}"] {
            assert_eq!(outcome(body), refused(None, None), "{body}");
        }
    }

    #[test]
    fn a_step_is_described_without_its_query() {
        for (method, uri, want) in [
            (
                "GET",
                "https://sts.aliyuncs.com/?Action=AssumeRole&SecurityToken=sesame",
                "AssumeRole at sts.aliyuncs.com",
            ),
            (
                "PUT",
                "http://100.100.100.200/latest/api/token",
                "PUT /latest/api/token at 100.100.100.200",
            ),
            ("GET", "http://u:sesame@h:1/c?t=sesame", "GET /c at h:1"),
        ] {
            let request = http::Request::builder().method(method).uri(uri);
            assert_eq!(describe(&request.body(Bytes::new()).unwrap()), want);
        }
    }
}
