//! The log: this program's own events, on standard error. A thread of its own writes them. If
//! the reader of standard error stalls, lines are lost, and nothing else waits.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// The log of this process.
#[derive(Debug)]
pub struct Log(Lines);

/// Starts the log. It holds this program's own events alone: libraries log what the other side
/// said.
pub fn start(json: bool) -> Log {
    let wanted = std::env::var("RUST_LOG").ok();
    let wanted = wanted.filter(|text| !text.is_empty());
    let wanted = wanted.and_then(|text| text.parse::<Targets>().ok());
    let level = wanted.and_then(|targets| {
        let mut named = targets.iter().filter(|(target, _)| *target == TARGET);
        let named = named.next().map(|(_, level)| level);
        named.or_else(|| targets.default_level())
    });
    let filter = Targets::new().with_target(TARGET, level.unwrap_or(LevelFilter::INFO));
    let lines = Lines::start();
    let layer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(lines.clone());
    let registry = tracing_subscriber::registry().with(filter);
    // `init` would also log the events of the crate `log`.
    let _ = if json {
        tracing::subscriber::set_global_default(registry.with(layer.json()))
    } else {
        tracing::subscriber::set_global_default(registry.with(layer))
    };
    Log(lines)
}

impl Log {
    /// Waits until everything is written, and `problem` after it, unless nobody reads the log.
    pub fn end(self, problem: Option<&str>) {
        if let Some(problem) = problem {
            self.send(Message::Line(
                format!("oss-origin-auth sidecar: {problem}\n").into_bytes(),
            ));
        }
        let (written, end) = sync_channel(1);
        self.send(Message::End(written));
        let _ = end.recv_timeout(LAST_LINES);
    }

    fn send(&self, message: Message) {
        let begin = Instant::now();
        let mut message = Some(message);
        while let Some(unsent) = message.take() {
            match self.0.sender.try_send(unsent) {
                Err(TrySendError::Full(unsent)) if begin.elapsed() < LAST_LINES => {
                    message = Some(unsent);
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => {}
            }
        }
    }
}

/// The name under which this program's own events are logged.
const TARGET: &str = env!("CARGO_CRATE_NAME");
/// The most lines that may wait to be written.
const MOST_LINES: usize = 1_024;
const LAST_LINES: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// A request to write all lines before it, and then to signal here.
    End(SyncSender<()>),
}

#[derive(Clone, Debug)]
struct Lines {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    fn start() -> Lines {
        let (sender, receiver) = sync_channel(MOST_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let lines = Lines {
            sender,
            lost: Arc::clone(&lost),
        };
        std::thread::spawn(move || write(&receiver, &lost));
        lines
    }
}

fn write(messages: &Receiver<Message>, lost: &AtomicU64) {
    for message in messages {
        // There is nowhere to report an error here.
        match message {
            Message::Line(line) => drop(io::stderr().write_all(&line)),
            Message::End(written) => drop(written.send(())),
        }
        // The line is written by the log itself, so that it has the log's form.
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "lines of the log were lost");
        }
    }
}

/// One line, which is sent when it is dropped.
struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            text: Vec::new(),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = Message::Line(std::mem::take(&mut self.text));
        if self.lines.sender.try_send(line).is_err() {
            self.lines.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
