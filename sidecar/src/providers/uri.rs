//! A server of the credentials-URI protocol. The metadata server of an ECS instance answers in
//! the same form.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde::Deserialize;

use super::World;
use crate::client::{self, Client, SourceAnswer, Way};
use crate::credential::{Ask, Cause, Credential, Fetch, FetchError, Fetching};
use crate::settings::check_url;

/// A fetcher that asks one address.
#[derive(Debug)]
pub struct CredentialsUri {
    uri: Option<String>,
    client: Arc<Client>,
}

impl CredentialsUri {
    /// A fetcher that asks `uri`, or else the address in the environment.
    pub fn new(uri: Option<&str>, world: &World) -> Result<CredentialsUri, String> {
        let place = if uri.is_some() {
            "uri"
        } else {
            CREDENTIALS_URI
        };
        let uri = world.environment.or(uri, CREDENTIALS_URI);
        check_url(place, uri.as_deref())?;
        Ok(CredentialsUri {
            uri,
            client: Arc::clone(&world.client),
        })
    }

    async fn ask(&self) -> Result<Credential, FetchError> {
        let uri = self.uri.as_deref().ok_or_else(|| {
            FetchError::missing("needs uri, or the variable ALIBABA_CLOUD_CREDENTIALS_URI")
        })?;
        let request = Request::get(uri).body(Full::new(Bytes::new()));
        let request = request.map_err(|_| FetchError::missing("uri: is not an address"))?;
        // The answer holds a secret, so it must not pass a proxy.
        let step = format!("GET {}", request.uri().path());
        read(&self.client.send(Way::Direct, &step, request).await?)
    }
}

/// The variable that holds the address.
pub const CREDENTIALS_URI: &str = "ALIBABA_CLOUD_CREDENTIALS_URI";

impl Fetch for CredentialsUri {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(self.ask())
    }
}

/// Reads the credentials of an answer. Without a token they are a long-lived key.
pub fn read(answer: &SourceAnswer) -> Result<Credential, FetchError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        code: Option<String>,
        #[serde(default)]
        access_key_id: String,
        #[serde(default)]
        access_key_secret: String,
        security_token: Option<String>,
        expiration: Option<String>,
    }
    let malformed = || answer.error(Cause::Malformed);
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
    match body.code.as_deref() {
        None | Some("Success") => {}
        Some(other) => {
            let code = client::code(other).ok_or_else(malformed)?;
            let request_id = None;
            return Err(answer.error(Cause::Refused {
                status: 200,
                code,
                request_id,
                date: None,
            }));
        }
    }
    if body.security_token.is_some() && body.expiration.is_none() {
        return Err(malformed());
    }
    answer.credential(
        body.access_key_id,
        body.access_key_secret,
        body.security_token,
        body.expiration.as_deref(),
    )
}
