//! A single fetch, for programs that try credentials and do not serve them.

use std::path::Path;
use std::sync::Arc;

use oss_origin_auth_core::credentials::{Credentials, Secret};

use crate::client::Timeout;
use crate::credential::{Ask, Credential, FetchError};
use crate::environment::Environment;
use crate::metrics::Metrics;
use crate::providers::{Identity, World, ask_identity};
use crate::settings::{Settings, SourceSettings, StsSettings};
use crate::sources::{self, Sources};

/// The sources of the sidecar's settings, for a trial.
#[derive(Debug)]
pub struct Trial {
    settings: Settings,
    sources: Sources,
    world: World,
}

impl Trial {
    /// The sources of a file, or of the environment if there is none. `timeout_ms` limits one
    /// request; the settings may set a lower limit.
    pub fn new(file: Option<&Path>, timeout_ms: u64) -> Result<Trial, String> {
        let timeout = Timeout::default();
        let world = World::new(Environment::of_process()?, &timeout)?;
        let settings = match file {
            Some(path) => Settings::from_file(path, &world.environment)?,
            None => Settings::from_environment(&world.environment)?,
        };
        timeout.set(settings.timeout_ms.min(timeout_ms));
        let metrics = Arc::new(Metrics::new());
        let sources = sources::build(&settings.credentials, &world, &metrics, &Sources::new())?;
        Ok(Trial {
            settings,
            sources,
            world,
        })
    }

    /// The names in the settings.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.credentials.keys().map(String::as_str)
    }

    /// The type of the source of `name`.
    pub fn kind(&self, name: &str) -> Option<&'static str> {
        self.sources.get(name).map(|source| source.kind())
    }

    /// Fetches the credentials of `name`.
    pub async fn fetch(&self, name: &str) -> Result<Credentials, FetchError> {
        let missing = || FetchError::missing(format!("there are no credentials `{name}`"));
        let source = self.sources.get(name).ok_or_else(missing)?;
        let held = source.credential(Ask::Valid).await?;
        let held = &held.credential;
        Ok(Credentials {
            access_key_id: held.id.clone(),
            access_key_secret: Secret::new(held.secret.as_str()),
            security_token: held.token.as_ref().map(|token| Secret::new(token.as_str())),
            expires_at: held.expires,
        })
    }

    /// Asks STS whose credentials these are. The STS is that of the settings of `name`, or else
    /// that of the environment.
    pub async fn identity(
        &self,
        name: &str,
        credentials: &Credentials,
    ) -> Result<Identity, FetchError> {
        let default = StsSettings::default();
        let sts = match self.settings.credentials.get(name) {
            Some(SourceSettings::AssumeRole(settings)) => &settings.sts,
            Some(SourceSettings::AssumeRoleWithOidc(settings)) => &settings.sts,
            _ => &default,
        };
        let endpoint = sts.endpoint(&self.world.environment);
        let endpoint = endpoint.map_err(FetchError::missing)?;
        let token = credentials.security_token.as_ref();
        let credential = Credential::new(
            credentials.access_key_id.clone(),
            credentials.access_key_secret.expose().to_owned(),
            token.map(|token| token.expose().to_owned()),
            credentials.expires_at,
        );
        let credential = credential.map_err(FetchError::missing)?;
        ask_identity(&endpoint, &credential, &self.world).await
    }
}
