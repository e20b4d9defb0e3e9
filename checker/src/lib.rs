//! Says what is wrong in a configuration before Envoy sees it.
//!
//! A file is the filter's own configuration (JSON), a whole configuration of Envoy
//! (YAML or JSON), or manifests of Kubernetes that have the filter: Istio's and
//! Higress's `WasmPlugin`, Istio's `EnvoyFilter`, Envoy Gateway's
//! `EnvoyExtensionPolicy`, with the routes of these gateways; and a `ConfigMap` that holds
//! a configuration of Envoy. Each rule says all that it finds:
//!
//! ```
//! use oss_origin_auth_checker::{Severity, check};
//!
//! let report = check(r#"{"defaults": {"bucket": "my-bucket"}}"#);
//! assert_eq!(report.findings[0].severity, Severity::Error);
//! assert!(report.findings[0].to_string().starts_with("error: credentials: "));
//! ```
//!
//! A new check is one more row of `rules::RULES`.

mod context;
mod dialect;
mod finding;
mod found;
mod input;
mod manager;
mod manifests;
mod module;
mod protobuf;
mod reader;
mod routes;
mod rules;
pub mod schema;
mod settings;
mod version;

pub use finding::{Finding, Place, Report, Severity, Verdict};
use found::{Filter, Found};
pub use input::File;
use input::Unit;
use manager::MOST_ROUTES;
pub use rules::{RULES, Rule};
pub use version::Version;

/// The names of all rules, as [`Finding::rule`] has them.
pub fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// Checks the text of a file, for the newest Envoy. Variables that hold keys need not be set.
pub fn check(text: &str) -> Report {
    check_files(&[File { name: "", text }], Version::default())
}

/// Checks files, for a version of Envoy. Manifests are looked at together, such as a
/// `WasmPlugin` and its `VirtualService`; each configuration of Envoy by itself.
pub fn check_files(files: &[File], envoy: Version) -> Report {
    let mut findings = Vec::new();
    let units = input::units(files, &mut findings);
    let checked = units
        .into_iter()
        .map(|unit| check_unit(unit, envoy, &mut findings))
        .sum();
    if checked == 0 && findings.is_empty() {
        let file = files.first().map(|file| file.name.to_owned());
        let place = Place {
            file: file.filter(|name| files.len() == 1 && !name.is_empty()),
            ..Place::default()
        };
        findings.push(Finding::error(&place, "", NOTHING));
    }
    Report::new(checked, findings)
}

const NOTHING: &str = "no filter in it is ours: no wasm filter has oss_origin_auth as its name or \
                       in the place of its code, and no dynamic module has it as its filter_name";

/// How many filters of ours are in what is looked at together.
fn check_unit(unit: Unit, envoy: Version, findings: &mut Vec<Finding>) -> usize {
    let first = unit.documents.first();
    let place = first.map(|one| one.source.place()).unwrap_or_default();
    let is_ours = unit.is_ours;
    let mut found = found_in(unit, envoy);
    if found.filters.is_empty() {
        let is_wrong = is_ours.then(|| Finding::error(&place, "", NOTHING));
        findings.extend(is_wrong);
        return 0;
    }
    findings.extend(leave_out(&mut found, &place));
    findings.extend(RULES.iter().flat_map(|rule| rule.findings(&found)));
    found.filters.len()
}

fn found_in(unit: Unit, envoy: Version) -> Found {
    let mut found = Found::new(unit.documents, envoy);
    if let Some((source, text)) = unit.settings
        && found.filters.is_empty()
    {
        let mut filter = Filter::of_settings(&text);
        filter.place = source.place();
        found.filters.push(filter);
    }
    found
}

/// The settings of each filter in the text of a file, with the place of the filter. Nothing
/// is checked of them.
pub fn settings(text: &str) -> Result<Vec<(Place, String)>, String> {
    let mut findings = Vec::new();
    let units = input::units(&[File { name: "", text }], &mut findings);
    let filters = units
        .into_iter()
        .flat_map(|unit| found_in(unit, Version::default()).filters);
    let settings = filters.map(|filter| {
        let settings = filter.settings;
        settings.map(|settings| (filter.place, settings))
    });
    let settings = settings.collect::<Result<Vec<_>, String>>()?;
    match (settings.is_empty(), findings.pop()) {
        (true, Some(finding)) => Err(finding.message),
        (true, None) => Err(NOTHING.into()),
        (false, _) => Ok(settings),
    }
}

/// Leaves out what would take minutes, and says so.
fn leave_out(found: &mut Found, place: &Place) -> Vec<Finding> {
    let managers = found.managers.iter().chain(&found.gateways);
    let too_many = managers.filter(|manager| manager.has_too_many);
    let mut findings: Vec<_> = too_many
        .map(|manager| {
            let message = format!(
                "it has more than {MOST_ROUTES} routes, which are not looked at; check its parts \
                 by themselves"
            );
            Finding::warning(&manager.place, &manager.field, message)
        })
        .collect();
    if found.filters.len() > MOST_FILTERS {
        let message = format!(
            "it has more than {MOST_FILTERS} filters of ours, and the others are not looked at; \
             check its parts by themselves"
        );
        findings.push(Finding::error(place, "", message));
        found.filters.truncate(MOST_FILTERS);
    }
    findings
}

/// Every rule looks at each filter of ours with all that stands around it.
const MOST_FILTERS: usize = 50;
