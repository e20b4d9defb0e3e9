//! One log line of each kind every ten seconds and worker: enough to see it,
//! and no more at any rate of requests.

use crate::oss::error::Cause;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Why OSS refused.
    Refused(Cause),
    /// What OSS's time says of this machine's.
    Clock,
}

/// When each was last logged.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// In milliseconds since 1970.
    last: Vec<(Line, u64)>,
}

impl LogLimit {
    /// Whether such a line may be logged now.
    pub fn allows(&mut self, line: Line, now: u64) -> bool {
        match self.last.iter_mut().find(|(known, _)| *known == line) {
            Some((_, last)) if (*last..*last + PAUSE).contains(&now) => return false,
            Some((_, last)) => *last = now,
            None => self.last.push((line, now)),
        }
        true
    }
}

const PAUSE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_own_limit() {
        let mut limit = LogLimit::default();
        let skew = Line::Refused(Cause::ClockSkew);
        assert!(limit.allows(skew, 50_000));
        assert!(!limit.allows(skew, 59_999));
        assert!(limit.allows(Line::Refused(Cause::AccessDenied), 59_999));
        assert!(limit.allows(Line::Clock, 59_999));
        assert!(limit.allows(skew, 60_000));
        assert!(
            limit.allows(skew, 1_000),
            "a clock set back silences nothing"
        );
    }
}
