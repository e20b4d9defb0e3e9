//! The HTTP client for the sources. Each connection has one request and a time-out. Of an
//! answer that refuses, only the code and the request id are kept, since STS repeats there what
//! was signed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use oss_origin_auth_core::oss::time::{parse_http_date, parse_rfc3339_utc};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::address;
use crate::credential::{Cause, Credential, FetchError};
use crate::environment::Environment;
use crate::trust::{authorities_of_this_machine, trusting};

/// Whether a request may take the way through a proxy.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// A request without a proxy: it stays in this machine's own network, and brings a secret
    /// from there.
    Direct,
    /// A request through the proxy that the environment names for the host, if it names one.
    ByProxy,
}

/// The time that one request may take, in milliseconds. Nothing is sent before it is set; a
/// reload sets it again for all requests that follow.
#[derive(Clone, Debug, Default)]
pub struct Timeout(Arc<AtomicU64>);

impl Timeout {
    /// Sets the time for all requests from now on.
    pub fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Sends requests to sources.
pub struct Client {
    tls: TlsConnector,
    has_roots: bool,
    proxies: Matcher,
    connector: HttpConnector,
    timeout: Timeout,
}

impl Client {
    /// Reads the certificates that this machine trusts and the proxies of the environment.
    /// `timeout` limits each request.
    pub fn new(environment: &Environment, timeout: &Timeout) -> Result<Client, String> {
        let (builder, added) = trusting(authorities_of_this_machine())?;
        let config = builder.with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Ok(Client {
            tls: TlsConnector::from(Arc::new(config)),
            has_roots: added > 0,
            proxies: proxies(environment)?,
            connector,
            timeout: timeout.clone(),
        })
    }

    /// Sends a request and returns the answer if its status is 200. `what` names the request in
    /// messages, in our own words.
    pub async fn send(
        &self,
        way: Way,
        what: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<SourceAnswer, FetchError> {
        let host = request.uri().authority().map_or("", |host| host.as_str());
        let step = format!("{what} at {host}");
        let exchange = tokio::time::timeout(self.timeout.get(), self.exchange(way, request));
        match exchange.await.unwrap_or(Err(Cause::TimedOut)) {
            Ok((body, date)) => Ok(SourceAnswer { step, body, date }),
            Err(cause) => Err(FetchError {
                step: Some(step),
                cause,
            }),
        }
    }

    async fn exchange(&self, way: Way, request: Request<Full<Bytes>>) -> Result<Given, Cause> {
        let (mut parts, body) = request.into_parts();
        let uri = parts.uri.clone();
        let host = uri.authority().map_or("", |whole| whole.as_str());
        let host = HeaderValue::from_str(host).map_err(|_| Cause::Unreachable(NO_HOST))?;
        parts.headers.insert(HOST, host);
        let is_tls = uri.scheme_str() == Some("https");
        let proxy = match way {
            Way::Direct => None,
            Way::ByProxy => self.proxies.intercept(&uri),
        };
        let proxy = proxy.as_ref();
        if is_tls || proxy.is_none() {
            // To the server itself a target has no host.
            let path = uri.path_and_query().cloned();
            parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        } else if let Some(authorization) = proxy.and_then(Intercept::basic_auth) {
            let authorization = authorization.clone();
            parts.headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        let request = Request::from_parts(parts, body);
        match is_tls {
            true => converse(self.reach_by_tls(&uri, proxy).await?, request).await,
            false => converse(self.reach(&uri, proxy).await?, request).await,
        }
    }

    /// Connects to the server, or to the proxy.
    async fn reach(&self, uri: &Uri, proxy: Option<&Intercept>) -> Result<TcpStream, Cause> {
        let (to, problem) = match proxy {
            None => (uri, NO_CONNECTION),
            Some(proxy) => (proxy.uri(), NO_PROXY),
        };
        let stream = self.connector.clone().call(to.clone()).await;
        let stream = stream.map_err(|_| Cause::Unreachable(problem))?;
        Ok(stream.into_inner())
    }

    /// Connects by TLS to the server, through a tunnel if there is a proxy.
    async fn reach_by_tls(
        &self,
        uri: &Uri,
        proxy: Option<&Intercept>,
    ) -> Result<TlsStream<TcpStream>, Cause> {
        if !self.has_roots {
            return Err(Cause::Missing(NO_ROOTS.into()));
        }
        let host = uri.host().unwrap_or_default();
        let name = ServerName::try_from(address::without_brackets(host).to_owned());
        let name = name.map_err(|_| Cause::Unreachable(NO_HOST))?;
        let stream = match proxy {
            None => self.reach(uri, None).await?,
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.connector.clone());
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                let stream = tunnel.call(uri.clone()).await;
                let stream = stream.map_err(|_| Cause::Unreachable(NO_TUNNEL))?;
                stream.into_inner()
            }
        };
        let stream = self.tls.connect(name, stream).await;
        stream.map_err(|_| Cause::Unreachable(NO_TLS))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Client")
    }
}

/// An answer with status 200.
pub struct SourceAnswer {
    step: String,
    /// The body, which may hold a secret.
    pub body: Bytes,
    /// The other side's clock, in seconds since 1970, if the answer has a date.
    pub date: Option<u64>,
}

/// The body of a good answer, and the time at which it was given.
type Given = (Bytes, Option<u64>);

impl SourceAnswer {
    /// The error of an answer that is not as it should be.
    pub fn error(&self, cause: Cause) -> FetchError {
        FetchError {
            step: Some(self.step.clone()),
            cause,
        }
    }

    /// The credentials of an answer, if they are complete and valid now. `expiration` is
    /// in the form `2006-01-02T15:04:05Z`.
    pub fn credential(
        &self,
        id: String,
        secret: String,
        token: Option<String>,
        expiration: Option<&str>,
    ) -> Result<Credential, FetchError> {
        let malformed = || self.error(Cause::Malformed);
        let end = |text| parse_rfc3339_utc(text).ok_or_else(malformed);
        let expires = expiration.map(end).transpose()?;
        Credential::new(id, secret, token, expires)
            .ok()
            .filter(|credential| credential.is_valid(SystemTime::now()))
            .ok_or_else(malformed)
    }
}

impl fmt::Debug for SourceAnswer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SourceAnswer of {}", self.step)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The most bytes that are read of an answer.
const MAX_BODY: usize = 64 * 1024;
const NO_HOST: &str = "its address has no valid host";
const NO_CONNECTION: &str = "no connection; is the endpoint right?";
const NO_PROXY: &str = "no connection to the proxy that the environment names";
const NO_TUNNEL: &str =
    "the proxy that the environment names opens no tunnel, or cannot be reached";
const NO_TLS: &str = "TLS failed; is the certificate one that this machine trusts?";
const NO_ROOTS: &str = "this machine has no certificates to trust; SSL_CERT_FILE names a file";
const BROKEN: &str = "the connection broke";

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Given, Cause> {
    let broken = |_| Cause::Unreachable(BROKEN);
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_BODY)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let date = response.headers().get(DATE);
        let date = date.and_then(|value| parse_http_date(value.to_str().ok()?));
        let mut incoming = response.into_body();
        // Copied, since the least piece keeps the whole buffer that it came in.
        let mut body = Vec::new();
        let mut problem = None;
        while let (None, Some(frame)) = (&problem, incoming.frame().await) {
            match frame {
                Err(_) => problem = Some(Cause::Unreachable(BROKEN)),
                Ok(frame) => {
                    let data = frame.data_ref().map_or(b"".as_slice(), |data| data);
                    if body.len() + data.len() > MAX_BODY {
                        problem = Some(Cause::Malformed);
                    } else {
                        body.extend_from_slice(data);
                    }
                }
            }
        }
        match (status, problem) {
            (200, None) => Ok((Bytes::from(body), date)),
            (200, Some(problem)) => Err(problem),
            // The status is known, even if the body could not be read.
            (status, _) => Err(refusal(status, date, &body)),
        }
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            // What has been read still belongs to the answer.
            _ = &mut connection, if open => open = false,
        }
    }
}

/// The proxies of the environment: the first that is set of each pair of variables.
fn proxies(environment: &Environment) -> Result<Matcher, String> {
    let first = |names: [&'static str; 2]| {
        let values = names.map(|name| environment.get(name).map(|value| (name, value)));
        values.into_iter().flatten().next()
    };
    let mut builder = Matcher::builder();
    for (names, scheme) in [
        (["ALL_PROXY", "all_proxy"], "all"),
        (["HTTPS_PROXY", "https_proxy"], "https"),
        (["HTTP_PROXY", "http_proxy"], "http"),
    ] {
        let Some((name, value)) = first(names) else {
            continue;
        };
        // The value may hold a password.
        if !is_proxy(value) {
            return Err(format!(
                "{name}: must be http:// and the host and port of a proxy, with its user and \
                 password encoded; no other kind is known"
            ));
        }
        builder = match scheme {
            "all" => builder.all(value),
            "https" => builder.https(value),
            _ => builder.http(value),
        };
    }
    if let Some((_, value)) = first(["NO_PROXY", "no_proxy"]) {
        let hosts = exempt(value);
        if hosts.contains(&"*") {
            // The matcher takes it for all names, and for no address.
            return Ok(Matcher::builder().build());
        }
        builder = builder.no(hosts.join(","));
    }
    Ok(builder.build())
}

/// Whether the value of a variable is the address of a proxy that can be used. In its user and
/// password, everything but letters, digits and some signs must be encoded, or the host may be
/// misread.
fn is_proxy(value: &str) -> bool {
    let rest = value.strip_prefix("http://").unwrap_or(value);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let is_encoded = |b: u8| b.is_ascii_alphanumeric() || b"-._~%:!$&'()*+,;=".contains(&b);
    user.bytes().all(is_encoded) && address::parse_server(&format!("http://{host}")).is_some()
}

/// The hosts of NO_PROXY, in the one form that this program knows. Other programs also accept a
/// port, a `*` before the domain, brackets, or spaces between the hosts.
fn exempt(value: &str) -> Vec<&str> {
    let hosts = value.split(|c: char| c == ',' || c.is_ascii_whitespace());
    let hosts = hosts.map(|host| {
        let without_port = host.rsplit_once(':').filter(|(name, port)| {
            let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            is_port && (name.ends_with(']') || !name.contains(':'))
        });
        let host = without_port.map_or(host, |(name, _)| name);
        let host = address::without_brackets(host).trim_end_matches('.');
        match host.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') => domain,
            _ => host,
        }
    });
    hosts.filter(|host| !host.is_empty()).collect()
}

/// The parts of a refusal that are kept.
fn refusal(status: u16, date: Option<u64>, body: &[u8]) -> Cause {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let word = |name: &str| answer.as_ref()?.get(name)?.as_str();
    match word("Code").and_then(code) {
        Some(code) => Cause::Refused {
            status,
            code,
            request_id: word("RequestId").and_then(request_id),
            date,
        },
        None => Cause::Status(status),
    }
}

/// An error code of Alibaba Cloud: words of letters with dots between them. Keys and tokens
/// have digits, and are longer than any word.
pub fn code(text: &str) -> Option<String> {
    let plain = |word: &str| {
        (1..=32).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphabetic())
            && word.starts_with(|c: char| c.is_ascii_uppercase())
    };
    (text.len() <= 64 && text.split('.').all(plain)).then(|| text.to_owned())
}

fn request_id(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_code_and_request_id_are_kept() {
        let refused = |code: &str, request_id: Option<&str>| Cause::Refused {
            status: 400,
            code: code.into(),
            request_id: request_id.map(str::to_owned),
            date: Some(1),
        };
        let long = "A".repeat(40);
        for (body, want) in [
            (
                r#"{"Code": "SignatureDoesNotMatch", "RequestId": "4E-1",
                    "Message": "server string to sign is: SecurityToken%3Dsesame"}"#,
                refused("SignatureDoesNotMatch", Some("4E-1")),
            ),
            (
                r#"{"Code": "EntityNotExist.Role", "RequestId": "sesame"}"#,
                refused("EntityNotExist.Role", None),
            ),
            ("", Cause::Status(400)),
            ("{", Cause::Status(400)),
            ("[]", Cause::Status(400)),
            (r#"{"Code": 5}"#, Cause::Status(400)),
            (r#"{"Code": "a b sesame"}"#, Cause::Status(400)),
            (r#"{"Code": "sts-sidecar: sesame"}"#, Cause::Status(400)),
            (r#"{"Code": "Sesame_1"}"#, Cause::Status(400)),
            (r#"{"Code": "LTAI5tSesame"}"#, Cause::Status(400)),
            (
                r#"{"Code": "NoPermission", "RequestId": 5}"#,
                refused("NoPermission", None),
            ),
            (&format!(r#"{{"Code": "{long}"}}"#), Cause::Status(400)),
        ] {
            assert_eq!(refusal(400, Some(1), body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
        for value in [
            "socks5://u:sesame@h:1",
            "https://sesame@h",
            "http://",
            "\u{e9}",
            "http://h:99999",
            "http://u:sesame@h:abc",
            "http://127.0.0.1#sesame@h:1",
            "http://u:sesame@x@h:1",
            "http://h:1/path",
        ] {
            for name in ["HTTPS_PROXY", "all_proxy", "HTTP_PROXY"] {
                let problem = proxies(&Environment::from([(name, value)])).err().unwrap();
                assert!(
                    problem.starts_with(&format!("{name}: must be")),
                    "{problem}"
                );
                assert!(!problem.contains("sesame"), "{problem}");
            }
        }
    }

    #[test]
    fn a_proxy_serves_the_hosts_that_no_proxy_leaves_to_it() {
        let proxies = proxies(&Environment::from([
            ("https_proxy", "proxy:3128"),
            (
                "NO_PROXY",
                "*.aliyuncs.com 10.0.0.0/8,near.test:443, [::1]:8443,dot.test.",
            ),
        ]))
        .unwrap();
        let by_proxy = |uri: &'static str| proxies.intercept(&Uri::from_static(uri)).is_some();
        assert!(by_proxy("https://sts.example.com/"));
        assert!(!by_proxy("https://sts.cn-hangzhou.aliyuncs.com/"));
        assert!(!by_proxy("https://10.1.2.3/"));
        for near in [
            "https://near.test/",
            "https://[::1]:8443/",
            "https://dot.test/",
        ] {
            let uri: Uri = near.parse().unwrap();
            assert!(proxies.intercept(&uri).is_none(), "{near}");
        }
        assert!(!by_proxy("http://sts.example.com/"));
        let none = super::proxies(&Environment::from([
            ("ALL_PROXY", "p:1"),
            ("NO_PROXY", "*"),
        ]));
        let none = none.unwrap();
        for uri in ["https://sts.example.com/", "https://10.1.2.3/"] {
            assert!(none.intercept(&Uri::from_static(uri)).is_none(), "{uri}");
        }
    }
}
