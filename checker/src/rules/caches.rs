//! Rules for a cache before the filter, which serves its content without asking the filter.

use serde_json::Value;

use crate::finding::Finding;
use crate::found::{Filter, Found, Position, is_or_has};
use crate::manager::{Manager, Route, of_kind};
use crate::protobuf::text;
use crate::settings::{Block, all_blocks, signs};

use super::listener::among_listeners;
use super::settings::written;
use super::signed::at;

/// The content of a cache must be checked for who may read it, too.
pub fn hits_are_not_checked(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found) {
        if !all_blocks(filter, found).iter().any(Block::checks) {
            continue;
        }
        for cache in caches_before(manager, filter) {
            let field = format!("{}.http_filters[{cache}]", manager.field);
            findings.push(Finding::error(
                &filter.place,
                &field,
                "it stands before the filter that has `access`, and serves what it holds \
                 unchecked; put the filter before it",
            ));
        }
    }
    let perhaps = written(found, |filter, block| {
        (block.checks() && may_be_cached(found, filter, block)).then(|| {
            let message = "a cache of this file may stand before the filter, and serves what it \
                           holds unchecked; check who may read in a filter before the cache, as \
                           in envoy/cached.yaml";
            ("access", message.to_owned())
        })
    });
    findings.extend(perhaps);
    findings
}

/// A cache ignores requests with `authorization`, and the filter sets it.
pub fn caches_stand_behind_the_signer(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, manager) in among_listeners(found).filter(|(filter, _)| signs(filter)) {
        let all = manager.filters();
        let behind = all.skip_while(|(one, _)| !is_or_has(one, filter));
        for (cache, _) in behind.filter(|(_, config)| is_cache(config)) {
            let name = text(cache, "name").unwrap_or_default();
            let field = format!("{}.http_filters[{name}]", manager.field);
            findings.push(Finding::warning(
                &filter.place,
                &field,
                "it stands behind the filter that signs, and a cache keeps nothing of a request \
                 that has an authorization; put it before, or let the filter sit on the cluster",
            ));
        }
    }
    findings
}

/// Envoy's first cache stores the answer to a range request as the whole object.
pub fn the_old_cache_mixes_parts(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, manager) in found.managers.iter().enumerate() {
        let mut filters = found.filters.iter();
        let Some(filter) = filters.find(|filter| filter.is_behind(index, manager)) else {
            continue;
        };
        for (cache, _) in manager
            .filters()
            .filter(|(_, config)| !of_kind(config, OLD_CACHE).is_empty())
        {
            let name = text(cache, "name").unwrap_or_default();
            let field = format!("{}.http_filters[{name}]", manager.field);
            findings.push(Finding::warning(
                &at(filter, manager),
                &field,
                "it stores the answer to a request for a part of an object as the whole; take \
                 cache_v2, as in envoy/cached.yaml, and empty the folder",
            ));
        }
    }
    findings
}

/// A cache does not compare signatures, and does not know when they expire.
pub fn signed_urls_are_cached(found: &Found) -> Vec<Finding> {
    written(found, |filter, block| {
        let by_url = matches!(block.text("presigned_urls"), "pass" | "require");
        let is_cached = || is_behind(found, filter) || may_be_cached(found, filter, block);
        (by_url && is_cached()).then(|| {
            let message = "a cache stands before the filter: what it holds is served without a \
                           signature, and after the signature has expired; give these requests a \
                           route that passes the cache by, or have `url_signing` check another \
                           kind of signed URL before the cache";
            ("presigned_urls", message.to_owned())
        })
    })
}

/// Whether a cache is before a filter in the same manager.
fn is_behind(found: &Found, filter: &Filter) -> bool {
    match filter.position {
        Position::Manager(index) => {
            let manager = found.managers.get(index);
            manager.is_some_and(|manager| !caches_before(manager, filter).is_empty())
        }
        _ => false,
    }
}

/// Whether requests with these settings may have passed a cache in another manager of the file.
fn may_be_cached(found: &Found, filter: &Filter, block: &Block) -> bool {
    let have_cache = |manager: &Manager| manager.filters().any(|(_, one)| is_cache(one));
    if !found.managers.iter().any(have_cache) {
        return false;
    }
    match &filter.position {
        Position::Manager(index) => {
            let manager = found.managers.get(*index);
            manager.is_some_and(|manager| manager.is_internal && !have_cache(manager))
        }
        Position::Cluster(cluster) => {
            let managers = found.managers.iter();
            let mut ways = managers.filter(|manager| reaches(manager, block, cluster));
            let is_none = ways.clone().next().is_none();
            is_none || ways.any(|manager| manager.is_internal || have_cache(manager))
        }
        Position::Gateway | Position::Routes | Position::Unknown => false,
    }
}

/// Whether requests of a manager may reach a cluster and have these settings there.
fn reaches(manager: &Manager, block: &Block, cluster: &str) -> bool {
    let Some(routes) = &manager.routes else {
        return true;
    };
    let is_meant = |route: &Route| match &block.route {
        Some(name) => route.name == *name,
        None => true,
    };
    let by_route = |route: &Route| is_meant(route) && route.leads_to(cluster);
    // A cache fetches from this cluster on any route.
    let is_fetched = |config: &Value| text(config, "override_upstream_cluster") == Some(cluster);
    let mut filters = manager.filters();
    let fetched = filters.any(|(_, config)| caches(config).any(is_fetched));
    fetched || routes.iter().any(by_route)
}

/// The names of the caches before a filter.
fn caches_before<'a>(manager: &'a Manager, filter: &Filter) -> Vec<&'a str> {
    let all = manager.filters();
    let before = all.take_while(|(one, _)| !is_or_has(one, filter));
    let caches = before.filter(|(_, config)| is_cache(config));
    caches
        .map(|(cache, _)| text(cache, "name").unwrap_or_default())
        .collect()
}

/// Whether a filter's configuration is that of a cache, or contains one.
fn is_cache(config: &Value) -> bool {
    caches(config).next().is_some()
}

/// The caches in a filter's configuration.
fn caches(config: &Value) -> impl Iterator<Item = &Value> {
    CACHES.iter().flat_map(|cache| of_kind(config, cache))
}

/// The type of Envoy's first cache.
const OLD_CACHE: &str = "envoy.extensions.filters.http.cache.v3.CacheConfig";

const CACHES: [&str; 2] = [
    OLD_CACHE,
    "envoy.extensions.filters.http.cache_v2.v3.CacheV2Config",
];
