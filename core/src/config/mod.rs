//! The filter's configuration: JSON in, settings out, or an error that names
//! the field and the fix. README.md lists the settings.

mod access;
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
use std::rc::Rc;

use crate::access::Keys;
use crate::fetch::source::Source;
use crate::json::Value;
use access::KeyTimes;
use choices::MetadataOf;
pub use metadata::{Metadata, RouteCache, Settings};
pub use patterns::Patterns;
pub use reader::ConfigError;
use reader::Object;
use route::{Known, Reading};
pub use route::{Methods, Route, Treatment};

/// A configuration in which every setting is right and every reference leads
/// somewhere.
#[derive(Debug)]
pub struct Config {
    /// In the order of their names; a [`Route::account`] is a place in it.
    pub credentials: Vec<Source>,
    /// By whose keys clients' URLs may be signed.
    pub url_keys: Vec<Rc<Keys>>,
    /// How their URLs have times.
    key_times: KeyTimes,
    /// Whether some requests are checked that may pass elsewhere, so that no spelling of a
    /// path may lead round a check.
    pub checks_access: bool,
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
    /// that `access_key` credentials and `url_keys` name.
    pub fn parse(
        text: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let mut document = reader::parse(text)?;
        let top = Object::new("", &document, fields::TOP)?;
        let credentials = match top.get("credentials") {
            None if has_access(&top) || top.get("url_keys").is_some() => Vec::new(),
            _ => source::read_all(&top, &environment)?,
        };
        let url_keys = access::read_keys(&top, &environment)?;
        let metadata = top.choices("metadata")?.unwrap_or_default();
        let wait_timeout_ms = top.integer(&fields::WAIT_TIMEOUT_MS)?;
        let max_waiting = top.integer(&fields::MAX_WAITING)? as usize;
        let known = Known {
            sources: &credentials,
            keys: &url_keys,
        };
        let (routes, defaults) = read_routes(&top, known, &metadata)?;
        let all = || defaults.iter().chain(routes.values().flatten());
        if all().any(moves_paths) {
            if !metadata.is_empty() {
                return Err(top.error("metadata", MOVES_BY_METADATA));
            }
            check_paths_that_move(&top, &routes, defaults.as_ref(), credentials.is_empty())?;
        }
        let signings = all().filter_map(|one| one.access()?.url_signing.as_ref());
        let key_times = KeyTimes::of(signings)?;
        // What stands in metadata is known with its first request alone.
        let checks_access = match metadata.is_empty() {
            true => all().any(|one| one.access().is_some()),
            false => credentials.is_empty() || !url_keys.is_empty() || has_access(&top),
        };
        if metadata.is_empty() && !url_keys.is_empty() && !has_access(&top) {
            return Err(top.error("url_keys", UNUSED_KEYS));
        }
        if metadata.is_empty() {
            document = Value::Null;
        }
        Ok(Config {
            credentials,
            url_keys,
            key_times,
            checks_access,
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

    /// What settings in metadata may name.
    fn known(&self) -> Known<'_> {
        Known {
            sources: &self.credentials,
            keys: &self.url_keys,
        }
    }
}

const MISSING_BUCKET: &str = "missing; without `routes`, the bucket must be given here";
const MISSING_ACCESS: &str = "missing; without `routes`, `access` must be given here";

/// Whether it says anywhere who may read.
fn has_access(top: &Object) -> bool {
    let has =
        |value: &Value| matches!(value, Value::Object(fields) if fields.contains_key("access"));
    let defaults = top.get("defaults").is_some_and(|(_, value)| has(value));
    let routes = || match top.get("routes") {
        Some((_, Value::Object(routes))) => routes.values().any(has),
        _ => false,
    };
    defaults || routes()
}

fn moves_paths(treatment: &Treatment) -> bool {
    treatment
        .access()
        .is_some_and(|access| access.moves_paths())
}

/// With types B and C1 the signature is the beginning of the path, and without it Envoy may
/// select another route, whose settings it does not show to the filter any more (tried with
/// 1.36.4 and 1.40.0). So all that a path may come to must be known, and be no stricter.
fn check_paths_that_move(
    top: &Object,
    routes: &RouteMap<Vec<u8>>,
    defaults: Option<&Treatment>,
    signs_nothing: bool,
) -> Result<(), ConfigError> {
    let Some(defaults) = defaults else {
        return Err(top.error("defaults", MOVES));
    };
    // What is signed by the first route must not leave by another one.
    let is_free = |one: &Treatment| signs_nothing && *one == Treatment::PassUnsigned(None);
    let is_good = |one: &Treatment| one.is_like(defaults) || is_free(one);
    let wrong = routes
        .iter()
        .filter(|(_, one)| !one.as_ref().is_some_and(is_good));
    let names = wrong.map(|(name, _)| String::from_utf8_lossy(name));
    match names.min() {
        Some(name) => Err(top.error(&["routes.", &name].concat(), MOVES)),
        None => Ok(()),
    }
}

const MOVES: &str = "with `url_signing` of type \"B\" or \"C1\" the path changes, and Envoy may select \
     any other route; so all must have the settings of `defaults` or, where nothing is signed, \
     {\"access\": {\"public\": true}}; or use type \"A\", \"C2\" or \"F\"";
const UNUSED_KEYS: &str = "no `access` asks for URLs that are signed by them, so everybody may read; write \
     `access` in `defaults` or `routes`: {\"url_signing\": {\"type\": \"A\"}}; or leave the keys out";
const MOVES_BY_METADATA: &str = "with `url_signing` of type \"B\" or \"C1\" the path changes, and Envoy \
     may select any other route; so all settings must stand in `defaults`, and none in metadata; or \
     use type \"A\", \"C2\" or \"F\"";

type Routes = (RouteMap<Vec<u8>>, Option<Treatment>);

fn read_routes(top: &Object, known: Known, metadata: &[MetadataOf]) -> Result<Routes, ConfigError> {
    let nothing = Value::Object(Default::default());
    let (path, value) = top
        .get("defaults")
        .unwrap_or_else(|| ("defaults".into(), &nothing));
    let defaults = route::open(path, value)?;
    let default_reading = route::read(&defaults, known)?;

    let mut routes = RouteMap::default();
    if let Some((path, value)) = top.get("routes") {
        let named = Object::open(path, value)?;
        for (name, path, value) in named.entries() {
            if name.is_empty() {
                return Err(named.error("\"\"", "a route needs a name: Envoy's `route.name`"));
            }
            let own = route::open(path, value)?.over(&defaults);
            let treatment = match route::read(&own, known)? {
                Reading::Complete(treatment) => Some(treatment),
                // Metadata may complete them.
                Reading::Incomplete(_) if metadata.contains(&MetadataOf::Cluster) => None,
                Reading::Incomplete(error) => return Err(error),
            };
            routes.insert(name.into(), treatment);
        }
    }
    let alone = routes.is_empty() && metadata.is_empty();
    match default_reading {
        Reading::Complete(treatment) => Ok((routes, Some(treatment))),
        Reading::Incomplete(error) if alone => Err(match top.get("defaults") {
            Some(_) => error,
            None if known.sources.is_empty() => top.error("defaults", MISSING_ACCESS),
            None => top.error("defaults", MISSING_BUCKET),
        }),
        // They were meant to be complete: without it, every request would be refused.
        Reading::Incomplete(error) if error.field == "defaults.endpoint" => Err(error),
        Reading::Incomplete(_) => Ok((routes, None)),
    }
}

#[cfg(test)]
mod tests;
