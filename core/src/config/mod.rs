//! The filter's configuration: JSON in, settings out, or an error that names
//! the field and the fix. README.md lists the settings.

pub mod fields;
mod metadata;
mod names;
mod reader;
mod route;
#[cfg(not(target_arch = "wasm32"))]
pub mod schema;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use crate::credentials::entry::Timing;
use crate::credentials::{Credentials, Secret};
use crate::json::Value;
pub use metadata::{Metadata, RouteCache};
pub use reader::ConfigError;
use reader::Object;
pub use route::{Patterns, PresignedUrls, Route, Treatment, UnknownParameters};

/// A configuration in which every setting is right and every reference leads
/// somewhere.
#[derive(Debug)]
pub struct Config {
    /// In the order of their names; a [`Route`] holds an index into these.
    pub credentials: Vec<NamedSource>,
    /// `None` where a cluster's metadata must complete the settings.
    routes: RouteMap,
    /// For requests on a route without settings of its own, if complete.
    defaults: Option<Rc<Route>>,
    /// How long a request waits for credentials before it gets a 503.
    pub wait_timeout_ms: u64,
    /// How many requests may wait in one worker; the next gets a 503 at once.
    pub max_waiting: usize,
    /// Where settings are looked for besides.
    pub metadata: Sources,
    /// As it was given, for settings in metadata to lie over; nothing where
    /// there are none.
    document: Value,
}

/// Settings by name. The names are the operator's: nobody need be kept from
/// foreseeing their hashes.
type RouteMap = HashMap<Vec<u8>, Option<Rc<Route>>, BuildHasherDefault<DefaultHasher>>;

/// Whether metadata of Envoy's objects holds settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    pub route: bool,
    pub cluster: bool,
}

/// Where credentials of a name come from.
#[derive(Debug)]
pub struct NamedSource {
    pub name: String,
    pub source: Source,
}

#[derive(Debug)]
pub enum Source {
    Sidecar(Rc<Sidecar>),
    /// A key pair from the VM's environment.
    AccessKey(Credentials),
}

/// A server of the credentials-URI protocol.
#[derive(Debug)]
pub struct Sidecar {
    pub cluster: String,
    pub authority: String,
    pub path: String,
    pub timeout_ms: u64,
    /// Credentials are not used in the last part of their life.
    pub clock_margin_ms: u64,
    /// Newer ones are fetched when this much life is left; `None`: a fifth of
    /// the life, at most 15 minutes.
    pub refresh_margin_ms: Option<u64>,
    /// The bearer token that the sidecar wants to see.
    pub token: Option<Secret>,
}

impl Sidecar {
    pub fn timing(&self) -> Timing {
        Timing {
            clock_margin: self.clock_margin_ms,
            refresh_margin: self.refresh_margin_ms,
            fetch_timeout: self.timeout_ms,
        }
    }

    /// The key of shared data under which all workers know these credentials.
    pub fn shared_key(&self) -> String {
        let Sidecar {
            cluster,
            authority,
            path,
            ..
        } = self;
        ["oss_origin_auth/", cluster, "/", authority, path].concat()
    }
}

impl Config {
    /// Parses and checks a configuration. `environment` looks up the variables
    /// that `access_key` credentials name.
    pub fn parse(
        text: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let mut document = reader::parse(text)?;
        let top = Object::new("", &document, fields::TOP)?;
        let credentials = parse_credentials(&top, environment)?;
        let metadata = top.choices("metadata")?;
        let has = |wanted: &str| metadata.iter().any(|name| name == wanted);
        let metadata = Sources {
            route: has("route"),
            cluster: has("cluster"),
        };
        let (routes, defaults) = parse_routes(&top, &credentials)?;
        let number = |name| top.integer(name).map(Option::unwrap_or_default);
        let (wait_timeout_ms, max_waiting) = (number("wait_timeout_ms")?, number("max_waiting")?);
        if !metadata.route && !metadata.cluster {
            document = Value::Null;
        }
        Ok(Config {
            credentials,
            routes,
            defaults,
            wait_timeout_ms,
            max_waiting: max_waiting as usize,
            metadata,
            document,
        })
    }

    /// The settings of a route: its own, else the defaults if they are
    /// complete. `None` means: refuse.
    pub fn route(&self, name: &[u8]) -> Option<&Rc<Route>> {
        match self.routes.get(name) {
            Some(route) => route.as_ref(),
            None => self.defaults.as_ref(),
        }
    }

    /// Whether the name of a request's route makes any difference.
    pub fn has_routes(&self) -> bool {
        !self.routes.is_empty()
    }
}

const DEFAULT_CREDENTIALS: &str = "default";

fn parse_credentials(
    top: &Object,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<NamedSource>, ConfigError> {
    let example = "for example {\"default\": {\"sidecar\": {\"cluster\": \"sts_sidecar\"}}}";
    let (path, value) = top
        .get("credentials")
        .ok_or_else(|| top.error("credentials", format!("missing; {example}")))?;
    let named = Object::open(path, value)?;
    let mut sources = Vec::new();
    for name in named.names() {
        names::check_credentials_name(name).map_err(|problem| named.error(name, problem))?;
        if let Some((path, value)) = named.get(name) {
            sources.push(NamedSource {
                name: name.to_owned(),
                source: parse_source(name, &path, value, &environment)?,
            });
        }
    }
    if sources.is_empty() {
        return Err(top.error("credentials", format!("has no entry; {example}")));
    }
    Ok(sources)
}

fn parse_source(
    name: &str,
    path: &str,
    value: &Value,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Source, ConfigError> {
    let object = Object::new(path, value, fields::SOURCE)?;
    match (object.get("sidecar"), object.get("access_key")) {
        (Some((path, value)), None) => {
            let sidecar = parse_sidecar(name, path, value, environment)?;
            Ok(Source::Sidecar(Rc::new(sidecar)))
        }
        (None, Some((path, value))) => {
            parse_access_key(path, value, environment).map(Source::AccessKey)
        }
        (Some(_), Some(_)) => Err(ConfigError::new(
            path,
            "has both `sidecar` and `access_key`; keep one",
        )),
        (None, None) => Err(ConfigError::new(
            path,
            "needs a source: `sidecar` or `access_key`",
        )),
    }
}

fn parse_sidecar(
    name: &str,
    path: String,
    value: &Value,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Sidecar, ConfigError> {
    let object = Object::new(path, value, fields::SIDECAR)?;
    object.required_text("cluster", "the Envoy cluster of the sidecar")?;
    let cluster = object
        .checked_text("cluster", names::check_cluster)?
        .unwrap_or_default()
        .to_owned();
    Ok(Sidecar {
        authority: object
            .checked_text("authority", names::check_authority)?
            .unwrap_or(&cluster)
            .to_owned(),
        path: object
            .checked_text("path", names::check_request_path)?
            .map_or_else(|| format!("/v1/credentials/{name}"), str::to_owned),
        timeout_ms: object.integer("timeout_ms")?.unwrap_or_default(),
        clock_margin_ms: object.integer("clock_margin_ms")?.unwrap_or_default(),
        refresh_margin_ms: object.integer("refresh_margin_ms")?,
        token: match object.get("token_env") {
            Some(_) => Some(Secret::new(variable(&object, "token_env", environment)?)),
            None => None,
        },
        cluster,
    })
}

fn parse_access_key(
    path: String,
    value: &Value,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Credentials, ConfigError> {
    for inline in Object::open(path.as_str(), value)?.names() {
        if names::looks_like_a_secret(inline) {
            return Err(ConfigError::new(
                format!("{path}.{inline}"),
                "a key does not belong here, since Envoy's config_dump publishes it; put it in \
                 the environment of Envoy and name the variable in `id_env` or `secret_env`",
            ));
        }
    }
    let object = Object::new(path, value, fields::ACCESS_KEY)?;
    Ok(Credentials {
        access_key_id: variable(&object, "id_env", environment)?,
        access_key_secret: Secret::new(variable(&object, "secret_env", environment)?),
        security_token: None,
        expires_at: None,
    })
}

/// The value of the environment variable that a setting names.
fn variable(
    object: &Object,
    field: &str,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let (path, name) = object.required_text(field, "the name of an environment variable")?;
    let found = environment(name).map(|value| value.trim().to_owned());
    match found.as_deref() {
        // The variable is not named: this may be the secret itself.
        None | Some("") => Err(ConfigError::new(
            path,
            "names a variable that is unset or empty in the VM; set it for Envoy and list it \
             in vm_config.environment_variables.host_env_keys",
        )),
        Some(value) if !names::is_header_safe(value) => Err(ConfigError::new(
            path,
            "names a variable whose value holds spaces or other than ASCII characters",
        )),
        Some(value) => Ok(value.to_owned()),
    }
}

type Routes = (RouteMap, Option<Rc<Route>>);

fn parse_routes(top: &Object, sources: &[NamedSource]) -> Result<Routes, ConfigError> {
    let nothing = Value::Object(Default::default());
    let (path, value) = top
        .get("defaults")
        .unwrap_or_else(|| ("defaults".into(), &nothing));
    let defaults = route::open(path, value)?;
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let default_route = Route::read(&defaults, &names)?;

    // Where metadata may complete them, incomplete settings are no mistake.
    let metadata = top.choices("metadata")?;
    let completed_by = |place: &str| metadata.iter().any(|known| known == place);
    let mut routes = RouteMap::default();
    if let Some((path, value)) = top.get("routes") {
        let named = Object::open(path, value)?;
        for name in named.names() {
            if name.is_empty() {
                return Err(named.error("\"\"", "a route needs a name: Envoy's `route.name`"));
            }
            if let Some((path, value)) = named.get(name) {
                let own = route::open(path, value)?.over(&defaults);
                let route = match Route::read(&own, &names)? {
                    Err(error) if !completed_by("cluster") => return Err(error),
                    route => route.ok().map(Rc::new),
                };
                routes.insert(name.into(), route);
            }
        }
    }
    let alone = routes.is_empty() && metadata.is_empty();
    if let (Err(error), true) = (&default_route, alone) {
        return Err(match top.get("defaults") {
            Some(_) => error.clone(),
            None => top.error(
                "defaults",
                "missing; without `routes`, the bucket must be given here",
            ),
        });
    }
    Ok((routes, default_route.ok().map(Rc::new)))
}

#[cfg(test)]
mod tests;
