//! Profiles of the Aliyun CLI: the library knows those with a key of their own;
//! here the ones with a role are understood too.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqsign_aliyun_oss::{
    AssumeRoleGranter, Credential, CredentialsUriCredentialProvider, EcsRamRoleCredentialProvider,
};
use reqsign_core::{Context, ProvideCredential, ProvideCredentialDyn};
use serde::Deserialize;

use super::sts::{self, AssumeRole, Caller};
use crate::error::own;
use crate::secret::variable;
use crate::settings::StsSettings;
use crate::source::Provider;

/// A profile of the CLI's file, read each time.
#[derive(Debug, Default)]
pub struct Profile {
    /// The CLI's file; the one in the home folder unless given.
    pub file: Option<PathBuf>,
    /// The profile; the one that the environment or the file names unless given.
    pub name: Option<String>,
}

impl ProvideCredential for Profile {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
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
        let provider = config.provider(&path, &name, 0)?;
        provider.provide_credential_dyn(context).await
    }
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

impl CliConfig {
    /// `depth`: how many profiles lead here.
    fn provider(&self, path: &Path, name: &str, depth: usize) -> reqsign_core::Result<Provider> {
        let shown = path.display();
        let profile = self.profiles.iter().find(|profile| profile.name == name);
        let profile = profile.ok_or_else(|| own(format!("{shown}: has no profile `{name}`")))?;
        let bad = |text: String| own(format!("{shown}: profile `{name}`: {text}"));
        if depth > MAX_DEPTH {
            return Err(bad("source_profile leads in a circle".into()));
        }
        Ok(match profile.mode().map_err(bad)? {
            Mode::Key => profile.key().map_err(bad)?,
            Mode::RamRoleArn => Arc::new(AssumeRole::new(
                profile.granter().map_err(bad)?,
                profile.duration(),
                Caller::Provider(profile.key().map_err(bad)?),
            )),
            Mode::ChainableRamRoleArn => Arc::new(AssumeRole::new(
                profile.granter().map_err(bad)?,
                profile.duration(),
                Caller::Provider(self.provider(path, &profile.source_profile, depth + 1)?),
            )),
            Mode::EcsRamRole => Arc::new(profile.ecs()),
            Mode::Oidc => Arc::new(
                sts::oidc(given(&profile.ram_session_name), None)
                    .with_role_arn(&profile.ram_role_arn)
                    .with_oidc_provider_arn(&profile.oidc_provider_arn)
                    .with_oidc_token_file(&profile.oidc_token_file),
            ),
            Mode::CredentialsUri => {
                Arc::new(CredentialsUriCredentialProvider::new().with_uri(&profile.credentials_uri))
            }
        })
    }
}

/// More profiles than this in a row are a circle.
const MAX_DEPTH: usize = 8;

/// The modes of profiles that are understood.
enum Mode {
    /// A key pair or an STS token in the file.
    Key,
    RamRoleArn,
    ChainableRamRoleArn,
    EcsRamRole,
    Oidc,
    CredentialsUri,
}

impl CliProfile {
    fn mode(&self) -> Result<Mode, String> {
        Ok(match self.mode.as_str() {
            "" | "AK" | "StsToken" => Mode::Key,
            "RamRoleArn" => Mode::RamRoleArn,
            "ChainableRamRoleArn" => Mode::ChainableRamRoleArn,
            "EcsRamRole" => Mode::EcsRamRole,
            "OIDC" => Mode::Oidc,
            "CredentialsURI" => Mode::CredentialsUri,
            other => {
                let modes = "AK, StsToken, RamRoleArn, ChainableRamRoleArn, EcsRamRole, OIDC and \
                             CredentialsURI are understood";
                return Err(format!("mode `{}`: {modes}", other.escape_debug()));
            }
        })
    }

    fn key(&self) -> Result<Provider, String> {
        let id = given(&self.access_key_id).ok_or("has no AccessKey")?;
        let secret = given(&self.access_key_secret).ok_or("has no AccessKey")?;
        Ok(Arc::new(Fixed(Credential {
            access_key_id: id.to_owned(),
            access_key_secret: secret.to_owned(),
            security_token: given(&self.sts_token).map(str::to_owned),
            expires_in: None,
        })))
    }

    fn granter(&self) -> Result<AssumeRoleGranter, String> {
        let mut grant = sts::grant(&self.ram_role_arn, given(&self.ram_session_name));
        if let Some(external_id) = given(&self.external_id) {
            grant = grant.with_external_id(external_id);
        }
        // The variable stands for a network that the profile knows nothing of.
        let region = given(&self.sts_region).filter(|_| sts::endpoint_of_environment().is_none());
        let settings = StsSettings {
            sts_region: region.map(str::to_owned),
            ..StsSettings::default()
        };
        Ok(sts::granter(grant, settings.endpoint()?))
    }

    fn duration(&self) -> Option<Duration> {
        (self.expired_seconds > 0).then(|| Duration::from_secs(self.expired_seconds))
    }

    fn ecs(&self) -> EcsRamRoleCredentialProvider {
        match given(&self.ram_role_name) {
            Some(role) => EcsRamRoleCredentialProvider::new().with_role_name(role),
            None => EcsRamRoleCredentialProvider::new(),
        }
    }
}

/// The CLI writes an empty text for what is not given.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A key that the file holds itself.
struct Fixed(Credential);

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Fixed")
    }
}

impl ProvideCredential for Fixed {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
        Ok(Some(self.0.clone()))
    }
}
