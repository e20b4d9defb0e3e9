//! Allowlists and blocklists of referring pages and of clients.

/// Patterns in lower case, in which `*` stands for any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Whether the listed entries may read, or all others.
    pub allows: bool,
    /// The patterns of the list.
    pub entries: Vec<String>,
}

/// The pages that may refer to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referer {
    /// The domains of the pages; each includes its subdomains.
    pub list: List,
    /// Whether a request may come without a `referer`.
    pub allow_empty: bool,
    /// Whether the URL of a page may lack its scheme.
    pub ignore_scheme: bool,
}

/// The clients that may read. An empty entry stands for a client without a `user-agent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(pub List);

impl List {
    fn lets_pass(&self, is_listed: impl Fn(&[u8]) -> bool) -> bool {
        let listed = self.entries.iter().any(|entry| is_listed(entry.as_bytes()));
        listed == self.allows
    }
}

impl Referer {
    /// Whether a request with these `referer`s may pass. A `referer` without a host never
    /// passes.
    pub fn lets_pass(&self, given: &[&[u8]]) -> bool {
        let value = match given {
            [] => return self.allow_empty,
            [value] => value.trim_ascii(),
            _ => return false,
        };
        if value.is_empty() {
            return self.allow_empty;
        }
        let Some(host) = self.host(value) else {
            return false;
        };
        let parents = || host.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        self.list.lets_pass(|entry| {
            let of = |name: &[u8]| matches(entry, name);
            of(&host) || parents().any(|(at, _)| host.get(at + 1..).is_some_and(of))
        })
    }

    /// The host of a page, in lower case.
    fn host(&self, value: &[u8]) -> Option<Vec<u8>> {
        let value = value.to_ascii_lowercase();
        let schemes = [&b"https://"[..], b"http://"];
        let behind = schemes
            .iter()
            .find_map(|scheme| value.strip_prefix(*scheme));
        let rest = match behind {
            Some(rest) => rest,
            None if self.ignore_scheme => &value,
            None => return None,
        };
        let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'\\');
        let authority = rest.split(ends).next()?;
        let mut parts = authority.splitn(2, |byte| *byte == b':');
        let host = parts.next()?;
        let port = parts.next().unwrap_or(b"0");
        let host = host.strip_suffix(b".").unwrap_or(host);
        let in_name =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let fits = (1..=MAX_HOST).contains(&host.len()) && host.iter().all(in_name);
        let has_port = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
        (fits && has_port).then(|| host.to_vec())
    }
}

impl UserAgent {
    /// Whether a request with these `user-agent`s may pass.
    pub fn lets_pass(&self, given: &[&[u8]]) -> bool {
        let value = match given {
            [] => &[][..],
            [value] => value.trim_ascii(),
            _ => return false,
        };
        // A value that is too long is not a `user-agent`, and comparing it would take long.
        if value.len() > MAX_USER_AGENT {
            return false;
        }
        let value = value.to_ascii_lowercase();
        self.0.lets_pass(|entry| match value.is_empty() {
            true => entry.is_empty(),
            false => matches(entry, &value),
        })
    }
}

/// The longest host name (RFC 1035, section 2.3.4).
const MAX_HOST: usize = 253;
const MAX_USER_AGENT: usize = 4_096;

/// Whether a text matches a pattern. Each star first takes no byte, and one more whenever the
/// rest of the pattern does not match.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut last_star = None;
    while let Some(byte) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(wanted) if wanted == byte => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else {
                    return false;
                };
                last_star = Some((star, taken + 1));
                at = star + 1;
                read = taken + 1;
            }
        }
    }
    let mut rest = pattern.iter().skip(at);
    rest.all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(allows: bool, entries: &[&str]) -> List {
        List {
            allows,
            entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        }
    }

    fn referer(allows: bool, entries: &[&str]) -> Referer {
        Referer {
            list: list(allows, entries),
            allow_empty: false,
            ignore_scheme: false,
        }
    }

    #[test]
    fn a_star_stands_for_any_bytes() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*ab*ab", "abxabyab", true),
            ("*aab", "aaab", true),
            ("a**b", "ab", true),
            ("ab", "abc", false),
            ("abc", "ab", false),
            ("*x*", "abc", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_domain_stands_for_its_subdomains() {
        let rule = referer(true, &["example.com", "*.img.example.org", "a*.test"]);
        for (value, passes) in [
            ("https://example.com/page?x", true),
            ("http://example.com", true),
            ("HTTP://WWW.Example.COM:8080/", true),
            ("https://a.b.example.com./", true),
            ("https://example.com#x", true),
            ("https://notexample.com/", false),
            ("https://example.com.evil.test/", false),
            ("https://evil.test/example.com", false),
            ("https://evil.test?example.com", false),
            ("https://evil.test\\.example.com", false),
            ("https://example.com@evil.test/", false),
            ("https://evil.test@example.com/", false),
            ("https://x.img.example.org/", true),
            ("https://img.example.org/", false),
            ("https://abc.test/", true),
            ("https://sub.abc.test/", true),
            ("https://b.test/", false),
            ("example.com", false),
            ("//example.com", false),
            ("https://example.com:80x/", false),
            ("https:///example.com", false),
            ("https://", false),
            ("null", false),
        ] {
            assert_eq!(rule.lets_pass(&[value.as_bytes()]), passes, "{value}");
        }
        assert!(!rule.lets_pass(&[b"https://\xff.example.com/"]));
        assert!(!rule.lets_pass(&[b"https://example.com/", b"https://example.com/"]));
    }

    #[test]
    fn a_list_of_pages_may_be_of_those_that_may_not() {
        let rule = referer(false, &["example.com"]);
        assert!(!rule.lets_pass(&[b"https://www.example.com/"]));
        assert!(rule.lets_pass(&[b"https://other.test/"]));
        // What names no host may be the listed one.
        assert!(!rule.lets_pass(&[b"www.example.com"]));
        let rule = Referer {
            ignore_scheme: true,
            ..rule
        };
        assert!(!rule.lets_pass(&[b"www.example.com/x"]));
        assert!(rule.lets_pass(&[b"other.test:80/x"]));
        assert!(!rule.lets_pass(&[b"ftp://other.test/x"]));
    }

    #[test]
    fn no_page_is_a_choice_of_its_own() {
        for allow_empty in [true, false] {
            for allows in [true, false] {
                let rule = Referer {
                    allow_empty,
                    ..referer(allows, &["*"])
                };
                assert_eq!(rule.lets_pass(&[]), allow_empty);
                assert_eq!(rule.lets_pass(&[b" "]), allow_empty);
            }
        }
    }

    #[test]
    fn clients_are_compared_without_case() {
        let rule = UserAgent(list(false, &["*curl*", "wget/1.?", ""]));
        for (value, passes) in [
            ("curl/8.0", false),
            ("my CURL", false),
            ("Mozilla/5.0", true),
            ("wget/1.2", true),
            ("", false),
            (" ", false),
        ] {
            assert_eq!(rule.lets_pass(&[value.as_bytes()]), passes, "{value}");
        }
        assert!(!rule.lets_pass(&[]));
        assert!(!rule.lets_pass(&[b"a", b"b"]));
        let long = [b'a'; MAX_USER_AGENT + 1];
        assert!(!rule.lets_pass(&[&long]));
        let rule = UserAgent(list(true, &["*firefox*"]));
        assert!(rule.lets_pass(&[b"Firefox/115"]));
        assert!(!rule.lets_pass(&[]));
        let everyone = UserAgent(list(true, &["*"]));
        assert!(everyone.lets_pass(&[b"x"]));
        assert!(!everyone.lets_pass(&[]), "no name is an entry of its own");
    }
}
