//! Rules of the filter among a listener's filters. There it never changes the host or
//! the path: the route does, behind it, and Envoy may select the route again.

use serde_json::Value;

use crate::finding::Finding;
use crate::found::{Filter, Found, Position, has_ours};
use crate::manager::{Manager, Route, of_kind};
use crate::protobuf::{field, kind, list, text};
use crate::settings::{Block, Settings};

/// Checks of who may read must see the client's request, before the filter.
pub fn the_filter_stands_before_the_checks(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        if let Some(phase @ ("AUTHN" | "AUTHZ")) = filter.phase.as_deref() {
            let message = format!(
                "{phase} stands before the filters of authorization: they see the filter's \
                 request, not the client's; write `phase: STATS`"
            );
            findings.push(Finding::warning(&filter.place, "phase", message));
        }
    }
    for (filter, manager) in among_listeners(found) {
        let behind = manager.filters().skip_while(|(one, _)| !has_ours(one));
        for (check, _) in behind.filter(|(_, config)| CHECKS.contains(&kind(config))) {
            let name = text(check, "name").unwrap_or_default();
            let field = format!("{}.http_filters[{name}]", manager.field);
            findings.push(Finding::warning(
                &filter.place,
                &field,
                "it stands behind the filter: it sees the filter's request, not the client's; put \
                 it before",
            ));
        }
    }
    findings
}

const CHECKS: [&str; 7] = [
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
    "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.oauth2.v3.OAuth2",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
];

/// Envoy selects the route again once the filter has changed a header.
pub fn routes_match_on_changed_headers(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found) {
        let Some(settings) = Settings::of(filter) else {
            continue;
        };
        let signing = settings.signing(found);
        let changed = |name: &str| signing.iter().any(|block| changes(block, name));
        for route in manager.known_routes() {
            for (place, name) in selecting(route) {
                if changed(&name) {
                    let field = format!("{}.{place}", route.field);
                    let message = format!(
                        "the filter removes or sets `{name}`, and Envoy then selects the route \
                         again: a signed request may leave for another cluster; match on the path \
                         or the host, or name the header in `forward_headers` wherever requests \
                         are signed"
                    );
                    findings.push(Finding::warning(&filter.place, &field, message));
                }
            }
        }
        for input in of_kind(&manager.message, HEADER_INPUT) {
            let name = text(input, "header_name").unwrap_or_default();
            let in_routes = in_matcher_of_routes(manager, input);
            if in_routes && changed(&name.to_ascii_lowercase()) {
                let field = format!("{}.route_config.virtual_hosts.matcher", manager.field);
                let message = format!(
                    "the filter removes or sets `{name}`, and Envoy then selects the route again; \
                     match on the path or the host"
                );
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

const HEADER_INPUT: &str = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";

/// Filters have matchers as well, but none that selects a route.
fn in_matcher_of_routes(manager: &Manager, input: &Value) -> bool {
    let tables = ["route_config", "scoped_routes"].into_iter();
    let mut tables = tables.filter_map(|name| field(&manager.message, name));
    tables.any(|table| of_kind(table, HEADER_INPUT).contains(&input))
}

/// The headers by which a route, or its cluster, is selected.
fn selecting(route: &Route) -> Vec<(&'static str, String)> {
    let matched = field(&route.message, "match");
    let headers = matched.into_iter().flat_map(|one| list(one, "headers"));
    let headers = headers.filter_map(|one| Some(("match.headers", text(one, "name")?)));
    let cookies = matched.into_iter().flat_map(|one| list(one, "cookies"));
    let cookies = cookies.map(|_| ("match.cookies", "cookie"));
    let cluster = route
        .action()
        .and_then(|action| text(action, "cluster_header"));
    let cluster = cluster.map(|name| ("route.cluster_header", name));
    let all = headers.chain(cookies).chain(cluster);
    all.map(|(place, name)| (place, name.to_ascii_lowercase()))
        .collect()
}

/// Headers that stay as they are. Envoy finds no route at all where `x-forwarded-proto`
/// was removed (1.36 to 1.40), so this one stays.
const KEPT: [&str; 17] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "content-length",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "range",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-proto",
];

/// Whether the filter removes a header, or sets it.
fn changes(block: &Block, name: &str) -> bool {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let kept = name.starts_with(':') || name == "host" || KEPT.contains(&name);
    !kept && !block.texts("forward_headers").any(matches)
}

/// The signature names OSS's host, so the route must set it.
pub fn routes_keep_the_clients_host(found: &Found) -> Vec<Finding> {
    signed_routes(found, |route, _| {
        let rewritten = route.has_any(&HOST_REWRITES);
        (!rewritten).then_some((
            "host_rewrite_literal",
            "among the listener's filters the filter does not set the host, so OSS would refuse \
             the client's; write the bucket's host here, which `endpoint` describes",
        ))
    })
}

const HOST_REWRITES: [&str; 5] = [
    "host_rewrite",
    "host_rewrite_literal",
    "auto_host_rewrite",
    "host_rewrite_header",
    "host_rewrite_path_regex",
];

/// Settings that describe how the route rewrites the path, where it does not.
pub fn routes_keep_the_clients_path(found: &Found) -> Vec<Finding> {
    signed_routes(found, |route, block| {
        let maps = !matches!(block.text("strip_prefix"), "" | "/")
            || !block.text("key_prefix").is_empty()
            || !block.text("index_document").is_empty()
            || block.text("addressing") == "path_style";
        (maps && !route.has_any(&PATH_REWRITES)).then_some((
            "prefix_rewrite",
            "among the listener's filters the filter does not change the path: strip_prefix, \
             key_prefix, index_document and path_style only describe what the route does; let it \
             rewrite the path (prefix_rewrite, regex_rewrite), or take these settings out",
        ))
    })
}

const PATH_REWRITES: [&str; 4] = [
    "prefix_rewrite",
    "regex_rewrite",
    "path_rewrite",
    "path_rewrite_policy",
];

/// What is mirrored is copied with the signature.
pub fn mirrors_carry_the_signature(found: &Found) -> Vec<Finding> {
    signed_routes(found, |route, _| {
        route.has_any(&["request_mirror_policies"]).then_some((
            "request_mirror_policies",
            "the copies have our authorization and x-oss-security-token on them; take it out, or \
             let the filter sit on the cluster",
        ))
    })
}

/// Says it for each signed route, with the field in its action.
fn signed_routes(
    found: &Found,
    rule: impl Fn(&Route, &Block) -> Option<(&'static str, &'static str)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found) {
        let Some(settings) = Settings::of(filter) else {
            continue;
        };
        for route in manager
            .known_routes()
            .filter(|route| route.action().is_some())
        {
            let block = settings.treatment(route);
            if let Some((name, message)) = rule(route, &block).filter(|_| block.signs()) {
                let field = format!("{}.route.{name}", route.field);
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// Complete defaults sign the requests of every route, whichever cluster it leads to.
pub fn defaults_sign_other_routes(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let Some(settings) = Settings::of(filter) else {
            continue;
        };
        let several = match &filter.position {
            Position::Gateway => true,
            Position::Manager(index) => {
                let routes = found
                    .managers
                    .get(*index)
                    .and_then(|one| one.routes.as_ref());
                routes.is_none_or(|routes| signs_several(&settings, routes))
            }
            Position::Cluster(_) | Position::Routes | Position::Unknown => false,
        };
        if several && settings.defaults_sign() {
            let field = settings.path("defaults");
            findings.push(Finding::warning(
                &filter.place,
                &field,
                "they sign the requests of every route that has no settings of its own, and not \
                 all lead to this bucket's cluster; give the bucket under `routes`, by the names \
                 of Envoy's routes, with `\"enabled\": true` there and `\"enabled\": false` here",
            ));
        }
    }
    findings
}

/// Whether the routes lead to several clusters, and the defaults sign one of them.
fn signs_several(settings: &Settings, routes: &[Route]) -> bool {
    let mut clusters: Vec<&str> = routes.iter().flat_map(Route::clusters).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let several = clusters.len() > 1 || clusters == [""];
    let mut routes = routes.iter().filter(|route| route.action().is_some());
    several && routes.any(|route| settings.own(route).is_none())
}

/// The filters among a listener's, with their managers.
fn among_listeners(found: &Found) -> impl Iterator<Item = (&Filter, &Manager)> {
    found
        .filters
        .iter()
        .filter_map(|filter| match filter.position {
            Position::Manager(index) => Some((filter, found.managers.get(index)?)),
            _ => None,
        })
}
