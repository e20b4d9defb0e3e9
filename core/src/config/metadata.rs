//! Settings in the metadata of Envoy's routes and clusters, for a control plane that owns the
//! routes.

use std::rc::Rc;

use super::access::KEY_IN_METADATA;
use super::reader::{self, ConfigError};
use super::route::{self, Reading, Treatment};
use super::{Config, MOVES_BY_METADATA, RouteMap, fields, rules};
use crate::access::Access;
use crate::json::{Object, Value};

/// The facts about a request that select its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The name of the route, `route.name`.
    pub route_name: Vec<u8>,
    /// The rule that [`Config::rule_of`] finds. The facts that rules look at are not cached
    /// here, because a client may send any number of hosts.
    pub rule: Option<usize>,
    /// The route's `filter_metadata.oss_origin_auth.config`; empty if there is none.
    pub route_metadata: Vec<u8>,
    /// The cluster's `filter_metadata.oss_origin_auth.config`; empty if there is none.
    pub cluster_metadata: Vec<u8>,
}

impl Facts {
    /// The facts about a request on a route of this name, without metadata.
    pub fn of_route(name: &[u8]) -> Facts {
        Facts {
            route_name: name.to_vec(),
            ..Facts::default()
        }
    }
}

/// A cache of the settings in metadata. Each distinct metadata is parsed once.
#[derive(Debug, Default)]
pub struct RouteCache {
    /// The settings by their facts. `None` stands for invalid settings, which were reported
    /// when they were first seen.
    known: RouteMap<Facts>,
}

/// The settings of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Settings {
    /// The settings are valid and complete.
    Known(Treatment),
    /// The settings are missing or incomplete.
    None,
    /// The settings in the metadata are invalid. The error is reported once, when this metadata
    /// is first seen.
    Wrong(Option<ConfigError>),
}

/// The size limit of the cache. Without it, a control plane that gives every request its own
/// metadata could fill the memory.
const MAX_KNOWN: usize = 20_000;

impl RouteCache {
    /// The settings of a request.
    pub fn settings(&mut self, config: &Config, facts: Facts) -> Settings {
        if facts.route_metadata.is_empty() && facts.cluster_metadata.is_empty() {
            let configured = config.treatment(&facts);
            return configured.map_or(Settings::None, |known| Settings::Known(known.clone()));
        }
        if let Some(known) = self.known.get(&facts) {
            return known.clone().map_or(Settings::Wrong(None), Settings::Known);
        }
        let (known, settings) = match config.read_metadata(&facts) {
            Ok(Reading::Complete(known)) => (Some(known.clone()), Settings::Known(known)),
            Ok(Reading::Incomplete(error)) | Err(error) => (None, Settings::Wrong(Some(error))),
        };
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(facts, known);
        settings
    }
}

impl Config {
    /// Reads the settings of a request. The settings in the route's metadata, or else those
    /// under `routes` or of a rule, override those in the cluster's metadata, which override
    /// the defaults.
    fn read_metadata(&self, facts: &Facts) -> Result<Reading, ConfigError> {
        let nothing = Value::Object(Object::new());
        let text = |text: &[u8], place: &str| match text {
            [] => Ok(None),
            text => reader::parse(text).map(Some).map_err(|error| ConfigError {
                field: place.to_owned(),
                ..error
            }),
        };
        let cluster_value = text(&facts.cluster_metadata, CLUSTER)?;
        let route_value = text(&facts.route_metadata, ROUTE)?;

        let defaults = field(&self.document, "defaults").unwrap_or(&nothing);
        let mut settings = route::open("defaults", defaults)?;
        if let Some(value) = &cluster_value {
            settings = route::open(CLUSTER, value)?.over(&settings);
        }
        let name = std::str::from_utf8(&facts.route_name).unwrap_or_default();
        if let Some(value) = &route_value {
            settings = route::open(ROUTE, value)?.over(&settings);
        } else if let Some((path, value)) = self.configured(name, facts.rule) {
            settings = route::open_rule(path, value)?.over(&settings);
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

    /// The settings of a request in the configuration itself, with their path.
    fn configured(&self, route_name: &str, rule: Option<usize>) -> Option<(String, &Value)> {
        if let Some(rules) = field(&self.document, fields::RULES) {
            let Value::List(rules) = rules else {
                return None;
            };
            let place = rule?;
            return Some((rules::path(place), rules.get(place)?));
        }
        let settings = field(field(&self.document, "routes")?, route_name)?;
        Some((format!("routes.{route_name}"), settings))
    }

    /// The reason why metadata may not hold these checks.
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

const CHECKED_IN_METADATA: &str = "restricts who may read, but the filter's configuration has no \
     access control: another spelling of the path could avoid the check on another route; add \
     `url_keys` there, or `access` in `defaults`, which may be {\"public\": true}";

const ROUTE: &str = "route metadata";
const CLUSTER: &str = "cluster metadata";
