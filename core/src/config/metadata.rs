//! Settings in the metadata of Envoy's routes and clusters, for those whose
//! control plane owns the routes.

use std::rc::Rc;

use super::access::KEY_IN_METADATA;
use super::reader::{self, ConfigError};
use super::route::{self, Reading, Treatment};
use super::{Config, MOVES_BY_METADATA, RouteMap};
use crate::access::Access;
use crate::json::{Object, Value};

/// What Envoy says of the route and the cluster of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// `route.name`
    pub route_name: Vec<u8>,
    /// `filter_metadata.oss_origin_auth.config` of the route; empty if none.
    pub route: Vec<u8>,
    /// As `route`, of the cluster.
    pub cluster: Vec<u8>,
}

/// The settings of each distinct metadata, parsed once.
#[derive(Debug, Default)]
pub struct RouteCache {
    /// `None` for settings that are wrong, which was said when they were first seen.
    known: RouteMap<Metadata>,
}

/// What the settings say of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Settings {
    /// What becomes of it.
    Known(Treatment),
    /// Nothing, or not all that is needed.
    None,
    /// Those in metadata are wrong. The error is given once, when this metadata is first
    /// seen.
    Wrong(Option<ConfigError>),
}

/// Control planes that give every request another metadata do not fill the
/// memory.
const MAX_KNOWN: usize = 20_000;

impl RouteCache {
    /// The settings of a request.
    pub fn settings(&mut self, config: &Config, metadata: Metadata) -> Settings {
        if metadata.route.is_empty() && metadata.cluster.is_empty() {
            let configured = config.treatment(&metadata.route_name);
            return configured.map_or(Settings::None, |known| Settings::Known(known.clone()));
        }
        if let Some(known) = self.known.get(&metadata) {
            return known.clone().map_or(Settings::Wrong(None), Settings::Known);
        }
        let (known, settings) = match config.read_metadata(&metadata) {
            Ok(Reading::Complete(known)) => (Some(known.clone()), Settings::Known(known)),
            Ok(Reading::Incomplete(error)) | Err(error) => (None, Settings::Wrong(Some(error))),
        };
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(metadata, known);
        settings
    }
}

impl Config {
    /// The settings in a route's metadata, or else under `routes`, over those
    /// in the cluster's metadata, over the defaults.
    fn read_metadata(&self, metadata: &Metadata) -> Result<Reading, ConfigError> {
        let nothing = Value::Object(Object::new());
        let text = |text: &[u8], place: &str| match text {
            [] => Ok(None),
            text => reader::parse(text).map(Some).map_err(|error| ConfigError {
                field: place.to_owned(),
                ..error
            }),
        };
        let cluster_value = text(&metadata.cluster, CLUSTER)?;
        let route_value = text(&metadata.route, ROUTE)?;

        let defaults = field(&self.document, "defaults").unwrap_or(&nothing);
        let mut settings = route::open("defaults", defaults)?;
        if let Some(value) = &cluster_value {
            settings = route::open(CLUSTER, value)?.over(&settings);
        }
        let name = std::str::from_utf8(&metadata.route_name).unwrap_or_default();
        let configured = field(&self.document, "routes").and_then(|routes| field(routes, name));
        if let Some(value) = &route_value {
            settings = route::open(ROUTE, value)?.over(&settings);
        } else if let Some(value) = configured {
            settings = route::open(format!("routes.{name}"), value)?.over(&settings);
        }
        let mut reading = route::read(&settings, self.known())?;
        if let Reading::Complete(treatment) = &reading
            && let Some(access) = treatment.access()
            && let Some(problem) = self.objection(access)
        {
            return Err(settings.error("access", problem));
        }
        if let Reading::Complete(Treatment::Sign(route)) = &mut reading
            && route.name == ROUTE
            && !name.is_empty()
        {
            Rc::make_mut(route).name = format!("{ROUTE} of {name}");
        }
        Ok(reading)
    }

    /// Why checks may not come from metadata.
    fn objection(&self, access: &Access) -> Option<&'static str> {
        let mut signing = access.url_signing.iter();
        if access.moves_paths() {
            Some(MOVES_BY_METADATA)
        } else if !self.checks_access {
            Some(CHECKED_IN_METADATA)
        } else if !signing.all(|signing| self.key_times.allow(signing)) {
            Some(KEY_IN_METADATA)
        } else {
            None
        }
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(name),
        _ => None,
    }
}

const CHECKED_IN_METADATA: &str = "checks who may read, of which the configuration does not know: other \
     spellings of the path would get round it on other routes; write `url_keys` there, or `access` in \
     `defaults`, which may be {\"public\": true}";

const ROUTE: &str = "route metadata";
const CLUSTER: &str = "cluster metadata";
