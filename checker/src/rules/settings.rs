//! Rules for settings that allow what the defaults prevent.

use super::hosts::{is_public_mainland, region};
use crate::finding::{Finding, Place, Severity};
use crate::found::{Filter, Found};
use crate::settings::{Block, Settings};

/// OSS's own errors name the bucket, the key and the host.
pub fn errors_name_the_bucket(found: &Found) -> Vec<Finding> {
    written(found, |_, block| {
        is(
            block,
            "errors",
            "oss",
            "clients see the elements of OSS's errors that name bucket, key and host; leave it \
             `neutral`, unless clients are SDKs of OSS",
        )
    })
}

/// Alibaba Cloud does not let new accounts read through public endpoints.
pub fn public_endpoints_are_refused(found: &Found) -> Vec<Finding> {
    let mut findings = written(found, |_, block| {
        is_public_mainland(block.text("endpoint")).then(|| {
            let message = "accounts that were opened since 20 March 2025 may not read by a public \
                           endpoint of the mainland (400, PublicEndpointForbidden); write the \
                           internal one in the region, else the bucket's own domain with \
                           `addressing`: `cname`";
            ("endpoint", message.to_owned())
        })
    });
    for finding in &mut findings {
        finding.severity = Severity::Note;
    }
    findings
}

/// OSS accepts a V4 signature only for the bucket's own region, and so must the endpoint.
pub fn the_endpoint_is_of_another_region(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let Some(settings) = Settings::of(filter) else {
            continue;
        };
        for (written, block) in settings.signing_as_written(found) {
            let (Some(there), Some(here)) =
                (region(block.text("endpoint")), region(block.text("region")))
            else {
                continue;
            };
            if there != here && block.text("signature_version") != "v1" {
                let message = format!(
                    "the endpoint is one of {there}, and signatures are for {here}: OSS refuses \
                     them; write the bucket's region in both"
                );
                // A route that inherits both has nothing to fix.
                let field = match (written.has("endpoint"), written.has("region")) {
                    (true, _) => format!("{}.endpoint", written.field),
                    (false, true) => format!("{}.region", written.field),
                    (false, false) => settings.path("defaults.endpoint"),
                };
                findings.push(Finding::warning(&filter.place, &field, message));
            }
        }
    }
    findings
}

/// Parameters that have no meaning for OSS today may have one later.
pub fn unknown_parameters_leave(found: &Found) -> Vec<Finding> {
    written(found, |_, block| {
        is(
            block,
            "unknown_parameters",
            "forward",
            "a parameter to which OSS gives a meaning later leaves signed; leave it `strip`, and \
             name those that must pass in `forward_parameters`",
        )
    })
}

/// A person with a key of the bucket's account can read by a signed URL.
pub fn signed_urls_pass(found: &Found) -> Vec<Finding> {
    written(found, |_, block| {
        is(
            block,
            "presigned_urls",
            "pass",
            "a client's signed URL leaves as it is, by its signer's rights and not by the role's, \
             and what has no signature is signed all the same; write `refuse` or `strip`, or \
             `require` where nothing else may pass",
        )
    })
}

/// The headers identify clients, or were added on the way to Envoy.
pub fn headers_of_clients_leave(found: &Found) -> Vec<Finding> {
    written(found, |_, block| {
        let names = block.texts("forward_headers");
        let private: Vec<String> = names
            .filter(|name| is_private(name))
            .map(|name| format!("`{name}`"))
            .collect();
        (!private.is_empty()).then(|| {
            let names = private.join(", ");
            let message = format!(
                "{names} lets headers leave for OSS that are none of its business, such as cookies \
                 or a client's address; name the headers that OSS must see, each of them"
            );
            ("forward_headers", message)
        })
    })
}

/// Keys are read from the environment, so that no page of Envoy shows them.
pub fn config_dump_shows_the_keys(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for filter in &found.filters {
        let settings = Settings::of(filter);
        let variables = settings.as_ref().map(Settings::variables);
        let variables = variables.unwrap_or_default();
        let inline = filter.inline.iter();
        for (field, name) in inline.filter(|(_, name)| variables.contains(&name.as_str())) {
            let message = format!(
                "config_dump shows its value, which the settings take for a key or a token; take \
                 it out, set {name} in Envoy's own environment, and list the name in \
                 `host_env_keys` (in a WasmPlugin `valueFrom: HOST`)"
            );
            findings.push(Finding::error(&filter.place, field, message));
        }
    }
    findings
}

/// The names of private headers, and the beginnings of such names.
const PRIVATE: [&str; 8] = [
    "cookie",
    "forwarded",
    "proxy-authorization",
    "x-amz-",
    "x-envoy-",
    "x-forwarded-",
    "x-real-ip",
    "x-request-id",
];

fn is_private(pattern: &str) -> bool {
    let lower = pattern.to_ascii_lowercase();
    let among = |one: &str| match one.ends_with('-') {
        true => lower.starts_with(one),
        false => lower == one,
    };
    let covers = |start: &str| PRIVATE.iter().any(|one| one.starts_with(start));
    PRIVATE.into_iter().any(among) || lower.strip_suffix('*').is_some_and(covers)
}

/// A finding if a setting has this value.
fn is(
    block: &Block,
    setting: &'static str,
    value: &str,
    message: &str,
) -> Option<(&'static str, String)> {
    (block.text(setting) == value).then(|| (setting, message.to_owned()))
}

/// A finding for each place with settings. Metadata is included; every filter that reads
/// metadata may read it.
pub fn written(
    found: &Found,
    rule: impl Fn(&Filter, &Block) -> Option<(&'static str, String)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reading = Vec::new();
    let finding = |filter: &Filter, place: &Place, block: &Block| {
        let (setting, message) = rule(filter, block)?;
        let field = format!("{}.{setting}", block.field);
        Some(Finding::warning(place, &field, message))
    };
    for filter in &found.filters {
        if let Some(settings) = Settings::of(filter) {
            let blocks = settings.written();
            let said = blocks.iter();
            findings.extend(said.filter_map(|block| finding(filter, &filter.place, block)));
            if settings.reads_metadata() {
                reading.push(filter);
            }
        }
    }
    for metadata in &found.metadata {
        if let Some(block) = Block::parse(&metadata.field, &metadata.settings) {
            let mut said = reading.iter();
            findings.extend(said.find_map(|filter| finding(filter, &metadata.place, &block)));
        }
    }
    findings
}
