//! Addresses that can be asked.

use http::Uri;

/// The address of a text, if it is one of HTTP or HTTPS whose server can be asked: it has
/// a host, perhaps a good port, and no user.
pub fn parse(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && is_port && !authority.host().is_empty()).then_some(uri)
}

/// The same, if there is nothing behind its server.
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
