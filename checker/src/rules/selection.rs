//! The rule for routes that match on headers. Envoy selects the route again after a downstream
//! filter has changed a header.

use std::collections::BTreeSet;

use oss_origin_auth_core::config::Patterns;
use oss_origin_auth_core::oss::headers::OF_REQUESTS;
use serde_json::Value;

use super::listener::among_listeners;
use crate::finding::Finding;
use crate::found::{Filter, Found};
use crate::manager::{HEADER_INPUT, Manager, PARAMETER_INPUT, Route, of_kind};
use crate::protobuf::{field, is_true, list, text};
use crate::settings::{Block, Settings, all_blocks};

/// A signed request must not go to another cluster than the one that was selected first.
pub fn routes_match_on_changed_headers(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found) {
        let Some(signer) = Signer::of(filter, found) else {
            continue;
        };
        let rows = signer.rows(manager);
        let routes = manager.known_routes().enumerate();
        let by_routes = routes.flat_map(|(index, route)| {
            let mut moved = matched(route).peekable();
            let may_move = moved.peek().is_some() && may_move(&rows, index);
            let moved = moved.filter(move |_| may_move);
            let chosen =
                choosing(route).filter(|_| signer.signs(route) && route.leads_apart(route));
            let all: Vec<_> = moved.chain(chosen).collect();
            all.into_iter()
                .map(|(place, name)| (format!("{}.{place}", route.field), name))
        });
        let by_tables = by_tables(&rows, manager);
        let by_tables = by_tables.map(|(place, name)| (format!("{}.{place}", manager.field), name));
        for (field, name) in by_routes.chain(by_tables) {
            if signer.changes(&name) {
                let message = format!(
                    "the filter removes or sets `{name}`, and Envoy then selects the route again: \
                     a signed request may leave for another cluster, or find no route; match on \
                     the path or the host, or name the header in `forward_headers` wherever \
                     requests are signed"
                );
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// The signature of a checked URL has been removed when Envoy selects the route again.
pub fn routes_match_on_url_signatures(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found) {
        let blocks = all_blocks(filter, found);
        let removed: Vec<&str> = blocks
            .iter()
            .flat_map(Block::parameters_of_signature)
            .collect();
        for (field, name) in parameters(manager) {
            if removed.contains(&name) {
                let message = format!(
                    "the filter removes `{name}` from a URL whose signature is good, and Envoy \
                     then selects the route again: the request finds another one, with other \
                     rules; match on the path or the host"
                );
                findings.push(Finding::error(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// The query parameters by which a manager selects routes, and `:path`, which contains the
/// query when it is matched as a header.
fn parameters(manager: &Manager) -> Vec<(String, &str)> {
    let of_routes = manager.known_routes().flat_map(|route| {
        let matched = field(&route.message, "match").unwrap_or(&Value::Null);
        let of = |list_name| {
            let names = list(matched, list_name).filter_map(|one| text(one, "name"));
            names.map(move |name| (format!("{}.match.{list_name}", route.field), name))
        };
        of("query_parameters").chain(of("headers").filter(|(_, name)| *name == ":path"))
    });
    let matchers = manager.hosts().into_iter();
    let matchers = matchers.filter_map(|host| field(host, "matcher"));
    let of_matchers = matchers.flat_map(|matcher| {
        let parameters = of_kind(matcher, PARAMETER_INPUT).into_iter();
        let parameters = parameters.filter_map(|input| text(input, "query_param"));
        let headers = of_kind(matcher, HEADER_INPUT).into_iter();
        let headers = headers.filter_map(|input| text(input, "header_name"));
        parameters.chain(headers.filter(|name| *name == ":path"))
    });
    let of_matchers = of_matchers.map(|name| {
        let field = format!("{}.route_config.virtual_hosts.matcher", manager.field);
        (field, name)
    });
    of_routes.chain(of_matchers).collect()
}

/// A filter that signs, with the changes that it makes.
struct Signer {
    settings: Settings,
    /// The settings that sign.
    signing: Vec<Block>,
    /// Settings in the metadata of clusters may sign any route.
    by_cluster: bool,
}

impl Signer {
    fn of(filter: &Filter, found: &Found) -> Option<Signer> {
        let settings = Settings::of(filter)?;
        Some(Signer {
            signing: alike_once(settings.signing(found)),
            by_cluster: settings.reads("cluster") && !found.metadata.is_empty(),
            settings,
        })
    }

    fn changes(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.signing.iter().any(|block| changes(block, &name))
    }

    fn signs(&self, route: &Route) -> bool {
        self.by_cluster || self.settings.treatment(route).signs()
    }

    /// The properties of a manager's routes that are needed to compare them.
    fn rows<'a>(&self, manager: &'a Manager) -> Vec<Row<'a>> {
        let routes = manager.known_routes();
        let rows = routes.map(|route| Row {
            host: route.host,
            is_signed: self.signs(route),
            leads: Leads::of(route),
            paths: Paths::of(&route.message),
        });
        rows.collect()
    }
}

/// Removes blocks that forward the same headers as another.
fn alike_once(mut blocks: Vec<Block>) -> Vec<Block> {
    let mut known = BTreeSet::new();
    blocks.retain(|block| {
        let forwarded: Vec<String> = block.texts("forward_headers").map(str::to_owned).collect();
        known.insert(forwarded)
    });
    blocks
}

/// A route, with the properties that are compared.
struct Row<'a> {
    host: usize,
    is_signed: bool,
    leads: Leads<'a>,
    paths: Paths,
}

/// The cluster of a route.
#[derive(PartialEq)]
enum Leads<'a> {
    /// The route leads to no cluster.
    Nowhere,
    To(&'a str),
    /// The route leads to several clusters, or to one that is chosen for each request.
    Anywhere,
}

impl Leads<'_> {
    fn of(route: &Route) -> Leads<'_> {
        match (route.action(), route.clusters().as_slice()) {
            (None, _) => Leads::Nowhere,
            (_, [cluster, others @ ..])
                if !cluster.is_empty() && others.iter().all(|other| other == cluster) =>
            {
                Leads::To(cluster)
            }
            _ => Leads::Anywhere,
        }
    }

    /// Whether two routes may lead to different clusters.
    fn apart(&self, other: &Leads) -> bool {
        match (self, other) {
            (Leads::Nowhere, _) | (_, Leads::Nowhere) => false,
            (Leads::To(one), Leads::To(other)) => one != other,
            _ => true,
        }
    }
}

/// Whether a signed request may move from this route to another cluster, or from another to
/// this route.
fn may_move(rows: &[Row], index: usize) -> bool {
    let Some(route) = rows.get(index) else {
        return false;
    };
    rows.iter().enumerate().any(|(of_other, other)| {
        other.host == route.host
            && of_other != index
            && (route.is_signed || other.is_signed)
            && route.leads.apart(&other.leads)
            && route.paths.overlap(&other.paths)
    })
}

/// A header that selects, and the field that names it.
type Selecting = (&'static str, String);

/// The headers by which a route is selected.
fn matched(route: &Route) -> impl Iterator<Item = Selecting> {
    let matched = field(&route.message, "match").unwrap_or(&Value::Null);
    let headers = list(matched, "headers");
    let headers = headers.filter_map(|one| Some(("match.headers", text(one, "name")?.to_owned())));
    let cookies = list(matched, "cookies").map(|_| ("match.cookies", "cookie".to_owned()));
    let grpc = field(matched, "grpc").map(|_| ("match.grpc", "content-type".to_owned()));
    headers.chain(cookies).chain(grpc)
}

/// The headers by which a route chooses its cluster.
fn choosing(route: &Route) -> impl Iterator<Item = Selecting> {
    let action = route.action().unwrap_or(&Value::Null);
    let weighted = field(action, "weighted_clusters").unwrap_or(&Value::Null);
    let named = |message, name, place| Some((place, text(message, name)?.to_owned()));
    let cluster = named(action, "cluster_header", "route.cluster_header");
    let place = "route.weighted_clusters.header_name";
    let weight = named(weighted, "header_name", place);
    let by_hash = is_true(weighted, "use_hash_policy");
    let hashed = list(action, "hash_policy").filter(move |_| by_hash);
    let hashed = hashed.filter_map(|policy| {
        let header = field(policy, "header").and_then(|one| text(one, "header_name"));
        let name = header.or_else(|| field(policy, "cookie").map(|_| "cookie"))?;
        Some(("route.hash_policy", name.to_owned()))
    });
    let plugin = inputs(action).map(|name| ("route", name));
    cluster
        .into_iter()
        .chain(weight)
        .chain(hashed)
        .chain(plugin)
}

/// The headers by which a matcher, a plugin or a scope selects.
fn by_tables(rows: &[Row], manager: &Manager) -> impl Iterator<Item = Selecting> {
    let hosts = manager.hosts().into_iter().enumerate();
    let matchers = hosts.filter_map(|(host, message)| Some((host, field(message, "matcher")?)));
    let moving = matchers.filter(|(host, _)| {
        let mut all = rows.iter().enumerate();
        all.any(|(index, row)| row.host == *host && may_move(rows, index))
    });
    let matchers = moving.map(|(_, matcher)| matcher);
    let place = "route_config.virtual_hosts.matcher";
    let matchers = matchers.flat_map(inputs).map(move |name| (place, name));
    let plugins = manager.tables().flat_map(|table| {
        let plugins = list(table, "cluster_specifier_plugins");
        plugins.flat_map(inputs)
    });
    let plugins = plugins.map(|name| ("route_config.cluster_specifier_plugins", name));
    let scopes = field(&manager.message, "scoped_routes");
    let builder = scopes.and_then(|scopes| field(scopes, "scope_key_builder"));
    let fragments = builder.into_iter().flat_map(|one| list(one, "fragments"));
    let extractors = fragments.filter_map(|one| field(one, "header_value_extractor"));
    let scopes = extractors.filter_map(|one| {
        let name = text(one, "name")?.to_owned();
        Some(("scoped_routes.scope_key_builder", name))
    });
    matchers.chain(plugins).chain(scopes)
}

/// The headers that a matcher reads.
fn inputs(matcher: &Value) -> impl Iterator<Item = String> {
    let inputs = of_kind(matcher, HEADER_INPUT).into_iter();
    inputs.filter_map(|input| text(input, "header_name").map(str::to_owned))
}

/// The paths that a route matches.
enum Paths {
    One(String),
    From(String),
    /// Any paths: a regular expression, or a matcher that is not known here.
    Any,
}

impl Paths {
    /// The paths in lower case, since a route may ignore the case.
    fn of(route: &Value) -> Paths {
        let Some(matched) = field(route, "match") else {
            return Paths::Any;
        };
        let written = |name| text(matched, name).map(str::to_ascii_lowercase);
        let prefix = written("prefix").or_else(|| written("path_separated_prefix"));
        let path = written("path").map(Paths::One);
        path.or(prefix.map(Paths::From)).unwrap_or(Paths::Any)
    }

    /// Whether some path matches both.
    fn overlap(&self, other: &Paths) -> bool {
        match (self, other) {
            (Paths::Any, _) | (_, Paths::Any) => true,
            (Paths::One(one), Paths::One(other)) => one == other,
            (Paths::One(path), Paths::From(start)) | (Paths::From(start), Paths::One(path)) => {
                path.starts_with(start.as_str())
            }
            (Paths::From(one), Paths::From(other)) => {
                one.starts_with(other.as_str()) || other.starts_with(one.as_str())
            }
        }
    }
}

/// Whether the filter removes or sets a header.
fn changes(block: &Block, name: &str) -> bool {
    let forwarded: Vec<&str> = block.texts("forward_headers").collect();
    let kept = name.starts_with(':') || name == "host" || OF_REQUESTS.names.contains(&name);
    !kept && !Patterns::of(&forwarded).allow(name.as_bytes())
}
