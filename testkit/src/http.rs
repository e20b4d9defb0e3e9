//! A client that sends exactly the bytes that a test names, as no library
//! would: paths and header values that are not text, headers given twice.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Request {
        Request {
            method: method.into(),
            target: target.as_ref().to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(target: impl AsRef<[u8]>) -> Request {
        Request::new("GET", target)
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends it to a port of this machine; fails if there is no answer.
    pub fn send(&self, port: u16) -> Response {
        self.try_send(port)
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    pub fn try_send(&self, port: u16) -> io::Result<Response> {
        let mut stream = self.start(port)?;
        let mut bytes = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        // Not to the end: a server may keep the connection open for a while
        // after it has refused a request.
        loop {
            let size = stream.read(&mut piece)?;
            bytes.extend(piece.get(..size).unwrap_or_default());
            match Response::parse(&bytes, self.method == "HEAD") {
                Some(response) => return Ok(response),
                None if size == 0 => {
                    let problem = format!("no response: {}", bytes.escape_ascii());
                    return Err(io::Error::other(problem));
                }
                None => {}
            }
        }
    }

    /// Sends it and leaves the answer unread.
    pub fn start(&self, port: u16) -> io::Result<TcpStream> {
        let mut head = Vec::new();
        head.extend(self.method.as_bytes());
        head.push(b' ');
        head.extend(&self.target);
        head.extend(b" HTTP/1.1\r\nconnection: close\r\n");
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
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
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

    fn parse(bytes: &[u8], head_only: bool) -> Option<Response> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(bytes.get(..end)?);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Response {
            status,
            headers,
            body: bytes.get(end + 4..)?.to_vec(),
        };
        if head_only || status == 304 || status == 204 {
            response.body.clear();
        } else if response.header("transfer-encoding") == Some("chunked") {
            response.body = dechunk(&response.body)?;
        } else {
            let length: usize = response.header("content-length")?.parse().ok()?;
            if response.body.len() < length {
                return None;
            }
        }
        Some(response)
    }
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(bytes.get(line + 2..line + 2 + size)?);
        bytes = bytes.get(line + 4 + size..)?;
    }
}
