//! When a source is asked: ahead of the end of what it gave, and again after a failure. Time
//! and chance are arguments, so that a fleet of sidecars can be simulated (docs/FLEET.md).
//!
//! Sidecars that begin together, as after a rollout or an outage, must not ask together ever
//! after: all accounts have a limit of calls a second. So no time here is the same for all.

use std::time::{Duration, Instant};

/// What one source gave last, and how it has failed since.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    refresh: Option<Refresh>,
    failed: Option<Failed>,
    /// The last reason that the source gave in an answer, since the last success.
    reason: Option<String>,
    /// The time at which another reason last began the pauses again.
    began_again: Option<Instant>,
}

/// How a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The source has too many requests.
    Throttled,
    /// The source gave this reason.
    Answered(String),
    /// The source gave no answer, or has an error of its own.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Refresh {
    begin: Instant,
    after: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    at: Instant,
    /// The time for which the source is not asked.
    pause: Duration,
    /// Whether the source has too many requests.
    is_throttled: bool,
    /// Failures in a row.
    count: u32,
}

impl Schedule {
    /// A fetch that began then has brought credentials of this life, if that is known.
    /// `random` is any number.
    pub fn succeed(&mut self, begin: Instant, life: Option<Duration>, random: u64) {
        let after = life.map_or(REREAD, |life| life / 3);
        let after = with_jitter(after, random);
        *self = Schedule {
            refresh: Some(Refresh { begin, after }),
            ..Schedule::default()
        };
    }

    /// Notes that a fetch has failed. `random` is any number.
    ///
    /// An answer with another reason than the last one begins the pauses again: somebody may be
    /// correcting a mistake. That happens once in [`LONGEST_PAUSE`], so that a source whose
    /// reasons alternate is left alone, too.
    pub fn fail(&mut self, now: Instant, failure: Failure, random: u64) {
        let is_throttled = failure == Failure::Throttled;
        if let Failure::Answered(reason) = failure {
            let is_new = self.reason.as_ref() != Some(&reason);
            let is_rare = self
                .began_again
                .is_none_or(|at| now.saturating_duration_since(at) >= LONGEST_PAUSE);
            if is_new && is_rare && self.failed.take().is_some() {
                self.began_again = Some(now);
            }
            self.reason = Some(reason);
        }
        let before = self.failed.map_or(0, |last| last.count);
        let first = match is_throttled {
            true => FIRST_PAUSE_WHEN_THROTTLED,
            false => FIRST_PAUSE,
        };
        let pause = first * 2_u32.pow(before.min(MOST_DOUBLINGS));
        self.failed = Some(Failed {
            at: now,
            pause: with_jitter(pause.min(LONGEST_PAUSE), random),
            is_throttled,
            count: before.saturating_add(1),
        });
    }

    /// Whether the pause after the last failure still lasts. Until it is over nobody causes a
    /// fetch, and the failure is the answer.
    pub fn is_held_off(&self, now: Instant) -> bool {
        !self.held_off(now).is_zero()
    }

    /// Whether the pause lasts for a caller to which OSS has rejected valid credentials. The old
    /// token does not help this caller, so it waits only for the shortest pause, unless the source
    /// has too many requests.
    pub fn is_held_off_from_renewal(&self, now: Instant) -> bool {
        self.failed.is_some_and(|failed| {
            let pause = match failed.is_throttled {
                true => failed.pause,
                false => failed.pause.min(FIRST_PAUSE),
            };
            now.saturating_duration_since(failed.at) < pause
        })
    }

    /// The time until newer credentials should be fetched. `is_ageing` means that less than half
    /// of the life of the held credentials is left by the wall clock.
    pub fn until_due(&self, now: Instant, is_ageing: bool) -> Duration {
        let due = self.refresh.map_or(Duration::ZERO, |refresh| {
            let after = match is_ageing {
                true => SHORTEST_WAIT,
                false => refresh.after.max(SHORTEST_WAIT),
            };
            after.saturating_sub(now.saturating_duration_since(refresh.begin))
        });
        due.max(self.held_off(now))
    }

    fn held_off(&self, now: Instant) -> Duration {
        self.failed.map_or(Duration::ZERO, |failed| {
            let gone = now.saturating_duration_since(failed.at);
            failed.pause.saturating_sub(gone)
        })
    }
}

/// Credentials without an end are read again after this time: their file may
/// have been replaced.
pub const REREAD: Duration = Duration::from_secs(60);
/// The shortest time from a fetch to the refresh after it, even if a token's life is shorter.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// After the first failure. It doubles with each that follows: whoever is back after a short
/// outage is soon asked, since no pause is more than about twice as long as the outage was.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The limit is one of calls a second, and others have just used it up.
const FIRST_PAUSE_WHEN_THROTTLED: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After more doublings the pause would be beyond the longest one.
const MOST_DOUBLINGS: u32 = 6;

/// A random time between half of `time` and all of it.
fn with_jitter(time: Duration, random: u64) -> Duration {
    let half = time / 2;
    let part = random % (1 << 16);
    // At most 65,535 of 65,536 parts.
    time - half.mul_f64(part as f64 / f64::from(1 << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3_600);
    /// The least jitter, some, and the most.
    const RANDOM: [u64; 3] = [0, 0x1234_5678, u64::MAX];

    #[test]
    fn newer_ones_are_due_before_a_third_of_the_life_is_gone_and_not_for_all_at_once() {
        let begin = Instant::now();
        let due = RANDOM.map(|random| {
            let mut schedule = Schedule::default();
            assert_eq!(schedule.until_due(begin, false), Duration::ZERO);
            schedule.succeed(begin, Some(HOUR), random);
            schedule.until_due(begin, false)
        });
        assert_eq!(due[0], 1_200 * SECOND);
        assert!(due[1] < due[0] && due[2] < due[1], "{due:?}");
        assert!(due[2] >= 600 * SECOND && due[2] < 601 * SECOND);
    }

    #[test]
    fn a_short_life_is_no_busy_loop_and_an_unknown_one_is_read_again() {
        let begin = Instant::now();
        let mut schedule = Schedule::default();
        schedule.succeed(begin, Some(Duration::ZERO), 0);
        assert_eq!(schedule.until_due(begin, true), SECOND);
        schedule.succeed(begin, None, 0);
        assert_eq!(schedule.until_due(begin, false), REREAD);
        schedule.succeed(begin, Some(HOUR), 0);
        let slept = schedule.until_due(begin + SECOND, true);
        assert_eq!(slept, Duration::ZERO, "ageing by the wall clock");
    }

    #[test]
    fn pauses_double_to_half_a_minute_for_all_who_ask() {
        for random in RANDOM {
            let (mut schedule, mut now) = (Schedule::default(), Instant::now());
            for longest in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
                schedule.fail(now, Failure::Silent, random);
                let pause = schedule.until_due(now, true);
                let longest = Duration::from_millis(longest);
                assert!(pause > longest / 2 && pause <= longest, "{pause:?}");
                now += pause;
                assert!(schedule.is_held_off(now - Duration::from_millis(1)));
                assert!(!schedule.is_held_off(now));
            }
            schedule.succeed(now, Some(HOUR), random);
            assert!(!schedule.is_held_off(now));
            schedule.fail(now, Failure::Silent, 0);
            let first = schedule.held_off(now);
            assert_eq!(first, FIRST_PAUSE, "a success forgets them");
        }
    }

    #[test]
    fn where_there_are_too_many_the_first_pause_is_longer() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let pauses = [4, 8, 16, 30, 30].map(|longest| {
            schedule.fail(now, Failure::Throttled, 0);
            (schedule.held_off(now), longest * SECOND)
        });
        assert!(pauses.iter().all(|(got, want)| got == want), "{pauses:?}");
    }

    #[test]
    fn another_reason_begins_the_pauses_again_but_seldom() {
        let answered = |reason: &str| Failure::Answered(reason.into());
        let (mut schedule, mut now) = (Schedule::default(), Instant::now());
        let mut pause_after = |failure: Failure| {
            schedule.fail(now, failure, 0);
            let pause = schedule.held_off(now);
            now += pause;
            pause
        };
        for longest in [500, 1_000, 2_000, 4_000] {
            let pause = pause_after(Failure::Silent);
            assert_eq!(pause, Duration::from_millis(longest));
        }
        assert_eq!(pause_after(answered("denied")), FIRST_PAUSE);
        // What gives no reason changes none: the next one is the same as before.
        for failure in [Failure::Silent, answered("denied"), Failure::Throttled] {
            assert!(pause_after(failure) > FIRST_PAUSE);
        }
        assert!(pause_after(answered("denied")) > FIRST_PAUSE);
        // Two that alternate: at most one beginning in the longest pause.
        let (mut short, mut all) = (0, Duration::ZERO);
        for number in 0..100 {
            let reason = if number % 2 == 0 { "one" } else { "other" };
            let pause = pause_after(answered(reason));
            short += u32::from(pause == FIRST_PAUSE);
            all += pause;
        }
        assert!(LONGEST_PAUSE * (short - 1) <= all, "{short} in {all:?}");
    }

    #[test]
    fn a_rejected_token_is_no_answer_for_long_unless_there_are_too_many() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        for _ in 0..8 {
            schedule.fail(now, Failure::Silent, 0);
        }
        let later = now + FIRST_PAUSE;
        assert!(schedule.is_held_off(later) && !schedule.is_held_off_from_renewal(later));
        assert!(schedule.is_held_off_from_renewal(now));
        schedule.fail(now, Failure::Throttled, 0);
        assert!(schedule.is_held_off_from_renewal(later));
    }
}
