//! Limits the log to one line of each kind every ten seconds in each worker, at any rate of
//! requests.

use crate::oss::error::{Cause, as_ec};

/// The kind of a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A refusal by OSS with this cause.
    Refused(Cause),
    /// A refusal by OSS with an unknown cause and this EC. Each EC is a kind of its own.
    Unknown(String),
    /// A difference between OSS's clock and this machine's.
    Clock,
}

impl Line {
    /// The kind of an unknown cause with this EC. An invalid EC counts as none.
    pub fn unknown(ec: &[u8]) -> Line {
        as_ec(ec).map_or(Line::Refused(Cause::Unknown), |ec| Line::Unknown(ec.into()))
    }
}

/// The times of the last log lines.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// Each kind and the time of its last line, in milliseconds since 1970. Entries older than
    /// the pause are removed.
    last: Vec<(Line, u64)>,
}

impl LogLimit {
    /// Whether a line of this kind may be logged now.
    pub fn allows(&mut self, line: Line, now: u64) -> bool {
        let silences = |last: u64| (last..last + PAUSE).contains(&now);
        self.last.retain(|(_, last)| silences(*last));
        let is_held = |line: &Line| self.last.iter().any(|(held, _)| held == line);
        let is_ec = |(line, _): &&(Line, u64)| matches!(line, Line::Unknown(_));
        let is_full = self.last.iter().filter(is_ec).count() >= MAX_ECS;
        // A server that invents ECs must fill neither the memory nor the log.
        let line = match line {
            Line::Unknown(_) if is_full && !is_held(&line) => Line::Refused(Cause::Unknown),
            line => line,
        };
        let allows = !is_held(&line);
        if allows {
            self.last.push((line, now));
        }
        allows
    }
}

const PAUSE: u64 = 10_000;

/// The largest number of ECs that are separate kinds. All others share one kind.
const MAX_ECS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_own_limit() {
        let mut limit = LogLimit::default();
        let skew = Line::Refused(Cause::ClockSkew);
        assert!(limit.allows(skew.clone(), 50_000));
        assert!(!limit.allows(skew.clone(), 59_999));
        assert!(limit.allows(Line::Refused(Cause::AccessDenied), 59_999));
        assert!(limit.allows(Line::Clock, 59_999));
        assert!(limit.allows(skew.clone(), 60_000));
        assert!(
            limit.allows(skew, 1_000),
            "a clock set back silences nothing"
        );
    }
    #[test]
    fn an_ec_that_is_not_known_hides_no_other() {
        let mut limit = LogLimit::default();
        assert!(limit.allows(Line::unknown(b"0017-00000999"), 50_000));
        assert!(!limit.allows(Line::unknown(b"0017-00000999"), 50_001));
        assert!(limit.allows(Line::unknown(b"0003-00000999"), 50_001));
        assert!(limit.allows(Line::unknown(b""), 50_001));
        assert!(!limit.allows(Line::unknown(b"no EC"), 50_001));
        assert!(limit.allows(Line::unknown(b"0017-00000999"), 60_000));
    }

    #[test]
    fn ecs_without_end_take_neither_memory_nor_log() {
        let mut limit = LogLimit::default();
        let ec = |number: u32| Line::unknown(format!("0099-{number:08}").as_bytes());
        let logged = (0..100_000).filter(|number| limit.allows(ec(*number), 50_000));
        assert_eq!(logged.count(), MAX_ECS + 1);
        assert_eq!(limit.last.len(), MAX_ECS + 1);
        // Other kinds are logged, and these again after the pause.
        assert!(limit.allows(Line::Refused(Cause::AccessDenied), 50_000));
        assert!(limit.allows(ec(99_999), 60_000));
    }
}
