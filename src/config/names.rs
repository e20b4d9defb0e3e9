//! What the values of settings may look like. Each check says what is wrong
//! without repeating the value.

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

pub fn check_credentials_name(name: &str) -> Check {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let dots = name.bytes().all(|b| b == b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !dots {
        Ok(())
    } else {
        Err("the name must be 1 to 64 letters, digits, `-`, `_` and `.`")
    }
}

pub fn check_cluster(cluster: &str) -> Check {
    match cluster {
        "" => Err("must not be empty: the name of the sidecar's cluster in Envoy"),
        _ => Ok(()),
    }
}

pub fn check_authority(authority: &str) -> Check {
    if !authority.is_empty() && is_header_safe(authority) && !authority.contains('/') {
        Ok(())
    } else {
        Err("must be a host, with a port if need be, without scheme or path")
    }
}

pub fn check_request_path(path: &str) -> Check {
    if path.starts_with('/') && is_header_safe(path) && !path.contains('#') {
        Ok(())
    } else {
        Err("must begin with `/` and hold no spaces; encode other characters")
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
