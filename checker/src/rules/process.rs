//! Rules for what Envoy, and the filter's VM, get from outside.

use std::net::IpAddr;

use serde_json::Value;

use crate::finding::{Finding, Place};
use crate::found::{Filter, Found, VmId};
use crate::protobuf::{field, text};
use crate::settings::Settings;

/// A person who reaches the admin page can stop Envoy, and read its configuration.
pub fn the_admin_page_is_open(found: &Found) -> Vec<Finding> {
    let said = found.admins.iter().filter_map(|admin| {
        let address = field(field(&admin.message, "address")?, "socket_address")?;
        let host = text(address, "address").unwrap_or_default();
        let is_loopback = host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback());
        (!is_loopback).then(|| {
            let message = format!(
                "anyone who reaches {host} can stop Envoy and read its configuration; write \
                 127.0.0.1, or `pipe: {{path: …}}`, and let others see /stats by a listener of its \
                 own"
            );
            let field = "admin.address.socket_address.address";
            Finding::warning(&admin.place, field, message)
        })
    });
    said.collect()
}

/// The filter refuses settings that name a variable that it cannot see.
pub fn variables_are_not_handed_over(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let (Some(settings), Some((field, handed))) = (Settings::of(filter), &filter.handed) else {
            continue;
        };
        let is_inline = |name: &str| filter.inline.iter().any(|(_, inline)| inline == name);
        for name in settings.variables() {
            if !handed.iter().any(|one| one == name) && !is_inline(name) {
                let message = format!(
                    "the settings name the variable {name}, which is not handed over to the \
                     filter: it refuses them; list it here, and set it in Envoy's own environment"
                );
                findings.push(Finding::error(&filter.place, field, message));
            }
        }
    }
    findings
}

/// The filter fetches credentials from a cluster by its name; Envoy starts without that
/// cluster.
pub fn the_sidecars_cluster_is_missing(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let (Some(settings), Some(known)) = (Settings::of(filter), clusters(found, filter)) else {
            continue;
        };
        for (field, name) in settings.sidecars() {
            if !known.contains(&name) {
                let message = format!(
                    "there is no cluster `{name}`: the filter gets no credentials, and answers \
                     503; add it, as in envoy/minimal.yaml, or write the name of the sidecar's"
                );
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// The names of all clusters of an Envoy; `None` if it gets others later, or if they are not
/// known.
fn clusters<'a>(found: &'a Found, filter: &Filter) -> Option<Vec<&'a str>> {
    let is_its = |place: &Place| {
        let Place {
            file,
            document,
            part,
            ..
        } = &filter.place;
        (&place.file, &place.document, &place.part) == (file, document, part)
    };
    let mut documents = found.documents.iter();
    let document = documents.find(|one| is_its(&one.source.place()))?;
    let resources = field(&document.value, "static_resources")?;
    let clusters = field(resources, "clusters")?.as_array()?;
    let is_whole = field(&document.value, "dynamic_resources").is_none();
    let names = clusters.iter().filter_map(|cluster| text(cluster, "name"));
    is_whole.then(|| names.collect())
}

/// Two configurations with the same `vm_id` share a VM.
pub fn configurations_share_a_vm(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let read = |filter: &Filter| {
        let text = filter.settings.as_deref().ok()?;
        serde_json::from_str::<Value>(text).ok()
    };
    let all: Vec<_> = found.filters.iter().map(|one| (one, read(one))).collect();
    for (index, (filter, own)) in all.iter().enumerate() {
        let (VmId::Given(id), Some(_)) = (&filter.vm, own) else {
            continue;
        };
        let mut before = all.iter().take(index);
        let other = before.find(|(other, settings)| other.vm == filter.vm && settings != own);
        if let Some((other, _)) = other {
            let other = other.place.filter.as_deref().unwrap_or("another filter");
            let message = format!(
                "{other} has the same, `{id}`, and another configuration: they share a VM and its \
                 data, so a failure of one stops both, and each can read the other's credentials; \
                 give each a `vm_id` of its own"
            );
            findings.push(Finding::warning(&filter.place, "vm_config.vm_id", message));
        }
    }
    findings
}

/// An option that earlier versions of the filter needed.
pub fn iteration_stops_for_nothing(found: &Found) -> Vec<Finding> {
    let stopping = found.filters.iter().filter(|filter| filter.stops_iteration);
    let said = stopping.map(|filter| {
        Finding::warning(
            &filter.place,
            "allow_on_headers_stop_iteration",
            "the filter does not need it, and with it Envoy buffers the bodies of requests that \
             wait, and refuses longer ones; take it out",
        )
    });
    said.collect()
}

/// Kubernetes reads merge keys, Envoy refuses them.
pub fn merge_keys_are_not_read(found: &Found) -> Vec<Finding> {
    let merging = found.documents.iter().filter(|one| one.merges);
    let of_envoy = merging.filter(|one| field(&one.value, "kind").is_none());
    let said = of_envoy.map(|one| {
        Finding::error(
            &one.source.place(),
            "<<",
            "Envoy takes the merge key of YAML for the name of a field, and refuses it; write the \
             fields out, or use an anchor for the whole",
        )
    });
    said.collect()
}
