//! An HTTP server that records its requests and answers as a test says. It can stand behind any
//! cluster of an Envoy.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::values;

/// A server that records its requests.
#[derive(Debug)]
pub struct Recorder {
    pub port: u16,
    seen: Arc<Mutex<Vec<Received>>>,
}

/// A request as it was received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A response as it is sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The head and the body, in the pieces in which they are sent.
    pub pieces: Vec<Vec<u8>>,
    /// The pause between two pieces.
    pub pause: Duration,
}

type Answers = dyn Fn(&Received) -> Answer + Send + Sync;

impl Recorder {
    /// Starts a server that answers everything with 200 and the text `content`.
    pub fn start() -> Recorder {
        Recorder::answering(|_| Answer::new(200, &[], b"content"))
    }

    /// Starts a server that answers with the results of `answers`.
    pub fn answering(answers: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Recorder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a recorder");
        let recorder = Recorder {
            port: listener.local_addr().expect("address").port(),
            seen: Arc::default(),
        };
        let (seen, answers) = (Arc::clone(&recorder.seen), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                // The thread ends with the connection.
                std::thread::spawn(move || {
                    let _ = serve(stream, &seen, &*answers);
                });
            }
        });
        recorder
    }

    /// All requests since the start or [`Recorder::clear`].
    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().expect("lock").clone()
    }

    pub fn clear(&self) {
        self.seen.lock().expect("lock").clear();
    }
}

impl Received {
    /// The values of a header, which may be given several times.
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.headers {
            write!(f, "\n  {name}: {value}")?;
        }
        Ok(())
    }
}

impl Answer {
    /// A response with a body and its length.
    pub fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let head = head(status, headers, &format!("content-length: {}", body.len()));
        Answer {
            pieces: vec![[head.as_slice(), body].concat()],
            pause: Duration::ZERO,
        }
    }

    /// A response with a body in chunks.
    pub fn chunked(status: u16, headers: &[(&str, &str)], chunks: &[&[u8]]) -> Answer {
        let mut pieces = vec![head(status, headers, "transfer-encoding: chunked")];
        for chunk in chunks {
            let size = format!("{:x}\r\n", chunk.len());
            pieces.push([size.as_bytes(), chunk, b"\r\n"].concat());
        }
        pieces.push(b"0\r\n\r\n".to_vec());
        Answer {
            pieces,
            pause: Duration::from_millis(20),
        }
    }

    /// The answer to a HEAD.
    pub fn head(status: u16, headers: &[(&str, &str)]) -> Answer {
        Answer {
            pieces: vec![head(status, headers, "x-of-head: 1")],
            pause: Duration::ZERO,
        }
    }
}

fn head(status: u16, headers: &[(&str, &str)], framing: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("{framing}\r\n\r\n");
    head.into_bytes()
}

/// Serves a connection until it ends.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Received>>, answers: &Answers) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let request = receive(&mut reader)?;
        let answer = answers(&request);
        seen.lock().expect("lock").push(request);
        for (number, piece) in answer.pieces.iter().enumerate() {
            if number > 0 {
                std::thread::sleep(answer.pause);
            }
            stream.write_all(piece).ok()?;
        }
    }
}

fn receive(reader: &mut impl BufRead) -> Option<Received> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let mut request = Received {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..Received::default()
    };
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push(header);
    }
    if request.header("transfer-encoding") == ["chunked"] {
        loop {
            let size = u64::from_str_radix(&line(reader)?, 16).ok()?;
            let read = reader.take(size).read_to_end(&mut request.body).ok()?;
            if line(reader)?.is_empty() && read == 0 {
                return Some(request);
            }
        }
    }
    let length = request.header("content-length");
    let length = length.first().map_or(Some(0), |text| text.parse().ok())?;
    reader.take(length).read_to_end(&mut request.body).ok()?;
    Some(request)
}

/// A line without its end; `None` if the connection ends.
fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes).ok()?;
    let line = bytes.strip_suffix(b"\n")?;
    Some(String::from_utf8_lossy(line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;

    #[test]
    fn what_came_is_remembered_and_answered() {
        let recorder = Recorder::answering(|request| match request.target.as_str() {
            "/pieces" => Answer::chunked(403, &[("x-a", "b")], &[b"one ", b"two"]),
            _ => Answer::new(200, &[], &request.body),
        });
        let put = Request::new("PUT", "/a?b").header("X-Case", "c");
        assert_eq!(put.body("body").send(recorder.port).text(), "body");
        let pieces = Request::get("/pieces").send(recorder.port);
        assert_eq!((pieces.status, pieces.header("x-a")), (403, Some("b")));
        assert_eq!(pieces.text(), "one two");
        let seen = recorder.seen();
        assert_eq!((seen.len(), seen[0].target.as_str()), (2, "/a?b"));
        assert_eq!(
            (seen[0].method.as_str(), seen[0].header("x-case")),
            ("PUT", vec!["c"])
        );
        recorder.clear();
        assert!(recorder.seen().is_empty());
    }
}
