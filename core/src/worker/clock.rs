//! The differences between this machine's clock and OSS's, which are learned when OSS refuses a
//! signature because of its time.

use crate::oss::time::parse_http_date;

/// The largest difference that is corrected, in seconds: a wrong time zone is at most 14 hours.
/// A clock with a larger difference is broken, and cannot show when credentials expire. The
/// limit also keeps a server in OSS's place from getting signatures for a distant time.
pub const MAX_CORRECTION: u64 = 24 * 3_600;

/// The smallest change of a correction, in seconds. OSS accepts a signature within 15 minutes
/// of its own time (OSS, "Error codes", RequestTimeTooSkewed).
const SAME: u64 = 60;

/// The largest number of hosts whose corrections are kept; the oldest is dropped.
const MAX_HOSTS: usize = 32;

/// The known differences. Each host has its own, so that a host with a wrong time does not
/// break the signatures for others.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The seconds by which the clock of each host is ahead.
    ahead: Vec<(String, i64)>,
    /// Whether there ever was a difference.
    corrected: bool,
}

/// The result of comparing OSS's time with this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// OSS's clock is ahead by this many seconds, which is new.
    Ahead(i64),
    /// OSS's clock is ahead by this many seconds, which is too much to correct.
    TooFar(i64),
    /// The difference is already known, or the time is not valid.
    Nothing,
}

impl Clocks {
    /// The time of a host, in seconds since 1970, when this machine's time is `now`.
    pub fn of_host(&self, host: &str, now: u64) -> u64 {
        now.saturating_add_signed(self.ahead(host))
    }

    /// Learns from a refusal because of the time, whose `Date` this is.
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

    /// Forgets the correction for a host, after a refusal without a reason: the correction may
    /// be the reason.
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
        // The clock was corrected, and the old correction is now wrong.
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
