//! The rule for what a version of Envoy does not know.

use serde_json::Value;

use crate::finding::{Finding, Place};
use crate::found::Found;
use crate::protobuf::{is, kind};
use crate::version::Version;

/// The features that we ship or describe, with the first version of Envoy that has them.
pub const SINCE: [(What, &str, Version); 8] = [
    // changelogs/1.33.0.yaml of Envoy
    (What::Field, "failure_policy", Version::new(1, 33)),
    (What::Field, "reload_config", Version::new(1, 33)),
    (What::Field, "auto_sni_san_validation", Version::new(1, 33)),
    (What::Field, "auto_host_sni", Version::new(1, 33)),
    // changelogs/1.34.0.yaml
    (
        What::Field,
        "uncompressible_response_codes",
        Version::new(1, 34),
    ),
    // changelogs/1.35.0.yaml
    (
        What::Field,
        "allow_on_headers_stop_iteration",
        Version::new(1, 35),
    ),
    // 1.36.4 loads it, which is the oldest version that was tried.
    (
        What::Message,
        "envoy.extensions.filters.http.cache_v2.v3.CacheV2Config",
        Version::new(1, 36),
    ),
    // 1.36.4 and 1.37.0 refuse it, 1.39.3 loads it; changelogs/1.38.0.yaml
    (What::Field, "weaken_etag_on_compress", Version::new(1, 38)),
];

/// The kind of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A field of a message.
    Field,
    /// The type of a message.
    Message,
}

/// Envoy refuses fields and types that it does not know.
pub fn envoy_does_not_know_it(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let envoy = found.envoy;
    if !(Version::OLDEST..=Version::NEWEST).contains(&envoy) {
        let message = format!(
            "the filter is tried with Envoy {} to {}, not with {envoy}; try it before you rely \
             on it",
            Version::OLDEST,
            Version::NEWEST
        );
        findings.push(Finding::note(&Place::default(), "", message));
    }
    for document in &found.documents {
        let mut newer = Vec::new();
        collect(&document.value, "", envoy, &mut newer);
        for (path, name, since) in newer {
            let message = format!(
                "Envoy has {name} since {since}, and {envoy} refuses it; take it out, or take a \
                 newer Envoy"
            );
            findings.push(Finding::error(&document.source.place(), &path, message));
        }
    }
    findings
}

type Newer = (String, &'static str, Version);

/// The fields and types of a value that are newer than a version.
fn collect(value: &Value, path: &str, envoy: Version, newer: &mut Vec<Newer>) {
    let newest = SINCE.iter().filter(|(_, _, since)| *since > envoy);
    match value {
        Value::Object(fields) => {
            let of_type = newest
                .clone()
                .filter(|(what, name, _)| *what == What::Message && kind(value) == *name);
            newer.extend(of_type.map(|(_, name, since)| (path.to_owned(), *name, *since)));
            for (key, inner) in fields {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                let mut of_name = newest.clone();
                let known = of_name.find(|(what, name, _)| *what == What::Field && is(key, name));
                newer.extend(known.map(|(_, name, since)| (path.clone(), *name, *since)));
                collect(inner, &path, envoy, newer);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{index}]"), envoy, newer);
            }
        }
        _ => {}
    }
}
