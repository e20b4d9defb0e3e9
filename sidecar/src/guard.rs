//! Decides which callers may have credentials: those with the sidecar's token. A sidecar that
//! only this machine reaches needs no token. Then a caller must be a program of this machine,
//! and neither a browser nor a proxy, since these forward what others want.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Request};
use oss_origin_auth_core::oss::encoding::hex;
use ring::hmac;
use ring::rand::SystemRandom;
use subtle::ConstantTimeEq;

use crate::address;

/// The reason why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller did not show the sidecar's token.
    Unauthorized,
    /// The request comes from a browser or through a proxy, or names a host that is not this
    /// machine.
    Forwarded,
    /// The caller showed a metadata token that is not one of ours or has expired.
    BadMetadataToken,
}

/// Checks whether a request may have credentials. `token` is the sidecar's, if it has one.
pub fn admit<B>(request: &Request<B>, token: Option<&str>) -> Result<(), Refused> {
    let headers = request.headers();
    match token {
        Some(token) => {
            let shown = headers.get(AUTHORIZATION);
            let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
            let is_ours = |shown: &[u8]| bool::from(shown.ct_eq(token.as_bytes()));
            shown
                .is_some_and(is_ours)
                .then_some(())
                .ok_or(Refused::Unauthorized)
        }
        None => {
            let is_callout = is_envoys_callout(headers);
            let forwarded = headers
                .keys()
                .any(|name| is_of_others(name) && !(is_callout && name == FORWARDED_FOR));
            let mut hosts = headers.get_all(HOST).iter();
            let named = hosts.next().and_then(|host| host.to_str().ok());
            let is_ours = named.is_some_and(is_this_machine) && hosts.next().is_none();
            // A proxy is asked in this form. Its host counts, not the Host header (RFC 9112,
            // section 3.2.2).
            let target = request.uri().authority();
            let is_ours = is_ours && target.is_none_or(|target| is_this_machine(target.as_str()));
            (is_ours && !forwarded)
                .then_some(())
                .ok_or(Refused::Forwarded)
        }
    }
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whether the request may be a callout of a module that Envoy has loaded. Envoy adds its own
/// address to these, as it adds a client's address to what it forwards, and nothing else that
/// shows a proxy.
fn is_envoys_callout(headers: &HeaderMap) -> bool {
    let mut addresses = headers.get_all(FORWARDED_FOR).iter();
    let address = addresses.next().and_then(|value| value.to_str().ok());
    let address = address.and_then(|value| value.parse::<IpAddr>().ok());
    let is_internal = headers
        .get("x-envoy-internal")
        .is_some_and(|value| value == "true");
    is_internal && address.is_some_and(is_own) && addresses.next().is_none()
}

/// Whether an address is one of this machine, so that a request to it also comes from this
/// machine. (A socket can be bound to other addresses, too: `ip_nonlocal_bind`.)
fn is_own(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    const DISCARD: u16 = 9;
    // Nothing is sent: the kernel only chooses an address.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, DISCARD))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

/// Whether browsers or proxies add a header of this name. The callouts of Envoy's wasm filters
/// have none; those of its modules: see [`is_envoys_callout`].
fn is_of_others(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "origin"
            | "referer"
            | "cookie"
            | "accept-language"
            | "upgrade-insecure-requests"
            | "via"
            | "forwarded"
            | "x-real-ip"
    ) || name.starts_with("sec-")
        || name.starts_with("x-forwarded-")
}

/// Whether a host is an address of this machine, or a name outside of any domain: a name
/// without a dot, such as `localhost` or that of Envoy's cluster. Somebody in the network may
/// give such a name to this machine all the same; a browser that goes there shows that it is
/// one.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    if address::without_brackets(name).parse::<IpAddr>().is_ok() {
        return true;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

/// Metadata tokens. A token holds its end, in seconds since 1970, and a code over it that only
/// this process can make, so that no token has to be kept.
pub struct MetadataTokens(hmac::Key);

impl MetadataTokens {
    /// Makes a new key; tokens do not outlive the process.
    pub fn new() -> Result<MetadataTokens, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| "this machine gives no random bytes")?;
        Ok(MetadataTokens(key))
    }

    /// Issues a token that is valid until `until`.
    pub fn issue(&self, until: u64) -> String {
        let mut token = format!("{until}.").into_bytes();
        hex(
            hmac::sign(&self.0, until.to_string().as_bytes()).as_ref(),
            &mut token,
        );
        String::from_utf8_lossy(&token).into_owned()
    }

    /// Checks the token that a caller shows, if it shows one.
    pub fn check(&self, headers: &HeaderMap, now: u64) -> Result<(), Refused> {
        let Some(shown) = headers.get(METADATA_TOKEN) else {
            return Ok(());
        };
        let until = shown.to_str().ok().and_then(|text| text.split('.').next());
        let until = until.and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_ours = bool::from(shown.as_bytes().ct_eq(self.issue(until).as_bytes()));
        (is_ours && now < until)
            .then_some(())
            .ok_or(Refused::BadMetadataToken)
    }
}

/// The header in which a client of the metadata server shows its token.
const METADATA_TOKEN: &str = "x-aliyun-ecs-metadata-token";

impl fmt::Debug for MetadataTokens {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("MetadataTokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(pairs: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.headers_mut() = headers(pairs);
        request
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                http::HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_token_is_all_that_counts_where_there_is_one() {
        let admitted = |shown: &str| {
            let request = asks(&[("host", "evil.example.com"), ("authorization", shown)]);
            admit(&request, Some("sesame"))
        };
        assert_eq!(admitted("Bearer sesame"), Ok(()));
        for bad in [
            "",
            "Bearer ",
            "Bearer sesam",
            "sesame",
            "bearer sesame",
            "Basic sesame",
        ] {
            assert_eq!(admitted(bad), Err(Refused::Unauthorized), "{bad}");
        }
    }

    #[test]
    fn without_a_token_only_programs_of_this_machine_are_served() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8181",
            "[::1]",
            "[::1]:8181",
            "localhost",
            "localhost:1",
            "sts_sidecar",
            "sidecar:8181",
        ] {
            assert_eq!(admit(&asks(&[("host", host)]), None), Ok(()), "{host}");
        }
        for host in [
            "",
            ":",
            ":80",
            "evil.example.com",
            "evil.example.com:8181",
            "localhost.",
            "a b",
            "127.0.0.1.evil.example.com",
            "[::1",
            "::1:",
            "a@127.0.0.1",
            "127.1:8",
        ] {
            let admitted = admit(&asks(&[("host", host)]), None);
            assert_eq!(admitted, Err(Refused::Forwarded), "{host}");
        }
        assert_eq!(admit(&asks(&[]), None), Err(Refused::Forwarded));
        let twice = asks(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(admit(&twice, None), Err(Refused::Forwarded));
        let mut request = asks(&[("host", "localhost")]);
        for (target, want) in [
            ("http://localhost/v1/credentials/a", Ok(())),
            (
                "http://evil.example.com/v1/credentials/a",
                Err(Refused::Forwarded),
            ),
        ] {
            *request.uri_mut() = target.parse().unwrap();
            assert_eq!(admit(&request, None), want, "{target}");
        }
        for name in [
            "origin",
            "referer",
            "cookie",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "sec-fetch-site",
            "accept-language",
        ] {
            let admitted = admit(&asks(&[("host", "localhost"), (name, "")]), None);
            assert_eq!(admitted, Err(Refused::Forwarded), "{name}");
        }
    }

    #[test]
    fn a_callout_of_a_module_of_envoy_names_this_machine_alone() {
        let own = [
            ("host", "sts_sidecar"),
            ("x-envoy-internal", "true"),
            ("x-envoy-expected-rq-timeout-ms", "2000"),
            ("x-forwarded-for", "127.0.0.1"),
        ];
        assert_eq!(admit(&asks(&own), None), Ok(()));
        let with = |more: &[(&'static str, &'static str)]| asks(&[&own[..], more].concat());
        for more in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("via", "1.1 proxy"),
            ("cookie", "a=b"),
        ] {
            let admitted = admit(&with(&[more]), None);
            assert_eq!(admitted, Err(Refused::Forwarded), "{more:?}");
        }
        for (name, value) in [
            // An address of TEST-NET-1, which no machine has; a list; a text that is not an
            // address.
            ("x-forwarded-for", "192.0.2.77"),
            ("x-forwarded-for", "127.0.0.1, 127.0.0.1"),
            ("x-forwarded-for", "192.0.2.77, 127.0.0.1"),
            ("x-forwarded-for", "localhost"),
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "0.0.0.0"),
            ("x-forwarded-for", "::"),
            ("x-forwarded-for", "224.0.0.1"),
            ("x-envoy-internal", "false"),
        ] {
            let changed = own.map(|(known, own)| match known == name {
                true => (known, value),
                false => (known, own),
            });
            let admitted = admit(&asks(&changed), None);
            assert_eq!(admitted, Err(Refused::Forwarded), "{name}: {value}");
        }
    }

    #[test]
    fn a_metadata_token_is_ours_and_ends() {
        let tokens = MetadataTokens::new().unwrap();
        let token = tokens.issue(100);
        let check = |token: &str, now| tokens.check(&headers(&[(METADATA_TOKEN, token)]), now);
        assert_eq!(check(&token, 99), Ok(()));
        assert_eq!(check(&token, 100), Err(Refused::BadMetadataToken));
        let others = MetadataTokens::new().unwrap().issue(100);
        let longer = token.replace("100.", "200.");
        for bad in [
            "",
            "not-needed",
            "100.",
            &others,
            &longer,
            &format!("{token}0"),
        ] {
            assert_eq!(check(bad, 99), Err(Refused::BadMetadataToken), "{bad}");
        }
        assert_eq!(tokens.check(&HeaderMap::new(), 99), Ok(()));
    }
}
