//! A client that sends exactly the bytes that a test names, as no library
//! would: paths and header values that are not text, headers given twice.

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::process::PATIENCE;

#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    pub target: Vec<u8>,
    version: Version,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The version of HTTP that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The reason why there is no complete response.
#[derive(Debug)]
pub enum SendError {
    /// The connection failed, or nothing came for too long.
    Io(io::Error),
    /// The connection ended within the head; this much had come.
    NoResponse(Vec<u8>),
    /// The connection ended within the body; the response has the part that came.
    CutShort(Response),
    /// The bytes that came are not HTTP.
    Malformed(String),
}

impl Request {
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Request {
        Request {
            method: method.into(),
            target: target.as_ref().to_vec(),
            version: Version::Http11,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(target: impl AsRef<[u8]>) -> Request {
        Request::new("GET", target)
    }

    /// A request as from a program of this machine, for example to the sidecar.
    pub fn local(target: impl AsRef<[u8]>) -> Request {
        Request::get(target).header("host", "localhost")
    }

    pub fn version(mut self, version: Version) -> Request {
        self.version = version;
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends the request to a port of this machine; fails if there is no answer.
    pub fn send(&self, port: u16) -> Response {
        self.try_send(port)
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    pub fn try_send(&self, port: u16) -> Result<Response, SendError> {
        let stream = self.start(port)?;
        Response::read(stream, self.method == "HEAD")
    }

    /// Sends the request and leaves the answer unread.
    pub fn start(&self, port: u16) -> io::Result<TcpStream> {
        let mut head = Vec::new();
        head.extend(self.method.as_bytes());
        head.push(b' ');
        head.extend(&self.target);
        head.extend(match self.version {
            Version::Http10 => b" HTTP/1.0\r\n".as_slice(),
            Version::Http11 => b" HTTP/1.1\r\nconnection: close\r\n",
        });
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.extend(b"host: gateway.example\r\n");
        }
        if !self.body.is_empty() {
            head.extend(format!("content-length: {}\r\n", self.body.len()).bytes());
        }
        for (name, value) in &self.headers {
            head.extend(name.as_bytes());
            head.extend(b": ");
            head.extend(value);
            head.extend(b"\r\n");
        }
        head.extend(b"\r\n");
        head.extend(&self.body);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&head)?;
        Ok(stream)
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// Reads one response and no more: a server may keep the connection open for a while. With
    /// `head_only` it answers a HEAD.
    pub fn read(stream: impl Read, head_only: bool) -> Result<Response, SendError> {
        // The methods that are called here repeat a read that a signal interrupts; `read`
        // itself does not.
        let mut reader = BufReader::new(stream);
        let mut response = read_head(&mut reader)?;
        // Interim responses come before the final one.
        while (100..200).contains(&response.status) && response.status != 101 {
            response = read_head(&mut reader)?;
        }
        if head_only || matches!(response.status, 101 | 204 | 304) {
            return Ok(response);
        }
        let chunked = response.header("transfer-encoding") == Some("chunked");
        let length = response.header("content-length").map(str::parse::<u64>);
        let body = &mut response.body;
        let end = match (chunked, length) {
            (true, _) => read_chunks(&mut reader, body),
            (false, Some(Ok(length))) => read_exactly(&mut reader, length, body),
            (false, Some(Err(error))) => Err(BodyError::Malformed(format!("its length: {error}"))),
            (false, None) => reader.read_to_end(body).map(drop).map_err(BodyError::from),
        };
        match end {
            Ok(()) => Ok(response),
            Err(BodyError::Ended) => Err(SendError::CutShort(response)),
            Err(BodyError::Io(error)) => Err(SendError::Io(error)),
            Err(BodyError::Malformed(problem)) => Err(SendError::Malformed(problem)),
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> Result<Response, SendError> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match reader.read_until(b'\n', &mut bytes) {
            Ok(0) => return Err(SendError::NoResponse(bytes)),
            Ok(_) => {}
            Err(error) if is_end(&error) => return Err(SendError::NoResponse(bytes)),
            Err(error) => return Err(SendError::Io(error)),
        }
    }
    let head = String::from_utf8_lossy(&bytes);
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| SendError::Malformed(first.to_owned()))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    Ok(Response {
        status,
        headers: headers.collect(),
        body: Vec::new(),
    })
}

enum BodyError {
    /// The connection ended too early.
    Ended,
    Io(io::Error),
    Malformed(String),
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> BodyError {
        match is_end(&error) {
            true => BodyError::Ended,
            false => BodyError::Io(error),
        }
    }
}

/// A reset ends a connection as well.
fn is_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn read_exactly(
    reader: &mut impl BufRead,
    length: u64,
    body: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let size = reader.take(length).read_to_end(body)?;
    match size as u64 == length {
        true => Ok(()),
        false => Err(BodyError::Ended),
    }
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), BodyError> {
    loop {
        let line = read_line(reader)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|error| BodyError::Malformed(format!("a chunk's size `{line}`: {error}")))?;
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(());
        }
        read_exactly(reader, size, body)?;
        let rest = read_line(reader)?;
        if !rest.is_empty() {
            return Err(BodyError::Malformed(format!("after a chunk: {rest}")));
        }
    }
}

/// A line, without its end.
fn read_line(reader: &mut impl BufRead) -> Result<String, BodyError> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None if line.ends_with(b"\n") => Err(BodyError::Malformed("a bare line feed".into())),
        None => Err(BodyError::Ended),
    }
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> SendError {
        SendError::Io(error)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SendError::Io(error) => error.fmt(f),
            SendError::NoResponse(bytes) => write!(f, "no response: {}", bytes.escape_ascii()),
            SendError::CutShort(response) => write!(
                f,
                "the connection ended before the body was whole: {} bytes came, status {}",
                response.body.len(),
                response.status
            ),
            SendError::Malformed(problem) => write!(f, "not HTTP: {problem}"),
        }
    }
}

impl std::error::Error for SendError {}

/// The values of a header, which may be given several times.
pub fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::TcpListener;
    use std::process::Command;
    use std::time::Duration;

    fn read(bytes: &[u8]) -> Result<Response, SendError> {
        Response::read(bytes, false)
    }

    #[test]
    fn a_body_has_the_end_that_its_head_announces() {
        for (response, body) in [
            ("content-length: 3\r\n\r\nabcde", "abc"),
            (
                "transfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc",
            ),
            (
                "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-trailer: y\r\n\r\n",
                "abc",
            ),
            ("connection: close\r\n\r\nuntil the end", "until the end"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{response}");
            assert_eq!(read(text.as_bytes()).unwrap().text(), body, "{response}");
        }
        let continued = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read(continued).unwrap().status, 204);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
        assert!(
            Response::read(head.as_slice(), true)
                .unwrap()
                .body
                .is_empty()
        );
    }

    #[test]
    fn a_connection_that_ends_in_the_body_is_told_from_one_that_ends_before() {
        for cut in [
            "content-length: 4\r\n\r\nabc",
            "transfer-encoding: chunked\r\n\r\n4\r\nabc",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{cut}");
            match read(text.as_bytes()) {
                Err(SendError::CutShort(part)) => assert_eq!(part.text(), "abc", "{cut}"),
                other => panic!("{cut}: {other:?}"),
            }
        }
        for cut in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
            let problem = read(cut.as_bytes());
            assert!(
                matches!(problem, Err(SendError::NoResponse(_))),
                "{cut}: {problem:?}"
            );
        }
        for wrong in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        ] {
            let problem = read(wrong.as_bytes());
            assert!(
                matches!(problem, Err(SendError::Malformed(_))),
                "{wrong}: {problem:?}"
            );
        }
    }

    #[test]
    fn a_request_names_its_version() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        for (version, line) in [
            (Version::Http10, "GET /a HTTP/1.0\r\n"),
            (Version::Http11, "GET /a HTTP/1.1\r\n"),
        ] {
            drop(Request::get("/a").version(version).start(port).unwrap());
            let mut sent = String::new();
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_to_string(&mut sent).unwrap();
            assert!(sent.starts_with(line), "{sent}");
        }
    }

    /// A socket with a time limit gives EINTR when its process is continued
    /// (signal(7), "Interruption of system calls ... by stop signals").
    #[test]
    fn a_slow_response_is_read_through_stops_and_continuations() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let text = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n01234567890123456789";
            for byte in text.bytes() {
                stream.write_all(&[byte]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // It takes another process to continue this one.
        let stops = "for n in 1 2 3 4 5 6 7 8; do kill -STOP $0; sleep 0.05; kill -CONT $0; \
                     sleep 0.05; done";
        let mut signals = Command::new("sh")
            .args(["-c", stops, &std::process::id().to_string()])
            .spawn()
            .unwrap();
        let mut stream = Counting {
            stream: Request::get("/").start(port).unwrap(),
            interruptions: 0,
        };
        let response = Response::read(&mut stream, false).unwrap();
        assert_eq!(response.text(), "01234567890123456789");
        assert!(stream.interruptions > 0, "nothing was interrupted");
        assert!(signals.wait().unwrap().success());
        server.join().unwrap();
    }

    /// Shows that reads were interrupted at all.
    struct Counting {
        stream: TcpStream,
        interruptions: usize,
    }

    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let result = self.stream.read(buffer);
            let interrupted = |error: &io::Error| error.kind() == ErrorKind::Interrupted;
            self.interruptions += usize::from(result.as_ref().is_err_and(interrupted));
            result
        }
    }
}
