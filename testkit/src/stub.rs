//! A credentials-URI server that gives any answer that a test wants, also an invalid one.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::origin::rfc3339;

#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A whole response, head and body, as it is sent.
    Answer(Vec<u8>),
    /// A whole response, after a while.
    Late(Duration, Vec<u8>),
    /// A connection that is closed without an answer.
    HangUp,
    /// Credentials that are valid for this time from the answer on; their expiry replaces
    /// [`FAR_FUTURE`] in the body.
    Lasting(Duration, String),
    /// No answer until a test sets another behaviour, which then holds.
    Wait,
}

/// The expiry that [`Behaviour::Lasting`] replaces.
pub const FAR_FUTURE: &str = "2099-01-01T00:00:00Z";

#[derive(Debug)]
pub struct StubSidecar {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    behaviour: Mutex<Behaviour>,
    /// The times of the requests.
    hits: Mutex<Vec<Instant>>,
    /// The expiry in the last [`Behaviour::Lasting`], in seconds since 1970.
    expiry: Mutex<u64>,
}

impl StubSidecar {
    pub fn start(behaviour: Behaviour) -> StubSidecar {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("stub sidecar");
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            hits: Mutex::default(),
            expiry: Mutex::default(),
        });
        let stub = StubSidecar {
            port: listener.local_addr().expect("address").port(),
            state: Arc::clone(&state),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.answer(stream));
            }
        });
        stub
    }

    pub fn set(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().expect("lock") = behaviour;
    }

    /// The number of requests.
    pub fn hits(&self) -> usize {
        self.hit_times().len()
    }

    /// The time of each request.
    pub fn hit_times(&self) -> Vec<Instant> {
        self.state.hits.lock().expect("lock").clone()
    }

    /// When the credentials of the last [`Behaviour::Lasting`] expire, since 1970.
    pub fn expiry(&self) -> Duration {
        Duration::from_secs(*self.state.expiry.lock().expect("lock"))
    }
}

impl Behaviour {
    /// A response with a body.
    pub fn body(status: u16, body: impl AsRef<[u8]>) -> Behaviour {
        Behaviour::Answer(response(status, body.as_ref()))
    }

    pub fn late_body(delay: Duration, status: u16, body: impl AsRef<[u8]>) -> Behaviour {
        Behaviour::Late(delay, response(status, body.as_ref()))
    }
}

fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl State {
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        let mut head: Vec<u8> = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match reader.read_until(b'\n', &mut head) {
                Ok(size) if size > 0 => {}
                _ => return,
            }
        }
        self.hits.lock().expect("lock").push(Instant::now());
        let now = || self.behaviour.lock().expect("lock").clone();
        while matches!(now(), Behaviour::Wait) {
            std::thread::sleep(Duration::from_millis(5));
        }
        match now() {
            Behaviour::Answer(bytes) => drop(stream.write_all(&bytes)),
            Behaviour::Late(delay, bytes) => {
                std::thread::sleep(delay);
                drop(stream.write_all(&bytes));
            }
            Behaviour::Lasting(life, body) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let expiry = (now.expect("a time after 1970") + life).as_secs();
                *self.expiry.lock().expect("lock") = expiry;
                let body = body.replace(FAR_FUTURE, &rfc3339(expiry));
                drop(stream.write_all(&response(200, body.as_bytes())));
            }
            Behaviour::HangUp | Behaviour::Wait => {}
        }
    }
}
