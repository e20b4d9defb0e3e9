//! What the values of settings may look like. Each check says what is wrong
//! without repeating the value.

use crate::oss::headers::{self, is_of_signature};
use crate::oss::parameters::{is_operation, is_signature_parameter};

type Check = Result<(), &'static str>;

/// OSS, "Bucket naming conventions".
pub fn check_bucket(name: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(3..=63).contains(&name.len()) || !name.bytes().all(allowed) {
        Err(
            "must be 3 to 63 lower-case letters, digits and hyphens: the name of the bucket, not its host",
        )
    } else if name.starts_with('-') || name.ends_with('-') {
        Err("must neither begin nor end with a hyphen")
    } else {
        Ok(())
    }
}

/// The general region id (OSS, "Regions and endpoints").
pub fn check_region(region: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.starts_with("oss-") {
        Err("must be the general region id, without `oss-`: `cn-hangzhou`")
    } else if region.ends_with("-internal") {
        Err("must be the general region id, without `-internal`: `cn-hangzhou`")
    } else if region.is_empty() || region.len() > 64 || !region.bytes().all(allowed) {
        Err("must be a region id such as `cn-hangzhou`")
    } else {
        Ok(())
    }
}

/// The name of an entry under `credentials`.
pub fn check_credentials_name(name: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let dots = name.bytes().all(|b| b == b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !dots {
        Ok(())
    } else {
        Err("the name must be 1 to 64 letters, digits, `-`, `_` and `.`")
    }
}

/// The name of one of Envoy's clusters.
pub fn check_cluster(cluster: &str) -> Check {
    match cluster {
        "" => Err("must not be empty: the name of the sidecar's cluster in Envoy"),
        _ => Ok(()),
    }
}

/// A host, and perhaps a port.
pub fn check_authority(authority: &str) -> Check {
    if !authority.is_empty() && is_header_safe(authority) && !authority.contains('/') {
        Ok(())
    } else {
        Err("must be a host, with a port if need be, without scheme or path")
    }
}

/// The path of a request, as it is sent.
pub fn check_request_path(path: &str) -> Check {
    if path.starts_with('/') && is_header_safe(path) && !path.contains('#') {
        Ok(())
    } else {
        Err("must begin with `/` and hold no spaces; encode other characters")
    }
}

/// An operation of OSS.
pub fn check_operation(name: &str) -> Check {
    match is_operation(name.as_bytes()) || matches!(name, "list" | "bucket") {
        true => Ok(()),
        false => Err(
            "must be a sub-resource of OSS such as \"acl\" or \"tagging\"; \"list\" for \
             ListObjects; or \"bucket\" for requests on the bucket that are neither",
        ),
    }
}

/// A parameter that may be forwarded.
pub fn check_parameter(name: &str) -> Check {
    if is_operation(name.as_bytes()) {
        Err("is an operation of OSS; name it in `operations`")
    } else if is_signature_parameter(name.as_bytes()) {
        Err("is part of a signed URL; see `presigned_urls`")
    } else {
        check_pattern(name)
    }
}

/// A header that may be forwarded.
pub fn check_header(name: &str) -> Check {
    if !name.starts_with(headers::PREFIX) || name.bytes().any(|b| b.is_ascii_uppercase()) {
        Err("must be an `x-oss-*` header in lower case; other headers pass anyway")
    } else if is_of_signature(name.as_bytes()) || name == "x-oss-*" {
        Err("would let a client set a header of the signature; name the headers that you need")
    } else {
        check_pattern(name)
    }
}

/// A header that may be stripped.
pub fn check_response_header(name: &str) -> Check {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Err("must be in lower case")
    } else {
        check_pattern(name)
    }
}

/// What paths begin with.
pub fn check_strip_prefix(prefix: &str) -> Check {
    match prefix.starts_with('/') && prefix.ends_with('/') {
        true => Ok(()),
        false => Err("must begin and end with `/`"),
    }
}

/// What keys begin with.
pub fn check_key_prefix(prefix: &str) -> Check {
    if prefix.starts_with('/') {
        Err("must not begin with `/`: keys of OSS do not")
    } else if prefix.len() > 1_000 {
        Err("must be at most 1000 bytes")
    } else {
        Ok(())
    }
}

/// The name of a document in a directory.
pub fn check_document(key: &str) -> Check {
    match key.is_empty() || key.starts_with('/') || key.len() > 1_000 {
        true => Err("must be the name of an object, without `/` before it: `index.html`"),
        false => Ok(()),
    }
}

/// A name that may end in `*`.
fn check_pattern(name: &str) -> Check {
    let stem = name.strip_suffix('*').unwrap_or(name);
    match !name.is_empty() && is_header_safe(stem) && !stem.contains('*') {
        true => Ok(()),
        false => Err("must be a name, or the beginning of names with `*` behind it"),
    }
}

/// Visible ASCII: nothing that ends a header or needs quoting.
pub fn is_header_safe(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

/// A field by which somebody may try to write a key into the configuration.
pub fn looks_like_a_secret(field: &str) -> bool {
    let field = field.to_ascii_lowercase().replace(['_', '-'], "");
    let names = ["id", "secret", "key", "token", "ak", "sk", "password"];
    !field.ends_with("env") && names.iter().any(|name| field.ends_with(name))
}
