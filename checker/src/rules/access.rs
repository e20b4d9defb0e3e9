//! Rules of filters that check who may read.

use std::ptr;

use serde_json::Value;

use super::listener::{CHECKS, RBAC, among_listeners};
use super::managers::{RBAC_PER_ROUTE, rbac_has};
use super::signed::managers;
use crate::finding::Finding;
use crate::found::{Filter, Found, Position, is_or_has};
use crate::manager::{Manager, of_kind};
use crate::protobuf::{field, is_true, kind, list, text};
use crate::settings::{Block, Settings, all_blocks, signs};

/// With types B and C1, what stands before the filter sees another path than what stands
/// behind it.
pub fn checks_see_another_path(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in found.filters.iter().filter(|filter| moves_paths(filter)) {
        for (manager, one, config) in before(found, filter) {
            if !checks_by_path(manager, one, config) && !is_ours_by_route(found, manager, one) {
                continue;
            }
            let name = text(one, "name").unwrap_or_default();
            let field = format!("{}.http_filters[{name}]", manager.field);
            findings.push(Finding::warning(
                &filter.place,
                &field,
                "it sees `/{time}/{hash}/members/a` before the filter takes the signature out of \
                 the path, so its rules for `/members/` are passed by; let the filter that has \
                 `access` stand before it among the listener's, or take type A, C2 or F",
            ));
        }
    }
    findings
}

/// With types B and C1, Envoy chooses the filters of a request by a path that still has
/// the signature in it.
pub fn filters_are_left_out_by_another_path(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found).filter(|(filter, _)| moves_paths(filter)) {
        let optional = list(&manager.message, "http_filters");
        let optional = optional.filter(|one| is_true(one, "disabled"));
        let optional: Vec<_> = optional.filter_map(|one| text(one, "name")).collect();
        for of in manager.of_filters() {
            let chooses = of.leaves_out() || optional.contains(&of.name);
            if !chooses || is_name_of(filter, manager, of.name) {
                continue;
            }
            findings.push(Finding::warning(
                &filter.place,
                &of.field,
                "Envoy chooses the filters of a request by its first route: that of \
                 `/{time}/{hash}/members/a`, not that of `/members/a`; use the filter's own \
                 message for routes, such as ExtAuthzPerRoute, or take type A, C2 or F",
            ));
        }
    }
    findings
}

/// Two filters of ours on a cluster have one place to note what the first attempt was.
pub fn retries_are_refused(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in found.filters.iter().filter(|filter| !signs(filter)) {
        let on_cluster = matches!(filter.position, Position::Cluster(_));
        let mut others = found.filters.iter();
        if !on_cluster || !others.any(|one| signs(one) && one.position == filter.position) {
            continue;
        }
        for block in blocks(filter).filter(|block| block.url_type().is_some()) {
            let field = format!("{}.access.url_signing", block.field);
            findings.push(Finding::error(
                &filter.place,
                &field,
                "another filter of this cluster signs, and both keep the same note for retries, \
                 which are refused then; put `access` and `url_keys` into the settings of the \
                 filter that signs, and take this one out",
            ));
        }
    }
    findings
}

/// What a name that is misspelled should guard is treated by the defaults.
pub fn settings_are_of_no_route(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let of_gateway = matches!(filter.position, Position::Gateway | Position::Routes);
        let (all, ways) = match of_gateway {
            true => (managers(found, filter), managers(found, filter)),
            false => (found.managers.iter().collect(), ways(found, filter)),
        };
        if ways.is_empty() || ways.iter().any(|manager| !manager.is_whole()) {
            continue;
        }
        let routes = all.into_iter().flat_map(Manager::known_routes);
        let mut names: Vec<&str> = routes.map(|route| route.name.as_str()).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        for block in blocks(filter) {
            let Some(route) = &block.route else {
                continue;
            };
            if names.binary_search(&route.as_str()).is_err() {
                let message = format!(
                    "no route of the file has this name, so these settings hold nowhere, and \
                     `defaults` in their place; write the `name` of a route ({})",
                    match names.as_slice() {
                        [] => "none has one".to_owned(),
                        names if names.len() > MOST_NAMES => {
                            let first = names[..MOST_NAMES].join(", ");
                            format!("there are {}: {first}, …", names.len())
                        }
                        names => format!("there are: {}", names.join(", ")),
                    }
                );
                findings.push(Finding::warning(&filter.place, &block.field, message));
            }
        }
    }
    findings
}

/// A message names so many routes at most.
const MOST_NAMES: usize = 20;

/// What is left out checks nobody.
pub fn routes_leave_the_filter_out(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        if !all_blocks(filter, found).iter().any(Block::checks) {
            continue;
        }
        for manager in ways(found, filter) {
            let all = manager.of_filters().into_iter();
            let left_out = all.filter(|of| of.leaves_out() && is_name_of(filter, manager, of.name));
            for of in left_out {
                findings.push(Finding::warning(
                    &filter.place,
                    &of.field,
                    "this leaves the filter out, so nobody checks who may read there; where \
                     everybody may, give the route `\"access\": {\"public\": true}` in the \
                     filter's settings",
                ));
            }
        }
    }
    findings
}

/// The settings of a filter, by the places where they stand.
fn blocks(filter: &Filter) -> impl Iterator<Item = Block> {
    let settings = Settings::of(filter).into_iter();
    settings.flat_map(|settings| settings.written())
}

/// Whether the filter takes a signature out of a path. Metadata cannot say so.
fn moves_paths(filter: &Filter) -> bool {
    blocks(filter).any(|block| matches!(block.url_type(), Some("B" | "C1")))
}

/// The managers whose requests may reach a filter.
fn ways<'a>(found: &'a Found, filter: &Filter) -> Vec<&'a Manager> {
    let all = found.managers.iter().enumerate();
    let ways = all.filter(|(index, manager)| filter.is_behind(*index, manager));
    ways.map(|(_, manager)| manager).collect()
}

/// The filters through which a request has come before, with their configurations. What
/// an internal listener gets may come from any other.
fn before<'a>(
    found: &'a Found,
    filter: &Filter,
) -> impl Iterator<Item = (&'a Manager, &'a Value, &'a Value)> {
    let ways = ways(found, filter);
    let from_any = ways.iter().any(|manager| manager.is_internal);
    let is_way = move |manager: &Manager| ways.iter().any(|way| ptr::eq(*way, manager));
    let managers = found.managers.iter().enumerate();
    let managers = managers.filter(move |(_, manager)| from_any || is_way(manager));
    managers.flat_map(move |(index, manager)| {
        let is_own = filter.position == Position::Manager(index);
        let all = manager.filters();
        let before = all.take_while(move |(one, _)| !is_own || !is_or_has(one, filter));
        before.map(move |(one, config)| (manager, one, config))
    })
}

/// Whether a filter checks who may read, and sees the path or the route.
fn checks_by_path(manager: &Manager, one: &Value, config: &Value) -> bool {
    let is = |check: &str| !of_kind(config, check).is_empty();
    let mut others = CHECKS.iter().filter(|check| **check != RBAC);
    if others.any(|check| is(check)) {
        return true;
    }
    let by_route = || {
        let mut all = manager.of_filters().into_iter();
        all.any(|of| text(one, "name") == Some(of.name) && kind(of.config) == RBAC_PER_ROUTE)
    };
    is(RBAC) && (rbac_has(config, is_path) || by_route())
}

/// Whether a part of an rbac's rules looks at the path, or may do so.
fn is_path(value: &Value) -> bool {
    let has = |name: &&str| field(value, name).is_some();
    value.as_str() == Some(":path") || OF_PATHS.iter().any(has)
}

/// The last three are expressions.
const OF_PATHS: [&str; 5] = [
    "url_path",
    "uri_template",
    "condition",
    "checked_condition",
    "expr_match",
];

/// Whether a filter among the listener's is ours, and has other checks by the route.
fn is_ours_by_route(found: &Found, manager: &Manager, one: &Value) -> bool {
    let mut ours = among_listeners(found)
        .filter(|(filter, of)| ptr::eq(*of, manager) && is_or_has(one, filter));
    ours.any(|(filter, _)| {
        let blocks = all_blocks(filter, found);
        blocks.len() > 1 && blocks.iter().any(Block::checks)
    })
}

/// Whether routes mean the filter by a name: its own, or that of what is around it.
pub fn is_name_of(filter: &Filter, manager: &Manager, name: &str) -> bool {
    let mut all = list(&manager.message, "http_filters");
    name == filter.name || all.any(|one| text(one, "name") == Some(name) && is_or_has(one, filter))
}
