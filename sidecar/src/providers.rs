//! From the settings of a source to what fetches.

mod metadata;
mod profile;
mod sts;
mod uri;

use std::sync::Arc;

use crate::client::Client;
use crate::credential::{Ask, Credential, Fetch, FetchError, Fetching};
use crate::environment::Environment;
use crate::secret::SecretPlace;
use crate::settings::{KeySettings, SourceSettings};
use metadata::Metadata;
use profile::Profile;
use sts::{AssumeRole, AssumeRoleWithOidc};
use uri::CredentialsUri;

/// What fetchers see of the world.
#[derive(Clone, Debug)]
pub struct World {
    /// Asks others.
    pub client: Arc<Client>,
    /// The variables.
    pub environment: Arc<Environment>,
}

/// What fetches the credentials of a source. `base` are those that `from` names.
pub fn build(
    settings: &SourceSettings,
    base: Option<Arc<dyn Fetch>>,
    world: &World,
) -> Result<Arc<dyn Fetch>, String> {
    Ok(match settings {
        SourceSettings::Static { key } => Arc::new(KeyPair::new(key, world)?),
        SourceSettings::Environment {} => Arc::new(Variables(Arc::clone(&world.environment))),
        SourceSettings::AssumeRole(settings) => {
            let caller = match base {
                Some(base) => base,
                None => Arc::new(KeyPair::new(&settings.key, world)?),
            };
            Arc::new(AssumeRole::new(settings, caller, world)?)
        }
        SourceSettings::AssumeRoleWithOidc(settings) => {
            Arc::new(AssumeRoleWithOidc::new(settings, world)?)
        }
        SourceSettings::EcsRamRole(settings) => Arc::new(Metadata::new(settings, world)?),
        SourceSettings::CredentialsUri { uri } => {
            Arc::new(CredentialsUri::new(uri.as_deref(), world))
        }
        SourceSettings::Profile { file, profile } => {
            Arc::new(Profile::new(file.clone(), profile.clone(), world))
        }
        SourceSettings::Default {} => Arc::new(FirstThatIsSet::new(world)?),
    })
}

/// A key pair, read each time.
#[derive(Debug)]
struct KeyPair {
    id: SecretPlace,
    secret: SecretPlace,
    environment: Arc<Environment>,
}

impl KeyPair {
    fn new(key: &KeySettings, world: &World) -> Result<KeyPair, String> {
        Ok(KeyPair {
            id: key.id()?,
            secret: key.secret()?,
            environment: Arc::clone(&world.environment),
        })
    }

    fn read(&self) -> Result<Credential, FetchError> {
        let read = |place: &SecretPlace| {
            let text = place.read(&self.environment);
            text.map(|text| text.to_string())
                .map_err(FetchError::missing)
        };
        Credential::new(read(&self.id)?, read(&self.secret)?, None, None)
            .ok_or_else(|| FetchError::missing(NO_HEADER))
    }
}

impl Fetch for KeyPair {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(async { self.read() })
    }
}

/// The AccessKey of the environment, and the token beside it if there is one.
#[derive(Debug)]
struct Variables(Arc<Environment>);

impl Variables {
    fn is_set(&self) -> bool {
        [KEY_ID, KEY_SECRET].map(|name| self.0.get(name).is_some()) != [false, false]
    }

    fn read(&self) -> Result<Credential, FetchError> {
        let text = |name: &str| self.0.get(name).map(str::to_owned);
        let (Some(id), Some(secret)) = (text(KEY_ID), text(KEY_SECRET)) else {
            let needs = format!("needs the variables {KEY_ID} and {KEY_SECRET}");
            return Err(FetchError::missing(needs));
        };
        Credential::new(id, secret, text("ALIBABA_CLOUD_SECURITY_TOKEN"), None)
            .ok_or_else(|| FetchError::missing(NO_HEADER))
    }
}

impl Fetch for Variables {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(async { self.read() })
    }
}

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const NO_HEADER: &str = "the AccessKey or its token holds what no header can carry";

/// The first that is set: the environment, OIDC, the CLI's profile, a credentials
/// URI, and without any of them the ECS instance. One that is set and fails is not
/// passed over: what comes after it may be allowed more.
#[derive(Debug)]
struct FirstThatIsSet {
    variables: Variables,
    oidc: AssumeRoleWithOidc,
    profile: Profile,
    uri: CredentialsUri,
    metadata: Metadata,
}

impl FirstThatIsSet {
    fn new(world: &World) -> Result<FirstThatIsSet, String> {
        Ok(FirstThatIsSet {
            variables: Variables(Arc::clone(&world.environment)),
            oidc: AssumeRoleWithOidc::new(&Default::default(), world)?,
            profile: Profile::new(None, None, world),
            uri: CredentialsUri::new(None, world),
            metadata: Metadata::new(&Default::default(), world)?,
        })
    }
}

impl Fetch for FirstThatIsSet {
    fn fetch(&self, ask: Ask) -> Fetching<'_> {
        if self.variables.is_set() {
            self.variables.fetch(ask)
        } else if self.oidc.is_set() {
            self.oidc.fetch(ask)
        } else if self.profile.is_set() {
            self.profile.fetch(ask)
        } else if self.uri.is_set() {
            self.uri.fetch(ask)
        } else {
            self.metadata.fetch(ask)
        }
    }
}
