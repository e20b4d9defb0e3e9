//! The paths of the sidecar and their answers.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::credential::{Ask, Cause, FetchError};
use crate::guard::{self, MetadataTokens, Refused};
use crate::held::{Held, unix};
use crate::metrics::{Metrics, Shown};
use crate::secret::Secret;
use crate::source::Source;
use crate::sources::Sources;

/// The state that is served; a reload replaces it.
#[derive(Debug, Default)]
pub struct Served {
    /// The sources by name.
    pub sources: Sources,
    /// The bearer token that callers must show, if there is one.
    pub token: Option<Secret>,
}

/// The state that all requests share.
#[derive(Debug)]
pub struct App {
    served: RwLock<Arc<Served>>,
    metrics: Arc<Metrics>,
    metadata_tokens: MetadataTokens,
}

/// The response to a request.
pub type Answer = Response<Full<Bytes>>;

impl App {
    /// An application that serves no name yet.
    pub fn new(metrics: Arc<Metrics>) -> Result<App, String> {
        Ok(App {
            served: RwLock::default(),
            metrics,
            metadata_tokens: MetadataTokens::new()?,
        })
    }

    /// The state that is served now.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves `served` from now on; requests under way finish with the state before.
    pub fn replace(&self, served: Served) {
        let served = Arc::new(served);
        let mut place = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, Arc::clone(&served));
        drop(place);
        let gone = old.sources.iter();
        for (_, source) in gone.filter(|(name, _)| !served.sources.contains_key(*name)) {
            source.retire();
        }
    }

    /// The metrics of the sidecar.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a request. Where the caller may have credentials but has to wait for them,
    /// `has_room` decides whether it may wait.
    pub async fn answer<B>(&self, request: &Request<B>, has_room: impl FnOnce() -> bool) -> Answer {
        let served = self.served();
        let token = served.token.as_ref().map(|token| token.as_str());
        let admitted = guard::admit(request, token);
        let path = request.uri().path();
        let open = match path {
            "/healthz" => Some(text("text/plain", "ok\n".into())),
            "/readyz" => Some(ready(&served, admitted.is_ok())),
            "/metrics" => Some(self.scraped(&served)),
            _ => None,
        };
        if let Some(answer) = open {
            return only(&[Method::GET, Method::HEAD], request.method(), answer);
        }
        let answer = match admitted {
            Err(refused) => Failure::Refused(refused).answer(),
            Ok(()) => self.guarded(&served, request, has_room).await,
        };
        self.metrics.answered(answer.status().as_u16());
        answer
    }

    async fn guarded<B>(
        &self,
        served: &Served,
        request: &Request<B>,
        has_room: impl FnOnce() -> bool,
    ) -> Answer {
        let (path, method, headers) = (request.uri().path(), request.method(), request.headers());
        let now = unix(SystemTime::now());
        if path == "/latest/api/token" {
            let answer = metadata_token(headers, now, &self.metadata_tokens);
            return only(&[Method::PUT], method, answer);
        }
        let reads = [Method::GET, Method::HEAD];
        if let Some(name) = path.strip_prefix(ECS) {
            if let Err(refused) = self.metadata_tokens.check(headers, now) {
                return Failure::Refused(refused).answer();
            }
            if name.is_empty() {
                return only(&reads, method, ecs_names(served));
            }
        }
        let folders = ["/v1/credentials/", ECS];
        let name = folders.iter().find_map(|folder| path.strip_prefix(folder));
        match name {
            Some(_) if !reads.contains(method) => only(&reads, method, empty()),
            Some(name) => credentials(served, name, headers, has_room).await,
            None => with_status(StatusCode::NOT_FOUND, empty()),
        }
    }

    fn scraped(&self, served: &Served) -> Answer {
        let now = SystemTime::now();
        let shown = served.sources.values().map(|source| {
            let held = source.valid(now);
            Shown {
                name: source.name(),
                is_valid: held.is_some(),
                expires: held.and_then(|held| held.credential.expires),
            }
        });
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        text(content_type, self.metrics.text(shown))
    }
}

/// The path at which the metadata server of an ECS instance serves credentials.
const ECS: &str = "/latest/meta-data/ram/security-credentials/";

async fn credentials(
    served: &Served,
    name: &str,
    headers: &HeaderMap,
    has_room: impl FnOnce() -> bool,
) -> Answer {
    let Some(source) = served.sources.get(name) else {
        return Failure::UnknownName.answer();
    };
    // A caller whose credentials OSS has rejected asks in this way.
    let renewed = headers
        .get(CACHE_CONTROL)
        .is_some_and(|value| value.as_bytes() == b"no-cache");
    let ask = if renewed { Ask::Renewed } else { Ask::Valid };
    let held = source.valid(SystemTime::now());
    let needs_no_fetch = ask == Ask::Valid && held.is_some();
    if needs_no_fetch || !has_room() {
        return held.map_or_else(|| Failure::Busy.answer(), |held| success(&held));
    }
    match source.credential(ask).await {
        Ok(held) => success(&held),
        Err(error) => Failure::Source { source, error }.answer(),
    }
}

/// The list of the names. The metadata server has the role of its instance there.
fn ecs_names(served: &Served) -> Answer {
    let mut names: Vec<&str> = served.sources.keys().map(String::as_str).collect();
    // Clients take the first name and ignore the others.
    names.sort_unstable_by_key(|name| (*name != "default", *name));
    text("text/plain", names.join("\n"))
}

/// The answer to a request for a metadata token, which hardened clients send first.
fn metadata_token(headers: &HeaderMap, now: u64, tokens: &MetadataTokens) -> Answer {
    let life = headers.get("x-aliyun-ecs-metadata-token-ttl-seconds");
    let life = life.and_then(|life| life.to_str().ok()?.parse().ok());
    match life.filter(|life| (1..=LONGEST_LIFE).contains(life)) {
        Some(life) => text("text/plain", tokens.issue(now + life)),
        None => Failure::BadTokenLife.answer(),
    }
}

/// The longest life of a metadata token in seconds, as on an ECS instance.
const LONGEST_LIFE: u64 = 21_600;

/// The answer of `/readyz`: whether all names have valid credentials. A caller that may not
/// have credentials gets one word as the reason.
fn ready(served: &Served, in_detail: bool) -> Answer {
    let now = SystemTime::now();
    let mut all = true;
    let mut names = serde_json::Map::new();
    for source in served.sources.values() {
        let held = source.valid(now);
        all &= held.is_some();
        let problem = source.problem().map(|error| {
            if in_detail {
                error.to_string()
            } else {
                error.cause.code().to_owned()
            }
        });
        names.insert(
            source.name().into(),
            json!({
                "valid": held.is_some(),
                "expiration": held.and_then(|held| held.expiration()),
                "problem": problem,
            }),
        );
    }
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({"ready": all, "credentials": names});
    with_status(status, text("application/json", body.to_string()))
}

/// The answer of the credentials-URI protocol, which is also that of the ECS metadata server. A
/// long-lived key has neither token nor expiry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success<'a> {
    code: &'static str,
    access_key_id: &'a str,
    access_key_secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

fn success(held: &Held) -> Answer {
    let credential = &held.credential;
    let success = Success {
        code: "Success",
        access_key_id: &credential.id,
        access_key_secret: &credential.secret,
        security_token: credential.token.as_ref().map(|token| token.as_str()),
        expiration: held.reported_expiration(SystemTime::now()),
    };
    // The buffer has room enough, so that no copy is left behind, and is overwritten once it is
    // sent. A character that JSON escapes takes two bytes.
    let token = success.security_token.unwrap_or_default();
    let parts = [success.access_key_id, success.access_key_secret, token];
    let length: usize = parts.map(str::len).iter().sum();
    let mut body = Zeroizing::new(Vec::with_capacity(2 * length + 256));
    if serde_json::to_writer(&mut *body, &success).is_err() {
        return with_status(StatusCode::INTERNAL_SERVER_ERROR, empty());
    }
    let body = Bytes::from_owner(Owned(body));
    never_stored(of_type("application/json", Response::new(Full::new(body))))
}

struct Owned(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The reason why a caller gets no credentials.
enum Failure<'a> {
    /// The caller may not have credentials.
    Refused(Refused),
    /// Too many callers are waiting.
    Busy,
    /// There is no source of this name.
    UnknownName,
    /// A request for a metadata token lacks a valid time to live.
    BadTokenLife,
    /// The source has no valid credentials.
    Source {
        source: &'a Source,
        error: FetchError,
    },
}

impl Failure<'_> {
    fn status(&self) -> StatusCode {
        match self {
            Failure::Refused(Refused::Forwarded) => StatusCode::FORBIDDEN,
            Failure::Refused(_) => StatusCode::UNAUTHORIZED,
            Failure::Busy => StatusCode::TOO_MANY_REQUESTS,
            Failure::UnknownName => StatusCode::NOT_FOUND,
            Failure::BadTokenLife => StatusCode::BAD_REQUEST,
            Failure::Source { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// The word for programs.
    fn code(&self) -> &'static str {
        match self {
            Failure::Refused(Refused::Unauthorized) => "Unauthorized",
            Failure::Refused(Refused::Forwarded) => "Forwarded",
            Failure::Refused(Refused::BadMetadataToken) => "BadMetadataToken",
            Failure::Busy => "Busy",
            Failure::UnknownName => "UnknownName",
            Failure::BadTokenLife => "BadTokenLife",
            Failure::Source { error, .. } => error.cause.code(),
        }
    }

    fn message(&self) -> String {
        let fixed = match self {
            Failure::Refused(Refused::Unauthorized) => {
                "This needs `Authorization: Bearer` and the sidecar's token."
            }
            Failure::Refused(Refused::Forwarded) => FORWARDED,
            Failure::Refused(Refused::BadMetadataToken) => {
                "The metadata token has expired or is not one of this sidecar's; \
                 PUT /latest/api/token gives another."
            }
            Failure::Busy => "Too many callers wait for credentials; ask again.",
            Failure::UnknownName => "There are no credentials of this name.",
            Failure::BadTokenLife => {
                "X-aliyun-ecs-metadata-token-ttl-seconds must be from 1 to 21600."
            }
            Failure::Source { source, error } => {
                return format!("{} ({}): {error}", source.name(), source.kind());
            }
        };
        fixed.to_owned()
    }

    fn answer(self) -> Answer {
        let mut body = json!({"Code": self.code(), "Message": self.message()});
        if let Failure::Source { error, .. } = &self {
            if let Some(step) = &error.step {
                body["Step"] = json!(step);
            }
            if let Cause::Refused {
                code, request_id, ..
            } = &error.cause
            {
                body["SourceCode"] = json!(code);
                body["SourceRequestId"] = json!(request_id);
            }
        }
        let answer = with_status(self.status(), text("application/json", body.to_string()));
        let mut answer = never_stored(answer);
        if let Failure::Refused(Refused::Unauthorized) = self {
            let challenge = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

const FORWARDED: &str = "Without a token the sidecar serves this machine's own programs alone: \
     Host must be an address, `localhost` or a name without a dot, and no header may be one of a \
     browser or of a proxy. Set a token for other callers.";

/// `answer`, if `method` is one of `methods`.
fn only(methods: &[Method], method: &Method, answer: Answer) -> Answer {
    if methods.contains(method) {
        return answer;
    }
    let mut refused = with_status(StatusCode::METHOD_NOT_ALLOWED, empty());
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        refused.headers_mut().insert(http::header::ALLOW, names);
    }
    refused
}

fn empty() -> Answer {
    Response::new(Full::default())
}

fn text(content_type: &'static str, text: String) -> Answer {
    of_type(content_type, Response::new(Full::new(text.into())))
}

fn of_type(content_type: &'static str, mut answer: Answer) -> Answer {
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

fn never_stored(mut answer: Answer) -> Answer {
    let no_store = HeaderValue::from_static("no-store");
    answer.headers_mut().insert(CACHE_CONTROL, no_store);
    answer
}

fn with_status(status: StatusCode, mut answer: Answer) -> Answer {
    *answer.status_mut() = status;
    answer
}
