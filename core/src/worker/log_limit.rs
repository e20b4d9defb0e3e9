//! One log line of each kind every ten seconds and worker: enough to see it,
//! and no more at any rate of requests.

use crate::oss::error::{Cause, as_ec};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Why OSS refused.
    Refused(Cause),
    /// OSS refused, and only its EC tells why: one must not hide another.
    Unknown(String),
    /// What OSS's time says of this machine's.
    Clock,
}

impl Line {
    /// That of an unknown cause with this EC. What is no EC is as good as none.
    pub fn unknown(ec: &[u8]) -> Line {
        as_ec(ec).map_or(Line::Refused(Cause::Unknown), |ec| Line::Unknown(ec.into()))
    }
}

/// When each was last logged.
#[derive(Debug, Default)]
pub struct LogLimit {
    /// In milliseconds since 1970. Those whose pause is over are forgotten.
    last: Vec<(Line, u64)>,
}

impl LogLimit {
    /// Whether such a line may be logged now.
    pub fn allows(&mut self, line: Line, now: u64) -> bool {
        let silences = |last: u64| (last..last + PAUSE).contains(&now);
        self.last.retain(|(_, last)| silences(*last));
        let is_held = |line: &Line| self.last.iter().any(|(held, _)| held == line);
        let is_ec = |(line, _): &&(Line, u64)| matches!(line, Line::Unknown(_));
        let is_full = self.last.iter().filter(is_ec).count() >= MAX_ECS;
        // Whoever makes up ECs fills neither the memory nor the log.
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

/// As many ECs have lines of their own. The others share one.
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
        // What else there is has its lines, and so have these once the pause is over.
        assert!(limit.allows(Line::Refused(Cause::AccessDenied), 50_000));
        assert!(limit.allows(ec(99_999), 60_000));
    }
}
