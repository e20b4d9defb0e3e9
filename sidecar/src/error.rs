//! Why a source gave no credentials, in words that hold no secret.

use std::fmt;

use crate::wire::{Outcome, Step};

/// A failed fetch: the step that failed and its cause. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// What was asked of whom, if anything was.
    pub step: Option<String>,
    /// What came of it.
    pub cause: Cause,
}

/// The cause of a failed fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The other side refused, with a code of its own.
    Refused {
        /// The code, such as `SignatureDoesNotMatch`.
        code: String,
        /// The id by which the other side finds the request in its logs.
        request_id: Option<String>,
    },
    /// The other side answered with this status, and no code.
    Status(u16),
    /// The other side answered, but not with credentials that are valid.
    Malformed,
    /// The other side gave no answer in time.
    TimedOut,
    /// There was no connection to the other side.
    Unreachable,
    /// Nothing was asked; the text says what is missing, in our own words.
    Missing(String),
}

impl SourceError {
    /// Nothing was asked, since `what` is missing.
    pub fn missing(what: impl Into<String>) -> SourceError {
        SourceError {
            step: None,
            cause: Cause::Missing(what.into()),
        }
    }

    /// The error of a provider, whose last request was `step`.
    pub fn of(step: Option<Step>, error: &reqsign_core::Error) -> SourceError {
        if let Some(text) = own_text(error) {
            return SourceError::missing(text);
        }
        let Some(Step { what, outcome }) = step else {
            // The text is the library's: of a file that cannot be read, or of
            // credentials that cannot be used.
            return SourceError::missing("the source's settings or files cannot be used");
        };
        let cause = match outcome {
            Outcome::Answered | Outcome::TooLarge => Cause::Malformed,
            Outcome::TimedOut => Cause::TimedOut,
            Outcome::Unreachable => Cause::Unreachable,
            Outcome::Refused {
                code: Some(code),
                request_id,
                ..
            } => Cause::Refused { code, request_id },
            Outcome::Refused { status, .. } => Cause::Status(status),
        };
        SourceError {
            step: Some(what),
            cause,
        }
    }
}

/// An error of a provider of ours. Only its text is shown to anybody: the texts
/// of the library's errors may hold what the other side said.
pub fn own(text: impl fmt::Display) -> reqsign_core::Error {
    let text = text.to_string();
    reqsign_core::Error::config_invalid(text.clone()).with_source(OwnText(text))
}

fn own_text(error: &reqsign_core::Error) -> Option<&str> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref().map(|OwnText(text)| text.as_str())
}

/// Marks an error as ours: the library can make none of this type.
#[derive(Debug)]
struct OwnText(String);

impl fmt::Display for OwnText {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OwnText {}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "{step}: ")?;
        }
        match &self.cause {
            Cause::Refused { code, request_id } => {
                write!(f, "refused: {code}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Cause::Status(status) => write!(f, "answered with status {status}"),
            Cause::Malformed => f.write_str("the answer holds no good credentials"),
            Cause::TimedOut => f.write_str("gave no answer in time"),
            Cause::Unreachable => f.write_str("cannot be reached; is the endpoint right?"),
            Cause::Missing(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_our_own_are_shown() {
        let shown = |error| SourceError::of(None, &error).to_string();
        assert_eq!(shown(own("needs uri")), "needs uri");
        let theirs = reqsign_core::Error::config_invalid("sts-sidecar: sesame");
        assert!(!shown(theirs).contains("sesame"));
    }
}
