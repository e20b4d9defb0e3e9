//! The filter's configuration: JSON in, settings out, or an error that names
//! the field and the fix. README.md lists the settings.

pub mod choices;
pub mod fields;
mod metadata;
mod names;
mod patterns;
mod reader;
mod route;
mod source;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::fetch::source::Source;
use crate::json::Value;
use choices::MetadataOf;
pub use metadata::{Metadata, RouteCache, Settings};
pub use patterns::Patterns;
pub use reader::ConfigError;
use reader::Object;
use route::Reading;
pub use route::{Methods, Route, Treatment};

/// A configuration in which every setting is right and every reference leads
/// somewhere.
#[derive(Debug)]
pub struct Config {
    /// In the order of their names; a [`Route::account`] is a place in it.
    pub credentials: Vec<Source>,
    /// `None` where a cluster's metadata must complete the settings.
    routes: RouteMap<Vec<u8>>,
    /// For requests on a route without settings of its own, if complete.
    defaults: Option<Treatment>,
    /// How long a request waits for credentials before it gets a 503.
    pub wait_timeout_ms: u64,
    /// How many requests may wait in one worker; the next gets a 503 at once.
    pub max_waiting: usize,
    /// Where settings are looked for besides.
    pub metadata: Vec<MetadataOf>,
    /// As it was given, for settings in metadata to lie over; nothing where
    /// there are none.
    document: Value,
}

/// Settings by name. The names are the operator's: nobody need be kept from
/// foreseeing their hashes.
type RouteMap<Name> = HashMap<Name, Option<Treatment>, BuildHasherDefault<DefaultHasher>>;

impl Config {
    /// Parses and checks a configuration. `environment` looks up the variables
    /// that `access_key` credentials name.
    pub fn parse(
        text: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let mut document = reader::parse(text)?;
        let top = Object::new("", &document, fields::TOP)?;
        let credentials = source::read_all(&top, &environment)?;
        let metadata = top.choices("metadata")?.unwrap_or_default();
        let wait_timeout_ms = top.integer(&fields::WAIT_TIMEOUT_MS)?;
        let max_waiting = top.integer(&fields::MAX_WAITING)? as usize;
        let (routes, defaults) = read_routes(&top, &credentials, &metadata)?;
        if metadata.is_empty() {
            document = Value::Null;
        }
        Ok(Config {
            credentials,
            routes,
            defaults,
            wait_timeout_ms,
            max_waiting,
            metadata,
            document,
        })
    }

    /// The settings of a route: its own, else the defaults if they are
    /// complete. `None` means: refuse.
    pub fn treatment(&self, route_name: &[u8]) -> Option<&Treatment> {
        match self.routes.get(route_name) {
            Some(own) => own.as_ref(),
            None => self.defaults.as_ref(),
        }
    }

    /// Whether the name of a request's route makes any difference.
    pub fn needs_route_name(&self) -> bool {
        !self.routes.is_empty() || self.reads_metadata(MetadataOf::Route)
    }

    /// Whether settings are read of this metadata.
    pub fn reads_metadata(&self, of: MetadataOf) -> bool {
        self.metadata.contains(&of)
    }

    /// The names under `credentials`.
    fn names(&self) -> Vec<&str> {
        names_of(&self.credentials)
    }
}

fn names_of(sources: &[Source]) -> Vec<&str> {
    sources.iter().map(|source| source.name.as_str()).collect()
}

type Routes = (RouteMap<Vec<u8>>, Option<Treatment>);

fn read_routes(
    top: &Object,
    sources: &[Source],
    metadata: &[MetadataOf],
) -> Result<Routes, ConfigError> {
    let nothing = Value::Object(Default::default());
    let (path, value) = top
        .get("defaults")
        .unwrap_or_else(|| ("defaults".into(), &nothing));
    let defaults = route::open(path, value)?;
    let names = names_of(sources);
    let default_reading = route::read(&defaults, &names)?;

    let mut routes = RouteMap::default();
    if let Some((path, value)) = top.get("routes") {
        let named = Object::open(path, value)?;
        for name in named.names() {
            if name.is_empty() {
                return Err(named.error("\"\"", "a route needs a name: Envoy's `route.name`"));
            }
            if let Some((path, value)) = named.get(name) {
                let own = route::open(path, value)?.over(&defaults);
                let treatment = match route::read(&own, &names)? {
                    Reading::Complete(treatment) => Some(treatment),
                    // Metadata may complete them.
                    Reading::Incomplete(_) if metadata.contains(&MetadataOf::Cluster) => None,
                    Reading::Incomplete(error) => return Err(error),
                };
                routes.insert(name.into(), treatment);
            }
        }
    }
    let alone = routes.is_empty() && metadata.is_empty();
    match default_reading {
        Reading::Complete(treatment) => Ok((routes, Some(treatment))),
        Reading::Incomplete(error) if alone => Err(match top.get("defaults") {
            Some(_) => error,
            None => top.error(
                "defaults",
                "missing; without `routes`, the bucket must be given here",
            ),
        }),
        // They were meant to be complete: without it, every request would be refused.
        Reading::Incomplete(error) if error.field == "defaults.endpoint" => Err(error),
        Reading::Incomplete(_) => Ok((routes, None)),
    }
}

#[cfg(test)]
mod tests;
