//! The differences between this machine's clock and OSS's, where OSS has refused a signature
//! because of it.

use crate::oss::time::parse_http_date;

/// How far this machine's clock may be off, in seconds: a wrong time zone is at most 14 hours.
/// A clock that is further off is broken, and tells nothing of when credentials expire; and
/// whoever stands in OSS's place gets no signature for a time that is far off.
pub const MAX_CORRECTION: u64 = 24 * 3_600;

/// How far a correction may be off before another is noted, in seconds. OSS takes a
/// signature of 15 minutes around its own time (OSS, "Error codes", RequestTimeTooSkewed).
const SAME: u64 = 60;

/// For so many hosts corrections are kept, the latest.
const MAX_HOSTS: usize = 32;

/// What is known of the differences. Each host has its own: one that tells a wrong time
/// spoils nobody else's signatures.
#[derive(Debug, Default)]
pub struct Clocks {
    /// By how many seconds the clock of a host is ahead.
    ahead: Vec<(String, i64)>,
    /// Whether there ever was a difference.
    corrected: bool,
}

/// What OSS's time says of this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// OSS's clock is ahead by this many seconds, of which nothing was known before.
    Ahead(i64),
    /// So many seconds are more than is corrected.
    TooFar(i64),
    /// Nothing new.
    Nothing,
}

impl Clocks {
    /// The time of a host, in seconds since 1970, when this machine's is `now`.
    pub fn of_host(&self, host: &str, now: u64) -> u64 {
        now.saturating_add_signed(self.ahead(host))
    }

    /// A host has refused a signature for its time, in an answer of this `Date`.
    pub fn learn(&mut self, host: &str, date: &[u8], now: u64) -> Learned {
        let date = std::str::from_utf8(date).ok().and_then(parse_http_date);
        let difference = |date: u64| i64::try_from(date).ok()?.checked_sub_unsigned(now);
        let Some(ahead) = date.and_then(difference) else {
            return Learned::Nothing;
        };
        if ahead.unsigned_abs() > MAX_CORRECTION {
            return Learned::TooFar(ahead);
        }
        if ahead.abs_diff(self.ahead(host)) <= SAME {
            return Learned::Nothing;
        }
        self.forget(host);
        if self.ahead.len() == MAX_HOSTS {
            self.ahead.remove(0);
        }
        self.ahead.push((host.to_owned(), ahead));
        self.corrected = true;
        Learned::Ahead(ahead)
    }

    /// A host does not say why it refused: it may be the correction.
    pub fn forget(&mut self, host: &str) {
        self.ahead.retain(|(known, _)| known != host);
    }

    /// The largest difference, in seconds, if there ever was one.
    pub fn largest(&self) -> Option<u64> {
        let all = self.ahead.iter().map(|(_, ahead)| ahead.unsigned_abs());
        self.corrected.then(|| all.max().unwrap_or_default())
    }

    fn ahead(&self, host: &str) -> i64 {
        let found = self.ahead.iter().find(|(known, _)| known == host);
        found.map_or(0, |(_, ahead)| *ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oss::time::http_date;

    const NOW: u64 = 1_764_946_083;

    fn learn(clocks: &mut Clocks, theirs: u64, ours: u64) -> Learned {
        clocks.learn("oss", http_date(theirs).as_bytes(), ours)
    }

    #[test]
    fn signatures_are_of_the_time_of_oss() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.of_host("oss", NOW), NOW);
        assert_eq!(learn(&mut clocks, NOW + 1_200, NOW), Learned::Ahead(1_200));
        assert_eq!(clocks.of_host("oss", NOW + 5), NOW + 1_205);
        assert_eq!(clocks.largest(), Some(1_200));
        // The clock has been set right, and the correction is wrong now.
        let later = NOW + 10_000;
        assert_eq!(learn(&mut clocks, later, later), Learned::Ahead(0));
        assert_eq!(clocks.of_host("oss", later), later);
        assert_eq!(
            learn(&mut clocks, later - 1_000, later),
            Learned::Ahead(-1_000)
        );
        assert_eq!(clocks.of_host("oss", later), later - 1_000);
        clocks.forget("oss");
        assert_eq!(clocks.of_host("oss", later), later);
        assert_eq!(clocks.largest(), Some(0));
    }

    #[test]
    fn each_host_has_its_own_time() {
        let mut clocks = Clocks::default();
        learn(&mut clocks, NOW + 1_200, NOW);
        for number in 0..MAX_HOSTS {
            assert_eq!(clocks.of_host("oss", NOW), NOW + 1_200, "{number}");
            let date = http_date(NOW - 2_000);
            clocks.learn(&format!("host-{number}"), date.as_bytes(), NOW);
        }
        assert_eq!(clocks.of_host("oss", NOW), NOW, "the oldest made room");
        assert_eq!(clocks.of_host("host-7", NOW), NOW - 2_000);
        assert_eq!(clocks.ahead.len(), MAX_HOSTS);
    }

    #[test]
    fn what_is_known_or_no_time_changes_nothing() {
        let mut clocks = Clocks::default();
        assert_eq!(learn(&mut clocks, NOW, NOW), Learned::Nothing);
        assert_eq!(clocks.largest(), None);
        learn(&mut clocks, NOW + 1_200, NOW);
        for date in [NOW + 1_200, NOW + 1_141, NOW + 1_260] {
            assert_eq!(learn(&mut clocks, date, NOW), Learned::Nothing);
        }
        for date in [&b""[..], b"yesterday", b"\xff", b"2025-12-05T14:48:03Z"] {
            assert_eq!(clocks.learn("oss", date, NOW), Learned::Nothing);
        }
        assert_eq!(clocks.largest(), Some(1_200));
    }

    #[test]
    fn a_correction_has_a_bound() {
        let mut clocks = Clocks::default();
        let day = i64::try_from(MAX_CORRECTION).unwrap();
        for (theirs, want) in [
            (NOW + MAX_CORRECTION + 1, Learned::TooFar(day + 1)),
            (NOW - MAX_CORRECTION - 1, Learned::TooFar(-day - 1)),
        ] {
            assert_eq!(learn(&mut clocks, theirs, NOW), want);
            assert_eq!(clocks.largest(), None);
        }
        let lowest = learn(&mut clocks, NOW - MAX_CORRECTION, NOW);
        assert_eq!(lowest, Learned::Ahead(-day));
        assert_eq!(clocks.of_host("oss", 5), 0, "there is no time before 1970");
    }
}
