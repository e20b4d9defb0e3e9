//! Rules for a downstream filter. It never changes the host or the path: the route does that
//! after it, and Envoy may select the route again.

use crate::finding::Finding;
use crate::found::{Filter, Found, Position, is_or_has};
use crate::manager::{Manager, Route, of_kind};
use crate::protobuf::text;
use crate::settings::{Block, Settings, signs};

use super::settings::written;
use super::signed::{at, managers};

/// Filters that check who may read must see the client's request, before our filter.
pub fn the_filter_stands_before_the_checks(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in found.filters.iter().filter(|filter| signs(filter)) {
        if let Some(phase @ ("AUTHN" | "AUTHZ")) = filter.phase.as_deref() {
            let message = format!(
                "{phase} stands before the filters of authorization: they see the filter's \
                 request, not the client's; write `phase: STATS`"
            );
            findings.push(Finding::warning(&filter.place, "phase", message));
        }
    }
    // A filter that only checks removes the signature from the URL and changes nothing else.
    for (filter, manager) in among_listeners(found).filter(|(filter, _)| signs(filter)) {
        let behind = manager
            .filters()
            .skip_while(|(one, _)| !is_or_has(one, filter));
        let checks = |config| {
            CHECKS
                .iter()
                .any(|check| !of_kind(config, check).is_empty())
        };
        for (check, _) in behind.filter(|(_, config)| checks(config)) {
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

/// The types of the filters that check who may read.
pub const CHECKS: [&str; 7] = [
    "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
    "envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.oauth2.v3.OAuth2",
    RBAC,
];

/// The type of the filter that has rules of its own.
pub const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

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

/// The settings describe how the route rewrites the path, but the route does not rewrite it.
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

/// The fields by which a route changes the path.
pub const PATH_REWRITES: [&str; 4] = [
    "prefix_rewrite",
    "regex_rewrite",
    "path_rewrite",
    "path_rewrite_policy",
];

/// A mirrored request is copied with its signature.
pub fn mirrors_carry_the_signature(found: &Found) -> Vec<Finding> {
    signed_routes(found, |route, _| {
        route.has_any(&["request_mirror_policies"]).then_some((
            "request_mirror_policies",
            "the copies have our authorization and x-oss-security-token on them; take it out, or \
             let the filter sit on the cluster",
        ))
    })
}

/// A finding for each signed route, with the field in its action.
fn signed_routes(
    found: &Found,
    rule: impl Fn(&Route, &Block) -> Option<(&'static str, &'static str)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let among = |filter: &&Filter| !matches!(filter.position, Position::Cluster(_));
    for filter in found.filters.iter().filter(among) {
        let Some(settings) = Settings::of(filter) else {
            continue;
        };
        for manager in managers(found, filter) {
            let routes = manager.known_routes();
            for route in routes.filter(|route| route.action().is_some()) {
                let block = settings.treatment(route);
                if let Some((name, message)) = rule(route, &block).filter(|_| block.signs()) {
                    let field = route.at(name);
                    findings.push(Finding::warning(&at(filter, manager), &field, message));
                }
            }
        }
    }
    findings
}

/// The client's signature stays on the path, since the path must not change.
pub fn signed_urls_are_not_stripped(found: &Found) -> Vec<Finding> {
    let among = |position: &Position| match position {
        Position::Manager(_) | Position::Gateway | Position::Routes => true,
        Position::Cluster(_) | Position::Unknown => false,
    };
    written(found, |filter, block| {
        let strips = block.text("presigned_urls") == "strip";
        (strips && among(&filter.position)).then(|| {
            let message = "among the listener's filters the filter does not change the path, so it \
                           refuses signed URLs as with `refuse`; write `refuse`, or let the filter \
                           sit on the cluster";
            ("presigned_urls", message.to_owned())
        })
    })
}

/// Complete defaults sign the requests of every route, to any cluster.
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

/// Whether the routes lead to several clusters, and the defaults sign for one of them.
fn signs_several(settings: &Settings, routes: &[Route]) -> bool {
    let mut clusters: Vec<&str> = routes.iter().flat_map(Route::clusters).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let several = clusters.len() > 1 || clusters == [""];
    let mut routes = routes.iter().filter(|route| route.action().is_some());
    several && routes.any(|route| settings.own(route).is_none())
}

/// The downstream filters, with their managers.
pub fn among_listeners(found: &Found) -> impl Iterator<Item = (&Filter, &Manager)> {
    found
        .filters
        .iter()
        .filter_map(|filter| match filter.position {
            Position::Manager(index) => Some((filter, found.managers.get(index)?)),
            _ => None,
        })
}
