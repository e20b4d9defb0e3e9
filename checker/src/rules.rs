//! The rules. Each rule reports all problems that it finds.

mod access;
mod caches;
mod clusters;
mod duration;
mod hosts;
mod listener;
mod managers;
mod modules;
mod process;
mod routes;
mod selection;
mod settings;
mod signed;
mod twice;
mod versions;

use oss_origin_auth_core::config::ConfigError;
use serde_json::Value;

use crate::finding::{Finding, Severity};
use crate::found::{Filter, Found, OnFailure, Policy, VmId};
use crate::protobuf::{field, kind};
use crate::settings::{parse, signs};
use access::{
    buckets_are_not_signed, checks_see_another_path, clients_choose_the_check,
    filters_are_left_out_by_another_path, retries_are_refused, routes_leave_the_filter_out,
    rules_are_never_reached, settings_are_of_no_route,
};
use caches::{
    caches_stand_behind_the_signer, hits_are_not_checked, signed_urls_are_cached,
    the_old_cache_mixes_parts,
};
use clusters::{few_retries_at_a_time, oss_is_not_verified, the_cluster_is_of_another_host};
use listener::{
    defaults_sign_other_routes, mirrors_carry_the_signature, routes_keep_the_clients_host,
    routes_keep_the_clients_path, signed_urls_are_not_stripped,
    the_filter_stands_before_the_checks,
};
use managers::{addresses_can_be_forged, logs_print_the_signature, redirects_carry_the_signature};
use modules::{
    envoy_does_not_load_the_module, routes_configure_the_module, the_module_is_loaded_wrongly,
};
use process::{
    configurations_share_a_vm, iteration_stops_for_nothing, merge_keys_are_not_read,
    the_admin_page_is_open, the_sidecars_cluster_is_missing, variables_are_not_handed_over,
};
use routes::{
    prefixes_match_more, retries_heal_nothing, rewrites_are_not_described, timeouts_cut_downloads,
    tries_end_before_credentials_come,
};
use selection::{routes_match_on_changed_headers, routes_match_on_url_signatures};
use settings::{
    config_dump_shows_the_keys, errors_name_the_bucket, headers_of_clients_leave,
    public_endpoints_are_refused, signed_urls_pass, the_endpoint_is_of_another_region,
    unknown_parameters_leave,
};
use twice::requests_are_signed_twice;
use versions::envoy_does_not_know_it;

/// A check of everything in a file that concerns the filter.
#[derive(Debug)]
pub struct Rule {
    /// The name in findings and in docs/CHECK-CONFIG.md, which states the problem.
    pub name: &'static str,
    /// The severities that the findings may have.
    pub severities: &'static [Severity],
    check: fn(&Found) -> Vec<Finding>,
}

/// Makes rules that are named after their functions.
macro_rules! rules {
    ($($name:ident: [$($severity:ident),*]),* $(,)?) => {
        [$(Rule {
            name: stringify!($name),
            severities: &[$(Severity::$severity),*],
            check: $name,
        }),*]
    };
}

/// The list of all rules.
pub const RULES: &[Rule] = &rules![
    settings_are_wrong: [Error],
    match_delegates_skip_more: [Error],
    routes_skip_more: [Error],
    skipped_answers_are_stripped: [Error],
    envoy_does_not_load_the_module: [Error, Note],
    the_module_is_loaded_wrongly: [Error, Warning],
    routes_configure_the_module: [Error],
    a_failure_lasts_or_lets_pass: [Error, Warning],
    others_read_the_credentials: [Warning],
    redirects_carry_the_signature: [Warning],
    logs_print_the_signature: [Warning],
    addresses_can_be_forged: [Warning],
    the_filter_stands_before_the_checks: [Warning],
    routes_match_on_changed_headers: [Warning],
    routes_match_on_url_signatures: [Error],
    routes_keep_the_clients_host: [Warning],
    routes_keep_the_clients_path: [Warning],
    mirrors_carry_the_signature: [Warning],
    defaults_sign_other_routes: [Warning],
    signed_urls_are_not_stripped: [Warning],
    errors_name_the_bucket: [Warning],
    unknown_parameters_leave: [Warning],
    signed_urls_pass: [Warning],
    signed_urls_are_cached: [Warning],
    headers_of_clients_leave: [Warning],
    hits_are_not_checked: [Error, Warning],
    checks_see_another_path: [Warning],
    filters_are_left_out_by_another_path: [Warning],
    retries_are_refused: [Error],
    settings_are_of_no_route: [Warning],
    rules_are_never_reached: [Warning],
    clients_choose_the_check: [Warning],
    buckets_are_not_signed: [Warning],
    routes_leave_the_filter_out: [Warning],
    config_dump_shows_the_keys: [Error],
    variables_are_not_handed_over: [Error],
    the_sidecars_cluster_is_missing: [Warning],
    the_endpoint_is_of_another_region: [Warning],
    merge_keys_are_not_read: [Error],
    envoy_does_not_know_it: [Error, Note],
    retries_heal_nothing: [Warning],
    timeouts_cut_downloads: [Warning],
    tries_end_before_credentials_come: [Warning],
    few_retries_at_a_time: [Warning],
    oss_is_not_verified: [Warning],
    the_cluster_is_of_another_host: [Warning],
    requests_are_signed_twice: [Error, Warning],
    rewrites_are_not_described: [Warning],
    prefixes_match_more: [Warning],
    caches_stand_behind_the_signer: [Warning],
    the_old_cache_mixes_parts: [Warning],
    the_admin_page_is_open: [Warning],
    configurations_share_a_vm: [Warning],
    iteration_stops_for_nothing: [Warning],
    public_endpoints_are_refused: [Note],
];

impl Rule {
    /// The findings of the rule, with its name.
    pub(crate) fn findings(&self, found: &Found) -> Vec<Finding> {
        let mut findings = (self.check)(found);
        for finding in &mut findings {
            finding.rule = self.name;
        }
        findings
    }
}

fn settings_are_wrong(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        match filter.settings.as_deref().map(parse) {
            Ok(Ok(_)) => {}
            Ok(Err(ConfigError { field, problem })) => {
                let field = format!("{}.{field}", filter.field);
                let field = field.trim_matches('.');
                findings.push(Finding::error(&filter.place, field, problem));
            }
            Err(problem) => findings.push(Finding::error(&filter.place, filter.field, problem)),
        }
    }
    findings
}

fn match_delegates_skip_more(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        for delegate in &filter.delegates {
            let some = !delegate.matchers.is_empty();
            if !some || !delegate.matchers.iter().all(skips_2xx_alone) {
                findings.push(Finding::error(&filter.place, "xds_matcher", SKIPS_MORE));
            }
        }
    }
    findings
}

fn routes_skip_more(found: &Found) -> Vec<Finding> {
    let filters = found.filters.iter();
    let delegates: Vec<&str> = filters
        .flat_map(|filter| &filter.delegates)
        .map(|delegate| delegate.name.as_str())
        .collect();
    let around_ours = found
        .of_routes
        .iter()
        .filter(|route| delegates.contains(&route.delegate.as_str()));
    around_ours
        .filter(|route| !skips_2xx_alone(&route.matcher))
        .map(|route| {
            let field = format!("typed_per_filter_config.{}", route.delegate);
            Finding::error(&route.place, &field, SKIPS_MORE)
        })
        .collect()
}

const SKIPS_MORE: &str = "envoy.filters.http.match_delegate around the filter may skip it for the \
    status class 2xx alone, as in envoy/edge.yaml; leave nothing but `2xx` in its \
    exact_match_map, or let the filter stand there alone";

/// Whether a matcher leaves the filter out for OSS's good answers only. The filter must see all
/// other answers, to replace credentials and to report why OSS refused.
fn skips_2xx_alone(matcher: &Value) -> bool {
    let by_class = || -> Option<bool> {
        let tree = field(matcher, "matcher_tree")?;
        let input = field(field(tree, "input")?, "typed_config")?;
        let map = field(field(tree, "exact_match_map")?, "map")?.as_object()?;
        let of_2xx = map.keys().all(|class| class == "2xx");
        Some(kind(input) == "envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput" && of_2xx)
    };
    let otherwise = [Some(matcher), field(matcher, "matcher_tree")]
        .into_iter()
        .flatten()
        .any(|place| field(place, "on_no_match").is_some());
    by_class() == Some(true) && !otherwise
}

fn skipped_answers_are_stripped(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let delegated = found
        .filters
        .iter()
        .filter(|filter| !filter.delegates.is_empty());
    for filter in delegated {
        let Ok(settings) = &filter.settings else {
            continue;
        };
        let reads_metadata = parse(settings).is_ok_and(|config| !config.metadata.is_empty());
        let mut metadata = found.metadata.iter();
        let in_metadata = || metadata.find_map(|one| acts_on_good_answers(&one.settings));
        let of_metadata = reads_metadata.then(in_metadata).flatten();
        if let Some(setting) = acts_on_good_answers(settings).or(of_metadata) {
            let field = format!("{}.{setting}", filter.field);
            findings.push(Finding::error(
                &filter.place,
                &field,
                "the filter stands in envoy.filters.http.match_delegate, which keeps good answers \
                 from it, so that their headers would stay; let the filter stand there alone, or use \
                 Envoy's response_headers_to_remove",
            ));
        }
    }
    findings
}

/// The setting that changes successful answers, if there is one.
fn acts_on_good_answers(settings: &str) -> Option<&'static str> {
    fn setting(value: &Value) -> Option<&'static str> {
        let fields = value.as_object()?;
        let is_some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        if fields.get("strip_response_headers").is_some_and(is_some) {
            return Some("strip_response_headers");
        }
        if fields
            .get("forced_download")
            .is_some_and(|one| one == "remove")
        {
            return Some("forced_download");
        }
        fields.values().find_map(setting)
    }
    setting(&serde_json::from_str(settings).ok()?)
}

fn a_failure_lasts_or_lets_pass(found: &Found) -> Vec<Finding> {
    let of_filter = |filter: &Filter| {
        let Policy {
            field,
            on_failure,
            fix,
        } = &filter.policy;
        Some(match on_failure {
            OnFailure::Reload | OnFailure::Chosen => return None,
            OnFailure::Closed => {
                let message = format!(
                    "after a failure of the VM its worker would refuse all requests from then on; \
                     {fix}"
                );
                Finding::warning(&filter.place, field, message)
            }
            OnFailure::Open => {
                let message = format!(
                    "after a failure of the VM requests would leave unsigned and unchecked; {fix}"
                );
                Finding::error(&filter.place, field, message)
            }
            OnFailure::Unknown(policy) => {
                let message = format!("Envoy knows no policy {policy}; {fix}");
                Finding::error(&filter.place, field, message)
            }
        })
    };
    found.filters.iter().filter_map(of_filter).collect()
}

/// Shared data is open to all VMs with the same id. The keys of URLs are not in it, so a filter
/// without credentials has nothing to hide there.
fn others_read_the_credentials(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in found.filters.iter().filter(|filter| signs(filter)) {
        let message = match &filter.vm {
            VmId::Chosen => continue,
            VmId::Missing => "there is none: every wasm filter without one can read the \
                              credentials; give the filter a `vm_id` of its own"
                .to_owned(),
            VmId::Given(id) => match found.others.iter().find(|other| other.id == *id) {
                None => continue,
                Some(other) => format!(
                    "the wasm filter {} has the same, `{id}`, and can read the credentials; give \
                     each a `vm_id` of its own",
                    other.filter
                ),
            },
        };
        findings.push(Finding::warning(&filter.place, "vm_config.vm_id", message));
    }
    findings
}
