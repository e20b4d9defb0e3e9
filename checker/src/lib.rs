//! Says what is wrong in a configuration before Envoy sees it.
//!
//! A file is the filter's own configuration (JSON), a whole configuration of Envoy
//! (YAML or JSON), or manifests of Kubernetes that have the filter: Istio's and
//! Higress's `WasmPlugin`, Istio's `EnvoyFilter`, Envoy Gateway's
//! `EnvoyExtensionPolicy`. Each rule says all that it finds:
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

mod finding;
mod found;
mod manager;
mod manifests;
mod protobuf;
mod rules;
pub mod schema;
mod settings;

pub use finding::{Finding, Place, Report, Severity, Verdict};
use found::{Filter, Found};

/// The names of all rules, as [`Finding::rule`] has them.
pub fn rules() -> impl Iterator<Item = &'static str> {
    rules::RULES.iter().map(|rule| rule.name)
}

/// Checks the text of a file. Variables that hold keys need not be set.
pub fn check(text: &str) -> Report {
    let is_json = text.trim_start().starts_with('{');
    let documents = match protobuf::documents(text) {
        Ok(documents) => documents,
        // The parser of our own configuration says better what is wrong.
        Err(_) if is_json => Vec::new(),
        Err(problem) => {
            let place = Place::default();
            return Report::new(0, vec![Finding::error(&place, "", problem)]);
        }
    };
    let mut found = Found::new(&documents);
    if found.filters.is_empty() && is_json {
        found.filters.push(Filter::of_settings(text));
    }
    if !found.filters.is_empty() {
        let findings = rules::RULES.iter().flat_map(|rule| rule.findings(&found));
        return Report::new(found.filters.len(), findings.collect());
    }
    let nothing = "no wasm filter in it has oss_origin_auth as its name or in the place of its \
                   code";
    Report::new(0, vec![Finding::error(&Place::default(), "", nothing)])
}
