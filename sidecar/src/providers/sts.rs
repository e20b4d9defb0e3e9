//! STS: AssumeRole and AssumeRoleWithOIDC, version 2015-04-01, in the form of Alibaba Cloud's
//! SDK for Go. It is a POST; the query names the caller, the body holds the parameters, and a
//! signature covers both.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use oss_origin_auth_core::oss::encoding::{encode_component, hex};
use oss_origin_auth_core::oss::time::rfc3339_utc;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::World;
use crate::client::{Client, SourceAnswer, Way};
use crate::credential::{Ask, Cause, Credential, Fetch, FetchError, Fetching};
use crate::file::{self, Aside};
use crate::held::unix;
use crate::schedule::Failure;
use crate::secret;
use crate::settings::{AssumeRoleSettings, OidcSettings, SessionSettings};

/// The token of a role that the credentials `caller` may assume.
#[derive(Debug)]
pub struct AssumeRole {
    session: Session,
    external_id: Option<String>,
    caller: Arc<dyn Fetch>,
    /// Whether the last use of the caller's credentials was refused; they may be revoked.
    failed: AtomicBool,
    client: Arc<Client>,
}

/// The parameters that both actions share.
#[derive(Debug)]
struct Session {
    /// The address of STS, with its scheme and without a slash at its end.
    endpoint: String,
    role_arn: String,
    /// The session name, which RAM's logs show.
    name: String,
    policy: Option<String>,
    /// The life of the token in seconds.
    duration: Option<String>,
}

impl AssumeRole {
    /// A fetcher for a role that `caller` may assume.
    pub fn new(
        settings: &AssumeRoleSettings,
        caller: Arc<dyn Fetch>,
        world: &World,
    ) -> Result<AssumeRole, String> {
        Ok(AssumeRole {
            session: Session::new(
                settings.sts.endpoint(&world.environment)?,
                settings.role_arn.clone(),
                &settings.session,
            ),
            external_id: settings.external_id.clone(),
            caller,
            failed: AtomicBool::new(false),
            client: Arc::clone(&world.client),
        })
    }

    async fn assume(&self) -> Result<Credential, FetchError> {
        let ask = if self.failed.swap(false, Ordering::Relaxed) {
            Ask::Renewed
        } else {
            Ask::Valid
        };
        let caller = self.caller.fetch(ask).await?;
        let mut form = self.session.form();
        if let Some(external_id) = &self.external_id {
            form.push(("ExternalId", external_id));
        }
        let now = unix(SystemTime::now());
        let query = signed_query("AssumeRole", &caller, &form, now, &nonce()?);
        let client = &self.client;
        let assumed = self.session.send(client, "AssumeRole", &query, &form).await;
        // No answer, or too many requests, say nothing about the caller's credentials.
        let refused = |error: &FetchError| {
            let is_answer = matches!(error.cause.failure(), Failure::Answered(_));
            is_answer && matches!(error.cause, Cause::Refused { .. })
        };
        let is_refused = assumed.as_ref().is_err_and(refused);
        self.failed.store(is_refused, Ordering::Relaxed);
        assumed
    }
}

impl Fetch for AssumeRole {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(self.assume())
    }
}

/// The token of a role, by an OIDC token: RRSA of ACK.
#[derive(Debug)]
pub struct AssumeRoleWithOidc {
    session: Session,
    provider_arn: String,
    token_file: Option<PathBuf>,
    client: Arc<Client>,
    aside: Aside,
}

impl AssumeRoleWithOidc {
    /// A fetcher with these settings; the environment fills in what they leave open.
    pub fn new(settings: &OidcSettings, world: &World) -> Result<AssumeRoleWithOidc, String> {
        let environment = &world.environment;
        let mut session = settings.session.clone();
        session.session_name = environment.or(
            session.session_name.as_deref(),
            "ALIBABA_CLOUD_ROLE_SESSION_NAME",
        );
        let file = settings.oidc_token_file.clone();
        let file = file.or_else(|| environment.get(OIDC_TOKEN_FILE).map(PathBuf::from));
        Ok(AssumeRoleWithOidc {
            session: Session::new(
                settings.sts.endpoint(environment)?,
                environment
                    .or(settings.role_arn.as_deref(), "ALIBABA_CLOUD_ROLE_ARN")
                    .unwrap_or_default(),
                &session,
            ),
            provider_arn: environment
                .or(
                    settings.oidc_provider_arn.as_deref(),
                    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
                )
                .unwrap_or_default(),
            token_file: file,
            client: Arc::clone(&world.client),
            aside: world.aside.clone(),
        })
    }

    async fn assume(&self) -> Result<Credential, FetchError> {
        let file = self.token_file.as_ref();
        let file =
            file.filter(|_| !self.session.role_arn.is_empty() && !self.provider_arn.is_empty());
        let file = file.ok_or_else(|| FetchError::missing(NEEDS))?;
        let path = file.clone();
        let token = self.aside.run(move || file::read(&path)).await;
        let shown = file.display();
        let missing = |why: &dyn std::fmt::Display| {
            FetchError::missing(format!("oidc_token_file: {shown}: {why}"))
        };
        let token = token.map_err(|error| missing(&error))?;
        let token = secret::plain(&token).map_err(|problem| missing(&problem))?;
        let mut form = self.session.form();
        form.push(("OIDCProviderArn", &self.provider_arn));
        form.push(("OIDCToken", &token));
        let timestamp = rfc3339_utc(unix(SystemTime::now()));
        let nonce = nonce()?;
        let query = encoded(&[
            ("Action", "AssumeRoleWithOIDC"),
            ("Format", "JSON"),
            ("SignatureNonce", &nonce),
            ("Timestamp", &timestamp),
            ("Version", VERSION),
        ]);
        let action = "AssumeRoleWithOIDC";
        self.session.send(&self.client, action, &query, &form).await
    }
}

impl Fetch for AssumeRoleWithOidc {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(self.assume())
    }
}

/// The variable that names the file with the OIDC token.
pub const OIDC_TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const NEEDS: &str = "needs role_arn, oidc_provider_arn and oidc_token_file, or the variables \
                     ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and \
                     ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const VERSION: &str = "2015-04-01";
/// The session name, in RAM's logs, where the settings give none.
const SESSION_NAME: &str = "oss-origin-auth";

/// The parameters of an action that are sent in the body.
pub type Form<'a> = Vec<(&'static str, &'a str)>;

impl Session {
    fn new(endpoint: String, role_arn: String, settings: &SessionSettings) -> Session {
        let name = settings.session_name.as_deref().unwrap_or(SESSION_NAME);
        Session {
            endpoint,
            role_arn,
            name: name.to_owned(),
            policy: settings.policy.clone(),
            duration: settings.duration_seconds.map(|seconds| seconds.to_string()),
        }
    }

    fn form(&self) -> Form<'_> {
        let mut form = vec![
            ("RoleArn", self.role_arn.as_str()),
            ("RoleSessionName", &self.name),
        ];
        if let Some(seconds) = &self.duration {
            form.push(("DurationSeconds", seconds));
        }
        if let Some(policy) = &self.policy {
            form.push(("Policy", policy));
        }
        form
    }

    async fn send(
        &self,
        client: &Client,
        action: &str,
        query: &str,
        form: &Form<'_>,
    ) -> Result<Credential, FetchError> {
        let body = Bytes::from(encoded(form));
        let request = Request::post(format!("{}/?{query}", self.endpoint))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(body));
        let request =
            request.map_err(|_| FetchError::missing("sts_endpoint: is not an address"))?;
        read(&client.send(Way::ByProxy, action, request).await?)
    }
}

/// The query of an action, signed in RPC style: an HMAC-SHA1 over the method and all
/// parameters, those of the body too, in the order of their names.
pub fn signed_query(
    action: &str,
    caller: &Credential,
    form: &Form<'_>,
    now: u64,
    nonce: &str,
) -> String {
    let timestamp = rfc3339_utc(now);
    let mut query = vec![
        ("AccessKeyId", caller.id.as_str()),
        ("Action", action),
        ("Format", "JSON"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", &timestamp),
        ("Version", VERSION),
    ];
    if let Some(token) = &caller.token {
        query.push(("SecurityToken", token));
    }
    let mut all = query.clone();
    all.extend(form);
    all.sort_unstable();
    let all = Zeroizing::new(encoded(&all));
    let string_to_sign = Zeroizing::new(format!("POST&%2F&{}", component(&all)));
    let secret = Zeroizing::new(format!("{}&", *caller.secret));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, string_to_sign.as_bytes()));
    query.push(("Signature", &signature));
    encoded(&query)
}

/// A random number, so that no two requests have the same signature.
pub fn nonce() -> Result<String, FetchError> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| FetchError::missing("this machine gives no random bytes"))?;
    let mut text = Vec::new();
    hex(&bytes, &mut text);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn encoded(pairs: &[(&'static str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", component(value)));
    pairs.collect::<Vec<String>>().join("&")
}

fn component(text: &str) -> String {
    let mut bytes = Vec::new();
    encode_component(text.as_bytes(), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read(answer: &SourceAnswer) -> Result<Credential, FetchError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        credentials: Credentials,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Credentials {
        access_key_id: String,
        access_key_secret: String,
        security_token: String,
        expiration: String,
    }
    let body: Result<Body, _> = serde_json::from_slice(&answer.body);
    let credentials = body
        .map_err(|_| answer.error(Cause::Malformed))?
        .credentials;
    answer.credential(
        credentials.access_key_id,
        credentials.access_key_secret,
        Some(credentials.security_token),
        Some(&credentials.expiration),
    )
}
