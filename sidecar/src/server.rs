//! What the sidecar answers.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use reqsign_aliyun_oss::Credential;
use serde::Serialize;

use crate::source::{SourceError, Sources};

pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/v1/credentials/{name}", get(credentials))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::new(sources))
}

/// The answer of the credentials-URI protocol. A long-lived key has neither
/// token nor expiry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: &'static str,
    access_key_id: String,
    access_key_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    code: &'static str,
    message: String,
}

async fn credentials(
    State(sources): State<Arc<Sources>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(source) = sources.get(&name) else {
        let message = "There are no credentials of this name.".to_owned();
        return failure(StatusCode::NOT_FOUND, "UnknownName", message);
    };
    // A caller whose credentials OSS has condemned asks so.
    let no_cache = |value: &axum::http::HeaderValue| value.as_bytes() == b"no-cache";
    let anew = headers.get(header::CACHE_CONTROL).is_some_and(no_cache);
    match source.credential(anew).await {
        Ok(credential) => answer(StatusCode::OK, Answer::from(credential)),
        Err(error) => {
            let code = match &error {
                SourceError::Refused { .. } => "SourceRefused",
                SourceError::Unreachable => "SourceUnreachable",
                SourceError::Empty => "SourceEmpty",
            };
            failure(StatusCode::BAD_GATEWAY, code, error.to_string())
        }
    }
}

fn failure(status: StatusCode, code: &'static str, message: String) -> Response {
    answer(status, Failure { code, message })
}

fn answer(status: StatusCode, body: impl Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (status, headers, Json(body)).into_response()
}

impl From<Credential> for Answer {
    fn from(credential: Credential) -> Answer {
        Answer {
            code: "Success",
            access_key_id: credential.access_key_id,
            access_key_secret: credential.access_key_secret,
            security_token: credential.security_token,
            expiration: credential.expires_in.map(|time| time.format_rfc3339_zulu()),
        }
    }
}
