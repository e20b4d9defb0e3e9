//! One log line for each cause every ten seconds and worker: enough to see it,
//! and no more at any rate of requests.

use crate::oss::error::Cause;

/// When each cause was last logged.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// In milliseconds since 1970.
    last: Vec<(Cause, u64)>,
}

impl LogLimit {
    /// Whether a line of this cause may be logged now.
    pub fn allows(&mut self, cause: Cause, now: u64) -> bool {
        match self.last.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, last)) if (*last..*last + PAUSE).contains(&now) => return false,
            Some((_, last)) => *last = now,
            None => self.last.push((cause, now)),
        }
        true
    }
}

const PAUSE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_limit() {
        let mut limit = LogLimit::default();
        assert!(limit.allows(Cause::ClockSkew, 50_000));
        assert!(!limit.allows(Cause::ClockSkew, 59_999));
        assert!(limit.allows(Cause::AccessDenied, 59_999));
        assert!(limit.allows(Cause::ClockSkew, 60_000));
        assert!(
            limit.allows(Cause::ClockSkew, 1_000),
            "a clock set back silences nothing"
        );
    }
}
