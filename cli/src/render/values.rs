//! Checks the values of flags, so that no value can mean anything but itself in YAML or JSON.

use std::net::{IpAddr, Ipv4Addr};

use oss_origin_auth_core::config::Config;
use serde::Serialize;

/// The value, or the error without the name of the flag.
type Check<T> = Result<T, String>;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// A network of clients' addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The address before the slash, in YAML.
    pub prefix: String,
    pub length: u8,
}

/// Checks a bucket and its region as the filter does; an error names the flag.
pub fn bucket_and_region(bucket: &str, region: &str) -> Check<()> {
    let settings = serde_json::json!({
        "credentials": {"default": {"sidecar": {"cluster": "c"}}},
        "defaults": {"bucket": bucket, "region": region, "endpoint": "oss.aliyuncs.com"},
    });
    let parsed = Config::parse(settings.to_string().as_bytes(), |_| None);
    parsed.map(|_| ()).map_err(|problem| {
        let problem = problem.to_string();
        match problem.strip_prefix("defaults.region: ") {
            Some(said) => format!("--region (OSS_REGION) is {region:?}: it {said}"),
            None => {
                let said = problem.trim_start_matches("defaults.bucket: ");
                format!("--bucket (OSS_BUCKET) is {bucket:?}: it {said}")
            }
        }
    })
}

/// A host without scheme, port or path.
pub fn host(text: &str) -> Check<String> {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(fits) && !label.starts_with('-')
    };
    // A word that has another meaning in YAML is not a host, nor is a text that ends in a
    // number and is not an address.
    let means_more = RESERVED.contains(&text.to_lowercase().as_str());
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|letter: char| letter.is_ascii_digit());
    let is_wrong = means_more || (is_number && text.parse::<Ipv4Addr>().is_err());
    match text.len() <= 253 && text.split('.').all(is_label) && !is_wrong {
        true => Ok(text.to_owned()),
        false => Err("it must be a host, without scheme, port or path".to_owned()),
    }
}

/// `host:port`.
pub fn address(text: &str) -> Check<Address> {
    let parts = text.rsplit_once(':');
    let parts = parts.and_then(|(name, port)| Some((host(name).ok()?, self::port(port).ok()?)));
    match parts {
        Some((host, port)) if port > 0 => Ok(Address { host, port }),
        _ => Err("it must be a host and a port, as 127.0.0.1:8181".to_owned()),
    }
}

/// A port; with 0 the system chooses one.
pub fn port(text: &str) -> Check<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| "it must be a number from 0 to 65535".to_owned())
}

/// A host of the bucket: its own domain, or OSS's host for it in this region.
pub fn domain(text: &str, bucket: &str, region: &str) -> Check<String> {
    let name = host(text)?;
    let Some(of_oss) = name.strip_suffix(".aliyuncs.com") else {
        return Ok(name);
    };
    let (of_bucket, endpoint) = of_oss.rsplit_once('.').unwrap_or(("", of_oss));
    let Some(place) = endpoint.strip_prefix("oss-") else {
        return Ok(name);
    };
    let place = place.strip_suffix("-internal").unwrap_or(place);
    // The hosts of these regions do not contain the region's id.
    let has_other_hosts = region.contains("finance") || region.contains("gov");
    let is_anywhere = matches!(place, "accelerate" | "accelerate-overseas");
    if of_bucket != bucket {
        return Err(format!(
            "it is a host of OSS, but not of the bucket {bucket}; choose --endpoint in its place"
        ));
    }
    if place != region && !is_anywhere && !has_other_hosts {
        return Err(format!(
            "it is a host of the region {place}, and the bucket's is {region}; choose --endpoint \
             in its place, or correct --region"
        ));
    }
    Ok(name)
}

/// The absolute path of a file or folder.
pub fn path(text: &str) -> Check<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    if !text.bytes().all(fits) {
        return Err("it holds more than letters, digits and . _ / -".to_owned());
    }
    match text.starts_with('/') && !text.split('/').any(|part| part == "..") {
        true => Ok(text.to_owned()),
        false => Err("it must be an absolute path, from / on".to_owned()),
    }
}

/// A prefix of paths: `/`, or names between slashes.
pub fn prefix(text: &str) -> Check<String> {
    let inner = text.strip_prefix('/').unwrap_or("//");
    let is_name = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(fits) && !name.bytes().all(|byte| byte == b'.')
    };
    let fits = match inner.strip_suffix('/') {
        None => inner.is_empty(),
        Some(names) => names.split('/').all(is_name),
    };
    match fits {
        true => Ok(text.to_owned()),
        false => Err(
            "it must begin and end with /, as /members/, and hold letters, digits and . _ -"
                .to_owned(),
        ),
    }
}

/// A network such as 10.0.0.0/8.
pub fn network(text: &str) -> Check<Network> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let parsed: Option<IpAddr> = address.parse().ok();
    let most = match parsed {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return Err(NETWORK.to_owned()),
    };
    let length = match length {
        "" if !text.contains('/') => Some(most),
        length => length.parse().ok().filter(|length| *length <= most),
    };
    let prefix = match most {
        32 => address.to_owned(),
        _ => quoted(address),
    };
    let length = length.ok_or_else(|| NETWORK.to_owned())?;
    Ok(Network { prefix, length })
}

/// An origin of web pages, as an entry of Envoy's list of origins.
pub fn origin(text: &str) -> Check<String> {
    let problem = || "it must be an origin, as https://www.example.com or https://*.example.com";
    let (scheme, rest) = text.split_once("://").ok_or_else(problem)?;
    let scheme = scheme.to_lowercase();
    let scheme = scheme.as_str();
    let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
    let good_port =
        port.is_empty() != rest.contains(':') && (port.is_empty() || self::port(port).is_ok());
    let (any, name) = match name.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, name),
    };
    if !matches!(scheme, "http" | "https") || !good_port || host(name).is_err() {
        return Err(problem().to_owned());
    }
    check_spelling(text)?;
    Ok(match any {
        false => format!("exact: {}", quoted(text)),
        true => {
            let behind = text.split_once("*.").map_or("", |(_, behind)| behind);
            let behind = behind.replace('.', r"\.");
            let regex = format!(r"{scheme}://[a-z0-9-]+\.{behind}");
            format!("safe_regex: {{regex: {}}}", quoted(&regex))
        }
    })
}

/// Refuses an origin that browsers spell differently: it would never match.
fn check_spelling(origin: &str) -> Check<()> {
    let spelled = origin.to_lowercase();
    let (before, port) = match spelled.rsplit_once(':') {
        Some((before, port)) if !port.starts_with('/') => (before, port),
        _ => (spelled.as_str(), ""),
    };
    let own = match before.starts_with("https:") {
        true => "443",
        false => "80",
    };
    let spelled = match port.trim_start_matches('0') {
        "" => before.to_owned(),
        port if port == own => before.to_owned(),
        port => format!("{before}:{port}"),
    };
    match spelled == origin {
        true => Ok(()),
        false => Err(format!(
            "browsers write it in small letters and without the scheme's own port; give {spelled}"
        )),
    }
}

/// The beginning of the URLs of web pages, in quotation marks.
pub fn page(text: &str) -> Check<String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let name = rest
        .and_then(|rest| rest.split_once('/'))
        .map(|(name, _)| name);
    // Without the slash, https://www.example.com.evil.example/ would match, too.
    let fits = name.is_some_and(|name| host(name.split(':').next().unwrap_or_default()).is_ok());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it must be the beginning of URLs, as https://www.example.com/".to_owned());
    }
    // The part before the path.
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let (authority, _) = rest.split_once('/').unwrap_or_default();
    check_spelling(&format!("{scheme}://{authority}"))?;
    Ok(quoted(text))
}

/// A text of one line, in quotation marks. It must be ASCII, since some other characters are
/// line breaks in YAML.
pub fn text(text: &str) -> Check<String> {
    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(quoted(text)),
        false => Err("it must be printable ASCII of one line".to_owned()),
    }
}

/// A file of public keys, or its URL with the address of its host.
pub fn jwks(text: &str) -> Check<(String, Option<Address>)> {
    let Some(rest) = text.strip_prefix("https://") else {
        return path(text)
            .map(|path| (path, None))
            .map_err(|problem| format!("{problem}; or an https URL"));
    };
    let problem = "it must be an https URL with a path, as https://login.example.com/jwks.json";
    let (authority, _) = rest.split_once('/').ok_or(problem)?;
    let (name, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let (host, port) = (host(name), self::port(port));
    match (host, port, text.bytes().all(|byte| byte.is_ascii_graphic())) {
        (Ok(host), Ok(port), true) => Ok((quoted(text), Some(Address { host, port }))),
        _ => Err(problem.to_owned()),
    }
}

/// A name, such as that of a role.
pub fn name(text: &str) -> Check<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("it must be letters, digits and . _ -".to_owned()),
    }
}

/// A registry, perhaps with a port and a path.
pub fn registry(text: &str) -> Check<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let good_host = match first.contains(':') {
        true => address(first).is_ok(),
        false => host(first).is_ok(),
    };
    // The names of images have this form.
    let is_name = |name: &str| {
        let ends = |byte: Option<u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let (first, last) = (name.bytes().next(), name.bytes().last());
        ends(first) && ends(last) && name.bytes().all(fits)
    };
    match good_host && parts.all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("it must be a registry, as registry.example.com/ours".to_owned()),
    }
}

/// A text as a string of JSON and YAML.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text in YAML, without quotation marks where it cannot be misread.
pub fn scalar(text: &str) -> String {
    let plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !RESERVED.contains(&text.to_lowercase().as_str());
    match plain {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// The words that YAML does not take for text.
const RESERVED: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

const NETWORK: &str = "it must be an address or a network, as 10.0.0.0/8";
