//! Rules for filters that check who may read.

use std::ptr;

use oss_origin_auth_core::config::fields;
use serde_json::Value;

use super::listener::{CHECKS, RBAC, among_listeners};
use super::managers::{RBAC_PER_ROUTE, rbac_has};
use super::signed::managers;
use crate::finding::Finding;
use crate::found::{Filter, Found, Position, is_or_has};
use crate::manager::{Manager, of_kind};
use crate::protobuf::{field, is_true, kind, list, text};
use crate::settings::{Block, Settings, all_blocks, signs};

/// With types B and C1, filters before ours see another path than those after it.
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

/// With types B and C1, Envoy chooses the filters of a request by a path that still contains
/// the signature.
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

/// Two of our filters on a cluster share one place for the notes about the first attempt.
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
    findings.extend(rules_share_a_note(found));
    findings
}

/// A rule by the host is noted with the first attempt, too.
fn rules_share_a_note(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let on_cluster = matches!(filter.position, Position::Cluster(_));
        let mut others = found.filters.iter().filter(|one| !ptr::eq(*one, filter));
        let notes = |one: &Filter| {
            one.position == filter.position && blocks(one).any(|block| is_by_host(&block))
        };
        if !on_cluster || !others.any(notes) {
            continue;
        }
        for block in blocks(filter).filter(is_by_host) {
            findings.push(Finding::error(
                &filter.place,
                &format!("{}.{}", block.field, fields::MATCH_DOMAIN),
                "another filter of this cluster has such a rule, and keeps the same note for \
                 retries, which are refused then; select the rule by `_match_route_`, or take one \
                 filter out",
            ));
        }
    }
    findings
}

/// What the defaults switch off stays off, though a route or a rule names its bucket.
pub fn buckets_are_not_signed(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let settings = Settings::of(filter);
        let blocks = settings.map(|settings| settings.unsigned_buckets());
        for block in blocks.into_iter().flatten() {
            findings.push(Finding::warning(
                &filter.place,
                &format!("{}.bucket", block.field),
                "`defaults` has `\"enabled\": false`, so these requests leave unsigned, and OSS \
                 refuses them; write `\"enabled\": true` beside the bucket",
            ));
        }
    }
    findings
}

/// The defaults hold for a route whose name is misspelled in the settings.
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
        let named = Settings::of(filter).map(|settings| settings.named_routes());
        for (field, route) in named.into_iter().flatten() {
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
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// A client chooses the host of its request, and so whether the same objects are checked.
pub fn clients_choose_the_check(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let settings = Settings::of(filter);
        let served = settings.map_or_else(Vec::new, |settings| settings.served());
        for block in served.iter().filter(|block| is_by_host(block)) {
            let differs = |other: &Block| {
                other.text("bucket") == block.text("bucket") && other.checks() != block.checks()
            };
            if served.iter().any(differs) {
                findings.push(Finding::warning(
                    &filter.place,
                    &format!("{}.access", block.field),
                    "a client chooses the host, and with it whether it is checked, unless Envoy's \
                     routes lead other hosts elsewhere; give `defaults` and all rules a check, or \
                     select the rule by `_match_route_`",
                ));
            }
        }
    }
    findings
}

/// The first rule that matches a request holds; the others are not read.
pub fn rules_are_never_reached(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let settings = Settings::of(filter);
        let unreachable = settings.map(|settings| settings.unreachable_rules());
        for (block, by) in unreachable.into_iter().flatten() {
            let by = filter.rules.get(by).copied().unwrap_or(by);
            let message = format!(
                "the rule [{by}] before it matches every request that this one matches, so these \
                 settings hold nowhere; put this one before it, or take it out"
            );
            findings.push(Finding::warning(&filter.place, &block.field, message));
        }
    }
    findings
}

fn is_by_host(block: &Block) -> bool {
    block.texts(fields::MATCH_DOMAIN).next().is_some()
}

/// The most routes that a message names.
const MOST_NAMES: usize = 20;

/// A filter that is left out checks nobody.
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

/// The settings of a filter, by their places.
fn blocks(filter: &Filter) -> impl Iterator<Item = Block> {
    let settings = Settings::of(filter).into_iter();
    settings.flat_map(|settings| settings.written())
}

/// Whether the filter removes a signature from the path. Metadata cannot ask for that.
fn moves_paths(filter: &Filter) -> bool {
    blocks(filter).any(|block| matches!(block.url_type(), Some("B" | "C1")))
}

/// The managers whose requests may reach a filter.
fn ways<'a>(found: &'a Found, filter: &Filter) -> Vec<&'a Manager> {
    let all = found.managers.iter().enumerate();
    let ways = all.filter(|(index, manager)| filter.is_behind(*index, manager));
    ways.map(|(_, manager)| manager).collect()
}

/// The filters that a request has passed before, with their configurations. A request to an
/// internal listener may come from any other listener.
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

/// Whether a filter checks who may read by the path or by the route.
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

/// Whether a part of an rbac's rules looks at the path, or might.
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

/// Whether a downstream filter is ours, and its checks depend on the route.
fn is_ours_by_route(found: &Found, manager: &Manager, one: &Value) -> bool {
    let mut ours = among_listeners(found)
        .filter(|(filter, of)| ptr::eq(*of, manager) && is_or_has(one, filter));
    ours.any(|(filter, _)| {
        let blocks = all_blocks(filter, found);
        blocks.len() > 1 && blocks.iter().any(Block::checks)
    })
}

/// Whether routes refer to the filter by a name: its own, or that of the filter around it.
pub fn is_name_of(filter: &Filter, manager: &Manager, name: &str) -> bool {
    let mut all = list(&manager.message, "http_filters");
    name == filter.name || all.any(|one| text(one, "name") == Some(name) && is_or_has(one, filter))
}
