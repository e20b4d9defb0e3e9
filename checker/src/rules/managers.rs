//! Rules for what surrounds the filter among the downstream filters, for both positions of the
//! filter: the headers that it sets stay on the request.

use serde_json::Value;

use super::listener::RBAC;
use crate::finding::Finding;
use crate::found::{Filter, Found, Position, is_or_has};
use crate::manager::{HEADER_INPUT, Manager, Route, children, inner, of_kind};
use crate::protobuf::{field, is, is_true, kind, list, text};
use crate::settings::{Settings, signs as is_signer};

/// A request that Envoy redirects internally has the signature of the first request.
pub fn redirects_carry_the_signature(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let signers = found.filters.iter();
    let signers = signers.filter(|one| !one.signs_for_one_answer());
    let signers: Vec<_> = signers.map(|one| (one, Settings::of(one))).collect();
    for (index, manager) in with_a_filter(found, is_signer) {
        if takes_the_signature_off(found, manager) {
            continue;
        }
        let mut say = |field: String| {
            findings.push(Finding::warning(&manager.place, &field, CARRIED));
        };
        for (filter, config) in manager.filters() {
            if !of_kind(config, REDIRECT).is_empty() {
                let name = text(filter, "name").unwrap_or_default();
                say(format!("{}.http_filters[{name}]", manager.field));
            }
        }
        for route in manager.known_routes() {
            if route.has_any(&["internal_redirect_policy"]) && signs(&signers, index, route) {
                say(format!("{}.route.internal_redirect_policy", route.field));
            }
            if !of_kind(&route.message, REDIRECT).is_empty() {
                say(format!("{}.typed_per_filter_config", route.field));
            }
        }
    }
    findings
}

const REDIRECT: &str = "envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy";

const CARRIED: &str = "the request goes on to another route, and perhaps to another cluster, with \
    our authorization and x-oss-security-token; put an envoy.filters.http.header_mutation before \
    the filter that removes them from the request, as in envoy/site.yaml";

/// Whether a filter removes the headers of an earlier pass.
fn takes_the_signature_off(found: &Found, manager: &Manager) -> bool {
    let among = |filter: &&Filter| matches!(filter.position, Position::Manager(_));
    let signers = || {
        found
            .filters
            .iter()
            .filter(among)
            .filter(|one| is_signer(one))
    };
    let before_ours = manager
        .filters()
        .take_while(|(one, _)| !signers().any(|signer| is_or_has(one, signer)));
    let removed: Vec<String> = before_ours
        .filter(|(_, config)| kind(config) == MUTATION)
        .filter_map(|(_, config)| field(inner(config), "mutations"))
        .flat_map(|mutations| list(mutations, "request_mutations"))
        .filter_map(|mutation| Some(text(mutation, "remove")?.to_ascii_lowercase()))
        .collect();
    let is_removed = |name: &&str| removed.iter().any(|one| one == name);
    SECRET.iter().all(is_removed)
}

const MUTATION: &str = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// The headers with which others could read in our name.
const SECRET: [&str; 2] = ["authorization", "x-oss-security-token"];

/// A format that prints request headers also prints those that the filter has set.
pub fn logs_print_the_signature(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, manager) in with_a_filter(found, is_signer) {
        let mut printed = Vec::new();
        // An upstream filter signs after the route has added its headers.
        let copies = found
            .filters
            .iter()
            .any(|filter| filter.position == Position::Manager(index) && is_signer(filter));
        let fields = PRINTING.iter().copied();
        let fields: Vec<_> = fields.chain(copies.then_some(COPYING)).collect();
        for message in manager.messages() {
            find_printed(message, &manager.field, Among(&fields, false), &mut printed);
        }
        for (field, name) in printed {
            let message = format!(
                "it prints or copies {name}, which the filter sets: anyone who reads it can read from \
                 OSS; take it out"
            );
            findings.push(Finding::warning(&manager.place, &field, message));
        }
    }
    findings
}

/// The fields whose texts leave this Envoy.
const PRINTING: [&str; 7] = [
    "access_log",
    "body_format",
    "local_reply_config",
    "response_headers_to_add",
    "response_mutations",
    "tracing",
    "upstream_log",
];

/// The field in which a route copies headers to others of the request.
const COPYING: &str = "request_headers_to_add";

/// The fields that print headers. `printing` says whether this value is inside one.
#[derive(Clone, Copy)]
struct Among<'a>(&'a [&'static str], bool);

fn find_printed(
    value: &Value,
    path: &str,
    Among(all, printing): Among,
    printed: &mut Vec<(String, &'static str)>,
) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let path = format!("{path}.{key}");
                let printing = printing || all.iter().any(|name| is(key, name));
                // A list of headers of a gRPC access log, or a tag of a trace.
                let listed = list(value, "additional_request_headers_to_log");
                let named = match is(key, "request_header") {
                    true => text(inner, "name"),
                    false => None,
                };
                let of_key = listed.filter(|_| is(key, "additional_request_headers_to_log"));
                let names = of_key.filter_map(Value::as_str).chain(named);
                let names = names.filter_map(secret).filter(|_| printing);
                printed.extend(names.map(|name| (path.clone(), name)));
                find_printed(inner, &path, Among(all, printing), printed);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_printed(
                    item,
                    &format!("{path}[{index}]"),
                    Among(all, printing),
                    printed,
                );
            }
        }
        Value::String(format) if printing => {
            printed.extend(of_format(format).map(|name| (path.to_owned(), name)));
        }
        _ => {}
    }
}

/// The secret header with this name, in any case.
fn secret(name: &str) -> Option<&'static str> {
    let mut all = SECRET.into_iter();
    all.find(|secret| name.trim().eq_ignore_ascii_case(secret))
}

/// The secret headers that a format prints: `%REQ(A?B):10%` prints A, or else B.
fn of_format(format: &str) -> impl Iterator<Item = &'static str> {
    let commands = format.split('%').filter_map(|part| part.split_once('('));
    commands.flat_map(|(command, rest)| {
        let argument = rest.rsplit_once(')').map_or(rest, |(argument, _)| argument);
        of_command(command, argument)
    })
}

fn of_command(command: &str, argument: &str) -> Vec<&'static str> {
    match command {
        "CEL" | "TYPED_CEL" => of_cel(argument),
        "COALESCE" => {
            let operators = serde_json::from_str(argument).unwrap_or(Value::Null);
            let operators = list(&operators, "operators");
            let printed = operators.flat_map(|one| {
                let part = |name| text(one, name).unwrap_or_default();
                of_command(part("command"), part("param"))
            });
            printed.collect()
        }
        _ if COMMANDS.contains(&command) => argument.split('?').filter_map(secret).collect(),
        _ => Vec::new(),
    }
}

/// The secret headers of the request that an expression names.
fn of_cel(expression: &str) -> Vec<&'static str> {
    let expression = expression.to_ascii_lowercase();
    let parts = expression.split("request.headers").skip(1);
    let accessed = parts.filter_map(|part| {
        let name = part.trim_start_matches(['[', '.', '\'', '"', ' ']);
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        secret(name.split(|letter| !is_of_name(letter)).next()?)
    });
    accessed.collect()
}

/// Envoy's command operators that print a request header.
const COMMANDS: [&str; 3] = ["REQ", "REQUEST_HEADER", "REQ_WITHOUT_QUERY"];

/// A client can choose its address by X-Forwarded-For, unless Envoy uses that of the
/// connection.
pub fn addresses_can_be_forged(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, manager) in with_a_filter(found, |_| true) {
        let message = &manager.message;
        let hops = |message| field(message, "xff_num_trusted_hops").and_then(Value::as_u64);
        let detection = list(message, "original_ip_detection_extensions");
        let mut detection = detection.filter_map(|one| field(one, "typed_config"));
        let trusts = detection.any(|one| {
            hops(inner(one)).is_some() || field(inner(one), "xff_trusted_cidrs").is_some()
        });
        let known = is_true(message, "use_remote_address") || hops(message) > Some(0) || trusts;
        let checked =
            |names: fn(&Value) -> bool| manager.messages().any(|one| rbac_has(one, names));
        let mut say = |name: &str, message: &str| {
            let field = format!("{}.{name}", manager.field);
            findings.push(Finding::warning(&manager.place, &field, message));
        };
        if !known && checked(is_address) {
            say(
                "use_remote_address",
                "an rbac checks the client's address, which the client can choose by \
                 X-Forwarded-For; write `use_remote_address: true`, and behind load balancers \
                 their number as `xff_num_trusted_hops`",
            );
        }
        if checked(is_forwarded_for) {
            say(
                "http_filters",
                "an rbac checks the header x-forwarded-for, which begins with what the client \
                 writes; check `remote_ip`",
            );
        }
    }
    findings
}

/// The type of the rules that a route gives to an rbac.
pub const RBAC_PER_ROUTE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";

/// Whether an rbac within a message has a value of this kind.
pub fn rbac_has(message: &Value, names: fn(&Value) -> bool) -> bool {
    fn has(value: &Value, names: fn(&Value) -> bool) -> bool {
        names(value) || children(value).into_iter().any(|child| has(child, names))
    }
    let rbacs = [RBAC, RBAC_PER_ROUTE].into_iter();
    let mut rbacs = rbacs.flat_map(|rbac| of_kind(message, rbac));
    rbacs.any(|rbac| has(rbac, names))
}

fn is_address(value: &Value) -> bool {
    field(value, "remote_ip").is_some()
        || kind(value) == "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"
}

fn is_forwarded_for(value: &Value) -> bool {
    let matcher = field(value, "header").and_then(|header| text(header, "name"));
    let input = Some(inner(value)).filter(|_| kind(value) == HEADER_INPUT);
    let name = matcher.or(input.and_then(|input| text(input, "header_name")));
    name.is_some_and(|name| name.eq_ignore_ascii_case("x-forwarded-for"))
}

/// The managers through which requests reach a filter of this kind, with their numbers.
fn with_a_filter(
    found: &Found,
    is_meant: impl Fn(&Filter) -> bool,
) -> impl Iterator<Item = (usize, &Manager)> {
    let all = found.managers.iter().enumerate();
    all.filter(move |(index, manager)| {
        let mut filters = found.filters.iter().filter(|filter| is_meant(filter));
        filters.any(|filter| filter.is_behind(*index, manager))
    })
}

/// Whether requests on a route of this manager are signed, as far as it is known.
fn signs(signers: &[(&Filter, Option<Settings>)], manager: usize, route: &Route) -> bool {
    signers
        .iter()
        .any(|(filter, settings)| match &filter.position {
            Position::Cluster(cluster) => route.leads_to(cluster),
            Position::Manager(of) if *of == manager => settings
                .as_ref()
                .is_some_and(|settings| settings.treatment(route).signs()),
            _ => false,
        })
}
