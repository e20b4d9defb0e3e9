//! The sidecar alone, with hostile callers, while its source fails, its settings change every
//! second, and its tokens are rotated.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::origin::Origin;
use crate::process::{Process, scratch, wait_until};
use crate::{Request, tools};

const TOKEN: &str = "sesame-bearer";
const SECRET: &str = "sesame-secret";

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number of requests of callers with the token that got credentials.
    pub good: u64,
    /// The number of such requests without an answer, since they were closed to make room.
    pub unanswered: u64,
    /// The number of such requests with another answer, by that answer.
    pub refused: BTreeMap<String, u64>,
    /// The longest time that a caller with the token got no credentials.
    pub longest_without: Duration,
    /// The number of connections of callers without the token, by their behaviour.
    pub hostile: BTreeMap<&'static str, u64>,
    /// The number of those callers that read a secret.
    pub leaked: u64,
    /// Whether the log holds a secret.
    pub log_leaked: bool,
    pub reloads: u64,
    pub reloads_refused: u64,
    pub outages: u64,
    pub tokens: u64,
    /// The resident memory of the sidecar in KiB.
    pub memory_at_start: u64,
    pub memory_at_end: u64,
}

/// Runs for at least this time.
pub fn run(duration: Duration) -> Report {
    let origin = Origin::start(1);
    origin.set(|settings| settings.token_life = 30);
    let file = scratch("soaked.toml");
    write_settings(&file, origin.sts_port, Variant::Plain);
    let (mut process, port) = start(&file);
    // Without a token at the start, the first outage would refuse everybody.
    wait_until("the first credentials", || {
        let answer = Stage::request().try_send(port);
        answer.is_ok_and(|answer| answer.status == 200)
    });
    let stage = Arc::new(Stage {
        port,
        is_over: AtomicBool::new(false),
        leaked: AtomicU64::new(0),
        report: Mutex::default(),
    });
    let mut threads = Vec::new();
    for kind in 0..GOOD {
        threads.push(stage.spawn(move |stage| stage.good(kind)));
    }
    for hostile in HOSTILE {
        threads.push(stage.spawn(move |stage| stage.hostile(hostile)));
    }
    let mut memory_at_start = 0;
    let reloads = {
        let (file, sts_port, id) = (file, origin.sts_port, process.id());
        stage.spawn(move |stage| stage.reload(&file, sts_port, id))
    };
    threads.push(reloads);

    let begin = Instant::now();
    let mut outages = 0;
    while begin.elapsed() < duration {
        // The outage is shorter than the rest of a token's life when newer ones are due.
        origin.set(|settings| settings.garbage = true);
        std::thread::sleep(Duration::from_secs(5));
        origin.set(|settings| {
            settings.garbage = false;
            settings.delay = Duration::from_millis(500);
        });
        std::thread::sleep(Duration::from_secs(3));
        origin.set(|settings| settings.delay = Duration::ZERO);
        std::thread::sleep(Duration::from_secs(2));
        outages += 1;
        if outages == 1 {
            // By now the sidecar has allocated all that it needs.
            memory_at_start = process.resident_kib();
        }
        process.assert_running();
    }
    stage.is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a caller");
    }
    let memory_at_end = process.resident_kib();
    let code = process.terminate();
    assert_eq!(code, Some(0), "{}", process.output());
    let log = process.output();
    let mut report = stage.report.lock().expect("lock").clone();
    report.leaked = stage.leaked.load(Ordering::Relaxed);
    report.log_leaked = holds_secret(log.as_bytes());
    report.reloads = log.matches("settings reloaded").count() as u64;
    report.reloads_refused = log.matches("settings refused").count() as u64;
    report.outages = outages;
    report.tokens = origin.issued();
    report.memory_at_start = memory_at_start;
    report.memory_at_end = memory_at_end;
    report
}

/// The number of callers with the token.
const GOOD: usize = 4;

/// The behaviours of the other callers, each in a thread of its own.
const HOSTILE: [&str; 7] = [
    "half-open",
    "trickling",
    "without a token",
    "with a wrong token",
    "large heads",
    "garbage",
    "gone at once",
];

struct Stage {
    port: u16,
    is_over: AtomicBool,
    leaked: AtomicU64,
    report: Mutex<Report>,
}

#[derive(Clone, Copy)]
enum Variant {
    Plain,
    WithSecond,
    Wrong,
}

impl Stage {
    fn spawn(self: &Arc<Stage>, run: impl FnOnce(&Stage) + Send + 'static) -> JoinHandle<()> {
        let stage = Arc::clone(self);
        std::thread::spawn(move || run(&stage))
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// The request of a caller with the token.
    fn request() -> Request {
        let bearer = format!("Bearer {TOKEN}");
        Request::local("/v1/credentials/default").header("authorization", bearer)
    }

    fn good(&self, number: usize) {
        let mut served_at = Instant::now();
        let mut count = 0_u64;
        while self.goes_on() {
            let request = Stage::request();
            // One of the callers sometimes has tokens that OSS refuses.
            let is_renewed = number == 0 && count % 64 == 63;
            let request = match is_renewed {
                true => request.header("cache-control", "no-cache"),
                false => request,
            };
            let answer = request.try_send(self.port);
            count += 1;
            let mut report = self.report.lock().expect("lock");
            report.longest_without = report.longest_without.max(served_at.elapsed());
            match answer {
                Ok(answer) if answer.status == 200 && answer.text().contains("CAIS") => {
                    report.good += 1;
                    served_at = Instant::now();
                }
                Ok(answer) => {
                    let what = format!("{} {}", answer.status, answer.text());
                    *report.refused.entry(what).or_default() += 1;
                }
                Err(_) => report.unanswered += 1,
            }
            drop(report);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn hostile(&self, kind: &'static str) {
        let mut held: Vec<TcpStream> = Vec::new();
        let mut count = 0_u64;
        while self.goes_on() {
            let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            count += 1;
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.write_all(&Self::words(kind, count));
            match kind {
                "half-open" | "trickling" => {
                    let most = if kind == "half-open" { 300 } else { 20 };
                    held.push(stream);
                    if held.len() > most {
                        let mut oldest = held.remove(0);
                        let _ = oldest.shutdown(std::net::Shutdown::Write);
                        self.read(&mut oldest);
                    }
                    if kind == "trickling" {
                        held.iter_mut()
                            .for_each(|stream| drop(stream.write_all(b"a")));
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
                "gone at once" => drop(stream),
                _ => self.read(&mut stream),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(held);
        let mut report = self.report.lock().expect("lock");
        report.hostile.insert(kind, count);
    }

    /// The first bytes of a hostile caller.
    fn words(kind: &str, count: u64) -> Vec<u8> {
        let paths = [
            "/v1/credentials/default",
            "/latest/meta-data/ram/security-credentials/",
            "/latest/meta-data/ram/security-credentials/default",
            "/latest/api/token",
            "/readyz",
            "/metrics",
            "/v1/credentials/../default",
            "//v1/credentials/default",
        ];
        let path = paths[count as usize % paths.len()];
        let get =
            |headers: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        match kind {
            "half-open" | "trickling" => {
                b"GET /v1/credentials/default HTTP/1.1\r\nhost: a".to_vec()
            }
            "without a token" => get("").into_bytes(),
            "with a wrong token" => {
                let shown = &TOKEN[..count as usize % TOKEN.len()];
                get(&format!("authorization: Bearer {shown}\r\n")).into_bytes()
            }
            "large heads" => get(&format!("a: {}\r\n", "b".repeat(100_000))).into_bytes(),
            "gone at once" => get(&format!(
                "authorization: Bearer {TOKEN}\r\ncache-control: no-cache\r\n"
            ))
            .into_bytes(),
            _ => {
                let mut state = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut bytes: Vec<u8> = (0..2_000)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        (state >> 24) as u8
                    })
                    .collect();
                bytes.extend(b"\r\n\r\n");
                bytes
            }
        }
    }

    fn read(&self, stream: &mut TcpStream) {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        if holds_secret(&answer) {
            self.leaked.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reload(&self, file: &Path, sts_port: u16, id: u32) {
        let mut reloads = 0_usize;
        while self.goes_on() {
            let variants = [Variant::WithSecond, Variant::Wrong, Variant::Plain];
            write_settings(file, sts_port, variants[reloads % variants.len()]);
            let sent = Command::new("kill")
                .args(["-HUP", &id.to_string()])
                .status();
            assert!(sent.is_ok_and(|status| status.success()), "kill");
            reloads += 1;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn holds_secret(bytes: &[u8]) -> bool {
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    // The patterns match secrets of tokens, tokens, and secrets of the settings.
    [b"secret-".as_slice(), b"CAIS", b"sesame"]
        .into_iter()
        .any(holds)
}

fn start(file: &PathBuf) -> (Process, u16) {
    let mut command = tools::sidecar();
    command.arg("--config").arg(file).envs([
        ("STS_SIDECAR_TOKEN", TOKEN),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIexample"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
    ]);
    crate::sidecar::start(&mut command)
}

/// Replaces the settings in one step, as an operator's tools do.
fn write_settings(file: &Path, sts_port: u16, variant: Variant) {
    let role = |name: &str| {
        format!(
            "[credentials.{name}]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/{name}\"\n\
             sts_endpoint = \"http://127.0.0.1:{sts_port}\"\n"
        )
    };
    let text = match variant {
        Variant::Plain => role("default"),
        Variant::WithSecond => role("default") + &role("second"),
        Variant::Wrong => role("default") + "type = 5\n",
    };
    let whole = file.with_extension("new");
    std::fs::write(&whole, format!("listen = \"127.0.0.1:0\"\n{text}")).expect("settings");
    std::fs::rename(&whole, file).expect("settings");
}

impl Report {
    /// The problem that the run has shown, if any.
    pub fn problem(&self) -> Option<&'static str> {
        let growth = self.memory_at_end.saturating_sub(self.memory_at_start);
        let done = [self.good, self.reloads, self.reloads_refused, self.outages];
        let done = done.iter().all(|count| *count > 0);
        // A caller that was closed before it was served asks again.
        let few = self.unanswered <= self.good / 100;
        let hostile = HOSTILE
            .iter()
            .all(|kind| self.hostile.get(kind).is_some_and(|n| *n > 0));
        [
            (
                done && hostile,
                "not everything that should happen has happened",
            ),
            (
                self.leaked == 0,
                "somebody without the token has read a secret",
            ),
            (!self.log_leaked, "the log holds a secret"),
            (
                self.refused.is_empty(),
                "a caller with the token was refused",
            ),
            (
                few,
                "too many requests of callers with the token had no answer",
            ),
            (
                self.longest_without < PATIENCE,
                "a caller with the token waited too long",
            ),
            (growth < MOST_GROWTH, "memory is not flat"),
        ]
        .into_iter()
        .find_map(|(good, problem)| (!good).then_some(problem))
    }
}

/// A caller that wants newer credentials waits for two fetches at most, the one that is
/// under way and the next, and each of them for `timeout_ms`, 10 seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most growth of resident memory, in KiB.
const MOST_GROWTH: u64 = 16 * 1024;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "served              {}", self.good)?;
        writeln!(f, "unanswered          {}", self.unanswered)?;
        writeln!(
            f,
            "refused             {}",
            self.refused.values().sum::<u64>()
        )?;
        for (answer, count) in &self.refused {
            writeln!(f, "  {count} × {answer}")?;
        }
        writeln!(
            f,
            "longest without     {} ms",
            self.longest_without.as_millis()
        )?;
        writeln!(
            f,
            "hostile             {}",
            self.hostile.values().sum::<u64>()
        )?;
        for (kind, count) in &self.hostile {
            writeln!(f, "  {count} × {kind}")?;
        }
        writeln!(f, "secrets read        {}", self.leaked)?;
        writeln!(
            f,
            "secrets in the log  {}",
            if self.log_leaked { "yes" } else { "none" }
        )?;
        let (reloads, refused) = (self.reloads, self.reloads_refused);
        writeln!(f, "reloads             {reloads}, and {refused} refused")?;
        writeln!(f, "outages             {}", self.outages)?;
        writeln!(f, "tokens issued       {}", self.tokens)?;
        writeln!(
            f,
            "sidecar's memory    {} KiB, at the end {} KiB",
            self.memory_at_start, self.memory_at_end
        )
    }
}
