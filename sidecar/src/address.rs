//! HTTP and HTTPS addresses that the sidecar can send requests to.

use http::Uri;

/// Parses an address of HTTP or HTTPS. It must have a host and no user; a port, if it has one,
/// must be valid.
pub fn parse(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && is_port && !authority.host().is_empty()).then_some(uri)
}

/// Parses an address like [`parse`], and refuses a path or a query.
pub fn parse_server(text: &str) -> Option<Uri> {
    let is_bare = |uri: &Uri| uri.path() == "/" && uri.query().is_none();
    parse(text).filter(is_bare)
}

/// A host without the brackets of an IPv6 address.
pub fn without_brackets(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_asked_is_an_address() {
        for text in [
            "http://h",
            "https://h:1/a?b",
            "http://[::1]:8181",
            "HTTP://h",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "h",
            "http://",
            "ftp://h",
            "http://u:p@h",
            "http://h:",
            "http://h:99999",
            "http://h:a",
            "https://https://h",
            "http://h:1:2",
            "http://\\",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(parse_server("https://h:1/").is_some());
        assert!(parse_server("https://h/a").is_none() && parse_server("https://h?a").is_none());
    }
}
