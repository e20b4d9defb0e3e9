//! The routes whose requests are signed, as far as they are known.

use serde_json::Value;

use crate::dialect::Dialect;
use crate::finding::Place;
use crate::found::{Filter, Found, Position};
use crate::manager::{Manager, Route};
use crate::protobuf::{field, text};
use crate::settings::{Block, Settings};

/// A route whose requests a filter signs.
pub struct Signed<'a> {
    /// The filter that signs.
    pub filter: &'a Filter,
    /// The manager of the route.
    pub manager: &'a Manager,
    /// The route.
    pub route: &'a Route,
    /// The settings that sign the requests.
    pub block: Block,
    /// The milliseconds that a request waits for credentials.
    pub wait: Option<u64>,
    /// The retry policy of its virtual host.
    of_host: Option<&'a Value>,
}

impl Signed<'_> {
    /// Whether the filter is on the cluster, after the retries.
    pub fn is_on_cluster(&self) -> bool {
        matches!(self.filter.position, Position::Cluster(_))
    }

    /// The place of the route.
    pub fn place(&self) -> Place {
        at(self.filter, self.manager)
    }

    /// A field of the route's action.
    pub fn action(&self, name: &str) -> Option<&Value> {
        field(self.route.action()?, name)
    }

    /// A text in the route's match.
    pub fn matched(&self, name: &str) -> Option<&str> {
        text(field(&self.route.message, "match")?, name)
    }

    /// The retry policy: the route's, or that of its virtual host.
    pub fn retries(&self) -> Option<&Value> {
        self.action("retry_policy").or(self.of_host)
    }
}

/// All routes whose requests are signed.
pub fn signed(found: &Found) -> Vec<Signed<'_>> {
    let mut all = Vec::new();
    for filter in &found.filters {
        let Some(settings) = Settings::of(filter).filter(Settings::have_credentials) else {
            continue;
        };
        let wait = settings.wait_timeout_ms();
        for manager in managers(found, filter) {
            let hosts = manager.hosts();
            // A gateway may have routes that are not in the files.
            let is_gateway = filter.position == Position::Gateway;
            let is_one = !is_gateway && !leads_to_several(manager, filter);
            let routes = manager.known_routes();
            for route in routes.filter(|route| reaches(route, filter)) {
                let block = settings.treatment(route);
                let is_meant =
                    settings.own(route).is_some() || is_one || sets_the_host(route, &block);
                if block.signs() && is_meant {
                    all.push(Signed {
                        filter,
                        manager,
                        route,
                        block,
                        wait,
                        of_host: hosts
                            .get(route.host)
                            .and_then(|host| field(host, "retry_policy")),
                    });
                }
            }
        }
    }
    all
}

/// The place of the routes of a filter.
pub fn at(filter: &Filter, manager: &Manager) -> Place {
    Place {
        filter: filter.place.filter.clone(),
        ..manager.place.clone()
    }
}

/// The managers and gateways whose routes may lead to a filter.
pub fn managers<'a>(found: &'a Found, filter: &Filter) -> Vec<&'a Manager> {
    match &filter.position {
        Position::Manager(index) => found.managers.get(*index).into_iter().collect(),
        Position::Cluster(_) => found.managers.iter().chain(&found.gateways).collect(),
        Position::Gateway | Position::Routes => {
            let all = found.gateways.iter();
            all.filter(|gateway| is_of(gateway, filter)).collect()
        }
        Position::Unknown => Vec::new(),
    }
}

/// Whether a gateway's routes may lead to a filter. Only Envoy Gateway reads an `HTTPRoute` as
/// it is here; other gateways give other names to its routes.
fn is_of(gateway: &Manager, filter: &Filter) -> bool {
    let is_envoy_gateway = filter.field == "config";
    let mut routes = gateway.known_routes();
    routes.all(|route| (route.dialect == Dialect::HttpRoute) == is_envoy_gateway)
}

/// Whether requests on a route certainly reach a filter.
fn reaches(route: &Route, filter: &Filter) -> bool {
    let leads_on = route.action().is_some();
    leads_on
        && match &filter.position {
            // The clusters of other manifests have other names.
            Position::Cluster(cluster) => {
                route.dialect == Dialect::Envoy && route.leads_certainly_to(cluster)
            }
            _ => true,
        }
}

/// Whether the filter sees requests for several clusters, some of which are not OSS's.
fn leads_to_several(manager: &Manager, filter: &Filter) -> bool {
    let mut routes = manager.known_routes();
    let is_on_cluster = matches!(filter.position, Position::Cluster(_));
    let Some(first) = routes.next() else {
        return false;
    };
    !is_on_cluster && routes.any(|route| route.leads_apart(first))
}

/// Whether a route sets a host that the settings describe.
fn sets_the_host(route: &Route, block: &Block) -> bool {
    let host = route
        .action()
        .and_then(|action| text(action, "host_rewrite_literal"));
    host.is_some_and(|host| {
        let host = host.to_ascii_lowercase();
        host == block.host().unwrap_or_default().to_ascii_lowercase()
    })
}
