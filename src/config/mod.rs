//! The filter's configuration: JSON in, settings out, or an error that names
//! the field and the fix. README.md lists the settings.

mod json;
mod names;

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use crate::credentials::entry::Timing;
use crate::credentials::{Credentials, Secret};
use crate::signing::Version;
pub use json::ConfigError;
use json::Object;

/// A configuration in which every setting is right and every reference leads
/// somewhere.
#[derive(Debug)]
pub struct Config {
    /// In the order of their names; a [`Route`] holds an index into these.
    pub credentials: Vec<NamedSource>,
    routes: HashMap<String, Rc<Route>>,
    /// For requests on a route without settings of its own, if complete.
    defaults: Option<Rc<Route>>,
    /// How long a request waits for credentials before it gets a 503.
    pub wait_timeout_ms: u64,
    /// How many requests may wait in one worker; the next gets a 503 at once.
    pub max_waiting: usize,
}

/// The settings that a request is signed by.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    pub bucket: String,
    /// Empty where V1 is used and none is given.
    pub region: String,
    pub signature_version: Version,
    /// An index into [`Config::credentials`].
    pub credentials: usize,
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
    /// The number is that of the value's format.
    pub fn shared_key(&self) -> String {
        let Sidecar {
            cluster,
            authority,
            path,
            ..
        } = self;
        format!("oss_origin_auth/1/{cluster}/{authority}{path}")
    }
}

impl Config {
    /// Parses and checks a configuration. `environment` looks up the variables
    /// that `access_key` credentials name.
    pub fn parse(
        text: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let document = json::parse(text)?;
        let top = Object::new("", &document, TOP_FIELDS)?;
        let credentials = parse_credentials(&top, environment)?;
        let (routes, defaults) = parse_routes(&top, &credentials)?;
        Ok(Config {
            credentials,
            routes,
            defaults,
            wait_timeout_ms: top.integer("wait_timeout_ms", 1..=60_000, 5_000)?,
            max_waiting: top.integer("max_waiting", 1..=100_000, 1_000)? as usize,
        })
    }

    /// The settings of a route: its own, else the defaults if they are
    /// complete. `None` means: refuse.
    pub fn route(&self, name: &[u8]) -> Option<&Rc<Route>> {
        let own = std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.routes.get(name));
        own.or(self.defaults.as_ref())
    }

    /// Whether the name of a request's route makes any difference.
    pub fn has_routes(&self) -> bool {
        !self.routes.is_empty()
    }
}

/// The fields of each object, for the parser and for the test of the docs.
pub const TOP_FIELDS: &[&str] = &[
    "credentials",
    "defaults",
    "routes",
    "wait_timeout_ms",
    "max_waiting",
];
pub const ROUTE_FIELDS: &[&str] = &["bucket", "region", "signature_version", "credentials"];
pub const SIDECAR_FIELDS: &[&str] = &[
    "cluster",
    "authority",
    "path",
    "timeout_ms",
    "clock_margin_ms",
    "refresh_margin_ms",
];
pub const ACCESS_KEY_FIELDS: &[&str] = &["id_env", "secret_env"];
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
    let object = Object::new(path, value, &["sidecar", "access_key"])?;
    match (object.get("sidecar"), object.get("access_key")) {
        (Some((path, value)), None) => {
            parse_sidecar(name, path, value).map(|sidecar| Source::Sidecar(Rc::new(sidecar)))
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

fn parse_sidecar(name: &str, path: String, value: &Value) -> Result<Sidecar, ConfigError> {
    let object = Object::new(path, value, SIDECAR_FIELDS)?;
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
        timeout_ms: object.integer("timeout_ms", 1..=60_000, 2_000)?,
        clock_margin_ms: object.integer("clock_margin_ms", 0..=300_000, 5_000)?,
        refresh_margin_ms: match object.get("refresh_margin_ms") {
            Some(_) => Some(object.integer("refresh_margin_ms", 1_000..=43_200_000, 0)?),
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
    let object = Object::new(path, value, ACCESS_KEY_FIELDS)?;
    let variable = |field: &str| {
        let (path, name) = object.required_text(field, "the name of an environment variable")?;
        let found = environment(name).map(|value| value.trim().to_owned());
        match found.as_deref() {
            // The variable is not named: this may be the key itself.
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
    };
    Ok(Credentials {
        access_key_id: variable("id_env")?,
        access_key_secret: Secret::new(variable("secret_env")?),
        security_token: None,
        expires_at: None,
    })
}

type Routes = (HashMap<String, Rc<Route>>, Option<Rc<Route>>);

fn parse_routes(top: &Object, sources: &[NamedSource]) -> Result<Routes, ConfigError> {
    let nothing = Value::Object(serde_json::Map::new());
    let (path, value) = top.get("defaults").unwrap_or((String::new(), &nothing));
    let defaults = Object::new(path, value, ROUTE_FIELDS)?;
    let default_settings = RouteSettings::read(&defaults, sources)?;

    let mut routes = HashMap::new();
    if let Some((path, value)) = top.get("routes") {
        let named = Object::open(path, value)?;
        for name in named.names() {
            if name.is_empty() {
                return Err(named.error("\"\"", "a route needs a name: Envoy's `route.name`"));
            }
            if let Some((path, value)) = named.get(name) {
                let own = Object::new(path, value, ROUTE_FIELDS)?.over(&defaults);
                let route = RouteSettings::read(&own, sources)?.complete(&own)?;
                routes.insert(name.to_owned(), Rc::new(route));
            }
        }
    }
    let default_route = default_settings.complete(&defaults);
    if let (Err(error), true) = (&default_route, routes.is_empty()) {
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

/// A route's settings before it is known whether they are complete.
struct RouteSettings<'a> {
    bucket: Option<&'a str>,
    region: Option<&'a str>,
    signature_version: Version,
    /// `None`: the name `default`, which is not among the credentials.
    credentials: Option<usize>,
}

impl<'a> RouteSettings<'a> {
    fn read(object: &Object<'a>, sources: &[NamedSource]) -> Result<Self, ConfigError> {
        let signature_version = match object.text("signature_version")? {
            None | Some((_, "v4")) => Version::V4,
            Some((_, "v1")) => Version::V1,
            Some((path, _)) => return Err(ConfigError::new(path, "must be \"v4\" or \"v1\"")),
        };
        let position = |wanted| sources.iter().position(|source| source.name == wanted);
        let credentials = match object.text("credentials")? {
            None => position(DEFAULT_CREDENTIALS),
            Some((path, name)) => match position(name) {
                None => {
                    let known: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
                    let known = known.join("`, `");
                    let problem = format!("is no name under `credentials`; known are `{known}`");
                    return Err(ConfigError::new(path, problem));
                }
                found => found,
            },
        };
        Ok(RouteSettings {
            bucket: object.checked_text("bucket", names::check_bucket)?,
            region: object.checked_text("region", names::check_region)?,
            signature_version,
            credentials,
        })
    }

    fn complete(&self, object: &Object) -> Result<Route, ConfigError> {
        let missing = |field, why: &str| object.error(field, format!("missing; {why}"));
        Ok(Route {
            bucket: self
                .bucket
                .ok_or_else(|| missing("bucket", "the name of the OSS bucket"))?
                .to_owned(),
            region: match (self.region, self.signature_version) {
                (Some(region), _) => region.to_owned(),
                (None, Version::V1) => String::new(),
                (None, Version::V4) => {
                    return Err(missing(
                        "region",
                        "V4 signs it, for example \"cn-hangzhou\"",
                    ));
                }
            },
            signature_version: self.signature_version,
            credentials: self.credentials.ok_or_else(|| {
                let why = "there is no `default` under `credentials`, so a name is needed here";
                missing("credentials", why)
            })?,
        })
    }
}

#[cfg(test)]
mod tests;
