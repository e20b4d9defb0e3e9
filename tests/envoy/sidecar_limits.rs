//! Callers of the sidecar that are slow, many, or gone, and what else may hang: whoever
//! may be served still is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::good_answer;
use common::sidecar::{CALLER_SECRET, Configured, alibaba, start};
use serde_json::json;
use testkit::process::{PATIENCE, scratch, wait_until, wait_until_read};
use testkit::stub::Behaviour;
use testkit::{Process, Request, Response, StubSidecar, free_port};

const TOKEN: &str = "sesame-bearer";

/// A sidecar that callers need a token for, and that may open so many files.
fn with_files(sidecar: &Configured, files: u32) -> (Process, u16) {
    let command = sidecar.command("");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("STS_SIDECAR_TOKEN", TOKEN);
    testkit::sidecar::start(&mut limited)
}

fn good(port: u16) -> Response {
    let request = Request::local("/v1/credentials/default");
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    request.send(port)
}

/// A connection with the beginning of a request.
fn half_open(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(b"GET /v1/credentials/default HTTP/1.1\r\nhost: localhost\r\n");
    stream
}

/// Waits until the other side has closed a connection; what it said before.
fn ended(mut stream: &TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it is open still"),
        // Closed with something unread, it is reset.
        _ => answer,
    }
}

#[test]
fn half_open_connections_lock_nobody_out() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"0.0.0.0:0\"");
    for files in [256, 4_096] {
        let (_process, port) = with_files(&sidecar, files);
        assert_eq!(good(port).status, 200);
        let held: Vec<TcpStream> = (0..600).map(|_| half_open(port)).collect();
        assert_eq!(good(port).status, 200, "with {files} files");
        // The first have had their time, and made room.
        assert_eq!(ended(&held[0]), b"");
        let metrics = Request::get("/metrics").send(port).text();
        assert!(
            !metrics.contains("connections_evicted_total 0"),
            "{metrics}"
        );
    }
}

#[test]
fn a_head_has_a_time_and_a_size() {
    let alibaba = alibaba();
    let (process, port) = start(&alibaba, CALLER_SECRET);
    // Fed byte by byte it takes no longer than at once.
    let mut slow = half_open(port);
    wait_until("the end of a slow head", || {
        std::thread::sleep(Duration::from_millis(100));
        slow.write_all(b"a").is_err()
    });

    let before = process.resident_kib();
    let large = "a".repeat(400 * 1024);
    // All of them at the same time, and none has come to its end.
    let held: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = half_open(port);
            let _ = stream.write_all(format!("a: {large}").as_bytes());
            stream
        })
        .collect();
    let grown = process.resident_kib().saturating_sub(before);
    assert!(grown < 12 * 1024, "{grown} KiB");
    for stream in &held {
        let answer = String::from_utf8_lossy(&ended(stream)).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
}

#[test]
fn half_open_connections_do_not_keep_it_from_its_end() {
    let alibaba = alibaba();
    let (mut process, port) = start(&alibaba, CALLER_SECRET);
    let begin = std::time::Instant::now();
    let held: Vec<TcpStream> = (0..50).map(|_| half_open(port)).collect();
    held.last().into_iter().for_each(wait_until_read);
    // Unless the machine is so slow that they have had their time for a head.
    let in_time = begin.elapsed() < Duration::from_secs(3);
    assert_eq!(process.terminate(), Some(0));
    for stream in &held {
        ended(stream);
    }
    let output = process.output();
    let broken_off = output.contains("connections closed without a request");
    assert!(broken_off || !in_time, "{output}");
}

#[test]
fn callers_whose_source_hangs_do_not_keep_it_from_its_end() {
    let alibaba = alibaba();
    let (mut process, port) = start(&alibaba, CALLER_SECRET);
    assert_eq!(
        Request::local("/v1/credentials/default").send(port).status,
        200
    );
    alibaba.set("sts_delay", json!(25));
    let renewed = Request::local("/v1/credentials/default").header("cache-control", "no-cache");
    let waiting = renewed.start(port).unwrap();
    wait_until_read(&waiting);
    assert_eq!(process.terminate(), Some(0));
    assert!(alibaba.sts_requests() >= 3, "it was waiting");
    assert!(
        Response::read(waiting, false).is_err(),
        "it has not waited for STS"
    );
}

#[test]
fn a_caller_that_leaves_breaks_off_nothing_for_the_others() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    assert_eq!(
        Request::local("/v1/credentials/default").send(port).status,
        200
    );
    wait_until("both roles", || alibaba.sts_requests() == 2);
    alibaba.set("sts_delay", json!(2));
    let renewed = Request::local("/v1/credentials/default").header("cache-control", "no-cache");
    let first = renewed.start(port).unwrap();
    wait_until("the fetch that the first asks for", || {
        // STS notes a request before it waits.
        alibaba.sts_requests() == 3
    });
    let second = renewed.start(port).unwrap();
    wait_until_read(&second);
    drop(first);
    assert_eq!(Response::read(second, false).unwrap().status, 200);
    // The second had asked when the first one's fetch was under way: it needs another.
    assert_eq!(alibaba.sts_requests(), 4);
    let metrics = Request::get("/metrics").send(port).text();
    let fetched = format!(
        "fetches_total{{name=\"default\",result=\"ok\"}} {}",
        alibaba.sts_requests() - 1
    );
    assert!(
        metrics.contains(&fetched),
        "each fetch has come to its end: {metrics}"
    );
}

#[test]
fn callers_that_leave_do_not_make_it_ask_without_end() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let renewed = Request::local("/v1/credentials/default").header("cache-control", "no-cache");
    assert_eq!(renewed.send(port).status, 200);
    let begin = std::time::Instant::now();
    let before = alibaba.sts_requests();
    // Each leaves while a fetch is under way.
    alibaba.set("sts_delay", json!(0.1));
    for _ in 0..60 {
        let leaver = renewed.start(port).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(leaver);
    }
    // For those who ask at the same time one fetch is enough, which holds for a second.
    let (asked, seconds) = (alibaba.sts_requests() - before, begin.elapsed().as_secs());
    assert!(asked as u64 <= 2 * (seconds + 1), "{asked} in {seconds} s");
}

#[test]
fn too_many_callers_are_told_so_and_cost_nobody_his_place() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "");
    let (source, slow) = (
        StubSidecar::start(good_answer()),
        StubSidecar::start(Behaviour::Wait),
    );
    let uri = |name: &str, port: u16| {
        let uri = format!("http://127.0.0.1:{port}/");
        format!("[credentials.{name}]\ntype = \"credentials_uri\"\nuri = {uri:?}\n")
    };
    let settings = format!(
        "listen = \"0.0.0.0:0\"\ntimeout_ms = 60000\n{}{}",
        uri("default", source.port),
        uri("slow", slow.port),
    );
    std::fs::write(&sidecar.file, settings).unwrap();
    // Room for 32 callers.
    let (_process, port) = with_files(&sidecar, 128);
    assert_eq!(good(port).status, 200);
    let asked = Request::local("/v1/credentials/slow");
    let asked = asked.header("authorization", format!("Bearer {TOKEN}"));
    let waiting: Vec<TcpStream> = (0..33).map(|_| asked.start(port).unwrap()).collect();
    wait_until("one too many", || {
        let metrics = Request::get("/metrics").send(port).text();
        metrics.contains("sts_sidecar_requests_total{status=\"429\"} 1\n")
    });
    // What is held already is given to everybody.
    assert_eq!(good(port).status, 200);
    slow.set(good_answer());
    let answers = waiting
        .into_iter()
        .map(|stream| Response::read(stream, false).unwrap());
    let (served, busy): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 200);
    assert_eq!((served.len(), busy.len()), (32, 1));
    assert_eq!(
        (busy[0].status, busy[0].json()["Code"].as_str()),
        (429, Some("Busy"))
    );
    assert_eq!(asked.send(port).status, 200, "their places are free again");
}

#[test]
fn a_pipe_in_the_place_of_a_file_stops_nobody() {
    let alibaba = alibaba();
    let (mut process, port) = start(&alibaba, CALLER_SECRET);
    let get = |name: &str| {
        let request = Request::local(format!("/v1/credentials/{name}"));
        request.header("cache-control", "no-cache").send(port)
    };
    assert_eq!(get("fixed").status, 200);
    let secret = secret_file(&process);
    std::fs::remove_file(&secret).unwrap();
    let made = Command::new("mkfifo").arg(&secret).status();
    assert!(made.unwrap().success());
    wait_until("a fetch that finds the pipe", || {
        // What is held serves yet.
        assert_eq!(get("fixed").status, 200);
        process.output().contains("is not a regular file")
    });
    assert_eq!(Request::get("/healthz").send(port).status, 200);
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn certificates_that_hang_do_not_keep_it_from_its_end() {
    use std::os::unix::fs::OpenOptionsExt;
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"127.0.0.1:0\"");
    let certificates = scratch("certificates");
    let made = Command::new("mkfifo").arg(&certificates).status();
    assert!(made.unwrap().success());
    let mut command = sidecar.command("");
    let mut process = Process::start("sidecar", command.env("SSL_CERT_FILE", &certificates));
    const O_NONBLOCK: i32 = 0o4000;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(O_NONBLOCK);
    let mut writer = None;
    wait_until("somebody who reads the certificates", || {
        writer = options.open(&certificates).ok();
        writer.is_some()
    });
    assert_eq!(process.terminate(), Some(0));
}

/// The file of the AccessKey secret in the settings that a sidecar was started with.
fn secret_file(process: &Process) -> std::path::PathBuf {
    let arguments = std::fs::read(format!("/proc/{}/cmdline", process.id())).unwrap();
    let arguments = String::from_utf8(arguments).unwrap();
    let mut arguments = arguments.split('\0');
    let settings = arguments.find(|argument| *argument == "--config");
    let settings = settings.and_then(|_| arguments.next()).unwrap();
    let settings = std::fs::read_to_string(settings).unwrap();
    let mut lines = settings.lines();
    let line = lines.find_map(|line| line.strip_prefix("access_key_secret_file = "));
    line.unwrap().trim_matches('"').into()
}

#[test]
fn who_reads_the_log_may_stall() {
    use std::io::Write;
    let alibaba = alibaba();
    let port = free_port();
    let sidecar = Configured::new(&alibaba, &format!("listen = \"127.0.0.1:{port}\""));
    let (_reader, writer) = std::io::pipe().unwrap();
    let (mut full, second) = (writer.try_clone().unwrap(), writer.try_clone().unwrap());
    let filling = std::thread::spawn(move || {
        // Blocks when the pipe is full, until this process ends.
        let _ = full.write_all(&vec![b'x'; 16 * 1024 * 1024]);
    });
    let mut command = sidecar.command("");
    let mut child = command.stderr(writer).spawn().unwrap();
    wait_until("the sidecar", || {
        Request::get("/healthz").try_send(port).is_ok()
    });
    for _ in 0..20 {
        let answer = Request::local("/v1/credentials/default")
            .header("cache-control", "no-cache")
            .send(port);
        assert_eq!(answer.status, 200);
    }
    // One whose port is taken ends as well, though it cannot say why.
    let mut second = sidecar.command("").stderr(second).spawn().unwrap();
    wait_until("the end of the second", || {
        second.try_wait().unwrap().is_some()
    });
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    wait_until("its end", || child.try_wait().unwrap().is_some());
    assert!(!filling.is_finished(), "the pipe was full");
}

/// `cargo xtask soak --sidecar --minutes 60` does the same for longer.
#[test]
fn a_minute_among_hostile_callers_harms_nobody() {
    let report = testkit::sidecar_soak::run(Duration::from_secs(60));
    println!("{report}");
    assert_eq!(report.problem(), None, "{report}");
}
