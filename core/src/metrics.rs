//! The names of all statistics.

use crate::access::Key;
use crate::fetch::answer::FetchOutcome;
use crate::oss::error::Cause;
use crate::policy::reply::Reason;
use crate::words::{Word, words};

words! {
    /// How a request was forwarded.
    pub enum Leaving {
        /// The request was signed by the filter.
        Signed = "signed",
        /// The request was forwarded unsigned, as the settings say.
        Unsigned = "unsigned",
    }
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests that were forwarded.
    Requests(Leaving),
    /// Requests that got a local reply.
    Refused(Reason),
    /// Requests whose URL was signed with this key.
    UrlKeys(Key),
    /// Errors of OSS.
    OssErrors(Cause),
    /// Fetches of credentials.
    Callouts(FetchOutcome),
}

/// A gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge<'a> {
    /// Whether there are usable credentials of this name: 1 or 0.
    Valid(&'a str),
    /// The seconds until the credentials of this name expire.
    SecondsLeft(&'a str),
    /// The difference between this machine's clock and OSS's, in seconds, where OSS has
    /// reported one.
    ClockCorrection,
}

/// All counters, for a host that must define them in advance.
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

/// The name of the histogram of waits for credentials, in milliseconds.
pub const WAITS: &str = "oss_origin_auth.wait_ms";

const PREFIX: &str = "oss_origin_auth.";
