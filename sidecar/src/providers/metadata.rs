//! The RAM role of an ECS instance, from its metadata server.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::{World, uri};
use crate::client::{Client, SourceAnswer, Way};
use crate::credential::{Ask, Cause, Credential, Fetch, FetchError, Fetching};
use crate::settings::{EcsSettings, check_url, is_name};

/// Asks the metadata server.
#[derive(Debug)]
pub struct Metadata {
    /// The address of the server, without a slash at its end.
    endpoint: String,
    role: Option<String>,
    /// Whether a token is required.
    hardened: bool,
    is_disabled: bool,
    client: Arc<Client>,
}

impl Metadata {
    /// A fetcher with these settings; the environment fills in what they leave open.
    pub fn new(settings: &EcsSettings, world: &World) -> Result<Metadata, String> {
        let environment = &world.environment;
        let place = settings.endpoint.as_ref().map_or(ENDPOINT, |_| "endpoint");
        let endpoint = environment.or(settings.endpoint.as_deref(), ENDPOINT);
        let endpoint = endpoint.unwrap_or_else(|| "http://100.100.100.200".into());
        check_url(place, Some(&endpoint))?;
        let role = environment.or(settings.role_name.as_deref(), ROLE);
        let place = settings.role_name.as_ref().map_or(ROLE, |_| "role_name");
        if role.as_deref().is_some_and(|role| !is_name(role)) {
            return Err(format!("{place}: must be the name of a role, not its ARN"));
        }
        Ok(Metadata {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            role,
            hardened: settings.hardened || environment.flag("ALIBABA_CLOUD_IMDSV1_DISABLED")?,
            is_disabled: environment.flag("ALIBABA_CLOUD_ECS_METADATA_DISABLED")?,
            client: Arc::clone(&world.client),
        })
    }

    async fn ask(&self) -> Result<Credential, FetchError> {
        if self.is_disabled {
            let needs = "needs ALIBABA_CLOUD_ECS_METADATA_DISABLED unset";
            return Err(FetchError::missing(needs));
        }
        let token = match self.token().await {
            Ok(token) => Some(token),
            Err(error) if self.hardened => return Err(error),
            // The server is an old one, which knows no tokens.
            Err(_) => None,
        };
        let role = match &self.role {
            Some(role) => role.clone(),
            None => {
                let answer = self.get("", token.as_deref()).await?;
                line(&answer, is_name)?
            }
        };
        uri::read(&self.get(&role, token.as_deref()).await?)
    }

    async fn token(&self) -> Result<String, FetchError> {
        let request = Request::put(format!("{}/latest/api/token", self.endpoint))
            .header("X-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_LIFE);
        let answer = self.send(request).await?;
        line(&answer, |token| {
            token.len() <= 1_024 && token.bytes().all(|b| b.is_ascii_graphic())
        })
    }

    async fn get(&self, name: &str, token: Option<&str>) -> Result<SourceAnswer, FetchError> {
        let folder = "latest/meta-data/ram/security-credentials";
        let mut request = Request::get(format!("{}/{folder}/{name}", self.endpoint));
        if let Some(token) = token {
            request = request.header("X-aliyun-ecs-metadata-token", token);
        }
        self.send(request).await
    }

    async fn send(&self, request: http::request::Builder) -> Result<SourceAnswer, FetchError> {
        let request = request.body(Full::new(Bytes::new()));
        let request = request.map_err(|_| {
            FetchError::missing(
                "endpoint or role_name: do not form an address of the metadata server",
            )
        })?;
        let step = format!("{} {}", request.method(), request.uri().path());
        self.client.send(Way::Direct, &step, request).await
    }
}

impl Fetch for Metadata {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(self.ask())
    }
}

/// The life of a token in seconds, as Alibaba Cloud's SDKs ask for it.
const TOKEN_LIFE: &str = "21600";

const ENDPOINT: &str = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT";
const ROLE: &str = "ALIBABA_CLOUD_ECS_METADATA";

/// The first line of an answer, if `is_word` accepts it.
fn line(answer: &SourceAnswer, is_word: impl Fn(&str) -> bool) -> Result<String, FetchError> {
    let first = answer.body.split(|byte| *byte == b'\n').next();
    let first = std::str::from_utf8(first.unwrap_or_default().trim_ascii());
    let word = first.ok().filter(|word| !word.is_empty() && is_word(word));
    let word = word.ok_or_else(|| answer.error(Cause::Malformed))?;
    Ok(word.to_owned())
}
