//! Child processes that end with their owner.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::tools;

/// The longest wait for anything: a start, an answer, an event. A slow and busy machine needs a
/// part of it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A child process whose output goes to a file. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub log: PathBuf,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Process {
        let log = scratch(&format!("{name}.log"));
        let output = File::create(&log).expect("log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("log file"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Process { child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn output(&self) -> String {
        read(&self.log)
    }

    /// Starts a program that must know its port beforehand, and waits until it listens. If
    /// another process has taken the port meanwhile, it gets another one.
    pub fn start_on_port(name: &str, command: impl Fn(u16) -> Command) -> (Process, u16) {
        for _ in 0..5 {
            let port = free_port();
            let mut process = Process::start(name, &mut command(port));
            let (log, mut ended) = (process.log.clone(), false);
            wait_for(&format!("{name} on port {port}"), &log, || {
                ended = process.has_ended();
                ended || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            });
            if !ended && !process.has_ended() {
                return (process, port);
            }
            let output = process.output();
            let taken = output
                .to_ascii_lowercase()
                .contains("address already in use");
            assert!(taken, "{name} ended:\n{output}");
        }
        panic!("{name}: somebody has taken each port that it was given");
    }

    /// Waits until something listens on `port`; fails if the process ends.
    pub fn wait_for_port(&mut self, port: u16) {
        self.wait_for(&format!("a listener on port {port}"), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
    }

    /// Waits until `condition` holds. If that takes too long or the process ends, fails and
    /// shows what the process has printed.
    pub fn wait_for(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let log = self.log.clone();
        wait_for(what, &log, || {
            self.assert_running();
            condition()
        });
    }

    /// Waits until `find` finds something in what the process has printed.
    pub fn wait_for_output<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let log = self.log.clone();
        self.wait_for(what, || {
            found = find(&read(&log));
            found.is_some()
        });
        found.expect("it was waited for")
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("wait") {
            panic!("the process ended with {status}:\n{}", self.output());
        }
    }

    /// Waits until the process ends by itself; returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        let log = self.log.clone();
        wait_for("the process to end", &log, || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// The resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("VmRSS")
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill");
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

/// A file name that no other process has, and no earlier process with the same id had.
pub fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static STARTED: LazyLock<Duration> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("a time after 1970")
    });
    let folder = tools::target().join("testkit");
    std::fs::create_dir_all(&folder).expect("scratch folder");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let started = STARTED.as_millis();
    folder.join(format!(
        "{started:x}-{}-{number}-{name}",
        std::process::id()
    ))
}

/// A port that nobody listens on, for a program that must know it beforehand; all others take
/// port 0 and report what they got. The port belongs to this process until it ends: every
/// process with this code that wants a port holds the UDP port of the same number, which the
/// system gives only once. It is below the range from which the system takes ports for outgoing
/// connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    for _ in 0..2_000 {
        let offset = std::process::id() * 131 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (offset % 20_000) as u16;
        let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            RESERVED.lock().expect("lock").push(reservation);
            return port;
        }
    }
    panic!("no free port");
}

/// Runs `check` for every case, a few at a time.
pub fn in_parallel<T: Send>(cases: Vec<T>, check: impl Fn(T) + Sync) {
    let cases = std::sync::Mutex::new(cases.into_iter());
    let next = || cases.lock().expect("lock").next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = next() {
                    check(case);
                }
            });
        }
    });
}

/// Waits until `condition` holds; fails if it takes too long.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    poll(condition, || panic!("waited too long for {what}"));
}

/// Waits until the other side, a program on this machine, has read all that was sent. Then it
/// has accepted the connection, and the request is under way.
pub fn wait_until_read(stream: &TcpStream) {
    let port = |address: std::io::Result<SocketAddr>| address.expect("address").port();
    let ends = [port(stream.peer_addr()), port(stream.local_addr())];
    // proc(5), /proc/net/tcp: local address, remote address, state, tx:rx queue.
    wait_until("the other side to read the request", || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let hex = |text: &str| u16::from_str_radix(text.rsplit(':').next()?, 16).ok();
            let known = [fields[1], fields[2]].map(hex) == ends.map(Some);
            known && fields[4].ends_with(":00000000")
        })
    });
}

/// Waits like [`wait_until`]; a failure shows the log.
fn wait_for(what: &str, log: &Path, condition: impl FnMut() -> bool) {
    poll(condition, || {
        panic!("waited too long for {what}:\n{}", read(log))
    });
}

fn poll(mut condition: impl FnMut() -> bool, give_up: impl Fn()) {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            give_up();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_have_the_same_port() {
        let ports: std::collections::HashSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        // Another process asks the same of the system.
        for port in ports {
            assert!(
                UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err(),
                "{port}"
            );
        }
    }

    #[test]
    fn a_program_whose_port_was_taken_gets_another() {
        let tries = AtomicU32::new(0);
        let program = "import socket, sys, time\n\
                       if sys.argv[2] == '0': sys.exit('bind: Address already in use')\n\
                       s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
                       time.sleep(600)";
        let (_process, port) = Process::start_on_port("server", |port| {
            let count = tries.fetch_add(1, Ordering::SeqCst);
            let mut command = Command::new("python3");
            command.args(["-c", program, &port.to_string(), &count.to_string()]);
            command
        });
        assert_eq!(tries.load(Ordering::SeqCst), 2);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
