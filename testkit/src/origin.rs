//! An OSS and an STS for load, in few lines of Rust that share none with the
//! filter: OSS verifies V4 and knows revoked and expired tokens, STS issues
//! them. (The fake in testkit/fakes, which Alibaba's SDKs judge, is the
//! reference; it is too slow for load.)

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::alibaba::{BUCKET, REGION};

/// In each object's response: the id of the key that has signed the request.
pub const SIGNED_BY: &str = "x-signed-by";

#[derive(Debug)]
pub struct Origin {
    pub oss_port: u16,
    pub sts_port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    keys: Mutex<HashMap<String, Key>>,
    settings: Mutex<Settings>,
    issued: AtomicU64,
    /// The number of requests that OSS refused, by code.
    refused: Mutex<HashMap<&'static str, u64>>,
    body: Vec<u8>,
    signed: AtomicU64,
    /// The headers for [`Origin::shape`].
    shape: Mutex<Vec<(String, usize)>>,
}

#[derive(Clone, Debug)]
struct Key {
    secret: String,
    token: String,
    expires: u64,
    revoked: bool,
}

/// The behaviour of STS.
#[derive(Clone, Debug)]
pub struct Settings {
    pub token_life: u64,
    pub delay: Duration,
    pub garbage: bool,
}

impl Origin {
    /// Starts an origin whose objects all have `size` bytes.
    pub fn start(size: usize) -> Origin {
        let state = Arc::new(State {
            keys: Mutex::default(),
            settings: Mutex::new(Settings {
                token_life: 3600,
                delay: Duration::ZERO,
                garbage: false,
            }),
            issued: AtomicU64::new(0),
            refused: Mutex::default(),
            signed: AtomicU64::new(0),
            shape: Mutex::default(),
            body: (0..size).map(|n| (n % 251) as u8).collect(),
        });
        Origin {
            oss_port: listen(Arc::clone(&state), State::oss),
            sts_port: listen(Arc::clone(&state), State::sts),
            state,
        }
    }

    /// Starts an OSS that requires no signature and does almost nothing, so that benchmarks
    /// measure Envoy. `/large` has `large` bytes, all other objects 1,000.
    pub fn open(large: usize) -> Origin {
        let origin = Origin::start(large);
        Origin {
            oss_port: listen(Arc::clone(&origin.state), State::open),
            ..origin
        }
    }

    /// The number of signed requests to an open origin.
    pub fn signed(&self) -> u64 {
        self.state.signed.load(Ordering::SeqCst)
    }

    /// The headers of the last request to an open origin outside of `/objects/`: their names
    /// and the lengths of their values, in the order of their names.
    pub fn shape(&self) -> Vec<(String, usize)> {
        self.state.shape.lock().expect("lock").clone()
    }

    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state.settings.lock().expect("lock"));
    }

    /// Revokes every token issued so far.
    pub fn revoke_all(&self) {
        let mut keys = self.state.keys.lock().expect("lock");
        for key in keys.values_mut() {
            key.revoked = true;
        }
    }

    /// Revokes the token of this key.
    pub fn revoke(&self, id: &str) {
        let mut keys = self.state.keys.lock().expect("lock");
        keys.get_mut(id).expect("a known key").revoked = true;
    }

    /// Makes OSS accept a key that STS did not issue.
    pub fn add_key(&self, id: &str, secret: &str, token: &str) {
        let key = Key {
            secret: secret.into(),
            token: token.into(),
            expires: u64::MAX,
            revoked: false,
        };
        self.state.keys.lock().expect("lock").insert(id.into(), key);
    }

    pub fn issued(&self) -> u64 {
        self.state.issued.load(Ordering::SeqCst)
    }

    /// The number of requests that OSS refused so far, by code.
    pub fn refused(&self) -> HashMap<&'static str, u64> {
        self.state.refused.lock().expect("lock").clone()
    }
}

/// A request's method, target and headers (names in lower case).
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

fn listen(state: Arc<State>, answer: fn(&State, &Head) -> Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("origin");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(stream, &state, answer));
        }
    });
    port
}

fn serve(mut stream: TcpStream, state: &State, answer: fn(&State, &Head) -> Vec<u8>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let mut head = Head {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            headers: Vec::new(),
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    let header = (name.to_ascii_lowercase(), value.trim().to_owned());
                    head.headers.push(header);
                }
                None => break,
            }
        }
        let length = head.header("content-length").parse().unwrap_or(0);
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut Vec::new())
            .ok()?;
        stream.write_all(&answer(state, &head)).ok()?;
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

impl State {
    fn oss(&self, head: &Head) -> Vec<u8> {
        match self.verify(head) {
            Ok(id) => {
                let headers = format!("content-type: text/plain\r\n{SIGNED_BY}: {id}\r\n");
                response("200 OK", &headers, &self.body)
            }
            Err(code) => {
                *self.refused.lock().expect("lock").entry(code).or_default() += 1;
                let body = format!("<Error><Code>{code}</Code></Error>");
                let ec = match code {
                    "InvalidAccessKeyId" => "0002-00000902",
                    "InvalidSecurityToken" => "0002-00000006",
                    "SecurityTokenExpired" => "0002-00000007",
                    "SignatureDoesNotMatch" => "0002-00000201",
                    _ => "0003-00000001",
                };
                let headers = format!("x-oss-request-id: 1\r\nx-oss-ec: {ec}\r\n");
                response("403 Forbidden", &headers, body.as_bytes())
            }
        }
    }

    fn open(&self, head: &Head) -> Vec<u8> {
        if !head.header("authorization").is_empty() {
            self.signed.fetch_add(1, Ordering::SeqCst);
        }
        // Requests under load are skipped, which this would slow down.
        if !head.target.starts_with("/objects/") {
            let headers = head.headers.iter();
            let mut shape: Vec<_> = headers.map(|(n, v)| (n.clone(), v.len())).collect();
            shape.sort();
            *self.shape.lock().expect("lock") = shape;
        }
        let size = match head.target.as_str() {
            "/large" => self.body.len(),
            _ => self.body.len().min(1_000),
        };
        response("200 OK", "content-type: text/plain\r\n", &self.body[..size])
    }

    /// Verifies V4 of a request without a query; the id of its key.
    fn verify<'a>(&self, head: &'a Head) -> Result<&'a str, &'static str> {
        let authorization = head.header("authorization");
        let credential = authorization
            .strip_prefix("OSS4-HMAC-SHA256 Credential=")
            .ok_or("AccessDenied")?;
        let (credential, signature) = credential.split_once(",Signature=").ok_or("AccessDenied")?;
        let (id, scope) = credential.split_once('/').ok_or("AccessDenied")?;
        // A downstream filter signs the host that the request will have.
        let (scope, additional) = match scope.split_once(",AdditionalHeaders=") {
            Some((scope, names)) => (scope, names),
            None => (scope, ""),
        };
        let key = self.keys.lock().expect("lock").get(id).cloned();
        let key = key.ok_or("InvalidAccessKeyId")?;
        if key.revoked || key.token != head.header("x-oss-security-token") {
            return Err("InvalidSecurityToken");
        }
        if key.expires <= now() {
            return Err("SecurityTokenExpired");
        }
        let mut signed: Vec<String> = head
            .headers
            .iter()
            .filter(|(name, _)| {
                name.starts_with("x-oss-") || name == "content-type" || name == additional
            })
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        signed.sort();
        let canonical = format!(
            "{}\n/{BUCKET}{}\n\n{}\n{additional}\nUNSIGNED-PAYLOAD",
            head.method,
            head.target,
            signed.concat()
        );
        let date = head.header("x-oss-date");
        let hashed = hex(&Sha256::digest(canonical));
        let string_to_sign = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
        let day = date.get(..8).unwrap_or_default();
        if scope != format!("{day}/{REGION}/oss/aliyun_v4_request") {
            return Err("InvalidArgument");
        }
        let mut digest = format!("aliyun_v4{}", key.secret).into_bytes();
        for part in scope.split('/').chain([string_to_sign.as_str()]) {
            let mut mac = Hmac::<Sha256>::new_from_slice(&digest).expect("any length");
            mac.update(part.as_bytes());
            digest = mac.finalize().into_bytes().to_vec();
        }
        match hex(&digest) == signature {
            true => Ok(id),
            false => Err("SignatureDoesNotMatch"),
        }
    }

    fn sts(&self, _: &Head) -> Vec<u8> {
        let settings = self.settings.lock().expect("lock").clone();
        std::thread::sleep(settings.delay);
        if settings.garbage {
            return response("200 OK", "", b"<html>garbage</html>");
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        let key = Key {
            secret: format!("secret-{number}"),
            token: format!("CAIStoken-{number}{}", "x".repeat(600)),
            expires: now() + settings.token_life,
            revoked: false,
        };
        let id = format!("STS.example-{number}");
        let body = serde_json::json!({"RequestId": "1", "Credentials": {
            "AccessKeyId": id, "AccessKeySecret": key.secret, "SecurityToken": key.token,
            "Expiration": rfc3339(key.expires)}});
        self.keys.lock().expect("lock").insert(id, key);
        response("200 OK", "", body.to_string().as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time in RFC 3339, by the `date` of the system.
pub fn rfc3339(unix_time: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{unix_time}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .expect("date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
