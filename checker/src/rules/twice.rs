//! The rule for requests that two of our filters sign, one after the other.

use std::collections::BTreeMap;
use std::ptr;

use super::access::is_name_of;
use super::listener::PATH_REWRITES;
use super::signed::{Signed, signed};
use crate::finding::{Finding, Severity};
use crate::found::{Found, Position, is_or_has};

/// The second filter removes the signature of the first, if nothing else goes wrong.
pub fn requests_are_signed_twice(found: &Found) -> Vec<Finding> {
    let signed = signed(found);
    let mut by_route: BTreeMap<usize, Vec<&Signed>> = BTreeMap::new();
    let mut is_met_by: BTreeMap<[usize; 2], bool> = BTreeMap::new();
    for one in &signed {
        // They are compared by their addresses: some have no name or other mark.
        let [route, filter, manager] = [
            ptr::from_ref(one.route).addr(),
            ptr::from_ref(one.filter).addr(),
            ptr::from_ref(one.manager).addr(),
        ];
        let known = is_met_by.entry([filter, manager]);
        if *known.or_insert_with(|| is_met(one)) {
            by_route.entry(route).or_default().push(one);
        }
    }
    let mut findings = Vec::new();
    for mut signing in by_route.into_values() {
        // Downstream filters come before upstream filters; the others keep their order.
        signing.sort_by_key(|one| one.is_on_cluster());
        for pair in signing.windows(2) {
            if let [first, second] = pair {
                findings.push(finding(first, second));
            }
        }
    }
    findings
}

/// Whether the filter sees the requests of the manager, as far as it is known.
fn is_met(one: &Signed) -> bool {
    let filters = || one.manager.filters();
    match one.filter.position {
        Position::Cluster(_) => true,
        Position::Manager(_) => {
            let is_on = filters().any(|(filter, _)| is_or_has(filter, one.filter));
            let all = one.manager.of_filters();
            let is_left_out = all
                .iter()
                .any(|of| of.leaves_out() && is_name_of(one.filter, one.manager, of.name));
            is_on && !is_left_out
        }
        // The selection by manifests is not known well enough.
        Position::Gateway | Position::Routes | Position::Unknown => false,
    }
}

fn finding(first: &Signed, second: &Signed) -> Finding {
    let names = [first, second].map(|one| match one.filter.name.as_str() {
        "" => "without a name",
        name => name,
    });
    let [one, other] = names;
    let is_mapped = first.is_on_cluster() || first.route.has_any(&PATH_REWRITES);
    let mut finding = Finding::warning(
        &second.place(),
        &second.route.at("cluster"),
        format!(
            "the filter {one} signs its requests, and after it {other}, which takes that signature \
             off; leave one of them, or write `\"enabled\": false` in the settings of the other"
        ),
    );
    if second.is_on_cluster() && is_mapped && maps(second) {
        finding.severity = Severity::Error;
        finding.message = format!(
            "the filter {one} signs its requests, and after it {other}, which maps the path once \
             more (strip_prefix, key_prefix, index_document): clients get another object, or none; \
             leave one of them, or write `\"enabled\": false` in the settings of the other"
        );
    }
    finding
}

fn maps(one: &Signed) -> bool {
    let block = &one.block;
    !matches!(block.text("strip_prefix"), "" | "/")
        || !block.text("key_prefix").is_empty()
        || !block.text("index_document").is_empty()
}
