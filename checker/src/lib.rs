//! Reports the problems of a configuration before Envoy loads it.
//!
//! A file is the filter's own configuration (JSON), a whole configuration of Envoy (YAML or
//! JSON), or manifests of Kubernetes that have the filter: Istio's and Higress's `WasmPlugin`,
//! Istio's `EnvoyFilter`, Envoy Gateway's `EnvoyExtensionPolicy`, with the routes of these
//! gateways; and a `ConfigMap` that holds a configuration of Envoy. Each rule reports all
//! problems that it finds:
//!
//! ```
//! use oss_origin_auth_checker::{Severity, check};
//!
//! let report = check(r#"{"defaults": {"bucket": "my-bucket"}}"#);
//! assert_eq!(report.findings[0].severity, Severity::Error);
//! assert!(report.findings[0].to_string().starts_with("error: credentials: "));
//! ```
//!
//! To add a check, add a row to `rules::RULES`.

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

/// Checks the text of a file for the newest Envoy. The variables that hold keys need not be
/// set.
pub fn check(text: &str) -> Report {
    check_files(&[File { name: "", text }], Version::default())
}

/// Checks files for a version of Envoy. Manifests are checked together, such as a `WasmPlugin`
/// and its `VirtualService`; each configuration of Envoy is checked by itself.
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

/// Checks a unit; returns the number of our filters in it.
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
    let said = RULES.iter().flat_map(|rule| rule.findings(&found));
    findings.extend(said.map(|finding| as_written(finding, &found)));
    found.filters.len()
}

/// A finding whose field is that of the manifest, and not that of the settings that Higress
/// makes of it.
fn as_written(mut finding: Finding, found: &Found) -> Finding {
    let has_rules = |filter: &&Filter| {
        let (filter, place) = (&filter.place, &finding.place);
        filter.file == place.file && filter.document == place.document
    };
    let mut filters = found.filters.iter().filter(|one| !one.rules.is_empty());
    if let Some(filter) = filters.find(has_rules)
        && let Some(field) = manifests::in_match_rules(&finding.place.field, &filter.rules)
    {
        finding.place.field = field;
    }
    finding
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

/// The settings of each filter in a text, with the place of the filter. They are not checked.
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

/// Removes what would take minutes to check, and reports it.
fn leave_out(found: &mut Found, place: &Place) -> Vec<Finding> {
    let managers = found.managers.iter().chain(&found.gateways);
    let too_many = managers.filter(|manager| manager.has_too_many);
    let mut findings: Vec<_> = too_many
        .map(|manager| {
            let message = format!(
                "it has more than {MOST_ROUTES} routes, which are not checked; check its parts \
                 by themselves"
            );
            Finding::warning(&manager.place, &manager.field, message)
        })
        .collect();
    if found.filters.len() > MOST_FILTERS {
        let message = format!(
            "it has more than {MOST_FILTERS} filters of ours, and the others are not checked; \
             check its parts by themselves"
        );
        findings.push(Finding::error(place, "", message));
        found.filters.truncate(MOST_FILTERS);
    }
    findings
}

/// The most filters in a unit: every rule looks at each of our filters with all its
/// surroundings.
const MOST_FILTERS: usize = 50;
