//! Load from a few clients, each with a connection of its own. Every answer is checked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    total: AtomicU64,
    /// The number of answers of each client.
    each: Vec<AtomicU64>,
    /// The number of failures by reason.
    failed: Mutex<BTreeMap<String, u64>>,
    slowest: Mutex<Duration>,
}

/// The counts of the clients.
#[derive(Clone, Debug)]
pub struct Counts {
    pub total: u64,
    pub failed: BTreeMap<String, u64>,
    pub slowest: Duration,
}

impl Load {
    /// Starts `clients` that request objects without a pause until they are stopped.
    pub fn start(port: u16, clients: usize) -> Load {
        let shared = Arc::new(Shared {
            each: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            ..Shared::default()
        });
        let clients = (0..clients)
            .map(|client| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || run(port, client, &shared))
            })
            .collect();
        Load { shared, clients }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            total: self.shared.total.load(Ordering::SeqCst),
            failed: self.shared.failed.lock().expect("lock").clone(),
            slowest: *self.shared.slowest.lock().expect("lock"),
        }
    }

    /// How many answers each client has had.
    pub fn each(&self) -> Vec<u64> {
        let each = self.shared.each.iter();
        each.map(|count| count.load(Ordering::SeqCst)).collect()
    }

    pub fn stop(mut self) -> Counts {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client");
        }
        self.counts()
    }
}

fn run(port: u16, client: usize, shared: &Shared) {
    let mut connection = None;
    let mut number = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        number += 1;
        let begin = Instant::now();
        let outcome = ask(&mut connection, port, &format!("/object-{client}-{number}"));
        shared.total.fetch_add(1, Ordering::Relaxed);
        shared.each[client].fetch_add(1, Ordering::SeqCst);
        if let Err(reason) = outcome {
            connection = None;
            *shared
                .failed
                .lock()
                .expect("lock")
                .entry(reason)
                .or_default() += 1;
        }
        let mut slowest = shared.slowest.lock().expect("lock");
        *slowest = begin.elapsed().max(*slowest);
    }
}

fn ask(connection: &mut Option<BufReader<TcpStream>>, port: u16, path: &str) -> Result<(), String> {
    let named = |error: std::io::Error| error.kind().to_string();
    if connection.is_none() {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(named)?;
        stream.set_nodelay(true).map_err(named)?;
        let limit = Some(PATIENCE);
        stream.set_read_timeout(limit).map_err(named)?;
        *connection = Some(BufReader::new(stream));
    }
    let reader = connection.as_mut().ok_or("no connection")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: gateway.example\r\n\r\n");
    reader
        .get_mut()
        .write_all(request.as_bytes())
        .map_err(named)?;
    let mut line = String::new();
    reader.read_line(&mut line).map_err(named)?;
    let status = line.split(' ').nth(1).unwrap_or("no status").to_owned();
    let (mut length, mut closes) = (0, false);
    loop {
        line.clear();
        reader.read_line(&mut line).map_err(named)?;
        match line.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("connection", value)) => closes = value == "close",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(named)?;
    if closes {
        *connection = None;
    }
    match status.as_str() {
        "200" => Ok(()),
        _ => {
            let text = String::from_utf8_lossy(&body);
            Err(format!(
                "{status} {}",
                text.chars().take(120).collect::<String>()
            ))
        }
    }
}
