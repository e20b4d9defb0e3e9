//! The report of `doctor`: one line for each check, or JSON, and the exit status.

use std::io::IsTerminal;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::output::show;

/// The names of the checks, in their order.
pub const CHECKS: [&str; 24] = [
    "settings",
    "credentials",
    "identity",
    "resolve",
    "connect",
    "tls",
    "clock",
    "region",
    "head",
    "get",
    "range",
    "unsigned",
    "forced_download",
    "public_endpoint",
    "kms",
    "archive",
    "list",
    "acl",
    "write",
    "envoy_get",
    "envoy_list",
    "envoy_acl",
    "envoy_delete",
    "envoy_download",
];

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The check passed.
    Good,
    /// The check failed, and the fix is known.
    Failed,
    /// It works, but should be changed.
    Warning,
    /// The result is not clear from what was seen.
    Unknown,
    /// The check was not run.
    Skipped,
}

impl Outcome {
    /// The word for the result in JSON.
    fn word(self) -> &'static str {
        match self {
            Outcome::Good => "ok",
            Outcome::Failed => "failed",
            Outcome::Warning => "warning",
            Outcome::Unknown => "unknown",
            Outcome::Skipped => "skipped",
        }
    }

    /// The first word of a line.
    fn mark(self) -> &'static str {
        match self {
            Outcome::Good => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Warning => "warning",
            Outcome::Unknown => "unknown",
            Outcome::Skipped => "-",
        }
    }

    /// The colour of the result on a terminal (ECMA-48, "SGR").
    fn colour(self) -> &'static str {
        match self {
            Outcome::Good => "32",
            Outcome::Failed => "31",
            Outcome::Warning | Outcome::Unknown => "33",
            Outcome::Skipped => "2",
        }
    }
}

/// The result of one check, with its details. It holds no secret, and only short words of what
/// others sent.
#[derive(Clone, Debug)]
pub struct Check {
    /// The name of the check, one of [`CHECKS`].
    pub check: &'static str,
    /// The result.
    pub outcome: Outcome,
    /// The observation.
    pub seen: String,
    /// The advice for the operator; empty if there is nothing to do.
    pub fix: String,
    /// OSS's id of the request.
    pub request_id: Option<String>,
    /// The EC, which is the number of OSS's error.
    pub ec: Option<String>,
    /// The word for the cause of OSS's error, or for the filter's reason.
    pub cause: Option<&'static str>,
}

impl Check {
    fn new(check: &'static str, outcome: Outcome, seen: impl Into<String>) -> Check {
        Check {
            check,
            outcome,
            seen: seen.into(),
            fix: String::new(),
            request_id: None,
            ec: None,
            cause: None,
        }
    }

    /// A check that passed.
    pub fn good(check: &'static str, seen: impl Into<String>) -> Check {
        Check::new(check, Outcome::Good, seen)
    }

    /// A check that failed, and the fix.
    pub fn failed(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Check {
        Check::new(check, Outcome::Failed, seen).fix(fix)
    }

    /// A check that works, but should be changed.
    pub fn warning(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Check {
        Check::new(check, Outcome::Warning, seen).fix(fix)
    }

    /// A check whose result is not clear.
    pub fn unknown(check: &'static str, seen: impl Into<String>) -> Check {
        Check::new(check, Outcome::Unknown, seen)
    }

    /// A check that was not run.
    pub fn skipped(check: &'static str, why: &str) -> Check {
        Check::new(check, Outcome::Skipped, format!("not tried: {why}"))
    }

    /// Adds advice to the check.
    pub fn fix(mut self, fix: impl Into<String>) -> Check {
        self.fix = fix.into();
        self
    }

    /// The line for this check. `before` is an earlier check with the same fix.
    fn line(&self, before: Option<&str>, coloured: bool) -> String {
        let fix = match (self.fix.as_str(), before) {
            ("", _) => String::new(),
            (_, Some(before)) => format!("; fix: that of {before}"),
            (fix, None) => format!("; fix: {fix}"),
        };
        let text = format!("{}{fix}", self.seen);
        line(self.outcome, self.check, &text, coloured)
    }

    fn json(&self) -> Value {
        let fix = Some(&self.fix).filter(|fix| !fix.is_empty());
        json!({
            "check": self.check, "result": self.outcome.word(), "seen": self.seen, "fix": fix,
            "request_id": self.request_id, "ec": self.ec, "cause": self.cause,
        })
    }
}

fn line(outcome: Outcome, check: &str, text: &str, coloured: bool) -> String {
    let mark = format!("{:8}", outcome.mark());
    let mark = match coloured {
        true => format!("\u{1b}[{}m{mark}\u{1b}[0m", outcome.colour()),
        false => mark,
    };
    format!("{mark} {check:16} {text}")
}

/// The list of all checks; each is printed as soon as it is known.
#[derive(Debug)]
pub struct Report {
    checks: Vec<Check>,
    is_json: bool,
    has_wrong_arguments: bool,
}

impl Report {
    /// An empty report. With `is_json` it is printed at its end, as JSON.
    pub fn new(is_json: bool) -> Report {
        Report {
            checks: Vec::new(),
            is_json,
            has_wrong_arguments: false,
        }
    }

    /// Adds a check that reports wrong arguments.
    pub fn refuse_arguments(&mut self, check: Check) {
        self.has_wrong_arguments = true;
        self.add(check);
    }

    /// Adds a check.
    pub fn add(&mut self, check: Check) {
        if !self.is_json {
            let mut checks = self.checks.iter();
            let before = checks.find(|known| known.fix == check.fix);
            let before = before.map(|known| known.check);
            show(&check.line(before, is_coloured()));
        }
        self.checks.push(check);
    }

    /// Adds all checks from `first` to `last`, both included, as not run, except for those that
    /// are in the report. They share one line.
    pub fn skip(&mut self, first: &str, last: &str, why: &str) {
        let place = |name: &str| CHECKS.iter().position(|known| *known == name);
        let (Some(first), Some(last)) = (place(first), place(last)) else {
            return;
        };
        let mut open = CHECKS[first..=last].to_vec();
        open.retain(|check| !self.checks.iter().any(|known| known.check == *check));
        let skipped = open.iter().map(|check| Check::skipped(check, why));
        self.checks.extend(skipped);
        if !self.is_json && !open.is_empty() {
            let text = format!("not tried: {why}");
            let line = line(Outcome::Skipped, &open.join(", "), &text, is_coloured());
            show(&line);
        }
    }

    /// Prints what is not printed yet, and returns the exit status.
    pub fn end(&self) -> ExitCode {
        if self.is_json {
            let checks: Vec<Value> = self.checks.iter().map(Check::json).collect();
            show(&format!("{:#}", Value::Array(checks)));
        }
        let has = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        if self.has_wrong_arguments {
            ExitCode::from(WRONG_ARGUMENTS)
        } else if has(Outcome::Failed) {
            ExitCode::FAILURE
        } else if has(Outcome::Warning) || has(Outcome::Unknown) {
            ExitCode::from(NOTHING_FAILED)
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// The exit status for wrong arguments, as clap has it.
const WRONG_ARGUMENTS: u8 = 2;

/// The exit status if nothing failed, but some checks are warnings or unknown.
const NOTHING_FAILED: u8 = 3;

/// Whether lines are coloured: on a terminal, unless NO_COLOR is set (no-color.org).
fn is_coloured() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_the_worst() {
        let end = |outcomes: &[Outcome]| {
            let mut report = Report::new(true);
            for outcome in outcomes {
                report.checks.push(Check::new("get", *outcome, ""));
            }
            format!("{:?}", report.end())
        };
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        use Outcome::{Failed, Good, Skipped, Unknown, Warning};
        assert_eq!(end(&[Good, Skipped]), is(0));
        assert_eq!(end(&[Good, Unknown]), is(3));
        assert_eq!(end(&[Warning, Good]), is(3));
        assert_eq!(end(&[Failed, Unknown]), is(1));
    }

    #[test]
    fn a_line_has_the_fix_beside_what_was_seen() {
        let check = Check::failed("get", "403", "give it the right");
        let line = "FAILED   get              403; fix: give it the right";
        assert_eq!(check.line(None, false), line);
        let line = "FAILED   get              403; fix: that of head";
        assert_eq!(check.line(Some("head"), false), line);
        assert!(check.line(None, true).starts_with("\u{1b}[31mFAILED"));
        let line = "-        tls              not tried: no";
        assert_eq!(Check::skipped("tls", "no").line(None, false), line);
    }
}
