//! Builds the fetcher of a source from its settings.

mod identity;
mod metadata;
mod profile;
mod sts;
mod uri;

use std::sync::Arc;

use crate::client::{Client, Timeout};
use crate::credential::{Ask, Credential, Fetch, FetchError, Fetching};
use crate::environment::Environment;
use crate::file::Aside;
use crate::secret::SecretPlace;
use crate::settings::{EcsSettings, KeySettings, OidcSettings, SourceSettings};
pub use identity::{Identity, ask as ask_identity};
use metadata::Metadata;
use profile::Profile;
use sts::{AssumeRole, AssumeRoleWithOidc, OIDC_TOKEN_FILE};
use uri::{CREDENTIALS_URI, CredentialsUri};

/// The parts of the world that fetchers use.
#[derive(Clone, Debug)]
pub struct World {
    /// The HTTP client.
    pub client: Arc<Client>,
    /// The environment's variables.
    pub environment: Arc<Environment>,
    /// The reader of files.
    pub aside: Aside,
}

impl World {
    /// The world of an environment. `timeout` limits each request.
    pub fn new(environment: Environment, timeout: &Timeout) -> Result<World, String> {
        let environment = Arc::new(environment);
        let client = Arc::new(Client::new(&environment, timeout)?);
        Ok(World {
            client,
            environment,
            aside: Aside::default(),
        })
    }
}

/// Builds the fetcher of a source. `base` is the source that `from` names.
pub fn build(
    settings: &SourceSettings,
    base: Option<Arc<dyn Fetch>>,
    world: &World,
) -> Result<Arc<dyn Fetch>, String> {
    // Each fetcher has a reader of its own: a disk that hangs for one hangs for no other.
    let world = &World {
        aside: Aside::default(),
        ..world.clone()
    };
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
            Arc::new(CredentialsUri::new(uri.as_deref(), world)?)
        }
        SourceSettings::Profile { file, profile } => {
            Arc::new(Profile::new(file.clone(), profile.as_deref(), world)?)
        }
        SourceSettings::Default {} => Arc::new(FirstThatIsSet::new(world)?),
    })
}

/// A key pair that is read for each fetch.
#[derive(Clone, Debug)]
struct KeyPair {
    id: SecretPlace,
    secret: SecretPlace,
    world: World,
}

impl KeyPair {
    fn new(key: &KeySettings, world: &World) -> Result<KeyPair, String> {
        Ok(KeyPair {
            id: key.id()?,
            secret: key.secret()?,
            world: world.clone(),
        })
    }

    fn read(&self) -> Result<Credential, String> {
        let [id, secret] =
            [&self.id, &self.secret].map(|place| place.read(&self.world.environment));
        Credential::new(id?.to_string(), secret?.to_string(), None, None).map_err(str::to_owned)
    }
}

impl Fetch for KeyPair {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        let key = self.clone();
        Box::pin(async move {
            let aside = key.world.aside.clone();
            let read = aside.run(move || Ok(key.read())).await;
            let read = read.unwrap_or_else(|error| Err(format!("the AccessKey's file {error}")));
            read.map_err(FetchError::missing)
        })
    }
}

/// The AccessKey of the environment, with its token if there is one.
#[derive(Debug)]
struct Variables(Arc<Environment>);

impl Variables {
    fn read(&self) -> Result<Credential, FetchError> {
        let text = |name: &str| self.0.get(name).map(str::to_owned);
        let (Some(id), Some(secret)) = (text(KEY_ID), text(KEY_SECRET)) else {
            let needs = format!("needs the variables {KEY_ID} and {KEY_SECRET}");
            return Err(FetchError::missing(needs));
        };
        Credential::new(id, secret, text("ALIBABA_CLOUD_SECURITY_TOKEN"), None)
            .map_err(FetchError::missing)
    }
}

impl Fetch for Variables {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(async { self.read() })
    }
}

const KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";

/// The first source that is set: the environment, OIDC, the CLI's profile, a credentials URI,
/// and without any of them the ECS instance. A source that is set and fails is not skipped: the
/// next one may be allowed more.
#[derive(Debug)]
struct FirstThatIsSet(World);

impl FirstThatIsSet {
    /// Checks all of them, so that an error is reported at the start.
    fn new(world: &World) -> Result<FirstThatIsSet, String> {
        let unasked = World {
            environment: Arc::new(world.environment.unasked()),
            ..world.clone()
        };
        if unasked.environment.has(OIDC_TOKEN_FILE) {
            AssumeRoleWithOidc::new(&OidcSettings::default(), &unasked)?;
        }
        Profile::new(None, None, &unasked)?;
        CredentialsUri::new(None, &unasked)?;
        Metadata::new(&EcsSettings::default(), &unasked)?;
        Ok(FirstThatIsSet(world.clone()))
    }

    /// Reads only the variables of the source that is chosen.
    fn choose(world: &World) -> Result<Box<dyn Fetch>, String> {
        let environment = &world.environment;
        Ok(if environment.has(KEY_ID) || environment.has(KEY_SECRET) {
            Box::new(Variables(Arc::clone(environment)))
        } else if environment.has(OIDC_TOKEN_FILE) {
            Box::new(AssumeRoleWithOidc::new(&OidcSettings::default(), world)?)
        } else if profile::is_set(environment)? {
            Box::new(Profile::new(None, None, world)?)
        } else if environment.has(CREDENTIALS_URI) {
            Box::new(CredentialsUri::new(None, world)?)
        } else {
            Box::new(Metadata::new(&EcsSettings::default(), world)?)
        })
    }
}

impl Fetch for FirstThatIsSet {
    fn fetch(&self, ask: Ask) -> Fetching<'_> {
        Box::pin(async move {
            let world = self.0.clone();
            // The home folder may be on a disk that hangs.
            let chosen = self.0.aside.run(move || Ok(Self::choose(&world))).await;
            let chosen = chosen.unwrap_or_else(|error| Err(format!("the home folder {error}")));
            let chosen = chosen.map_err(FetchError::missing)?;
            chosen.fetch(ask).await
        })
    }
}
