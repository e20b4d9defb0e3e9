//! The connections and requests of `doctor`. Whatever a server sends, and however slowly, the
//! result is an answer or a trouble. Redirects are not followed, and no proxy is used.

use std::fmt;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use oss_origin_auth_core::oss::headers;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::trust::{Tls, reason};

/// A server, and the way to connect to it.
#[derive(Clone)]
pub struct Wire {
    /// The host to connect to.
    pub host: String,
    pub port: u16,
    /// The name in its certificate.
    name: String,
    /// The settings of TLS; `None` for plain HTTP.
    tls: Option<Tls>,
    timeout: Duration,
}

/// A request. It has no `Debug`, since one of its headers may be a secret.
#[derive(Clone, Default)]
pub struct Message {
    pub method: String,
    /// The `Host` header.
    pub authority: String,
    /// The path and the query, as they are sent.
    pub path: Vec<u8>,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// An answer of a server. It has no `Debug`, since it may repeat the request.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, Vec<u8>)>,
    /// The body, up to the limit.
    pub body: Vec<u8>,
    /// The reason why the body is incomplete, if it is.
    pub cut: Option<Trouble>,
}

impl Answer {
    /// The first value of a header; empty if there is none.
    pub fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or(b"", |(_, value)| value)
    }

    /// Whether the answer has OSS's id of the request.
    pub fn is_of_oss(&self) -> bool {
        !self.header(headers::REQUEST_ID).is_empty()
    }

    /// The value of a header, if it is a short text of letters, digits, hyphens and dots,
    /// perhaps in quotes. A server may repeat the request, but a signature or a token is
    /// longer.
    pub fn word(&self, name: &str) -> Option<&str> {
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-.\"".contains(b);
        let value = self.header(name);
        let is_word = (1..=MAX_WORD).contains(&value.len()) && value.iter().all(is_plain);
        std::str::from_utf8(value).ok().filter(|_| is_word)
    }

    /// The media type, without its parameters.
    pub fn media_type(&self) -> Option<&str> {
        let value = self.header("content-type").split(|b| *b == b';').next()?;
        let value = std::str::from_utf8(value.trim_ascii()).ok()?;
        let (kind, of_kind) = value.split_once('/')?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-.+".contains(&b);
        let fits = KINDS.contains(&kind) && (1..=80).contains(&of_kind.len());
        (fits && of_kind.bytes().all(is_plain)).then_some(value)
    }

    /// The size of the whole object, according to the headers.
    pub fn length(&self) -> Option<u64> {
        std::str::from_utf8(self.header("content-length"))
            .ok()?
            .parse()
            .ok()
    }
}

/// The longest word: an ETag of OSS, with its quotes and the number of its parts.
const MAX_WORD: usize = 40;

/// The main kinds of media types (RFC 6838 and the registry of media types).
const KINDS: [&str; 9] = [
    "application",
    "audio",
    "binary",
    "font",
    "image",
    "model",
    "multipart",
    "text",
    "video",
];

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name has no address.
    NoAddress,
    /// The server accepts no connections.
    NoConnection(&'static str),
    /// The certificate is wrong.
    Certificate(&'static str),
    /// The server does not speak TLS, or no version that this program knows.
    NoTls,
    /// The server requires a client certificate.
    WantsCertificate,
    /// The time ran out; the text says what was waited for.
    TimedOut(&'static str),
    /// The connection ended too early.
    Closed,
    /// The answer is not HTTP, or too long.
    NotHttp(&'static str),
    /// The request cannot be sent.
    NotSent,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Trouble::NoAddress => f.write_str("the name has no address"),
            Trouble::NoConnection(why) => write!(f, "no connection: {why}"),
            Trouble::Certificate(why) => write!(f, "the certificate is not valid: {why}"),
            Trouble::NoTls => f.write_str("the other side does not speak TLS"),
            Trouble::WantsCertificate => {
                f.write_str("the server requires a client certificate, and there is none")
            }
            Trouble::TimedOut(what) => write!(f, "{what} took too long (--timeout)"),
            Trouble::Closed => f.write_str("the connection ended before the answer was complete"),
            Trouble::NotHttp(why) => write!(f, "the answer is not HTTP: {why}"),
            Trouble::NotSent => f.write_str("the request cannot be sent"),
        }
    }
}

/// A certificate that was accepted.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// When it expires, in seconds since 1970, if it can be read.
    pub expires: Option<u64>,
}

impl Wire {
    /// A server at this host and port. `name` must be in its certificate.
    pub fn new(host: &str, port: u16, name: &str, tls: Option<Tls>, timeout: Duration) -> Wire {
        Wire {
            host: host.to_owned(),
            port,
            name: name.to_owned(),
            tls,
            timeout,
        }
    }

    /// Whether the server is asked by TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The addresses of the host.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Trouble> {
        let place = (self.host.as_str(), self.port);
        let found = tokio::time::timeout(self.timeout, tokio::net::lookup_host(place)).await;
        let found = found.map_err(|_| Trouble::TimedOut("looking the name up"))?;
        let found: Vec<SocketAddr> = found.map_err(|_| Trouble::NoAddress)?.collect();
        match found.is_empty() {
            true => Err(Trouble::NoAddress),
            false => Ok(found),
        }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<TcpStream, Trouble> {
        let addresses = self.resolve().await?;
        reach(addresses, self.port, self.timeout).await
    }

    /// Opens a connection with TLS, and returns the server's certificate; `None` for plain
    /// HTTP.
    pub async fn handshake(&self) -> Result<Option<Certificate>, Trouble> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let mut stream = self.secure(tls, self.connect().await?).await?;
        // In TLS 1.3 the server refuses after the handshake.
        let patience = self.timeout.min(REFUSAL);
        if tls.is_asked_for_a_certificate()
            && let Ok(Err(_) | Ok(0)) =
                tokio::time::timeout(patience, stream.read(&mut [0; 1])).await
        {
            return Err(Trouble::WantsCertificate);
        }
        let (_, session) = stream.get_ref();
        let first = session.peer_certificates().and_then(|all| all.first());
        let expires = first.and_then(|der| {
            let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
            u64::try_from(certificate.validity().not_after.timestamp()).ok()
        });
        Ok(Some(Certificate { expires }))
    }

    async fn secure(&self, tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>, Trouble> {
        let name = ServerName::try_from(self.name.clone()).map_err(|_| Trouble::NotSent)?;
        let secured = tokio::time::timeout(self.timeout, tls.connector.connect(name, stream)).await;
        let secured = secured.map_err(|_| Trouble::TimedOut("the TLS handshake"))?;
        secured.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            match inner {
                Some(rustls::Error::InvalidCertificate(why)) => Trouble::Certificate(reason(why)),
                _ if tls.is_asked_for_a_certificate() => Trouble::WantsCertificate,
                Some(_) => Trouble::NoTls,
                None => Trouble::Closed,
            }
        })
    }

    /// Sends a request on a connection of its own, and reads at most `most` bytes of the body.
    pub async fn send(&self, message: &Message, most: usize) -> Result<Answer, Trouble> {
        let request = message.to_http().ok_or(Trouble::NotSent)?;
        let stream = self.connect().await?;
        match &self.tls {
            None => self.converse(stream, request, most).await,
            Some(tls) => {
                let stream = self.secure(tls, stream).await?;
                let answer = self.converse(stream, request, most).await;
                answer.map_err(|trouble| match trouble {
                    Trouble::Closed if tls.is_asked_for_a_certificate() => {
                        Trouble::WantsCertificate
                    }
                    other => other,
                })
            }
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Answer, Trouble> {
        let until = tokio::time::Instant::now() + self.timeout;
        let mut builder = http1::Builder::new();
        let handshake = builder
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|_| Trouble::Closed)?;
        // The task ends with the sender, or with the runtime.
        tokio::spawn(connection);
        let response = tokio::time::timeout_at(until, sender.send_request(request)).await;
        let response = response.map_err(|_| Trouble::TimedOut("the answer"))?;
        let response = response.map_err(|error| match error.is_parse() {
            true if error.is_parse_too_large() => Trouble::NotHttp("its head is too large"),
            true => Trouble::NotHttp("its head cannot be read"),
            false => Trouble::Closed,
        })?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: Vec::new(),
            cut: None,
        };
        let mut incoming = response.into_body();
        while answer.body.len() < most {
            match tokio::time::timeout_at(until, incoming.frame()).await {
                Err(_) => answer.cut = Some(Trouble::TimedOut("the body")),
                Ok(Some(Err(_))) => answer.cut = Some(Trouble::Closed),
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    let data = frame.data_ref().map_or(&b""[..], |data| data);
                    let room = most - answer.body.len();
                    answer.body.extend(data.iter().take(room));
                }
            }
            if answer.cut.is_some() {
                break;
            }
        }
        Ok(answer)
    }
}

/// The time in which a refusal of the client's certificate may arrive.
const REFUSAL: Duration = Duration::from_secs(1);

/// Connects to one of the addresses. Each has its share of the time, and those of the other
/// family are tried soon (RFC 8305, "Happy Eyeballs").
async fn reach(
    addresses: Vec<SocketAddr>,
    port: u16,
    timeout: Duration,
) -> Result<TcpStream, Trouble> {
    let mut connector = HttpConnector::new_with_resolver(Known(addresses));
    connector.set_connect_timeout(Some(timeout));
    // The resolver knows only this name.
    let place = format!("http://known:{port}/");
    let place = Uri::try_from(place).map_err(|_| Trouble::NotSent)?;
    let connected = tokio::time::timeout(timeout, connector.call(place)).await;
    let connected = connected.map_err(|_| Trouble::TimedOut("connecting"))?;
    connected.map(TokioIo::into_inner).map_err(|error| {
        use std::io::ErrorKind::{
            ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut,
        };
        let cause = std::error::Error::source(&error);
        let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        match cause.map(std::io::Error::kind) {
            Some(ConnectionRefused) => Trouble::NoConnection("nobody listens there"),
            Some(HostUnreachable | NetworkUnreachable) => {
                Trouble::NoConnection("there is no route to that network")
            }
            Some(TimedOut) => Trouble::TimedOut("connecting"),
            _ => Trouble::NoConnection("the network allows none"),
        }
    })
}

/// A resolver that knows the addresses already.
#[derive(Clone)]
struct Known(Vec<SocketAddr>);

impl Service<Name> for Known {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(self.0.clone().into_iter()))
    }
}

/// The most bytes of a head.
const MAX_HEAD: usize = 64 * 1024;

impl Message {
    fn to_http(&self) -> Option<Request<Full<Bytes>>> {
        let uri = Uri::try_from(self.path.as_slice()).ok()?;
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(uri)
            .header(HOST, HeaderValue::from_str(&self.authority).ok()?);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_bytes(value).ok()?);
        }
        let body = Bytes::from(self.body.clone());
        request.body(Full::new(body)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_words_of_an_answer_are_shown() {
        let answer = |value: &str| Answer {
            status: 200,
            headers: vec![
                ("etag".into(), value.into()),
                ("content-type".into(), value.into()),
            ],
            body: Vec::new(),
            cut: None,
        };
        let etag = "\"5D41402ABC4B2A76B9719D911017C592-12\"";
        assert_eq!(answer(etag).word("etag"), Some(etag));
        let long = "0".repeat(MAX_WORD + 1);
        for other in ["", "CAIS/a+b=", "two words", "a\tb", "\u{e9}", &long] {
            assert_eq!(answer(other).word("etag"), None, "{other}");
        }
        let typed = answer("text/html; charset=utf-8");
        assert_eq!(typed.media_type(), Some("text/html"));
        for other in ["", "text", "CAIS/a+b=", "text/a b", "text/"] {
            assert_eq!(answer(other).media_type(), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_slow_answer_ends_with_the_time() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Wire::new("127.0.0.1", port, "name", None, Duration::from_millis(50));
        let message = Message {
            method: "GET".into(),
            authority: "name".into(),
            path: b"/".to_vec(),
            ..Message::default()
        };
        let trouble = wire.send(&message, 1).await.err();
        assert_eq!(trouble, Some(Trouble::TimedOut("the answer")));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_use_all_of_the_time_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let dead = SocketAddr::from(([127, 0, 0, 2], live.port()));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(dead).unwrap();
        // Once the queue is full, no connection is answered.
        let _full = socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let more = TcpStream::connect(dead);
            match tokio::time::timeout(Duration::from_millis(200), more).await {
                Ok(more) => waiting.push(more.unwrap()),
                Err(_) => break,
            }
        }
        let time = Duration::from_secs(2);
        let alone = reach(vec![dead], live.port(), time).await;
        assert_eq!(alone.err(), Some(Trouble::TimedOut("connecting")));
        let reached = reach(vec![dead, live], live.port(), time).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), live);
    }
}
