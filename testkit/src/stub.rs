//! A credentials-URI server that answers whatever a test wants, also garbage.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A whole response, head and body, as it goes over the wire.
    Answer(Vec<u8>),
    /// The same, after a while.
    Late(Duration, Vec<u8>),
    /// Closes the connection without a word.
    HangUp,
    /// Nothing until a test sets another behaviour; then as that says.
    Wait,
}

#[derive(Debug)]
pub struct StubSidecar {
    pub port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    hits: Arc<AtomicUsize>,
}

impl StubSidecar {
    pub fn start(behaviour: Behaviour) -> StubSidecar {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("stub sidecar");
        let stub = StubSidecar {
            port: listener.local_addr().expect("address").port(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            hits: Arc::default(),
        };
        let (behaviour, hits) = (Arc::clone(&stub.behaviour), Arc::clone(&stub.hits));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, hits) = (Arc::clone(&behaviour), Arc::clone(&hits));
                std::thread::spawn(move || answer(stream, &behaviour, &hits));
            }
        });
        stub
    }

    pub fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("lock") = behaviour;
    }

    /// How many requests have come.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
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

fn answer(mut stream: TcpStream, behaviour: &Mutex<Behaviour>, hits: &AtomicUsize) {
    let mut reader = BufReader::new(&stream);
    let mut head: Vec<u8> = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match reader.read_until(b'\n', &mut head) {
            Ok(size) if size > 0 => {}
            _ => return,
        }
    }
    hits.fetch_add(1, Ordering::SeqCst);
    let now = || behaviour.lock().expect("lock").clone();
    while matches!(now(), Behaviour::Wait) {
        std::thread::sleep(Duration::from_millis(5));
    }
    match now() {
        Behaviour::Answer(bytes) => drop(stream.write_all(&bytes)),
        Behaviour::Late(delay, bytes) => {
            std::thread::sleep(delay);
            drop(stream.write_all(&bytes));
        }
        Behaviour::HangUp | Behaviour::Wait => {}
    }
}
