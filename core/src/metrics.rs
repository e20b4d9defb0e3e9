//! The names of all that is counted and measured.

use crate::access::Key;
use crate::fetch::answer::FetchOutcome;
use crate::oss::error::Cause;
use crate::policy::reply::Reason;
use crate::words::{Word, words};

words! {
    /// How requests left.
    pub enum Leaving {
        /// With a signature of ours.
        Signed = "signed",
        /// Without one, as the settings say.
        Unsigned = "unsigned",
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests that left.
    Requests(Leaving),
    /// Requests that were answered here.
    Refused(Reason),
    /// Requests whose URL this key has signed.
    UrlKeys(Key),
    /// Errors of OSS.
    OssErrors(Cause),
    /// Fetches of credentials.
    Callouts(FetchOutcome),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge<'a> {
    /// 1 while there are good credentials of this name, else 0.
    Valid(&'a str),
    /// Until the end of the credentials of this name.
    SecondsLeft(&'a str),
    /// How far this machine's clock is off that of OSS, in seconds, where OSS has said so.
    ClockCorrection,
}

/// All counters, for a host that must know them from the start.
pub fn counters() -> impl Iterator<Item = Counter> {
    let leaving = Leaving::ALL.iter().copied().map(Counter::Requests);
    leaving
        .chain(Reason::ALL.iter().copied().map(Counter::Refused))
        .chain(Key::ALL.iter().copied().map(Counter::UrlKeys))
        .chain(Cause::ALL.iter().copied().map(Counter::OssErrors))
        .chain(FetchOutcome::ALL.iter().copied().map(Counter::Callouts))
}

/// The full name of a counter.
pub fn counter_name(counter: Counter) -> String {
    let (group, word) = match counter {
        Counter::Requests(leaving) => ("requests", leaving.word()),
        Counter::Refused(reason) => ("refused", reason.word()),
        Counter::UrlKeys(key) => ("url_keys", key.word()),
        Counter::OssErrors(cause) => ("oss_errors", cause.word()),
        Counter::Callouts(outcome) => ("callouts", outcome.word()),
    };
    [PREFIX, group, ".", word].concat()
}

/// The full name of a gauge.
pub fn gauge_name(gauge: Gauge) -> String {
    let (group, account) = match gauge {
        Gauge::Valid(account) => ("credentials.valid.", account),
        Gauge::SecondsLeft(account) => ("credentials.seconds_left.", account),
        Gauge::ClockCorrection => ("clock_correction_seconds", ""),
    };
    [PREFIX, group, account].concat()
}

/// The histogram of the times that requests have waited for credentials, in milliseconds.
pub const WAITS: &str = "oss_origin_auth.wait_ms";

const PREFIX: &str = "oss_origin_auth.";
