//! The surroundings of the filter in Envoy: the managers of HTTP connections, their filters and
//! their routes.

use std::rc::Rc;

use serde_json::Value;

use crate::dialect::Dialect;
use crate::finding::Place;
use crate::protobuf::{field, is, is_true, kind, list, text};

/// A manager of HTTP connections: the filters of a listener, with the routes.
#[derive(Debug)]
pub struct Manager {
    /// The place of the manager.
    pub place: Place,
    /// The name that findings use for it.
    pub field: String,
    /// The message.
    pub message: Value,
    /// The tables of routes.
    tables: Vec<Value>,
    /// The routes; `None` if they come from elsewhere (RDS).
    pub routes: Option<Vec<Route>>,
    /// Whether its requests come only from this Envoy.
    pub is_internal: bool,
    /// Whether it has more routes than are checked. Then they count as unknown, like routes
    /// from elsewhere.
    pub has_too_many: bool,
}

/// A route of Envoy.
#[derive(Debug)]
pub struct Route {
    /// The name of the route; may be empty.
    pub name: String,
    /// The index of its virtual host in [`Manager::hosts`].
    pub host: usize,
    /// The domains of that virtual host; empty if they are not known.
    pub domains: Rc<[String]>,
    /// The name that findings use for it.
    pub field: String,
    /// The message.
    pub message: Value,
    /// The format in which the route is written.
    pub dialect: Dialect,
}

/// The configuration of a filter in a route, a virtual host or a table.
#[derive(Debug)]
pub struct OfFilter<'a> {
    /// The name that findings use for it.
    pub field: String,
    /// The name of the filter.
    pub name: &'a str,
    /// The message.
    pub config: &'a Value,
}

/// The most routes that are checked: some rules compare each route with all others.
pub const MOST_ROUTES: usize = 5_000;

/// The type of a manager's message.
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// The type of a table of routes that is outside of a manager.
pub const TABLE: &str = "envoy.config.route.v3.RouteConfiguration";

/// The type of a matcher's input that is a header of the request.
pub const HEADER_INPUT: &str = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";

/// The type of a matcher's input that is a parameter of the query.
pub const PARAMETER_INPUT: &str = "envoy.type.matcher.v3.HttpRequestQueryParamMatchInput";

/// The type of the message with which a route leaves a filter out.
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// The type of a single route in a matcher.
const ROUTE: &str = "envoy.config.route.v3.Route";

/// The type of a list of routes in a matcher.
const ROUTES: &str = "envoy.config.route.v3.RouteList";

impl Manager {
    /// Reads a value that is a manager's message.
    pub fn read(value: &Value, place: Place) -> Option<Manager> {
        if kind(value) != MANAGER {
            return None;
        }
        let message = inner(value);
        let prefix = text(message, "stat_prefix").unwrap_or_default();
        let name = format!("http_connection_manager[{prefix}]");
        let tables = ["route_config", "scoped_routes"].into_iter();
        let tables = tables.filter_map(|name| field(message, name)).cloned();
        let mut manager = Manager {
            place,
            message: message.clone(),
            tables: tables.collect(),
            routes: None,
            is_internal: false,
            has_too_many: false,
            field: name,
        };
        manager.read_routes();
        Some(manager)
    }

    /// Finds a table for a manager that has none of its own among the other tables of the file:
    /// the one that it names, or the only one.
    pub fn take_table(&mut self, others: &[&Value]) {
        let elsewhere = ["rds", "scoped_routes"].map(|name| field(&self.message, name));
        if self.routes.is_some() || elsewhere == [None, None] {
            return;
        }
        let wanted = elsewhere[0].and_then(|rds| text(rds, "route_config_name"));
        let is_wanted = |one: &&&Value| wanted.is_some() && text(one, "name") == wanted;
        let mut named = others.iter().filter(is_wanted);
        let table = match (named.next(), others) {
            (Some(named), _) => *named,
            (None, [only]) => *only,
            (None, _) => return,
        };
        self.tables.push(table.clone());
        self.read_routes();
    }

    /// A manager that manifests describe by these routes.
    pub fn of_routes(place: Place, field: String, routes: Vec<Route>) -> Manager {
        let has_too_many = routes.len() > MOST_ROUTES;
        Manager {
            place,
            field,
            message: Value::Null,
            tables: Vec::new(),
            routes: (!has_too_many).then_some(routes),
            is_internal: false,
            has_too_many,
        }
    }

    fn read_routes(&mut self) {
        let hosts = self.hosts();
        let all = hosts.iter().enumerate();
        let all = all.flat_map(|(host, value)| {
            let domains = texts(value, "domains");
            let routes = routes_of(value).into_iter();
            routes.map(move |route| (host, Rc::clone(&domains), route))
        });
        let routes = all.enumerate();
        let routes = routes.map(|(index, (host, domains, route))| Route {
            host,
            domains,
            ..Route::new(&self.field, index, route)
        });
        let routes: Vec<Route> = routes.collect();
        let has_too_many = routes.len() > MOST_ROUTES;
        let is_known = !hosts.is_empty() && !has_too_many;
        self.routes = is_known.then_some(routes);
        self.has_too_many = has_too_many;
    }

    /// The virtual hosts, as far as they are known.
    pub fn hosts(&self) -> Vec<&Value> {
        self.tables.iter().flat_map(virtual_hosts).collect()
    }

    /// The tables of routes, as far as they are known.
    pub fn tables(&self) -> impl Iterator<Item = &Value> {
        self.tables.iter()
    }

    /// All messages of the manager: its own, and the tables that are outside of it.
    pub fn messages(&self) -> impl Iterator<Item = &Value> {
        let elsewhere = self.tables.iter().filter(|table| !kind(table).is_empty());
        std::iter::once(&self.message).chain(elsewhere)
    }

    /// The filters, each with its configuration.
    pub fn filters(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let filters = list(&self.message, "http_filters").filter(|one| !is_true(one, "disabled"));
        filters.map(|one| (one, field(one, "typed_config").unwrap_or(&Value::Null)))
    }

    /// Whether all of the routes are known.
    pub fn is_whole(&self) -> bool {
        let elsewhere = ["rds", "scoped_routes"].map(|name| field(&self.message, name));
        let mut tables = self.tables();
        let grows = tables.any(|table| field(table, "vhds").is_some());
        self.routes.is_some() && elsewhere == [None, None] && !grows
    }

    /// Whether requests may reach a cluster.
    pub fn leads_to(&self, cluster: &str) -> bool {
        let routes = self.routes.as_ref();
        routes.is_none_or(|routes| routes.iter().any(|route| route.leads_to(cluster)))
    }

    /// The configurations of filters in the tables, at any depth.
    pub fn of_filters(&self) -> Vec<OfFilter<'_>> {
        let mut all = Vec::new();
        for message in self.messages() {
            find_of_filters(message, &self.field, &mut all);
        }
        all
    }

    /// The routes, as far as they are known.
    pub fn known_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flatten()
    }
}

impl OfFilter<'_> {
    /// Whether the configuration leaves the filter out.
    pub fn leaves_out(&self) -> bool {
        kind(self.config) == FILTER_CONFIG && is_true(inner(self.config), "disabled")
    }
}

impl Route {
    fn new(manager: &str, index: usize, message: &Value) -> Route {
        let name = text(message, "name").unwrap_or_default();
        let label = match name {
            "" => index.to_string(),
            name => name.to_owned(),
        };
        Route {
            name: name.to_owned(),
            host: 0,
            domains: Rc::default(),
            field: format!("{manager}.routes[{label}]"),
            message: message.clone(),
            dialect: Dialect::Envoy,
        }
    }

    /// The name that findings use for a field of the route: a field of its action, or
    /// `match.prefix`.
    pub fn at(&self, name: &str) -> String {
        format!("{}.{}", self.field, self.dialect.field(name))
    }

    /// The action of the route, if it forwards to clusters.
    pub fn action(&self) -> Option<&Value> {
        field(&self.message, "route")
    }

    /// The clusters of the route. A cluster that is chosen for each request is an empty name.
    pub fn clusters(&self) -> Vec<&str> {
        let Some(action) = self.action() else {
            return Vec::new();
        };
        if let Some(cluster) = text(action, "cluster") {
            return vec![cluster];
        }
        let weighted = self.weighted().map(|one| text(one, "name"));
        let weighted: Vec<&str> = weighted.map(Option::unwrap_or_default).collect();
        match weighted.is_empty() {
            true => vec![""],
            false => weighted,
        }
    }

    /// The clusters of the route, as in [`Route::clusters`], by the names that the gateway
    /// gives them.
    pub fn cluster_names(&self) -> Vec<String> {
        let names = self.clusters().into_iter();
        let names = names.map(|name| match (self.dialect, name.rsplit_once(':')) {
            (Dialect::Ingress, Some((service, port))) => format!("outbound|{port}||{service}"),
            (Dialect::Ingress, None) => format!("outbound|||{name}"),
            _ => name.to_owned(),
        });
        names.collect()
    }

    /// Whether this route and another, or this one alone, may lead to different clusters.
    pub fn leads_apart(&self, other: &Route) -> bool {
        if self.action().is_none() || other.action().is_none() {
            return false;
        }
        let mut all = self.clusters();
        all.extend(other.clusters());
        all.contains(&"") || all.iter().any(|one| *one != all[0])
    }

    /// Whether the route certainly leads to a cluster of this name.
    pub fn leads_certainly_to(&self, cluster: &str) -> bool {
        self.clusters().contains(&cluster)
    }

    /// Whether the route may lead to a cluster.
    pub fn leads_to(&self, cluster: &str) -> bool {
        let mut clusters = self.clusters().into_iter();
        clusters.any(|one| one == cluster || one.is_empty())
    }

    /// Whether a route, or one of its weighted clusters, has one of these fields.
    pub fn has_any(&self, names: &[&str]) -> bool {
        let places = self.action().into_iter().chain(self.weighted());
        let has = |place: &Value, name: &&str| match field(place, name) {
            None | Some(Value::Bool(false)) => false,
            Some(value) => value.as_str() != Some(""),
        };
        places
            .into_iter()
            .any(|place| names.iter().any(|name| has(place, name)))
    }

    fn weighted(&self) -> impl Iterator<Item = &Value> {
        let clusters = self
            .action()
            .and_then(|action| field(action, "weighted_clusters"));
        clusters
            .into_iter()
            .flat_map(|clusters| list(clusters, "clusters"))
    }
}

/// The texts in a list of a message.
pub fn texts(message: &Value, name: &str) -> Rc<[String]> {
    let texts = list(message, name).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The message itself, where a `TypedStruct` is around it.
pub fn inner(any: &Value) -> &Value {
    match field(any, "type_url") {
        Some(_) => field(any, "value").unwrap_or(any),
        None => any,
    }
}

/// The virtual hosts of route tables, at any depth.
fn virtual_hosts(value: &Value) -> Vec<&Value> {
    let own = list(value, "virtual_hosts");
    let deeper = children(value).into_iter().flat_map(virtual_hosts);
    own.chain(deeper).collect()
}

fn routes_of(host: &Value) -> Vec<&Value> {
    let listed = list(host, "routes");
    let matcher = field(host, "matcher").into_iter();
    let in_matcher = matcher.flat_map(|tree| {
        let lists = of_kind(tree, ROUTES).into_iter();
        let lists = lists.flat_map(|routes| list(routes, "routes"));
        of_kind(tree, ROUTE).into_iter().chain(lists)
    });
    listed.chain(in_matcher).collect()
}

fn find_of_filters<'a>(value: &'a Value, path: &str, all: &mut Vec<OfFilter<'a>>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        if is(key, "typed_per_filter_config") {
            let configs = inner.as_object().into_iter().flatten();
            all.extend(configs.map(|(name, config)| OfFilter {
                field: format!("{path}.{name}"),
                name,
                config,
            }));
        }
        for (index, item) in inner.as_array().into_iter().flatten().enumerate() {
            let name = text(item, "name").map(str::to_owned);
            let name = name.unwrap_or_else(|| index.to_string());
            find_of_filters(item, &format!("{path}[{name}]"), all);
        }
        find_of_filters(inner, &path, all);
    }
}

/// All messages of a type within a value.
pub fn of_kind<'a>(value: &'a Value, wanted: &str) -> Vec<&'a Value> {
    if kind(value) == wanted {
        return vec![inner(value)];
    }
    let deeper = children(value).into_iter();
    deeper.flat_map(|child| of_kind(child, wanted)).collect()
}

/// The values of an object or a list.
pub fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}
