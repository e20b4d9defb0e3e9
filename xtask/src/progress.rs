//! Parallel work, and a line in the terminal that shows its progress.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::command::Result;

/// A piece of work that runs beside others.
pub struct Job<'a> {
    /// The description for the user.
    pub name: &'a str,
    work: Box<dyn FnOnce() -> Result + Send + 'a>,
}

impl<'a> Job<'a> {
    /// A job that `work` does.
    pub fn new(name: &'a str, work: impl FnOnce() -> Result + Send + 'a) -> Job<'a> {
        Job {
            name,
            work: Box::new(work),
        }
    }
}

/// Runs all jobs at the same time; returns the time that each took, in their order. The error
/// names all jobs that failed; their messages were shown at once.
pub fn together(jobs: Vec<Job>) -> Result<Vec<Duration>> {
    let names: Vec<_> = jobs.iter().map(|job| job.name).collect();
    let mut line = Line::new(names);
    let mut problems: Vec<&str> = Vec::new();
    std::thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for (place, job) in jobs.into_iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || {
                let result = (job.work)();
                // The receiver waits for all jobs.
                let _ = sender.send((place, result));
            });
        }
        drop(sender);
        loop {
            match ended.recv_timeout(Duration::from_millis(500)) {
                Ok((place, result)) => {
                    line.end(place, &result);
                    problems.extend(result.err().and(line.names.get(place).copied()));
                }
                Err(RecvTimeoutError::Timeout) => line.show(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    line.close();
    match problems.as_slice() {
        [] => Ok(line.took.into_iter().flatten().collect()),
        // Each said why when it failed.
        problems => Err(format!("failed: {}", problems.join(", "))),
    }
}

/// The line that shows which jobs are done, and which are under way.
struct Line<'a> {
    names: Vec<&'a str>,
    /// The time of each job; `None` while it is under way.
    took: Vec<Option<Duration>>,
    /// Which jobs have failed.
    failed: Vec<bool>,
    begin: Instant,
    /// Whether the output is a terminal. Otherwise, as in a log, each job gets a line of its
    /// own once it has ended.
    is_terminal: bool,
}

impl<'a> Line<'a> {
    fn new(names: Vec<&'a str>) -> Line<'a> {
        let line = Line {
            took: vec![None; names.len()],
            failed: vec![false; names.len()],
            names,
            begin: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
        };
        line.show();
        line
    }

    fn end(&mut self, place: usize, result: &Result) {
        let took = self.begin.elapsed();
        let name = self.names.get(place).copied().unwrap_or_default();
        if let (Some(job), Some(failed)) = (self.took.get_mut(place), self.failed.get_mut(place)) {
            *job = Some(took);
            *failed = result.is_err();
        }
        // A failure is shown at once: the other jobs may take minutes.
        match result {
            Err(problem) if self.is_terminal => eprintln!("\r\x1b[K{name} failed: {problem}"),
            Err(problem) => eprintln!("==> {name}: failed, {:.0} s: {problem}", took.as_secs_f64()),
            Ok(()) if !self.is_terminal => {
                eprintln!("==> {name}: done, {:.0} s", took.as_secs_f64());
            }
            Ok(()) => {}
        }
        self.show();
    }

    fn show(&self) {
        if self.is_terminal {
            let jobs = self.names.iter().zip(&self.took).zip(&self.failed);
            let jobs: Vec<_> = jobs
                .map(|((name, took), failed)| match took {
                    Some(_) if *failed => format!("{name}: failed"),
                    Some(took) => format!("{name}: {:.0} s", took.as_secs_f64()),
                    None => format!("{name} …"),
                })
                .collect();
            // The text starts at the begin of the line, clears what was there, and is cut at the
            // terminal's edge: a second row could not be cleared.
            let seconds = self.begin.elapsed().as_secs();
            let jobs = jobs.join(" | ");
            eprint!("\r\x1b[K\x1b[?7l==> {seconds:3} s  {jobs}\x1b[?7h");
            let _ = std::io::stderr().flush();
        }
    }

    fn close(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_run_beside_each_other_and_all_failures_are_told() {
        let both = std::sync::Barrier::new(2);
        let meet = || {
            both.wait();
            Ok(())
        };
        let jobs = vec![Job::new("first", meet), Job::new("second", meet)];
        assert_eq!(together(jobs).map(|took| took.len()), Ok(2));

        let jobs = vec![
            Job::new("first", || Err("one".into())),
            Job::new("second", || Ok(())),
            Job::new("third", || Err("another".into())),
        ];
        let problem = together(jobs).unwrap_err();
        assert!(
            problem.contains("first") && problem.contains("third"),
            "{problem}"
        );
        assert!(!problem.contains("second"), "{problem}");
    }
}
