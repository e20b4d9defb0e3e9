//! The rules that Higress, Alibaba's gateway, passes to a module in its configuration:
//! `{"_rules_": [{"_match_route_": ["a"], …settings of a route}, …]}`. The first rule that
//! matches a request applies. The meaning of each `_match_…_` is defined in Higress's
//! `plugins/wasm-go/pkg/matcher/rule_matcher.go`, and for `_match_route_prefix_` and pairs of
//! route and service in higress-group/wasm-go, `pkg/matcher/rule_matcher.go`.

use super::fields::{self, MATCH_DOMAIN, MATCH_ROUTE, MATCH_ROUTE_PREFIX, MATCH_SERVICE, RULES};
use super::names::{self, CheckOf};
use super::reader::{ConfigError, Object};
use super::route::Treatment;
use crate::json::Value;

/// The facts about a request that rules look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleInput<'a> {
    /// The name of the route, `route.name`; empty if there is none.
    pub route_name: &'a [u8],
    /// The name of Envoy's cluster; empty if there is none.
    pub cluster_name: &'a [u8],
    /// The `:authority`, if there is exactly one.
    pub authority: Option<&'a [u8]>,
}

/// A rule: the requests that it matches, and what happens to them.
#[derive(Debug)]
pub struct Rule {
    /// The conditions, all of which must be true.
    conditions: Vec<Condition>,
    /// The settings. `None` means that a cluster's metadata must complete them.
    pub treatment: Option<Treatment>,
}

/// A condition, which is true if one of its entries matches.
#[derive(Debug)]
pub struct Condition {
    by: By,
    entries: Vec<String>,
}

/// The fact that the entries of a condition are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The name of the route.
    Route,
    /// The beginning of the route's name.
    RoutePrefix,
    /// The host of the request. A `*` at one end stands for any bytes. A `*` alone matches
    /// every request, even one without a host.
    Domain,
    /// The service of the route, as Higress names its clusters:
    /// `outbound|<port>|<subset>|<service>`.
    Service,
}

impl Rule {
    /// A rule with these conditions.
    pub fn new(conditions: Vec<Condition>, treatment: Option<Treatment>) -> Rule {
        Rule {
            conditions,
            treatment,
        }
    }

    /// Whether the rule matches a request.
    pub fn matches(&self, input: RuleInput) -> bool {
        let holds = |one: &Condition| {
            let mut entries = one.entries.iter();
            entries.any(|entry| one.by.fits(entry, input))
        };
        self.conditions.iter().all(holds)
    }

    /// Whether the rule looks at this fact.
    pub fn looks_at(&self, by: By) -> bool {
        self.conditions.iter().any(|one| one.by == by)
    }

    /// Whether the rule matches every request that a later rule matches.
    pub fn covers(&self, later: &Rule) -> bool {
        let is_implied = |own: &Condition| later.conditions.iter().any(|one| own.covers(one));
        self.conditions.iter().all(is_implied)
    }
}

impl Condition {
    /// Whether the condition is true whenever another one is.
    fn covers(&self, other: &Condition) -> bool {
        let is_covered = |entry: &String| {
            let mut own = self.entries.iter();
            own.any(|own| self.by.covers(own, other.by, entry))
        };
        other.entries.iter().all(is_covered)
    }
}

impl By {
    fn fits(self, entry: &str, input: RuleInput) -> bool {
        let name = input.route_name;
        let entry = entry.as_bytes();
        match self {
            By::Route => name == entry,
            By::RoutePrefix => name.starts_with(entry),
            By::Domain => is_host(entry, input.authority),
            By::Service => is_service(entry, input.cluster_name),
        }
    }

    /// Whether an entry matches every value that an entry of another rule matches.
    fn covers(self, entry: &str, by: By, other: &str) -> bool {
        let of = |route_name: &str| {
            self.fits(
                entry,
                RuleInput {
                    route_name: route_name.as_bytes(),
                    ..RuleInput::default()
                },
            )
        };
        match (self, by) {
            (By::Domain, _) if entry == "*" => true,
            (By::Route, By::Route) => of(other),
            (By::RoutePrefix, By::Route | By::RoutePrefix) => of(other),
            (By::Domain, By::Domain) => {
                let (entry, other) = (entry.to_ascii_lowercase(), other.to_ascii_lowercase());
                match (entry.strip_prefix('*'), entry.strip_suffix('*')) {
                    (Some(ending), _) => other.ends_with(ending),
                    (None, Some(beginning)) => other.starts_with(beginning),
                    (None, None) => other == entry,
                }
            }
            (By::Service, By::Service) => {
                let rest = other.strip_prefix(entry);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            }
            _ => false,
        }
    }
}

/// Whether a host matches a pattern. Case and port are ignored.
fn is_host(pattern: &[u8], authority: Option<&[u8]>) -> bool {
    let Some(host) = authority.map(without_port) else {
        return pattern == b"*";
    };
    let (part, wanted) = match pattern {
        [b'*', ending @ ..] => {
            let start = host.len().saturating_sub(ending.len());
            (host.get(start..), ending)
        }
        [beginning @ .., b'*'] => (host.get(..beginning.len()), beginning),
        whole => (Some(host), whole),
    };
    part.is_some_and(|part| part.eq_ignore_ascii_case(wanted))
}

/// The host of an `:authority`, without its port. A value that is not a host with a port stays
/// unchanged, so that only an equal pattern matches it.
fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = authority.iter().rposition(|byte| *byte == b':') else {
        return authority;
    };
    let (host, port) = authority.split_at(colon);
    let is_port = port.iter().skip(1).all(u8::is_ascii_digit);
    let is_host = host.ends_with(b"]") || !host.contains(&b':');
    if is_port && is_host { host } else { authority }
}

/// Whether a cluster belongs to a service, on this port if one is given.
fn is_service(service: &[u8], cluster: &[u8]) -> bool {
    let mut parts = cluster.split(|byte| *byte == b'|').skip(1);
    let (port, _, name) = (parts.next(), parts.next(), parts.next());
    let rest = name.and_then(|name| service.strip_prefix(name));
    match (rest, parts.next()) {
        (Some([]), None) => true,
        (Some([b':', wanted @ ..]), None) => port == Some(wanted),
        _ => false,
    }
}

/// The path of a rule.
pub fn path(place: usize) -> String {
    format!("{RULES}[{place}]")
}

/// Reads the conditions of a rule.
pub fn conditions(path: &str, rule: &Value) -> Result<Vec<Condition>, ConfigError> {
    let rule = Object::open(path, rule)?;
    for (name, path, value) in rule.entries() {
        let is = |field: &fields::Field| field.name == name;
        let problem = if name == "credentials" && matches!(value, Value::Object(_)) {
            CREDENTIALS
        } else if fields::TOP.iter().any(is) && !fields::ROUTE.iter().any(is) {
            OF_ALL
        } else if name.starts_with("_match_") && !fields::RULE.iter().any(is) {
            UNKNOWN
        } else {
            continue;
        };
        return Err(ConfigError::new(path, problem));
    }
    let mut conditions: Vec<Condition> = Vec::new();
    for (name, by, check) in CONDITIONS {
        if rule.get(name).is_none() {
            continue;
        }
        let entries = rule.texts(name, check)?;
        let pairs = |one: &Condition| one.by == By::Route && by == By::Service;
        if entries.is_empty() {
            return Err(rule.error(name, EMPTY));
        } else if !conditions.iter().all(pairs) {
            return Err(rule.error(name, SECOND));
        }
        conditions.push(Condition { by, entries });
    }
    match conditions.is_empty() {
        true => Err(ConfigError::new(path, NONE)),
        false => Ok(conditions),
    }
}

/// The condition fields, what each looks at, and the check of its entries.
const CONDITIONS: [(&str, By, CheckOf); 4] = [
    (MATCH_ROUTE, By::Route, names::check_route_name),
    (MATCH_ROUTE_PREFIX, By::RoutePrefix, names::check_route_name),
    (MATCH_DOMAIN, By::Domain, names::check_host_pattern),
    (MATCH_SERVICE, By::Service, names::check_service),
];

const EMPTY: &str = "is empty, so the rule would never match; list what it should match";
const NONE: &str = "has no condition, so it would never match; add `_match_route_`, \
     `_match_route_prefix_`, `_match_domain_` or `_match_service_` (in Higress's \
     `matchRules`: `ingress`, `domain` or `service`)";
const SECOND: &str = "is one `_match_…` too many; write a rule for each. Only `_match_route_` and \
     `_match_service_` can be combined: then both must match";
const UNKNOWN: &str = "unknown; known are `_match_route_`, `_match_route_prefix_`, `_match_domain_` and \
     `_match_service_`";
const OF_ALL: &str = "is a setting of the whole filter and not of a rule; write it beside `_rules_` (in \
     Higress: in `defaultConfig`)";
const CREDENTIALS: &str = "must be the name of an entry; write the entries beside `_rules_` (in \
     Higress: in `defaultConfig`)";
