//! Child processes that end with their owner.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::tools;

/// A child process whose output goes to a file. Killed when dropped.
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
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until something listens on `port`; fails if the process ends.
    pub fn wait_for_port(&mut self, port: u16) {
        wait_until("a listener", || {
            self.assert_running();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
    }

    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("wait") {
            panic!("the process ended with {status}:\n{}", self.output());
        }
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the process to end", || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Memory that is resident now.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(path).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("VmRSS")
    }

    /// Sends SIGTERM and waits for the end; the exit code.
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

/// A file name of this test run's own.
pub fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = tools::target().join("testkit");
    std::fs::create_dir_all(&folder).expect("scratch folder");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{}-{number}-{name}", std::process::id()))
}

/// A port that nobody listens on, below the range from which the system takes
/// ports for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2_000 {
        let offset = std::process::id() * 131 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (offset % 20_000) as u16;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
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

/// Polls for at most 30 seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "waited too long for {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
