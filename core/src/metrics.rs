//! The names of all that is counted and measured.

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
    /// Errors of OSS.
    OssErrors(Cause),
    /// Fetches of credentials.
    Callouts(FetchOutcome),
}

words! {
    /// How the credentials of one name stand.
    pub enum Gauge {
        /// 1 while there are good ones, else 0.
        Valid = "valid",
        /// Until their end.
        SecondsLeft = "seconds_left",
    }
}

/// The full name of a counter.
pub fn counter_name(counter: Counter) -> String {
    let (group, word) = match counter {
        Counter::Requests(leaving) => ("requests", leaving.word()),
        Counter::Refused(reason) => ("refused", reason.word()),
        Counter::OssErrors(cause) => ("oss_errors", cause.word()),
        Counter::Callouts(outcome) => ("callouts", outcome.word()),
    };
    [PREFIX, group, ".", word].concat()
}

/// The full name of a gauge of the credentials of this name.
pub fn gauge_name(gauge: Gauge, account: &str) -> String {
    [PREFIX, "credentials.", gauge.word(), ".", account].concat()
}

/// The histogram of the times that requests have waited for credentials, in milliseconds.
pub const WAITS: &str = "oss_origin_auth.wait_ms";

const PREFIX: &str = "oss_origin_auth.";
