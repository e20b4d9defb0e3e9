//! The routes that gateways make from manifests, as messages of Envoy.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::dialect::Dialect;
use crate::found::Found;
use crate::manager::{Manager, Route, texts};
use crate::protobuf::{field, is, text};

impl Found {
    /// Adds the routes of a manifest of this kind, if it has any.
    pub fn add_routes(&mut self, kind: &str, document: &Value, context: Context) {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let routes = match kind {
            "VirtualService" => of_virtual_service(document),
            "HTTPRoute" => of_http_route(document),
            "Ingress" => of_ingress(document),
            "EnvoyFilter" => of_envoy_filter(document),
            _ => return,
        };
        if routes.is_empty() {
            return;
        }
        let label = format!("{kind}[{name}]");
        let spec = &document["spec"];
        let of_rules = items(spec, "rules").filter_map(|rule| rule["host"].as_str());
        let domains: Rc<[String]> = match kind {
            "VirtualService" => texts(spec, "hosts"),
            "HTTPRoute" => texts(spec, "hostnames"),
            _ => of_rules.map(str::to_owned).collect(),
        };
        let routes = routes.into_iter().map(|route| Route {
            field: format!("{label}.{}", route.field),
            domains: Rc::clone(&domains),
            ..route
        });
        let manager = Manager::of_routes(context.place(None), label.clone(), routes.collect());
        self.gateways.push(manager);
    }
}

fn route(dialect: Dialect, name: &str, field: String, message: Map<String, Value>) -> Route {
    let message = json!({"name": name, "match": message.get("match"),
                         "route": message.get("route")});
    Route {
        name: name.to_owned(),
        host: 0,
        domains: Rc::default(),
        field,
        message,
        dialect,
    }
}

/// The elements of a list in JSON.
fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[name].as_array().into_iter().flatten()
}

/// The elements of a list, or `null` if there are none.
fn some<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let all: Vec<&Value> = items(value, name).collect();
    match all.is_empty() {
        true => vec![&Value::Null],
        false => all,
    }
}

/// Sets a field, if there is a value.
fn put(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    if !value.is_null() {
        fields.insert(name.to_owned(), value.clone());
    }
}

fn message(matched: Map<String, Value>, action: Map<String, Value>) -> Map<String, Value> {
    let fields = [("match", matched), ("route", action)];
    let fields = fields
        .into_iter()
        .map(|(name, fields)| (name, fields.into()));
    fields
        .map(|(name, value): (&str, Value)| (name.to_owned(), value))
        .collect()
}

/// The routes of Istio's `VirtualService`: the name of a match follows that of its route.
fn of_virtual_service(document: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (index, http) in items(&document["spec"], "http").enumerate() {
        if http["redirect"].is_object() || http["directResponse"].is_object() {
            continue;
        }
        let own = http["name"].as_str().unwrap_or_default();
        let label = match own {
            "" => index.to_string(),
            own => own.to_owned(),
        };
        let mut action = Map::new();
        let rewrite = &http["rewrite"];
        put(&mut action, "host_rewrite_literal", &rewrite["authority"]);
        put(&mut action, "prefix_rewrite", &rewrite["uri"]);
        put(&mut action, "regex_rewrite", &rewrite["uriRegexRewrite"]);
        put(&mut action, "timeout", &http["timeout"]);
        for mirror in ["mirror", "mirrors"] {
            put(&mut action, "request_mirror_policies", &http[mirror]);
        }
        let host = items(http, "route").next();
        let host = host.map_or(&Value::Null, |one| &one["destination"]["host"]);
        put(&mut action, "cluster", host);
        for one in some(http, "match") {
            let name = match one["name"].as_str() {
                None | Some("") => own.to_owned(),
                Some(name) => format!("{own}.{name}"),
            };
            let mut matched = Map::new();
            match one["uri"] {
                Value::Null => put(&mut matched, "prefix", &"/".into()),
                _ => put(&mut matched, "prefix", &one["uri"]["prefix"]),
            }
            put(&mut matched, "path", &one["uri"]["exact"]);
            let message = message(matched, action.clone());
            let field = format!("http[{label}]");
            routes.push(route(Dialect::VirtualService, &name, field, message));
        }
    }
    routes
}

/// The routes of the Gateway API's `HTTPRoute`, with the names that Envoy Gateway gives them.
fn of_http_route(document: &Value) -> Vec<Route> {
    let metadata = &document["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let own = metadata["name"].as_str().unwrap_or_default();
    let spec = &document["spec"];
    let mut routes = Vec::new();
    for (rule_number, rule) in items(spec, "rules").enumerate() {
        let action = of_rule(rule);
        for (number, one) in some(rule, "matches").into_iter().enumerate() {
            let mut matched = Map::new();
            match one["path"]["type"].as_str() {
                Some("Exact") => put(&mut matched, "path", &one["path"]["value"]),
                Some("RegularExpression") => {}
                None => put(&mut matched, "path_separated_prefix", &"/".into()),
                _ => put(&mut matched, "path_separated_prefix", &one["path"]["value"]),
            }
            for host in some(spec, "hostnames") {
                let host = host.as_str().unwrap_or("*").replace('.', "_");
                let name =
                    format!("httproute/{namespace}/{own}/rule/{rule_number}/match/{number}/{host}");
                let message = message(matched.clone(), action.clone());
                let field = format!("rules[{rule_number}]");
                routes.push(route(Dialect::HttpRoute, &name, field, message));
            }
        }
    }
    routes
}

/// The action of a rule of an `HTTPRoute`.
fn of_rule(rule: &Value) -> Map<String, Value> {
    let mut action = Map::new();
    for rewrite in items(rule, "filters").map(|filter| &filter["urlRewrite"]) {
        put(&mut action, "host_rewrite_literal", &rewrite["hostname"]);
        let path = &rewrite["path"];
        put(&mut action, "prefix_rewrite", &path["replacePrefixMatch"]);
        put(&mut action, "regex_rewrite", &path["replaceFullPath"]);
    }
    for mirror in items(rule, "filters").map(|filter| &filter["requestMirror"]) {
        put(&mut action, "request_mirror_policies", mirror);
    }
    put(&mut action, "timeout", &rule["timeouts"]["request"]);
    let backend = items(rule, "backendRefs").next();
    put(
        &mut action,
        "cluster",
        backend.map_or(&Value::Null, |one| &one["name"]),
    );
    action
}

/// The routes of Higress's `Ingress`: annotations set the action, and the name begins with the
/// namespace.
fn of_ingress(document: &Value) -> Vec<Route> {
    let metadata = &document["metadata"];
    let own = metadata["name"].as_str().unwrap_or_default();
    let name = match metadata["namespace"].as_str() {
        None | Some("higress-system") => own.to_owned(),
        Some(namespace) => format!("{namespace}/{own}"),
    };
    let annotation = |name: &str| {
        let mut all = ["higress.io", "nginx.ingress.kubernetes.io"].into_iter();
        all.find_map(|of| metadata["annotations"].get(format!("{of}/{name}")))
            .unwrap_or(&Value::Null)
    };
    let mut action = Map::new();
    put(
        &mut action,
        "host_rewrite_literal",
        annotation("upstream-vhost"),
    );
    put(&mut action, "regex_rewrite", annotation("rewrite-target"));
    put(&mut action, "timeout", annotation("timeout"));
    put(
        &mut action,
        "request_mirror_policies",
        annotation("mirror-target-service"),
    );
    put(&mut action, "cluster", annotation("destination"));
    let message = message(Map::new(), action);
    vec![route(Dialect::Ingress, &name, "spec".to_owned(), message)]
}

/// The routes that patches of Istio's `EnvoyFilter` add.
fn of_envoy_filter(document: &Value) -> Vec<Route> {
    let patches = items(&document["spec"], "configPatches");
    let of_routes = patches.filter(|patch| patch["applyTo"] == "HTTP_ROUTE");
    let values = of_routes.map(|patch| &patch["patch"]["value"]);
    let routes = values.filter(|value| field(value, "route").is_some());
    let routes = routes.map(|value| {
        let name = text(value, "name").unwrap_or_default();
        let fields = value.as_object().into_iter().flatten();
        let of = |wanted| fields.clone().find(|(key, _)| is(key, wanted));
        let parts = ["match", "route"].into_iter().filter_map(|wanted| {
            let (_, part) = of(wanted)?;
            Some((wanted.to_owned(), part.clone()))
        });
        let field = format!("routes[{name}]");
        route(Dialect::Envoy, name, field, parts.collect())
    });
    routes.collect()
}
