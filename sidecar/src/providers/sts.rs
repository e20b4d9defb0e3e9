//! What asks STS for the token of a role: AssumeRole and AssumeRoleWithOIDC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqsign_aliyun_oss::{
    AssumeRoleGrant, AssumeRoleGranter, AssumeRoleWithOidcCredentialProvider, Credential,
};
use reqsign_core::{Context, GrantCredential, ProvideCredential, ProvideCredentialDyn};

use crate::error::own;
use crate::secret::variable;
use crate::source::{Ask, Provider, Source};

/// AssumeRole with everything that the library's own provider leaves out: a
/// session policy and a duration.
#[derive(Debug)]
pub struct AssumeRole {
    granter: AssumeRoleGranter,
    duration: Option<Duration>,
    caller: Caller,
    /// The last use of the caller's credentials failed; perhaps they were revoked.
    failed: AtomicBool,
}

/// Whose credentials assume a role.
#[derive(Debug)]
pub enum Caller {
    /// Those of a provider, fetched each time.
    Provider(Provider),
    /// Those of another name.
    Source(Arc<Source>),
}

impl AssumeRole {
    /// `duration`: how long the token is to live; STS chooses unless given.
    pub fn new(
        granter: AssumeRoleGranter,
        duration: Option<Duration>,
        caller: Caller,
    ) -> AssumeRole {
        AssumeRole {
            granter,
            duration,
            caller,
            failed: AtomicBool::new(false),
        }
    }
}

impl ProvideCredential for AssumeRole {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        let ask = if self.failed.swap(false, Ordering::Relaxed) {
            Ask::Renewed
        } else {
            Ask::Valid
        };
        let Some(credential) = self.caller.credential(context, ask).await? else {
            return Ok(None);
        };
        let granted = self
            .granter
            .grant_credential(context, &credential, self.duration)
            .await;
        self.failed.store(granted.is_err(), Ordering::Relaxed);
        granted.map(Some)
    }
}

impl Caller {
    async fn credential(
        &self,
        context: &Context,
        ask: Ask,
    ) -> reqsign_core::Result<Option<Credential>> {
        match self {
            Caller::Provider(provider) => provider.provide_credential_dyn(context).await,
            Caller::Source(source) => {
                // Boxed, since a source may stand on another of the same kind.
                let held = Box::pin(source.credential(ask)).await;
                let held = held.map_err(|error| own(format!("{}: {error}", source.name())))?;
                Ok(Some(held.to_credential()))
            }
        }
    }
}

/// What AssumeRole is asked for; `session_name` is what RAM's logs show.
pub fn grant(role_arn: &str, session_name: Option<&str>) -> AssumeRoleGrant {
    AssumeRoleGrant::new(role_arn).with_role_session_name(session_name.unwrap_or(SESSION_NAME))
}

/// Asks `endpoint`, or else the STS of the environment, or else the library's.
pub fn granter(grant: AssumeRoleGrant, endpoint: Option<String>) -> AssumeRoleGranter {
    let granter = AssumeRoleGranter::new(grant);
    match endpoint.or_else(endpoint_of_environment) {
        Some(endpoint) => granter.with_sts_endpoint(endpoint),
        None => granter,
    }
}

/// AssumeRoleWithOIDC with what the variables of ACK say. It asks `endpoint`, or
/// else the STS of the environment, or else the library's.
pub fn oidc(
    session_name: Option<&str>,
    endpoint: Option<String>,
) -> AssumeRoleWithOidcCredentialProvider {
    let provider = AssumeRoleWithOidcCredentialProvider::new()
        .with_role_session_name(session_name.unwrap_or(SESSION_NAME));
    match endpoint.or_else(endpoint_of_environment) {
        Some(endpoint) => provider.with_sts_endpoint(endpoint),
        None => provider,
    }
}

/// The STS that the environment names.
pub fn endpoint_of_environment() -> Option<String> {
    variable("ALIBABA_CLOUD_STS_ENDPOINT")
}

/// What RAM's logs show of sessions that the settings do not name.
const SESSION_NAME: &str = "oss-origin-auth";
