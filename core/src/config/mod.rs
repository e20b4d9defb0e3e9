//! The filter's configuration. It is parsed from JSON; an error names the field and the fix.
//! The settings are described in docs/CONFIGURATION.md.

mod access;
pub mod choices;
pub mod fields;
mod metadata;
mod names;
mod patterns;
mod reader;
mod route;
mod rules;
mod source;

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use crate::access::Keys;
use crate::fetch::source::Source;
use crate::json::Value;
use access::KeyTimes;
use choices::MetadataOf;
pub use metadata::{Facts, RouteCache, Settings};
pub use patterns::Patterns;
pub use reader::ConfigError;
use reader::Object;
use route::{Known, Reading};
pub use route::{Methods, Route, Treatment};
pub use rules::RuleInput;
use rules::{By, Rule};

/// A configuration in which every setting is valid and every reference exists.
#[derive(Debug)]
pub struct Config {
    /// The sources of credentials in the order of their names; a [`Route::account`] is an index
    /// into them.
    pub credentials: Vec<Source>,
    /// The keys with which clients' URLs may be signed.
    pub url_keys: Vec<Rc<Keys>>,
    /// The time format of each key.
    key_times: KeyTimes,
    /// Whether some requests must pass checks that others need not pass. Then each path may
    /// have one spelling only, or another spelling could avoid a check.
    pub checks_access: bool,
    /// The settings of some requests.
    own: Own,
    /// The settings of all other requests, if they are complete.
    defaults: Option<Treatment>,
    /// How long a request waits for credentials before it gets a 503.
    pub wait_timeout_ms: u64,
    /// How many requests may wait in one worker; the next one gets a 503 at once.
    pub max_waiting: usize,
    /// The metadata that may hold settings, too.
    pub metadata: Vec<MetadataOf>,
    /// The JSON document, which settings in metadata override; null if there are none.
    document: Value,
    /// A hash of the text, if there are rules: another configuration has another one.
    pub fingerprint: u64,
}

/// The settings that only some requests have.
#[derive(Debug)]
enum Own {
    /// The settings by route name. `None` means that a cluster's metadata must complete them.
    Routes(RouteMap<Vec<u8>>),
    /// The rules; the first rule that matches a request has its settings.
    Rules(Vec<Rule>),
}

/// Settings by name. The names come from the operator, so a hash that can be predicted does no
/// harm.
type RouteMap<Name> = HashMap<Name, Option<Treatment>, BuildHasherDefault<DefaultHasher>>;

impl Config {
    /// Parses and checks a configuration. `environment` looks up the variables that
    /// `access_key` credentials and `url_keys` name.
    pub fn parse(
        text: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let mut document = reader::parse(text)?;
        let top = Object::new("", &document, fields::TOP)?;
        let credentials = match top.get("credentials") {
            None if has_access(&top) || top.get("url_keys").is_some() => Vec::new(),
            None if top.get(fields::RULES).is_some() => {
                return Err(top.error("credentials", MISSING_BESIDE_RULES));
            }
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
        let (own, defaults) = read_settings(&top, known, &metadata)?;
        let named = own.all();
        let all: Vec<&Treatment> = defaults
            .iter()
            .chain(named.iter().filter_map(|(_, one)| *one))
            .collect();
        if all.iter().any(|one| moves_paths(one)) {
            if !metadata.is_empty() {
                return Err(top.error("metadata", MOVES_BY_METADATA));
            }
            check_paths_that_move(&top, &named, defaults.as_ref(), credentials.is_empty())?;
        }
        let signings = all
            .iter()
            .filter_map(|one| one.access()?.url_signing.as_ref());
        let key_times = KeyTimes::of(signings)?;
        // Settings in metadata become known only with the first request that has them.
        let checks_access = match metadata.is_empty() {
            true => all.iter().any(|one| one.access().is_some()),
            false => credentials.is_empty() || !url_keys.is_empty() || has_access(&top),
        };
        if metadata.is_empty() && !url_keys.is_empty() && !has_access(&top) {
            return Err(top.error("url_keys", UNUSED_KEYS));
        }
        if metadata.is_empty() {
            document = Value::Null;
        }
        let fingerprint = match &own {
            Own::Routes(_) => 0,
            Own::Rules(_) => BuildHasherDefault::<DefaultHasher>::default().hash_one(text),
        };
        Ok(Config {
            credentials,
            url_keys,
            key_times,
            checks_access,
            own,
            defaults,
            wait_timeout_ms,
            max_waiting,
            metadata,
            document,
            fingerprint,
        })
    }

    /// The settings of a request: its own, or else the defaults if they are complete. `None`
    /// means that the request is refused.
    pub fn treatment(&self, facts: &Facts) -> Option<&Treatment> {
        let own = match &self.own {
            Own::Routes(routes) => routes.get(&facts.route_name),
            Own::Rules(rules) => {
                let rule = facts.rule.and_then(|place| rules.get(place));
                rule.map(|rule| &rule.treatment)
            }
        };
        own.map_or(self.defaults.as_ref(), Option::as_ref)
    }

    /// The index of the first rule that matches a request.
    pub fn rule_of(&self, input: RuleInput) -> Option<usize> {
        self.rules().iter().position(|rule| rule.matches(input))
    }

    /// The rules that never match, because an earlier rule matches all their requests. Each
    /// pair holds the indices of both.
    pub fn unreachable_rules(&self) -> Vec<(usize, usize)> {
        let all = self.rules().iter().enumerate();
        let covered = all.filter_map(|(place, rule)| {
            let mut earlier = self.rules().iter().take(place);
            Some((place, earlier.position(|one| one.covers(rule))?))
        });
        covered.collect()
    }

    /// Whether the settings depend on the name of a request's route.
    pub fn needs_route_name(&self) -> bool {
        let by_name = match &self.own {
            Own::Routes(routes) => !routes.is_empty(),
            Own::Rules(_) => self.rules_look_at(By::Route) || self.rules_look_at(By::RoutePrefix),
        };
        by_name || self.reads_metadata(MetadataOf::Route)
    }

    /// Whether the settings depend on the name of a request's cluster.
    pub fn needs_cluster_name(&self) -> bool {
        self.rules_look_at(By::Service)
    }

    /// Whether the settings depend on the host of a request.
    pub fn needs_authority(&self) -> bool {
        self.rules_look_at(By::Domain)
    }

    fn rules_look_at(&self, by: By) -> bool {
        self.rules().iter().any(|rule| rule.looks_at(by))
    }

    /// Whether there is a rule with this index.
    pub fn has_rule(&self, place: usize) -> bool {
        place < self.rules().len()
    }

    fn rules(&self) -> &[Rule] {
        match &self.own {
            Own::Routes(_) => &[],
            Own::Rules(rules) => rules,
        }
    }

    /// Whether this metadata is read for settings.
    pub fn reads_metadata(&self, of: MetadataOf) -> bool {
        self.metadata.contains(&of)
    }

    /// The names that settings in metadata may refer to.
    fn known(&self) -> Known<'_> {
        Known {
            sources: &self.credentials,
            keys: &self.url_keys,
        }
    }
}

impl Own {
    /// All settings, with their paths.
    fn all(&self) -> Vec<(String, Option<&Treatment>)> {
        let mut all = Vec::new();
        match self {
            Own::Routes(routes) => {
                for (name, own) in routes {
                    let name = String::from_utf8_lossy(name);
                    all.push((["routes.", &name].concat(), own.as_ref()));
                }
            }
            Own::Rules(rules) => {
                for (place, rule) in rules.iter().enumerate() {
                    all.push((rules::path(place), rule.treatment.as_ref()));
                }
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        match self {
            Own::Routes(routes) => routes.is_empty(),
            Own::Rules(rules) => rules.is_empty(),
        }
    }
}

const MISSING_BUCKET: &str = "missing; without `routes` or rules, the bucket must be given here";
const MISSING_ACCESS: &str = "missing; without `routes` or rules, `access` must be given here";
const MISSING_BESIDE_RULES: &str = "missing; write them beside `_rules_`, and not in a rule (in Higress: in \
     `defaultConfig`, with `defaultConfigDisable: false`)";
const BOTH: &str = "cannot be used together with `routes`; keep one: each entry of `routes` can \
     be a rule whose `_match_route_` has its name";

/// Whether the configuration has access control anywhere.
fn has_access(top: &Object) -> bool {
    let has =
        |value: &Value| matches!(value, Value::Object(fields) if fields.contains_key("access"));
    let defaults = top.get("defaults").is_some_and(|(_, value)| has(value));
    let own = |name| match top.get(name) {
        Some((_, Value::Object(routes))) => routes.values().any(has),
        Some((_, Value::List(rules))) => rules.iter().any(has),
        _ => false,
    };
    defaults || own("routes") || own(fields::RULES)
}

fn moves_paths(treatment: &Treatment) -> bool {
    treatment
        .access()
        .is_some_and(|access| access.moves_paths())
}

/// With types B and C1 the signature is the first part of the path. Without it Envoy may select
/// another route, and does not show that route's settings to the filter any more (tried with
/// 1.36.4 and 1.40.0). So every route that such a path can reach must be known, and must not be
/// stricter.
fn check_paths_that_move(
    top: &Object,
    own: &[(String, Option<&Treatment>)],
    defaults: Option<&Treatment>,
    signs_nothing: bool,
) -> Result<(), ConfigError> {
    let Some(defaults) = defaults else {
        return Err(top.error("defaults", MOVES));
    };
    // A request that is signed for one route must not be sent by another.
    let is_free = |one: &Treatment| signs_nothing && *one == Treatment::PassUnsigned(None);
    let is_good = |one: &Treatment| one.is_like(defaults) || is_free(one);
    let wrong = own.iter().filter(|(_, one)| !one.is_some_and(is_good));
    match wrong.map(|(path, _)| path).min() {
        Some(path) => Err(top.error(path, MOVES)),
        None => Ok(()),
    }
}

const MOVES: &str = "with `url_signing` of type \"B\" or \"C1\" the path changes, and Envoy may select \
     any other route; so all must have the settings of `defaults` or, where nothing is signed, \
     {\"access\": {\"public\": true}}; or use type \"A\", \"C2\" or \"F\"";
const UNUSED_KEYS: &str = "no `access` requires URLs signed with these keys, so everybody may \
     read; write `access` in `defaults`, `routes` or a rule: {\"url_signing\": {\"type\": \"A\"}}; or \
     leave the keys out";
const MOVES_BY_METADATA: &str = "with `url_signing` of type \"B\" or \"C1\" the path changes, and Envoy \
     may select any other route; so all settings must stand in `defaults`, and none in metadata; or \
     use type \"A\", \"C2\" or \"F\"";

/// Reads the defaults and the settings that override them.
fn read_settings(
    top: &Object,
    known: Known,
    metadata: &[MetadataOf],
) -> Result<(Own, Option<Treatment>), ConfigError> {
    let nothing = Value::Object(Default::default());
    let (path, value) = top
        .get("defaults")
        .unwrap_or_else(|| ("defaults".into(), &nothing));
    let defaults = route::open(path, value)?;
    let default_reading = route::read(&defaults, known)?;
    let read = |own: Object| {
        match route::read(&own.over(&defaults), known)? {
            Reading::Complete(treatment) => Ok(Some(treatment)),
            // The cluster's metadata may complete the settings.
            Reading::Incomplete(_) if metadata.contains(&MetadataOf::Cluster) => Ok(None),
            Reading::Incomplete(error) => Err(error),
        }
    };
    let own = match (top.get("routes"), top.get(fields::RULES)) {
        (Some(_), Some(_)) => return Err(top.error(fields::RULES, BOTH)),
        (Some((path, routes)), None) => Own::Routes(read_routes(path, routes, &read)?),
        (None, Some((path, rules))) => Own::Rules(read_rules(path, rules, &read)?),
        (None, None) => Own::Routes(RouteMap::default()),
    };
    let alone = own.is_empty() && metadata.is_empty();
    match default_reading {
        Reading::Complete(treatment) => Ok((own, Some(treatment))),
        Reading::Incomplete(error) if alone => Err(match top.get("defaults") {
            Some(_) => error,
            None if known.sources.is_empty() => top.error("defaults", MISSING_ACCESS),
            None => top.error("defaults", MISSING_BUCKET),
        }),
        // The defaults have a bucket and were meant to be complete. Without an endpoint every
        // request would be refused.
        Reading::Incomplete(error) if error.field == "defaults.endpoint" => Err(error),
        Reading::Incomplete(_) => Ok((own, None)),
    }
}

/// Reads the settings of a route, with the defaults below them.
type Read<'r, 'a> = &'r dyn Fn(Object<'a>) -> Result<Option<Treatment>, ConfigError>;

fn read_routes<'a>(
    path: String,
    routes: &'a Value,
    read: Read<'_, 'a>,
) -> Result<RouteMap<Vec<u8>>, ConfigError> {
    let named = Object::open(path, routes)?;
    let mut known = RouteMap::default();
    for (name, path, value) in named.entries() {
        if name.is_empty() {
            return Err(named.error("\"\"", "a route needs a name: Envoy's `route.name`"));
        }
        known.insert(name.into(), read(route::open(path, value)?)?);
    }
    Ok(known)
}

fn read_rules<'a>(
    path: String,
    rules: &'a Value,
    read: Read<'_, 'a>,
) -> Result<Vec<Rule>, ConfigError> {
    let Value::List(rules) = rules else {
        let problem = reader::wrong_type("a list of rules", rules);
        return Err(ConfigError::new(path, problem));
    };
    let mut known = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        let path = rules::path(place);
        let conditions = rules::conditions(&path, rule)?;
        let treatment = read(route::open_rule(path, rule)?)?;
        known.push(Rule::new(conditions, treatment));
    }
    Ok(known)
}

#[cfg(test)]
mod tests;
