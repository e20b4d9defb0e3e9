//! Where credentials come from: providers of `reqsign-aliyun-oss`, each behind
//! a cache with one fetch at a time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqsign_aliyun_oss::{AssumeRoleCredentialProvider, Credential, StaticCredentialProvider};
use reqsign_core::{Context, ProvideCredentialDyn};
use reqsign_http_send_reqwest::ReqwestHttpSend;
use tokio::sync::Mutex;

use crate::settings::SourceSettings;

pub type Sources = HashMap<String, Arc<Source>>;

/// The credentials of one name.
pub struct Source {
    name: String,
    provider: Arc<dyn ProvideCredentialDyn<Credential = Credential>>,
    context: Context,
    /// Locked while a fetch is under way: the others wait for its result.
    last: Mutex<Last>,
}

/// What the last fetches gave.
#[derive(Default)]
struct Last {
    good: Option<Cached>,
    failed: Option<(SystemTime, SourceError)>,
}

/// A failure answers for this long, so that many callers make one fetch.
const FAILURE_HOLDS: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Cached {
    credential: Credential,
    fetched_at: SystemTime,
}

/// Why a source gave nothing. Holds no secret: of what STS answered, only the
/// code and the request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// STS refused.
    Refused { code: String, request_id: String },
    /// STS did not answer, or not in its protocol.
    Unreachable,
    /// The provider found nothing to work with.
    Empty,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SourceError::Refused { code, request_id } => {
                write!(f, "STS refused: {code} (request id {request_id})")
            }
            SourceError::Unreachable => {
                f.write_str("STS gave no answer that can be read; is the endpoint right?")
            }
            SourceError::Empty => f.write_str("the source has no credentials"),
        }
    }
}

pub fn build(
    settings: &BTreeMap<String, SourceSettings>,
    client: reqwest::Client,
) -> Result<Sources, String> {
    let context = Context::new().with_http_send(ReqwestHttpSend::new(client));
    let mut sources = Sources::new();
    for (name, settings) in settings {
        let provider =
            provider(settings).map_err(|problem| format!("credentials.{name}.{problem}"))?;
        let source = Source {
            name: name.clone(),
            provider,
            context: context.clone(),
            last: Mutex::default(),
        };
        sources.insert(name.clone(), Arc::new(source));
    }
    Ok(sources)
}

fn provider(
    settings: &SourceSettings,
) -> Result<Arc<dyn ProvideCredentialDyn<Credential = Credential>>, String> {
    Ok(match settings {
        SourceSettings::Static { key } => {
            let key = key.read()?;
            Arc::new(StaticCredentialProvider::new(&key.id, &key.secret))
        }
        SourceSettings::AssumeRole {
            key,
            role_arn,
            external_id,
            session_name,
            sts_endpoint,
        } => {
            let key = key.read()?;
            let session_name = session_name.as_deref().unwrap_or("oss-origin-auth");
            let mut provider = AssumeRoleCredentialProvider::new()
                .with_base_provider(StaticCredentialProvider::new(&key.id, &key.secret))
                .with_role_arn(role_arn)
                .with_role_session_name(session_name);
            if let Some(external_id) = external_id {
                provider = provider.with_external_id(external_id);
            }
            if let Some(endpoint) = sts_endpoint {
                provider = provider.with_sts_endpoint(endpoint);
            }
            Arc::new(provider)
        }
    })
}

impl Source {
    /// Credentials that are good now: the cached ones while two thirds of
    /// their life are left, so that a caller that refreshes in the last fifth
    /// always gets newer ones; the old ones too while they are valid and the
    /// source fails. `anew` passes over the cache, unless that has just been filled.
    pub async fn credential(&self, anew: bool) -> Result<Credential, SourceError> {
        let mut last = self.last.lock().await;
        let now = SystemTime::now();
        if let Some(cached) = last.good.as_ref().filter(|cached| cached.serves(now, anew)) {
            return Ok(cached.credential.clone());
        }
        let error = match &last.failed {
            Some((at, error)) if now.duration_since(*at).is_ok_and(|ago| ago < FAILURE_HOLDS) => {
                error.clone()
            }
            _ => match self.fetch().await {
                Ok(credential) => {
                    tracing::info!(name = self.name, "credentials fetched");
                    *last = Last {
                        good: Some(Cached {
                            credential: credential.clone(),
                            fetched_at: now,
                        }),
                        failed: None,
                    };
                    return Ok(credential);
                }
                Err(error) => {
                    tracing::warn!(name = self.name, %error, "credentials not fetched");
                    last.failed = Some((SystemTime::now(), error.clone()));
                    error
                }
            },
        };
        match last.good.as_ref().filter(|cached| cached.is_valid(now)) {
            Some(cached) => Ok(cached.credential.clone()),
            None => Err(error),
        }
    }

    async fn fetch(&self) -> Result<Credential, SourceError> {
        match self.provider.provide_credential_dyn(&self.context).await {
            Ok(Some(credential)) => Ok(credential),
            Ok(None) => Err(SourceError::Empty),
            Err(error) => Err(read_error(&error.to_string())),
        }
    }
}

/// Credentials that are younger are not fetched anew.
const JUST_FETCHED: Duration = Duration::from_secs(1);

impl Cached {
    fn serves(&self, now: SystemTime, anew: bool) -> bool {
        let age = now.duration_since(self.fetched_at).unwrap_or_default();
        self.is_fresh(now) && (!anew || age < JUST_FETCHED)
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        let Some(expires) = self.expires_at() else {
            return true;
        };
        let left = expires.duration_since(now).unwrap_or_default();
        let life = expires.duration_since(self.fetched_at).unwrap_or_default();
        left > life * 2 / 3
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires_at()
            .is_none_or(|expires| expires > now + Duration::from_secs(1))
    }

    fn expires_at(&self) -> Option<SystemTime> {
        self.credential.expires_in.map(|time| time.as_system_time())
    }
}

/// The provider puts STS's whole answer into its error; a refused signature
/// comes with the string that STS signed, and in it the caller's token.
fn read_error(text: &str) -> SourceError {
    let answer = text
        .find('{')
        .and_then(|at| text.get(at..))
        .and_then(|json| {
            serde_json::Deserializer::from_str(json)
                .into_iter::<serde_json::Value>()
                .next()?
                .ok()
        });
    let word = |name: &str| {
        let text = answer.as_ref()?.get(name)?.as_str()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        (text.len() <= 64 && text.bytes().all(plain)).then(|| text.to_owned())
    };
    match word("Code") {
        Some(code) => SourceError::Refused {
            code,
            request_id: word("RequestId").unwrap_or_default(),
        },
        None => SourceError::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_only_code_and_request_id_are_kept() {
        let text = r#"request to Aliyun STS Services failed: {"Code": "SignatureDoesNotMatch",
            "Message": "server string to sign is: SecurityToken%3Dsesame", "RequestId": "4E-1"}"#;
        let error = read_error(text);
        assert!(
            error
                .to_string()
                .contains("SignatureDoesNotMatch (request id 4E-1)")
        );
        for text in [
            "",
            "{",
            "no {json",
            "{\"Code\": 5}",
            "{\"Code\": \"a b sesame\"}",
        ] {
            assert_eq!(read_error(text), SourceError::Unreachable, "{text}");
        }
    }
}
