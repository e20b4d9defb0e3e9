//! Rules for the routes with signed requests: Envoy loads these configurations, but clients
//! suffer.

use serde_json::Value;

use super::duration::seconds;
use super::signed::{Signed, signed};
use crate::finding::Finding;
use crate::found::Found;
use crate::protobuf::{field, is_true, list, number, text};

/// A retry signs a refused request again only if the filter is on the cluster.
pub fn retries_heal_nothing(found: &Found) -> Vec<Finding> {
    let on_cluster = signed(found).into_iter().filter(Signed::is_on_cluster);
    let said = on_cluster.filter_map(|one| {
        let policy = one.retries().unwrap_or(&Value::Null);
        let reasons = text(policy, "retry_on").unwrap_or_default();
        let has = |reason: &str| reasons.split(',').any(|one| one.trim() == reason);
        let mut headers = list(policy, "retriable_headers");
        let is_ours = |one: &Value| {
            text(one, "name").is_some_and(|name| name.eq_ignore_ascii_case("x-origin-auth-retry"))
        };
        let mut statuses = list(policy, "retriable_status_codes");
        let is_met = |one: &Value| is_ours(one) && !is_turned_round(one);
        let is_403 = |one: &Value| one.to_string().trim_matches('"') == "403";
        let is_none = number(policy, "num_retries") == Some(0.0);
        let message = if !is_none && has("retriable-status-codes") && statuses.any(is_403) {
            "every 403 is retried, also what is denied; write `retry_on: \
             reset,retriable-headers,retriable-status-codes` and `retriable_headers: [{name: \
             x-origin-auth-retry, present_match: true}]`, and take 403 out of \
             retriable_status_codes"
        } else if !is_none && has("retriable-headers") && headers.clone().any(is_met) {
            return None;
        } else if headers.any(is_ours) && !is_none && has("retriable-headers") {
            "the matcher of x-origin-auth-retry is inverted, so every request is retried \
             but what newer credentials heal; write `present_match: true`, without `invert_match`"
        } else {
            "without a retry clients see OSS's 403 whenever credentials change; write `retry_on: \
             reset,retriable-headers,retriable-status-codes` and `retriable_headers: [{name: \
             x-origin-auth-retry, present_match: true}]`, as in envoy/minimal.yaml"
        };
        let field = one.route.at("retry_policy");
        Some(Finding::warning(&one.place(), &field, message))
    });
    said.collect()
}

/// Whether a matcher requires that a header is absent or different.
fn is_turned_round(matcher: &Value) -> bool {
    let is_absent = field(matcher, "present_match").is_some() && !is_true(matcher, "present_match");
    is_absent != is_true(matcher, "invert_match")
}

/// The timeout of a route runs until the last byte of the answer.
pub fn timeouts_cut_downloads(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in signed(found) {
        let mut say = |name: &str, message: String| {
            let field = one.route.at(name);
            findings.push(Finding::warning(&one.place(), &field, message));
        };
        match one.action("timeout").map(seconds) {
            None if one.route.dialect.has_default_timeout() => {
                let why =
                    "there is none, and Envoy's own, of 15 seconds, cuts every longer download";
                say("timeout", format!("{why}{CUT}"));
            }
            Some(Some(seconds)) if seconds > 0.0 => {
                let why = format!("downloads that take longer than {seconds} seconds are cut");
                say("timeout", format!("{why}{CUT}"));
            }
            _ => {}
        }
        let stream = one.action("max_stream_duration");
        let stream = stream.and_then(|stream| field(stream, "max_stream_duration"));
        if let Some(seconds) = stream.and_then(seconds).filter(|seconds| *seconds > 0.0) {
            let message =
                format!("downloads that take longer than {seconds} seconds are cut; take it out");
            say("max_stream_duration", message);
        }
        let idle = one
            .retries()
            .and_then(|policy| field(policy, "per_try_idle_timeout"));
        if idle.and_then(seconds).is_some_and(|seconds| seconds > 0.0) {
            let message = "clients that are slow are cut; take it out: stream_idle_timeout ends \
                           downloads in which nothing moves";
            say("retry_policy.per_try_idle_timeout", message.to_owned());
        }
    }
    findings
}

const CUT: &str =
    ", with status 200; write 0s: stream_idle_timeout ends those in which nothing moves";

/// A prefix in Envoy is one of text, not of folders.
pub fn prefixes_match_more(found: &Found) -> Vec<Finding> {
    let said = signed(found).into_iter().filter_map(|one| {
        if let Some(finding) = regex_matches_more(&one) {
            return Some(finding);
        }
        let prefix = one.matched("prefix")?;
        if prefix.is_empty() || prefix.ends_with('/') {
            return None;
        }
        let message = format!(
            "`{prefix}` also matches `{prefix}foo`, so the route serves more than its folder; \
             write `{prefix}/`, or Envoy's `path_separated_prefix: {prefix}`"
        );
        let field = one.route.at("match.prefix");
        Some(Finding::warning(&one.place(), &field, message))
    });
    said.collect()
}

/// A regular expression that is a text followed by anything matches more, too.
fn regex_matches_more(one: &Signed) -> Option<Finding> {
    let matched = field(&one.route.message, "match")?;
    let whole = text(field(matched, "safe_regex")?, "regex")?;
    let regex = whole.strip_prefix('^').unwrap_or(whole);
    let regex = regex.strip_suffix('$').unwrap_or(regex);
    let ends = ["(.*)", "(.+)", ".*", ".+"];
    let prefix = ends.iter().find_map(|end| regex.strip_suffix(end))?;
    let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_%~".contains(&byte);
    if prefix.ends_with('/') || !prefix.starts_with('/') || !prefix.bytes().all(is_text) {
        return None;
    }
    let message = format!(
        "`{whole}` also matches `{prefix}foo`, so the route serves more than its folder; write \
         `{prefix}/.*`, or Envoy's `path_separated_prefix: {prefix}` in its place"
    );
    let field = one.route.at("match.safe_regex");
    Some(Finding::warning(&one.place(), &field, message))
}

/// An upstream filter waits for credentials within a single try.
pub fn tries_end_before_credentials_come(found: &Found) -> Vec<Finding> {
    let on_cluster = signed(found).into_iter().filter(Signed::is_on_cluster);
    let said = on_cluster.filter_map(|one| {
        let wait = one.wait?;
        let policy = one.retries()?;
        let per_try = seconds(field(policy, "per_try_timeout")?)?;
        if per_try == 0.0 || per_try * 1_000.0 > wait as f64 {
            return None;
        }
        let message = format!(
            "a try ends after {per_try} seconds, before a request that waits for credentials gets \
             its answer (wait_timeout_ms: {wait}): clients see a 504 in place of the reason; write \
             30s, or make wait_timeout_ms shorter"
        );
        let field = format!("{}.per_try_timeout", one.route.at("retry_policy"));
        Some(Finding::warning(&one.place(), &field, message))
    });
    said.collect()
}

/// A downstream filter signs the path that the settings describe for the route.
pub fn rewrites_are_not_described(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in signed(found).iter().filter(|one| !one.is_on_cluster()) {
        let said = [of_host(one), of_prefix(one), of_regex(one)];
        for (name, message) in said.into_iter().flatten() {
            findings.push(Finding::warning(&one.place(), &one.route.at(name), message));
        }
    }
    findings
}

type Said = Option<(&'static str, String)>;

fn of_host(one: &Signed) -> Said {
    let rewritten = one.action("host_rewrite_literal")?.as_str()?;
    let described = one.block.host()?;
    (!rewritten.eq_ignore_ascii_case(&described)).then(|| {
        let message = format!(
            "the route sets the host `{rewritten}`, and the settings of the filter describe \
             `{described}` (bucket, endpoint, addressing): OSS refuses the signature; make them \
             the same"
        );
        ("host_rewrite_literal", message)
    })
}

fn of_prefix(one: &Signed) -> Said {
    let rewritten = one.action("prefix_rewrite")?.as_str()?;
    let folder = one.matched("path_separated_prefix");
    let sample = match (one.matched("prefix"), folder, one.matched("path")) {
        (Some(prefix), ..) if prefix.ends_with('/') => format!("{prefix}a"),
        (Some(prefix), ..) => format!("{prefix}/a"),
        (_, Some(folder), _) => format!("{}/a", folder.trim_end_matches('/')),
        (_, _, Some(path)) => path.to_owned(),
        _ => return None,
    };
    // A gateway adds the slash, Envoy does not.
    let (matched, rewritten) = match folder {
        Some(folder) if one.matched("prefix").is_none() => (
            folder.trim_end_matches('/'),
            rewritten.trim_end_matches('/'),
        ),
        _ => (one.matched("prefix").unwrap_or(&sample), rewritten),
    };
    let left = sample.strip_prefix(matched).unwrap_or_default();
    let actual = format!("{rewritten}{left}");
    let described = described(one, &sample);
    (described.as_deref() != Some(actual.as_str())).then(|| {
        let described = match described {
            Some(described) => format!("describe `{described}`"),
            None => "are of other paths".to_owned(),
        };
        let message = format!(
            "the route makes `{actual}` of `{sample}`, and the settings of the filter {described} \
             (strip_prefix, key_prefix, addressing): OSS refuses the signature; let strip_prefix be \
             what the route takes off, and key_prefix what it puts there"
        );
        ("prefix_rewrite", message)
    })
}

/// The path in the signature; `None` if the request is refused.
fn described(one: &Signed, path: &str) -> Option<String> {
    let block = &one.block;
    let strip = Some(block.text("strip_prefix")).filter(|strip| !strip.is_empty());
    let key = path.strip_prefix(strip.unwrap_or("/"))?;
    let bucket = match block.text("addressing") {
        "path_style" => format!("{}/", block.text("bucket")),
        _ => String::new(),
    };
    let document = match key.is_empty() || key.ends_with('/') {
        true => block.text("index_document"),
        false => "",
    };
    Some(format!(
        "/{bucket}{}{key}{document}",
        block.text("key_prefix")
    ))
}

fn of_regex(one: &Signed) -> Said {
    one.action("regex_rewrite")?;
    let block = &one.block;
    let describes = !matches!(block.text("strip_prefix"), "" | "/")
        || block.text("addressing") == "path_style"
        || ["key_prefix", "index_document"]
            .iter()
            .any(|name| !block.text(name).is_empty());
    (!describes).then(|| {
        let message = "the route changes the path, and the settings of the filter describe no such \
                       thing (strip_prefix, key_prefix, index_document, addressing): OSS refuses \
                       the signature; describe it there, or let the filter sit on the cluster";
        ("regex_rewrite", message.to_owned())
    })
}
