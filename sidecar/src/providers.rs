//! From the settings of a source to what fetches: the providers of
//! `reqsign-aliyun-oss`, and beside them what it lacks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqsign_aliyun_oss::{
    AssumeRoleGrant, AssumeRoleGranter, AssumeRoleWithOidcCredentialProvider, Credential,
    CredentialsUriCredentialProvider, EcsRamRoleCredentialProvider, EnvCredentialProvider,
};
use reqsign_core::{Context, GrantCredential, ProvideCredential, ProvideCredentialDyn, Result};
use serde::Deserialize;

use crate::error::own;
use crate::secret::{SecretPlace, variable};
use crate::settings::{
    AssumeRoleSettings, EcsSettings, KeySettings, OidcSettings, SourceSettings, StsSettings,
};
use crate::source::{Ask, Provider, Source};

/// `base` is the source that `from` names.
pub fn build(
    settings: &SourceSettings,
    base: Option<Arc<Source>>,
) -> std::result::Result<Provider, String> {
    Ok(match settings {
        SourceSettings::Static { key } => Arc::new(KeyPair::new(key)?),
        SourceSettings::Environment {} => Arc::new(EnvCredentialProvider::new()),
        SourceSettings::AssumeRole(settings) => Arc::new(assume_role(settings, base)?),
        SourceSettings::AssumeRoleWithOidc(settings) => Arc::new(assume_role_with_oidc(settings)?),
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
            Box::new(oidc(None, None)),
            Box::new(Profile {
                file: None,
                name: None,
            }),
            Box::new(CredentialsUriCredentialProvider::new()),
            Box::new(EcsRamRoleCredentialProvider::new()),
        ])),
    })
}

fn assume_role(
    settings: &AssumeRoleSettings,
    base: Option<Arc<Source>>,
) -> std::result::Result<AssumeRole, String> {
    let failed = Arc::new(AtomicBool::new(false));
    let base: Provider = match base {
        Some(source) => Arc::new(Base {
            source,
            failed: Arc::clone(&failed),
        }),
        None => Arc::new(KeyPair::new(&settings.key)?),
    };
    Ok(AssumeRole {
        granter: granter(
            &settings.role_arn,
            settings.session_name.as_deref(),
            settings.external_id.as_deref(),
            settings.policy()?.as_deref(),
            settings.sts.endpoint()?,
        ),
        duration: settings.duration_seconds.map(Duration::from_secs),
        base,
        failed,
    })
}

fn assume_role_with_oidc(
    settings: &OidcSettings,
) -> std::result::Result<Wanting<AssumeRoleWithOidcCredentialProvider>, String> {
    let session_name = settings.session_name.as_deref();
    let mut provider = oidc(session_name, settings.sts.endpoint()?);
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

/// What RAM's logs show of sessions.
const SESSION_NAME: &str = "oss-origin-auth";

/// A key pair, read each time.
#[derive(Debug)]
struct KeyPair {
    id: SecretPlace,
    secret: SecretPlace,
}

impl KeyPair {
    fn new(key: &KeySettings) -> std::result::Result<KeyPair, String> {
        Ok(KeyPair {
            id: key.id()?,
            secret: key.secret()?,
        })
    }
}

impl ProvideCredential for KeyPair {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> Result<Option<Credential>> {
        Ok(Some(Credential {
            access_key_id: self.id.read().map_err(own)?.to_string(),
            access_key_secret: self.secret.read().map_err(own)?.to_string(),
            security_token: None,
            expires_in: None,
        }))
    }
}

/// The credentials of another name.
#[derive(Debug)]
struct Base {
    source: Arc<Source>,
    /// The last use of them failed; perhaps they were revoked.
    failed: Arc<AtomicBool>,
}

impl ProvideCredential for Base {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> Result<Option<Credential>> {
        let ask = if self.failed.swap(false, Ordering::Relaxed) {
            Ask::Renewed
        } else {
            Ask::Valid
        };
        // Boxed, since a source may stand on another of the same kind.
        let held = Box::pin(self.source.credential(ask)).await;
        let held = held.map_err(|error| own(format!("{}: {error}", self.source.name())))?;
        Ok(Some(held.to_credential()))
    }
}

/// AssumeRole with everything that the library's own provider leaves out: a
/// session policy and a duration.
#[derive(Debug)]
struct AssumeRole {
    granter: AssumeRoleGranter,
    duration: Option<Duration>,
    base: Provider,
    /// Tells the base that its credentials were of no use.
    failed: Arc<AtomicBool>,
}

impl ProvideCredential for AssumeRole {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        let Some(base) = self.base.provide_credential_dyn(context).await? else {
            return Ok(None);
        };
        let granted = self.granter.grant_credential(context, &base, self.duration);
        let granted = granted.await;
        self.failed.store(granted.is_err(), Ordering::Relaxed);
        granted.map(Some)
    }
}

fn granter(
    role_arn: &str,
    session_name: Option<&str>,
    external_id: Option<&str>,
    policy: Option<&str>,
    endpoint: Option<String>,
) -> AssumeRoleGranter {
    let session_name = session_name.unwrap_or(SESSION_NAME);
    let mut grant = AssumeRoleGrant::new(role_arn).with_role_session_name(session_name);
    if let Some(external_id) = external_id {
        grant = grant.with_external_id(external_id);
    }
    if let Some(policy) = policy {
        grant = grant.with_policy(policy);
    }
    let granter = AssumeRoleGranter::new(grant);
    match endpoint.or_else(endpoint_of_environment) {
        Some(endpoint) => granter.with_sts_endpoint(endpoint),
        None => granter,
    }
}

fn oidc(
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

fn endpoint_of_environment() -> Option<String> {
    variable("ALIBABA_CLOUD_STS_ENDPOINT")
}

/// Says what is missing where the library's provider only has nothing.
#[derive(Debug)]
struct Wanting<P> {
    provider: P,
    wants: &'static str,
}

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Wanting<P> {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
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

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
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

/// A profile of the Aliyun CLI: the library knows those with a key of their
/// own; here the ones with a role are understood too.
#[derive(Debug)]
struct Profile {
    file: Option<PathBuf>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct CliConfig {
    #[serde(default)]
    current: String,
    #[serde(default)]
    profiles: Vec<CliProfile>,
}

#[derive(Deserialize)]
struct CliProfile {
    name: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    access_key_secret: String,
    #[serde(default)]
    sts_token: String,
    #[serde(default)]
    ram_role_arn: String,
    #[serde(default)]
    ram_session_name: String,
    #[serde(default)]
    ram_role_name: String,
    #[serde(default)]
    external_id: String,
    #[serde(default)]
    expired_seconds: u64,
    #[serde(default)]
    sts_region: String,
    #[serde(default)]
    source_profile: String,
    #[serde(default)]
    oidc_provider_arn: String,
    #[serde(default)]
    oidc_token_file: String,
    #[serde(default)]
    credentials_uri: String,
}

impl ProvideCredential for Profile {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        let path = match &self.file {
            Some(file) => file.clone(),
            None => match std::env::home_dir() {
                Some(home) => home.join(".aliyun/config.json"),
                None => return Ok(None),
            },
        };
        let shown = path.display();
        let text = match std::fs::read(&path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.file.is_none() => {
                return Ok(None);
            }
            Err(error) => return Err(own(format!("{shown}: {error}"))),
        };
        // The text of serde's error may quote a secret.
        let config: CliConfig = serde_json::from_slice(&text).map_err(|error| {
            own(format!(
                "{shown}: line {}: is no configuration of the CLI",
                error.line()
            ))
        })?;
        let name = self
            .name
            .clone()
            .or_else(|| variable("ALIBABA_CLOUD_PROFILE"));
        let name = name.unwrap_or_else(|| config.current.clone());
        let credential = config.provider(&path, &name, 0)?;
        credential.provide_credential_dyn(context).await
    }
}

impl CliConfig {
    /// `depth`: how many profiles lead here.
    fn provider(&self, path: &Path, name: &str, depth: usize) -> Result<Provider> {
        let shown = path.display();
        let profile = self.profiles.iter().find(|profile| profile.name == name);
        let Some(profile) = profile else {
            return Err(own(format!("{shown}: has no profile `{name}`")));
        };
        if depth > 8 {
            return Err(own(format!(
                "{shown}: profile `{name}`: source_profile leads in a circle"
            )));
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let bad = |text: String| own(format!("{shown}: profile `{name}`: {text}"));
        let role = || -> Result<AssumeRoleGranter> {
            // The variable stands for a network that the profile knows nothing of.
            let region = given(&profile.sts_region).filter(|_| endpoint_of_environment().is_none());
            let sts = StsSettings {
                sts_region: region,
                ..StsSettings::default()
            };
            Ok(granter(
                &profile.ram_role_arn,
                given(&profile.ram_session_name).as_deref(),
                given(&profile.external_id).as_deref(),
                None,
                sts.endpoint().map_err(bad)?,
            ))
        };
        let duration =
            (profile.expired_seconds > 0).then(|| Duration::from_secs(profile.expired_seconds));
        let own_key = || -> Result<Provider> {
            match (
                given(&profile.access_key_id),
                given(&profile.access_key_secret),
            ) {
                (Some(id), Some(secret)) => {
                    let key = Fixed(Credential {
                        access_key_id: id,
                        access_key_secret: secret,
                        security_token: given(&profile.sts_token),
                        expires_in: None,
                    });
                    Ok(Arc::new(key))
                }
                _ => Err(own(format!("{shown}: profile `{name}`: has no AccessKey"))),
            }
        };
        Ok(match profile.mode.as_str() {
            "" | "AK" | "StsToken" => own_key()?,
            "RamRoleArn" => Arc::new(AssumeRole {
                granter: role()?,
                duration,
                base: own_key()?,
                failed: Arc::default(),
            }),
            "ChainableRamRoleArn" => Arc::new(AssumeRole {
                granter: role()?,
                duration,
                base: self.provider(path, &profile.source_profile, depth + 1)?,
                failed: Arc::default(),
            }),
            "EcsRamRole" => Arc::new(match given(&profile.ram_role_name) {
                Some(role) => EcsRamRoleCredentialProvider::new().with_role_name(role),
                None => EcsRamRoleCredentialProvider::new(),
            }),
            "OIDC" => Arc::new(
                oidc(given(&profile.ram_session_name).as_deref(), None)
                    .with_role_arn(&profile.ram_role_arn)
                    .with_oidc_provider_arn(&profile.oidc_provider_arn)
                    .with_oidc_token_file(&profile.oidc_token_file),
            ),
            "CredentialsURI" => {
                Arc::new(CredentialsUriCredentialProvider::new().with_uri(&profile.credentials_uri))
            }
            other => {
                let modes = "AK, StsToken, RamRoleArn, ChainableRamRoleArn, EcsRamRole, OIDC and \
                             CredentialsURI are understood";
                return Err(bad(format!("mode `{}`: {modes}", other.escape_debug())));
            }
        })
    }
}

struct Fixed(Credential);

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Fixed")
    }
}

impl ProvideCredential for Fixed {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> Result<Option<Credential>> {
        Ok(Some(self.0.clone()))
    }
}
