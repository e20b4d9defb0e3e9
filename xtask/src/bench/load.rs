//! Load by h2load.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::process::scratch;

use super::chains;
use crate::command::Result;

/// Requests of one run of h2load.
#[derive(Clone, Debug)]
pub struct Load {
    pub requests: u32,
    pub connections: u32,
    pub objects: Objects,
    /// The number of headers beside those of h2load.
    pub headers: u32,
    /// The requests per second and connection; no limit if `None`.
    pub rate: Option<u32>,
    /// Whether its URLs are signed.
    pub signed: bool,
}

impl Load {
    /// The same load, with the URLs that a chain requires.
    pub fn of(&self, chain: &str) -> Load {
        Load {
            signed: chains::checks(chain),
            ..self.clone()
        }
    }
}

/// The objects that are requested.
#[derive(Clone, Copy, Debug)]
pub enum Objects {
    /// A single path, again and again.
    One(&'static str),
    /// Always other paths: work for one is of no use for the next.
    Others,
}

/// The number of paths that h2load takes in turn.
const OTHERS: u32 = 4_096;

/// Sends the load; an error unless every answer is a 200. Returns the time of each request in
/// microseconds, if there is a rate.
pub fn run(port: u16, load: &Load) -> Result<Vec<u64>> {
    let mut command = Command::new("h2load");
    command
        .args(["--h1", "--threads", "1"])
        .args(["--requests", &load.requests.to_string()])
        .args(["--clients", &load.connections.to_string()]);
    for number in 0..load.headers {
        command.args([
            "--header",
            &format!("x-example-{number}: some value or other"),
        ]);
    }
    let log = load.rate.map(|rate| {
        let log = scratch("h2load.log");
        command.args(["--rps", &rate.to_string()]);
        command.arg("--log-file").arg(&log);
        log
    });
    let url = |path: &str| match load.signed {
        true => format!("http://127.0.0.1:{port}{}", chains::signed(path)),
        false => format!("http://127.0.0.1:{port}{path}"),
    };
    let list = match load.objects {
        Objects::One(path) => {
            command.arg(url(path));
            None
        }
        Objects::Others => {
            let list = others(url)?;
            command.arg("--input-file").arg(&list);
            Some(list)
        }
    };
    let output = command
        .output()
        .map_err(|error| format!("h2load: {error}"))?;
    // There is one file for each run, and there are hundreds of runs.
    if let Some(list) = list {
        let _ = std::fs::remove_file(list);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = format!("status codes: {} 2xx", load.requests);
    if !output.status.success() || !text.contains(&wanted) {
        return Err(format!("h2load: not all requests were answered:\n{text}"));
    }
    log.map_or(Ok(Vec::new()), read_log)
}

/// A file of URLs that no earlier run had.
fn others(url: impl Fn(&str) -> String) -> Result<PathBuf> {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    let from = BEGUN.fetch_add(OTHERS, Ordering::Relaxed);
    let urls = (from..from + OTHERS).map(|number| url(&format!("/objects/{number:08}.txt")) + "\n");
    let file = scratch("urls.txt");
    let written = std::fs::write(&file, urls.collect::<String>());
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// Reads lines of start, status and duration, separated by tabs, with times in microseconds.
fn read_log(log: PathBuf) -> Result<Vec<u64>> {
    let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
    let duration = |line: &str| line.split('\t').nth(2)?.parse().ok();
    Ok(text.lines().filter_map(duration).collect())
}
