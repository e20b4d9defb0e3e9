//! Checks of the values of settings. Each error says what is wrong without repeating the value.

use super::patterns::Patterns;
use crate::oss::encoding::is_canonical_path;
use crate::oss::headers;
use crate::oss::parameters::{is_operation, is_signature_parameter};

type Check = Result<(), &'static str>;
/// A check of one value.
pub type CheckOf = fn(&str) -> Check;

/// Checks the name of a bucket (OSS, "Bucket naming conventions").
pub fn check_bucket(name: &str) -> Check {
    let fits = (3..=63).contains(&name.len()) && name.bytes().all(is_label_byte);
    ensure(fits, BUCKET)?;
    let hyphen = name.starts_with('-') || name.ends_with('-');
    ensure(!hyphen, "must neither begin nor end with a hyphen")
}

/// Checks a general region id (OSS, "Regions and endpoints").
pub fn check_region(region: &str) -> Check {
    ensure(!region.starts_with("oss-"), REGION_WITH_OSS)?;
    ensure(!region.ends_with("-internal"), REGION_WITH_INTERNAL)?;
    let fits = (1..=64).contains(&region.len()) && region.bytes().all(is_label_byte);
    ensure(fits, "must be a region id such as `cn-hangzhou`")
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Checks the name of an entry under `credentials` or `url_keys`.
pub fn check_entry_name(name: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(allowed);
    let dots = name.bytes().all(|b| b == b'.');
    ensure(
        fits && !dots,
        "the name must be 1 to 64 letters, digits, `-`, `_` and `.`",
    )
}

/// Checks the name of one of Envoy's clusters.
pub fn check_cluster(cluster: &str) -> Check {
    ensure(
        !cluster.is_empty(),
        "must not be empty: the name of the sidecar's cluster in Envoy",
    )
}

/// Checks a host with an optional port.
pub fn check_authority(authority: &str) -> Check {
    let fits = !authority.is_empty() && is_header_safe(authority) && !authority.contains('/');
    ensure(
        fits,
        "must be a host with an optional port, without scheme or path",
    )
}

/// Checks the path of a request, as it is sent.
pub fn check_request_path(path: &str) -> Check {
    let fits = path.starts_with('/') && is_header_safe(path) && !path.contains('#');
    ensure(
        fits,
        "must begin with `/` and contain no spaces; encode other characters",
    )
}

/// Checks the name of an operation of OSS.
pub fn check_operation(name: &str) -> Check {
    ensure(
        is_operation(name.as_bytes()) || matches!(name, "list" | "bucket"),
        OPERATION,
    )
}

/// Checks the name of a parameter that may be forwarded.
pub fn check_parameter(name: &str) -> Check {
    let (operation, signs) = (
        is_operation(name.as_bytes()),
        is_signature_parameter(name.as_bytes()),
    );
    ensure(
        !operation,
        "is an operation of OSS; name it in `operations`",
    )?;
    ensure(!signs, "is part of a signed URL; see `presigned_urls`")?;
    ensure(name != "*", EVERY_PARAMETER)?;
    check_pattern(name)
}

/// Checks the name of a header that may be forwarded.
pub fn check_header(name: &str) -> Check {
    ensure(is_lower_case(name), "must be in lower case")?;
    check_pattern(name)?;
    let stem = name.strip_suffix('*').unwrap_or(name);
    let pattern = Patterns::of(&[name]);
    let would_match = |other: &str| pattern.allow(other.as_bytes());
    let of_signature = headers::OF_SIGNATURE
        .names
        .iter()
        .any(|other| would_match(other));
    let of_aws = stem.starts_with(headers::AWS_PREFIX) || would_match(headers::AWS_PREFIX);
    ensure(!of_signature && !of_aws, HEADER_OF_SIGNATURE)?;
    let of_connection = OF_CONNECTION.iter().any(|other| would_match(other));
    ensure(
        !of_connection && !name.starts_with(':'),
        HEADER_OF_CONNECTION,
    )
}

/// Checks the name of a header that is added to requests.
pub fn check_added_header(name: &str) -> Check {
    ensure(is_lower_case(name), "must be in lower case")?;
    let own = name.strip_prefix(headers::PREFIX).unwrap_or_default();
    let fits = own.bytes().all(is_label_byte) && !own.is_empty();
    ensure(fits, ADDED_HEADER)?;
    ensure(
        name != headers::RANGE_BEHAVIOR,
        "is set by `ranges`; leave it out",
    )?;
    ensure(
        !headers::OF_SIGNATURE.has(name.as_bytes()),
        "is a header of the signature, which the filter sets; leave it out",
    )
}

/// Checks the value of a header that is added.
pub fn check_header_value(value: &str) -> Check {
    let printable = |b: u8| b.is_ascii_graphic() || b == b' ';
    let fits = (1..=4_096).contains(&value.len()) && value.trim() == value;
    ensure(
        fits && value.bytes().all(printable),
        "must be the value of a header: 1 to 4096 bytes of printable ASCII, with no spaces around it",
    )
}

/// Checks the name of a response header that may be removed.
pub fn check_response_header(name: &str) -> Check {
    ensure(is_lower_case(name), "must be in lower case")?;
    check_pattern(name)
}

/// Checks a prefix of paths.
pub fn check_strip_prefix(prefix: &str) -> Check {
    let fits = prefix.starts_with('/') && prefix.ends_with('/');
    ensure(fits, "must begin and end with `/`")
}

/// Checks a prefix of keys.
pub fn check_key_prefix(prefix: &str) -> Check {
    ensure(
        !prefix.starts_with('/'),
        "must not begin with `/`: keys of OSS do not",
    )?;
    ensure(prefix.len() <= 1_000, "must be at most 1000 bytes")
}

/// Checks the name of an index document.
pub fn check_document(key: &str) -> Check {
    let fits = !key.is_empty() && !key.starts_with('/') && key.len() <= 1_000;
    ensure(
        fits,
        "must be the name of an object, without `/` before it: `index.html`",
    )
}

/// Checks the name of a URL parameter.
pub fn check_url_parameter(name: &str) -> Check {
    let fits = (1..=64).contains(&name.len()) && is_canonical_path(name.as_bytes());
    ensure(
        fits && !name.contains('/'),
        "must be 1 to 64 letters, digits, `-`, `.`, `_` and `~`",
    )
}

/// Checks the domain of a page, in which `*` stands for any characters.
pub fn check_domain(domain: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'*');
    let fits = (1..=253).contains(&domain.len()) && domain.bytes().all(allowed);
    let dots = domain.starts_with('.') || domain.ends_with('.');
    ensure(fits && !dots, DOMAIN)
}

/// Checks a pattern of `user-agent`s. The empty one stands for clients without a `user-agent`.
pub fn check_user_agent(pattern: &str) -> Check {
    ensure(pattern != "^$", "write \"\" for clients that give no name")?;
    ensure(
        !pattern.contains('|'),
        "must be one pattern, without `|`; write an entry for each pattern",
    )?;
    let printable = |b: u8| b.is_ascii_graphic() || b == b' ';
    let fits = pattern.len() <= 1_024 && pattern.trim() == pattern;
    ensure(
        fits && pattern.bytes().all(printable),
        "must be at most 1024 bytes of printable ASCII, with no spaces around them",
    )
}

/// Checks the name of one of Envoy's routes, or a prefix of such names.
pub fn check_route_name(name: &str) -> Check {
    ensure(!name.is_empty(), "must not be empty: Envoy's `route.name`")
}

/// Checks a host, or a pattern of hosts.
pub fn check_host_pattern(pattern: &str) -> Check {
    let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
    let host = pattern.strip_prefix('*').unwrap_or(beginning);
    let has = |wanted: u8| host.bytes().any(|byte| byte == wanted);
    let is_host = is_header_safe(host) && !has(b'*') && !has(b'/') && !has(b'@');
    ensure(!pattern.is_empty() && is_host, HOST_PATTERN)?;
    let mut behind_v6 = host.bytes().skip_while(|byte| *byte != b']').skip(1);
    let is_v6 = (has(b'[') || has(b']')) && behind_v6.next().is_none();
    ensure(is_v6 || !has(b':'), PORT_OF_HOST)
}

/// Checks a service of Higress with an optional port.
pub fn check_service(service: &str) -> Check {
    let (name, port) = service.split_once(':').unwrap_or((service, "1"));
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'|' && b != b'*';
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    ensure(
        !name.is_empty() && name.bytes().all(allowed) && is_port,
        SERVICE,
    )
}

/// Checks the URL to which refused clients are redirected.
pub fn check_redirect(url: &str) -> Check {
    let behind = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let fits = behind.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    ensure(
        fits && url.len() <= 2_048 && is_header_safe(url),
        "must be a URL: `https://www.example.com/sorry.html`",
    )
}

/// Checks a name that may end in `*`.
fn check_pattern(name: &str) -> Check {
    let stem = name.strip_suffix('*').unwrap_or(name);
    let fits = !name.is_empty() && is_header_safe(stem) && !stem.contains('*');
    ensure(
        fits,
        "must be a name, or a prefix of names with `*` at its end",
    )
}

fn ensure(holds: bool, problem: &'static str) -> Check {
    if holds { Ok(()) } else { Err(problem) }
}

fn is_lower_case(name: &str) -> bool {
    !name.bytes().any(|b| b.is_ascii_uppercase())
}

const BUCKET: &str = "must be 3 to 63 lower-case letters, digits and hyphens: the name of the \
     bucket, not its host";
const REGION_WITH_OSS: &str = "must be the general region id, without `oss-`: `cn-hangzhou`";
const REGION_WITH_INTERNAL: &str =
    "must be the general region id, without `-internal`: `cn-hangzhou`";
const OPERATION: &str = "must be a sub-resource of OSS such as \"acl\" or \"tagging\"; \"list\" for \
     ListObjects; or \"bucket\" for requests on the bucket that are neither";
const DOMAIN: &str = "must be a domain such as `example.com`, without scheme, port or path; it stands \
     for its subdomains, too, and `*` for any characters";
const HOST_PATTERN: &str = "must be a host such as `www.example.com`, or a pattern with `*` at \
     its beginning or at its end";
const PORT_OF_HOST: &str = "must be without a port: the port of a request is ignored";
const SERVICE: &str = "must be a service of Higress such as `oss.dns`, or `oss.dns:443` for one \
     of its ports, without `*`";
const EVERY_PARAMETER: &str = "would forward every parameter, also those of writes; name those \
     that you need, or set `unknown_parameters` to \"forward\"";
const HEADER_OF_SIGNATURE: &str =
    "would let a client set a header of a signature; name the headers that you need";
const HEADER_OF_CONNECTION: &str =
    "would let a client set a header that is Envoy's; name the headers that you need";
const ADDED_HEADER: &str = "must be a header of OSS, `x-oss-…`: these are signed; others are added by \
     `request_headers_to_add` of Envoy's route";
/// The headers that belong to the connection (RFC 9110, section 7.6.1) or route the request.
const OF_CONNECTION: &[&str] = &[
    "connection",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// Whether a text is visible ASCII: it cannot end a header and needs no quoting.
pub fn is_header_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a field's name suggests that somebody wants to write a key into the configuration.
pub fn looks_like_a_secret(field: &str) -> bool {
    let field = field.to_ascii_lowercase().replace(['_', '-'], "");
    let names = ["id", "secret", "key", "token", "ak", "sk", "password"];
    !field.ends_with("env") && names.iter().any(|name| field.ends_with(name))
}
