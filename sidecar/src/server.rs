//! The routes of the sidecar and their answers.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Cause, SourceError};
use crate::held::Held;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::source::{Ask, Source};
use crate::sources::Sources;

/// What is served; a reload replaces it.
#[derive(Debug, Default)]
pub struct Served {
    /// The sources by name.
    pub sources: Sources,
    /// The bearer token that callers must show, if there is one.
    pub token: Option<Secret>,
}

/// What the handlers of all routes share.
#[derive(Clone, Debug)]
pub struct App {
    served: Arc<RwLock<Arc<Served>>>,
    metrics: Arc<Metrics>,
}

impl App {
    /// Serves no name yet.
    pub fn new(metrics: Arc<Metrics>) -> App {
        App {
            served: Arc::default(),
            metrics,
        }
    }

    /// What is served now.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves this from now on; requests under way finish with what was served.
    pub fn replace(&self, served: Served) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(served);
    }
}

/// The routes of the sidecar.
pub fn router(app: App) -> Router {
    let guarded = Router::new()
        .route("/v1/credentials/{name}", get(credentials))
        .route(ECS, get(ecs_names))
        .route(&format!("{ECS}{{name}}"), get(credentials))
        .route("/latest/api/token", put(ecs_token))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(guarded)
        .with_state(app)
}

/// Where the metadata server of an ECS instance has credentials.
const ECS: &str = "/latest/meta-data/ram/security-credentials/";

/// The answer of the credentials-URI protocol, which is also that of the ECS
/// metadata server. A long-lived key has neither token nor expiry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    code: &'static str,
    access_key_id: &'a str,
    access_key_secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

/// Lets those through who show the token, if there is one.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let served = app.served();
    let allowed = served.token.as_ref().is_none_or(|token| {
        let shown = request.headers().get(header::AUTHORIZATION);
        let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| bool::from(shown.ct_eq(token.as_bytes())))
    });
    let response = if allowed {
        next.run(request).await
    } else {
        Failure::Unauthorized.into_response()
    };
    app.metrics.answered(response.status().as_u16());
    response
}

async fn credentials(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let served = app.served();
    let Some(source) = served.sources.get(&name) else {
        return Failure::UnknownName.into_response();
    };
    // Callers whose credentials OSS has rejected ask so.
    let renewed = headers
        .get(header::CACHE_CONTROL)
        .is_some_and(|value| value.as_bytes() == b"no-cache");
    let ask = if renewed { Ask::Renewed } else { Ask::Valid };
    match source.credential(ask).await {
        Ok(held) => success(&held),
        Err(error) => Failure::Source { source, error }.into_response(),
    }
}

/// The names, where the metadata server has the role of its instance.
async fn ecs_names(State(app): State<App>) -> Response {
    let served = app.served();
    let mut names: Vec<&str> = served.sources.keys().map(String::as_str).collect();
    // Clients take the first for the only one.
    names.sort_unstable_by_key(|name| (*name != "default", *name));
    names.join("\n").into_response()
}

/// Hardened clients want a token before they read; nothing depends on it here.
async fn ecs_token() -> Response {
    "not-needed".into_response()
}

/// Whether all names have valid credentials.
async fn ready(State(app): State<App>) -> Response {
    let served = app.served();
    let now = SystemTime::now();
    let mut all = true;
    let mut names = serde_json::Map::new();
    for source in served.sources.values() {
        let held = source.valid(now);
        all &= held.is_some();
        names.insert(
            source.name().into(),
            json!({
                "valid": held.is_some(),
                "expiration": held.and_then(|held| held.expiration()),
                "problem": source.problem().map(|error| error.to_string()),
            }),
        );
    }
    let status = if all {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({"ready": all, "credentials": names}))).into_response()
}

async fn metrics(State(app): State<App>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let served = app.served();
    let now = SystemTime::now();
    let sources = served.sources.values();
    let held = sources.map(|source| (source.name(), source.valid(now)));
    let text = app.metrics.text(held);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

fn success(held: &Held) -> Response {
    let answer = Answer {
        code: "Success",
        access_key_id: &held.id,
        access_key_secret: &held.secret,
        security_token: held.token.as_ref().map(|token| token.as_str()),
        expiration: held.reported_expiration(),
    };
    // With room enough, so that no copy is left behind; overwritten once it is sent.
    let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
    if serde_json::to_writer(&mut *body, &answer).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_TYPE, "application/json"),
    ];
    (headers, Body::from(Bytes::from_owner(Owned(body)))).into_response()
}

struct Owned(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Why a caller gets no credentials.
enum Failure<'a> {
    /// The caller did not show the sidecar's token.
    Unauthorized,
    /// There is no source of this name.
    UnknownName,
    /// The source has no valid credentials.
    Source {
        source: &'a Source,
        error: SourceError,
    },
}

impl Failure<'_> {
    fn status(&self) -> StatusCode {
        match self {
            Failure::Unauthorized => StatusCode::UNAUTHORIZED,
            Failure::UnknownName => StatusCode::NOT_FOUND,
            Failure::Source { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// A word for programs.
    fn code(&self) -> &'static str {
        match self {
            Failure::Unauthorized => "Unauthorized",
            Failure::UnknownName => "UnknownName",
            Failure::Source { error, .. } => match error.cause {
                Cause::Refused { .. } => "SourceRefused",
                Cause::Missing(_) => "SourceIncomplete",
                Cause::Malformed | Cause::Status(_) => "SourceMalformed",
                Cause::TimedOut => "SourceTimedOut",
                Cause::Unreachable => "SourceUnreachable",
            },
        }
    }

    fn message(&self) -> String {
        match self {
            Failure::Unauthorized => {
                "This needs `Authorization: Bearer` and the sidecar's token.".into()
            }
            Failure::UnknownName => "There are no credentials of this name.".into(),
            Failure::Source { source, error } => {
                format!("{} ({}): {error}", source.name(), source.kind())
            }
        }
    }
}

impl IntoResponse for Failure<'_> {
    fn into_response(self) -> Response {
        let mut body = json!({"Code": self.code(), "Message": self.message()});
        if let Failure::Source { error, .. } = &self {
            if let Some(step) = &error.step {
                body["Step"] = json!(step);
            }
            if let Cause::Refused { code, request_id } = &error.cause {
                body["SourceCode"] = json!(code);
                body["SourceRequestId"] = json!(request_id);
            }
        }
        let headers = [(header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status(), headers, Json(body)).into_response();
        if let Failure::Unauthorized = self {
            let challenge = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
