//! From the settings of a source to what fetches: the providers of
//! `reqsign-aliyun-oss`, and beside them what it lacks.

mod cli_profile;
mod sts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqsign_aliyun_oss::{
    AssumeRoleWithOidcCredentialProvider, Credential, CredentialsUriCredentialProvider,
    EcsRamRoleCredentialProvider, EnvCredentialProvider,
};
use reqsign_core::{Context, ProvideCredential, ProvideCredentialDyn};

use crate::error::own;
use crate::secret::SecretPlace;
use crate::settings::{AssumeRoleSettings, EcsSettings, KeySettings, OidcSettings, SourceSettings};
use crate::source::{Provider, Source};
use cli_profile::Profile;
use sts::{AssumeRole, Caller};

/// The provider of a source. `base` is the source that `from` names.
pub fn build(settings: &SourceSettings, base: Option<Arc<Source>>) -> Result<Provider, String> {
    Ok(match settings {
        SourceSettings::Static { key } => Arc::new(KeyPair::new(key)?),
        SourceSettings::Environment {} => Arc::new(EnvCredentialProvider::new()),
        SourceSettings::AssumeRole(settings) => Arc::new(assume_role(settings, base)?),
        SourceSettings::AssumeRoleWithOidc(settings) => Arc::new(oidc(settings)?),
        SourceSettings::EcsRamRole(settings) => Arc::new(ecs(settings)),
        SourceSettings::CredentialsUri { uri } => Arc::new(Wanting {
            provider: match uri {
                Some(uri) => CredentialsUriCredentialProvider::new().with_uri(uri),
                None => CredentialsUriCredentialProvider::new(),
            },
            wants: "uri, or the variable ALIBABA_CLOUD_CREDENTIALS_URI",
        }),
        SourceSettings::Profile { file, profile } => Arc::new(Profile {
            file: file.clone(),
            name: profile.clone(),
        }),
        SourceSettings::Default {} => Arc::new(FirstOf(vec![
            Box::new(EnvCredentialProvider::new()),
            Box::new(sts::oidc(None, None)),
            Box::new(Profile::default()),
            Box::new(CredentialsUriCredentialProvider::new()),
            Box::new(EcsRamRoleCredentialProvider::new()),
        ])),
    })
}

fn assume_role(
    settings: &AssumeRoleSettings,
    base: Option<Arc<Source>>,
) -> Result<AssumeRole, String> {
    let caller = match base {
        Some(source) => Caller::Source(source),
        None => Caller::Provider(Arc::new(KeyPair::new(&settings.key)?)),
    };
    let mut grant = sts::grant(&settings.role_arn, settings.session_name.as_deref());
    if let Some(external_id) = &settings.external_id {
        grant = grant.with_external_id(external_id);
    }
    if let Some(policy) = &settings.policy {
        grant = grant.with_policy(policy);
    }
    let granter = sts::granter(grant, settings.sts.endpoint()?);
    let duration = settings.duration_seconds.map(Duration::from_secs);
    Ok(AssumeRole::new(granter, duration, caller))
}

fn oidc(settings: &OidcSettings) -> Result<Wanting<AssumeRoleWithOidcCredentialProvider>, String> {
    let session_name = settings.session_name.as_deref();
    let mut provider = sts::oidc(session_name, settings.sts.endpoint()?);
    if let Some(arn) = &settings.role_arn {
        provider = provider.with_role_arn(arn);
    }
    if let Some(arn) = &settings.oidc_provider_arn {
        provider = provider.with_oidc_provider_arn(arn);
    }
    if let Some(file) = &settings.oidc_token_file {
        provider = provider.with_oidc_token_file(file.display().to_string());
    }
    Ok(Wanting {
        provider,
        wants: "role_arn, oidc_provider_arn and oidc_token_file, or the variables \
                ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and \
                ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    })
}

fn ecs(settings: &EcsSettings) -> Wanting<EcsRamRoleCredentialProvider> {
    let mut provider = EcsRamRoleCredentialProvider::new();
    if let Some(name) = &settings.role_name {
        provider = provider.with_role_name(name);
    }
    if settings.hardened {
        provider = provider.with_disable_imdsv1(true);
    }
    if let Some(endpoint) = &settings.endpoint {
        provider = provider.with_endpoint(endpoint.trim_end_matches('/'));
    }
    Wanting {
        provider,
        wants: "ALIBABA_CLOUD_ECS_METADATA_DISABLED unset",
    }
}

/// A key pair, read each time.
#[derive(Debug)]
struct KeyPair {
    id: SecretPlace,
    secret: SecretPlace,
}

impl KeyPair {
    fn new(key: &KeySettings) -> Result<KeyPair, String> {
        Ok(KeyPair {
            id: key.id()?,
            secret: key.secret()?,
        })
    }
}

impl ProvideCredential for KeyPair {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
        Ok(Some(Credential {
            access_key_id: self.id.read().map_err(own)?.to_string(),
            access_key_secret: self.secret.read().map_err(own)?.to_string(),
            security_token: None,
            expires_in: None,
        }))
    }
}

/// Says what is missing where the library's provider only has nothing.
#[derive(Debug)]
struct Wanting<P> {
    provider: P,
    wants: &'static str,
}

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Wanting<P> {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        match self.provider.provide_credential(context).await? {
            Some(credential) => Ok(Some(credential)),
            None => Err(own(format!("needs {}", self.wants))),
        }
    }
}

/// The first that has credentials. The library's chain writes the errors that
/// it passes over into the log, and with them what the other side said.
struct FirstOf(Vec<Box<dyn ProvideCredentialDyn<Credential = Credential>>>);

impl fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "FirstOf({} providers)", self.0.len())
    }
}

impl ProvideCredential for FirstOf {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        let mut first_error = None;
        for provider in &self.0 {
            match provider.provide_credential_dyn(context).await {
                Ok(Some(credential)) => return Ok(Some(credential)),
                Ok(None) => {}
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(None), Err)
    }
}
