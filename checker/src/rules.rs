//! The rules. Each says all that it finds.

mod access;
mod caches;
mod listener;
mod managers;
mod selection;
mod settings;

use oss_origin_auth_core::config::{Config, ConfigError};
use serde_json::Value;

use crate::finding::Finding;
use crate::found::{Filter, Found, OnFailure, Policy, VmId};
use crate::protobuf::{field, kind};
use crate::settings::signs;
use access::{
    checks_see_another_path, filters_are_left_out_by_another_path, retries_are_refused,
    routes_leave_the_filter_out, settings_are_of_no_route,
};
use caches::{hits_are_not_checked, signed_urls_are_cached};
use listener::{
    defaults_sign_other_routes, mirrors_carry_the_signature, routes_keep_the_clients_host,
    routes_keep_the_clients_path, signed_urls_are_not_stripped,
    the_filter_stands_before_the_checks,
};
use managers::{addresses_can_be_forged, logs_print_the_signature, redirects_carry_the_signature};
use selection::{routes_match_on_changed_headers, routes_match_on_url_signatures};
use settings::{
    config_dump_shows_the_keys, errors_name_the_bucket, headers_of_clients_leave, signed_urls_pass,
    unknown_parameters_leave,
};

/// A check of all that a file has of ours.
#[derive(Debug)]
pub struct Rule {
    /// As findings and docs/SECURITY.md name it: what is wrong.
    pub name: &'static str,
    check: fn(&Found) -> Vec<Finding>,
}

/// Rules under the names of their functions.
macro_rules! rules {
    ($($name:ident),* $(,)?) => {
        [$(Rule { name: stringify!($name), check: $name }),*]
    };
}

/// All checks.
pub const RULES: &[Rule] = &rules![
    settings_are_wrong,
    match_delegates_skip_more,
    routes_skip_more,
    skipped_answers_are_stripped,
    a_failure_lasts_or_lets_pass,
    others_read_the_credentials,
    redirects_carry_the_signature,
    logs_print_the_signature,
    addresses_can_be_forged,
    the_filter_stands_before_the_checks,
    routes_match_on_changed_headers,
    routes_match_on_url_signatures,
    routes_keep_the_clients_host,
    routes_keep_the_clients_path,
    mirrors_carry_the_signature,
    defaults_sign_other_routes,
    signed_urls_are_not_stripped,
    errors_name_the_bucket,
    unknown_parameters_leave,
    signed_urls_pass,
    signed_urls_are_cached,
    headers_of_clients_leave,
    hits_are_not_checked,
    checks_see_another_path,
    filters_are_left_out_by_another_path,
    retries_are_refused,
    settings_are_of_no_route,
    routes_leave_the_filter_out,
    config_dump_shows_the_keys,
];

impl Rule {
    /// All that it finds, under its name.
    pub fn findings(&self, found: &Found) -> Vec<Finding> {
        let mut findings = (self.check)(found);
        for finding in &mut findings {
            finding.rule = self.name;
        }
        findings
    }
}

/// Reads settings as the filter does. Variables are taken to be set, each to something else.
pub fn parse(settings: &str) -> Result<Config, ConfigError> {
    Config::parse(settings.as_bytes(), |name| {
        let name = name.bytes().map(|byte| format!("{byte:02x}"));
        Some(["set-to-", &name.collect::<String>()].concat())
    })
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

/// The filter may be left out where OSS's answer is good, and nowhere else: the
/// rest it must see, to replace credentials and to say why OSS refused.
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

/// The setting by which answers that are no errors are changed, if there is one.
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

/// Shared data belongs to all VMs of an id. The keys of URLs are not in it, so a filter
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
