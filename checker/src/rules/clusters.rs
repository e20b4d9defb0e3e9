//! Rules for the clusters to which signed requests go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::hosts::{is_of_oss, is_or_has, is_public};
use super::signed::signed;
use crate::finding::{Finding, Place};
use crate::found::{Cluster, Found, Position};
use crate::manager::{children, inner, of_kind};
use crate::protobuf::{field, is_true, list, number, text};
use crate::settings::Settings;

/// All requests during a change of credentials are retried at the same time.
pub fn few_retries_at_a_time(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (cluster, place, is_on_cluster) in of_signed(found) {
        let breakers = field(&cluster.message, "circuit_breakers").unwrap_or(&Value::Null);
        let threshold = list(breakers, "thresholds").find(|one| is_default(one));
        let threshold = threshold.unwrap_or(&Value::Null);
        let most = number(threshold, "max_retries").unwrap_or(DEFAULT_RETRIES);
        let by_budget = field(threshold, "retry_budget").is_some();
        if is_on_cluster && most <= DEFAULT_RETRIES && !by_budget {
            let message = format!(
                "at most {most} retries at a time (Envoy's default is {DEFAULT_RETRIES}): when \
                 credentials change, most of the requests under way stay refused; write 1000"
            );
            let field = format!("{}.circuit_breakers.thresholds.max_retries", label(cluster));
            findings.push(Finding::warning(&place, &field, message));
        }
    }
    findings
}

/// Envoy's own limit of retries.
const DEFAULT_RETRIES: f64 = 3.0;

/// Whether thresholds hold for requests of the default priority. Envoy accepts its name in any
/// case, or its number.
fn is_default(threshold: &Value) -> bool {
    field(threshold, "priority").is_none_or(|priority| match priority {
        Value::String(name) => name.eq_ignore_ascii_case("DEFAULT") || name == "0",
        number => *number == 0,
    })
}

/// A server in OSS's place sees the tokens.
pub fn oss_is_not_verified(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (cluster, place, _) in of_signed(found) {
        if field(&cluster.message, "transport_socket_matches").is_some() {
            continue;
        }
        let socket = field(&cluster.message, "transport_socket").unwrap_or(&Value::Null);
        let contexts = of_kind(socket, UPSTREAM_TLS);
        let mut say = |name: &str, message: &str| {
            let field = format!("{}.{name}", label(cluster));
            findings.push(Finding::warning(&place, &field, message));
        };
        let Some(tls) = contexts.first() else {
            if addresses(&cluster.message).any(is_public) {
                say("transport_socket", PLAIN);
            }
            continue;
        };
        let options = upstream_options(&cluster.message);
        let sni = text(tls, "sni").is_some_and(|sni| !sni.is_empty());
        if !sni && !is_true(options, "auto_sni") && !is_true(tls, "auto_host_sni") {
            say("transport_socket.sni", NO_SNI);
        }
        let by_sni =
            is_true(options, "auto_san_validation") || is_true(tls, "auto_sni_san_validation");
        if !by_sni && let Some(message) = unverified(tls) {
            say(
                "transport_socket.common_tls_context.validation_context",
                message,
            );
        }
    }
    findings.extend(of_destination_rules(found));
    findings
}

/// In Istio, another manifest says how OSS is verified.
fn of_destination_rules(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let signed = signed(found);
    let rules = found.documents.iter();
    for document in rules.filter(|one| one.value["kind"] == "DestinationRule") {
        let spec = &document.value["spec"];
        let host = spec["host"].as_str().unwrap_or_default();
        let mut leading = signed
            .iter()
            .filter(|one| one.route.leads_certainly_to(host));
        let (Some(one), Value::Null) =
            (leading.next(), &spec["trafficPolicy"]["portLevelSettings"])
        else {
            continue;
        };
        let tls = &spec["trafficPolicy"]["tls"];
        let is_plain = matches!(tls["mode"].as_str(), None | Some("DISABLE"));
        let (name, message) = match tls["insecureSkipVerify"] {
            Value::Bool(true) => ("insecureSkipVerify", SKIPPED),
            _ if is_plain && is_public(host) => ("mode", PLAIN_IN_ISTIO),
            _ => continue,
        };
        let place = Place {
            filter: one.filter.place.filter.clone(),
            ..document.source.place()
        };
        let rule = document.value["metadata"]["name"].as_str();
        let rule = rule.unwrap_or_default();
        let field = format!("DestinationRule[{rule}].trafficPolicy.tls.{name}");
        findings.push(Finding::warning(&place, &field, message));
    }
    findings
}

const SKIPPED: &str = "any certificate is taken for OSS's; take it out, and write \
    `caCertificates` and `subjectAltNames`";

const PLAIN_IN_ISTIO: &str = "signed requests, with their tokens, leave for a public host without \
    TLS; write `mode: SIMPLE`, `sni` and `subjectAltNames`";

/// The cluster connects to, names or verifies another host of OSS than the one in the
/// signature.
pub fn the_cluster_is_of_another_host(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let signed = signed(found);
    let mut by_cluster: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in &signed {
        for cluster in one.route.clusters() {
            let host = one.block.host().unwrap_or_default();
            by_cluster.entry(cluster).or_default().insert(host);
        }
    }
    for (cluster, place, _) in of_signed(found) {
        let Some(hosts) = by_cluster.get(cluster.name.as_str()) else {
            continue;
        };
        // An unknown host, or a domain of the bucket's owner, may be right.
        let are_of_oss = hosts.iter().all(|host| is_of_oss(host));
        let Some(first) = hosts.first().filter(|_| are_of_oss) else {
            continue;
        };
        for (name, other) in named(&cluster.message) {
            if is_of_oss(other) && !hosts.iter().any(|host| is_or_has(other, host)) {
                let message = format!(
                    "`{other}` is another host than `{first}`, for which the settings sign (bucket, \
                     endpoint, addressing); make them the same"
                );
                let field = format!("{}.{name}", label(cluster));
                findings.push(Finding::warning(&place, &field, message));
            }
        }
    }
    findings
}

/// The hosts that a cluster names: its addresses, and the names in its TLS settings.
fn named(cluster: &Value) -> Vec<(&'static str, &str)> {
    let socket = field(cluster, "transport_socket").unwrap_or(&Value::Null);
    let tls = of_kind(socket, UPSTREAM_TLS);
    let mut all: Vec<_> = addresses(cluster)
        .map(|address| ("load_assignment", address))
        .collect();
    for tls in tls {
        all.extend(text(tls, "sni").map(|sni| ("transport_socket.sni", sni)));
        let common = field(tls, "common_tls_context").unwrap_or(&Value::Null);
        let own = field(common, "validation_context");
        let combined = field(common, "combined_validation_context");
        let inner = combined.and_then(|one| field(one, "default_validation_context"));
        for context in own.into_iter().chain(inner) {
            let typed = list(context, "match_typed_subject_alt_names");
            let typed = typed.filter_map(|one| field(one, "matcher"));
            let matchers = typed.chain(list(context, "match_subject_alt_names"));
            let exact: Vec<&str> = matchers.filter_map(|one| text(one, "exact")).collect();
            // With several names, one that matches is enough.
            if let [name] = exact[..] {
                all.push((VERIFIED, name));
            }
        }
    }
    all
}

const VERIFIED: &str =
    "transport_socket.common_tls_context.validation_context.match_typed_subject_alt_names";

const UPSTREAM_TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

const PLAIN: &str = "signed requests, with their tokens, leave for a public host without TLS; give \
    the cluster the transport_socket of envoy/minimal.yaml, and port 443";

const NO_SNI: &str = "there is none, so the server cannot know which certificate to show; write the \
    host that the filter signs for";

const NO_CA: &str = "without trusted_ca any certificate is taken for OSS's; write `trusted_ca` and \
    `match_typed_subject_alt_names`, as in envoy/minimal.yaml";

const NO_NAME: &str = "any name is taken for OSS's, so long as its certificate is good; write \
    `match_typed_subject_alt_names` with the host, as in envoy/minimal.yaml";

/// The setting that is missing for the verification of a server.
fn unverified(tls: &Value) -> Option<&'static str> {
    let common = field(tls, "common_tls_context").unwrap_or(&Value::Null);
    let elsewhere = [
        "validation_context_sds_secret_config",
        "custom_tls_certificate_validator",
        "validation_context_certificate_provider",
        "validation_context_certificate_provider_instance",
    ];
    if elsewhere.iter().any(|name| field(common, name).is_some()) {
        return None;
    }
    let combined = field(common, "combined_validation_context");
    let in_combined = combined.and_then(|one| field(one, "default_validation_context"));
    let own = field(common, "validation_context").or(in_combined);
    let own = own.unwrap_or(&Value::Null);
    let has = |names: &[&str]| names.iter().any(|name| field(own, name).is_some());
    let untrusted = field(own, "trust_chain_verification").is_some_and(|value| match value {
        Value::String(name) => name.eq_ignore_ascii_case("ACCEPT_UNTRUSTED") || name == "1",
        number => *number == 1,
    });
    let by_digest = has(&["verify_certificate_hash", "verify_certificate_spki"]);
    let by_other = has(&["custom_validator_config"]);
    let trusted = combined.is_some()
        || has(&[
            "trusted_ca",
            "system_root_certs",
            "ca_certificate_provider_instance",
        ]);
    if by_other || by_digest {
        None
    } else if untrusted || !trusted {
        Some(NO_CA)
    } else {
        let named = has(&["match_typed_subject_alt_names", "match_subject_alt_names"]);
        (!named).then_some(NO_NAME)
    }
}

fn upstream_options(cluster: &Value) -> &Value {
    let of_http = of_kind(cluster, HTTP_OPTIONS);
    let options = of_http
        .first()
        .and_then(|one| field(one, "upstream_http_protocol_options"));
    let older = || field(cluster, "upstream_http_protocol_options");
    options.or_else(older).unwrap_or(&Value::Null)
}

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The addresses that a cluster connects to.
fn addresses(cluster: &Value) -> impl Iterator<Item = &str> {
    fn collect<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
        let address = field(value, "socket_address").and_then(|one| text(one, "address"));
        all.extend(address);
        for child in children(inner(value)) {
            collect(child, all);
        }
    }
    let mut all = Vec::new();
    let assignment = field(cluster, "load_assignment");
    collect(assignment.unwrap_or(&Value::Null), &mut all);
    all.into_iter()
}

fn label(cluster: &Cluster) -> String {
    format!("cluster[{}]", cluster.name)
}

/// The clusters to which signed requests go, each with its place, and whether the filter is on
/// the cluster.
fn of_signed(found: &Found) -> Vec<(&Cluster, Place, bool)> {
    let mut names: Vec<(String, Option<String>, bool)> = Vec::new();
    for filter in &found.filters {
        let settings = Settings::of(filter);
        let signs = settings.is_some_and(|settings| !settings.signing(found).is_empty());
        if let (Position::Cluster(name), true) = (&filter.position, signs) {
            names.push((name.clone(), filter.place.filter.clone(), true));
        }
    }
    for one in signed(found).iter().filter(|one| !one.is_on_cluster()) {
        for name in one.route.clusters() {
            names.push((name.to_owned(), one.filter.place.filter.clone(), false));
        }
    }
    names.sort();
    names.dedup();
    let clusters = names.into_iter().flat_map(|(name, filter, is_on_cluster)| {
        let clusters = found.clusters.iter().filter(move |one| one.name == name);
        clusters.map(move |cluster| {
            let filter = filter.clone();
            (
                cluster,
                Place {
                    filter,
                    ..cluster.place.clone()
                },
                is_on_cluster,
            )
        })
    });
    clusters
        .filter(|(cluster, ..)| !cluster.name.is_empty())
        .collect()
}
