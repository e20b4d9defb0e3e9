//! What all workers of a process know about the credentials of one name: one
//! value in shared data, changed only by compare-and-set. Each change is a
//! function from entry to entry; times are milliseconds since 1970.

use super::Credentials;

/// The value in shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub issued: Option<Issued>,
    /// Counts the credentials that were stored: the last one's number.
    pub generation: u64,
    /// Whoever fetches, until when the others leave it to them.
    pub lease: Option<Lease>,
    /// Fetches that failed since the last that did not.
    pub failures: u32,
    /// No fetch begins before this time.
    pub not_before: u64,
    /// Why the last fetch failed, in words; empty if it did not.
    pub problem: String,
    /// When OSS last rejected credentials of this name.
    pub rejected_at: u64,
    /// The AccessKey id of the last that were stored, if it rejected these.
    pub rejected: Option<String>,
    /// The last suspicion that was acted on.
    pub suspicion: Option<Suspicion>,
}

/// OSS refused a request without saying why. The credentials that signed it go on
/// signing, and newer ones are fetched, but not often: it may be no fault of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Of the credentials that signed.
    pub generation: u64,
    pub at: u64,
    /// For so long after `at`, no other suspicion is acted on.
    pub pause: u64,
    /// How the fetch that it takes has ended.
    pub outcome: Outcome,
}

/// Of the fetch that a suspicion takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    Pending,
    Answered,
    Failed,
}

/// Credentials as they were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub credentials: Credentials,
    pub generation: u64,
    /// From this time on, newer ones are fetched.
    pub refresh_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: u64,
    pub until: u64,
}

/// How long credentials are good, and how long a fetch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Credentials are not used in the last part of their life, since the
    /// clocks of Envoy and OSS differ.
    pub clock_margin: u64,
    /// Newer ones are fetched when this much life is left; `None`: a fifth of
    /// the life, at most 15 minutes.
    pub refresh_margin: Option<u64>,
    pub fetch_timeout: u64,
}

impl Entry {
    /// The credentials, if they are good for a request now.
    pub fn usable(&self, now: u64, timing: &Timing) -> Option<&Issued> {
        let issued = self.issued.as_ref()?;
        let usable = issued.credentials.is_usable(now, timing.clock_margin);
        usable.then_some(issued)
    }

    /// Whether somebody should fetch now.
    pub fn is_due(&self, now: u64, timing: &Timing) -> bool {
        let wanted = match self.usable(now, timing) {
            Some(issued) => now >= issued.refresh_at || self.suspected().is_some(),
            None => true,
        };
        // A time further off than any that this code writes comes from a
        // clock that was set back since; it must not block anybody.
        let leased = self
            .lease
            .is_some_and(|lease| in_near_future(lease.until, now, timing.lease()));
        let held_off = in_near_future(self.not_before, now, MAX_BACKOFF * 2);
        wanted && !leased && !held_off
    }

    /// The generation of the credentials, while newer ones are being fetched since
    /// these may be why OSS refused a request.
    pub fn suspected(&self) -> Option<u64> {
        let generation = self.issued.as_ref()?.generation;
        let suspicion = self.suspicion?;
        (suspicion.outcome == Outcome::Pending && suspicion.generation == generation)
            .then_some(generation)
    }

    /// Takes the lease, if a fetch is due.
    pub fn begin(&self, holder: u64, now: u64, timing: &Timing) -> Option<Entry> {
        self.is_due(now, timing).then(|| Entry {
            lease: Some(Lease {
                holder,
                until: now + timing.lease(),
            }),
            ..self.clone()
        })
    }

    /// Stores what was fetched. An answer that comes after the lease has passed to
    /// another, or was taken back, replaces nothing that lives longer, and is no
    /// answer to a complaint if it brings the same again. `jitter` is any number.
    pub fn succeed(
        &self,
        holder: u64,
        credentials: Credentials,
        now: u64,
        timing: &Timing,
        jitter: u64,
    ) -> Entry {
        let issued = self.issued.as_ref();
        if !self.is_held_by(holder) {
            let lives_longer =
                |issued: &Issued| match (issued.credentials.expires_at, credentials.expires_at) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(old), Some(new)) => old > new,
                };
            let id = &credentials.access_key_id;
            let suspect = issued.filter(|_| self.suspected().is_some());
            let suspect = suspect.map(|issued| &issued.credentials.access_key_id);
            let the_same_again = self.rejected.as_ref() == Some(id) || suspect == Some(id);
            if the_same_again || self.usable(now, timing).is_some_and(lives_longer) {
                return self.clone();
            }
        }
        // The same again are no newer ones: a refusal of them is one of these.
        let generation = match issued {
            Some(issued) if issued.credentials == credentials => issued.generation,
            _ => self.generation + 1,
        };
        Entry {
            generation,
            issued: Some(Issued {
                refresh_at: refresh_at(credentials.expires_at, now, timing, jitter),
                credentials,
                generation,
            }),
            lease: self.lease.filter(|lease| lease.holder != holder),
            failures: 0,
            not_before: 0,
            problem: String::new(),
            rejected_at: self.rejected_at,
            rejected: None,
            suspicion: self.suspicion.map(|last| last.ended(Outcome::Answered)),
        }
    }

    /// Gives the lease back and holds everybody off for a while.
    pub fn fail(
        &self,
        holder: u64,
        problem: &str,
        now: u64,
        timing: &Timing,
        jitter: u64,
    ) -> Entry {
        if !self.is_held_by(holder) {
            return self.clone();
        }
        let failures = self.failures.saturating_add(1);
        let most = match self.usable(now, timing) {
            // Several more tries fit into the life that is left.
            Some(issued) => match issued.credentials.expires_at {
                Some(expires_at) => ((expires_at * 1000 - now) / 10).min(MAX_BACKOFF),
                None => MAX_BACKOFF,
            },
            None => MAX_BACKOFF_WITHOUT_CREDENTIALS,
        };
        let backoff = (FIRST_BACKOFF << (failures - 1).min(16)).min(most.max(FIRST_BACKOFF));
        Entry {
            lease: None,
            failures,
            not_before: now + backoff + jitter % (backoff / 4 + 1),
            problem: problem.to_owned(),
            suspicion: self.suspicion.map(|last| last.ended(Outcome::Failed)),
            ..self.clone()
        }
    }

    /// Drops credentials that OSS has rejected. `None` if they have been
    /// replaced already, or if others were rejected a moment ago: then newer
    /// ones are no better, and asking on would only load the sidecar. A fetch under
    /// way may bring the same again, so its lease is taken back; and earlier
    /// failures hold nobody off any longer, since requests wait now.
    pub fn reject(&self, generation: u64, now: u64) -> Option<Entry> {
        let issued = self.issued.as_ref()?;
        let current = issued.generation == generation;
        let allowed = !in_near_future(self.rejected_at + REJECTION_PAUSE, now, REJECTION_PAUSE);
        (current && allowed).then(|| Entry {
            issued: None,
            lease: None,
            not_before: 0,
            rejected_at: now,
            rejected: Some(issued.credentials.access_key_id.clone()),
            ..self.clone()
        })
    }

    /// Has newer credentials fetched, since these may be why OSS refused a
    /// request. `None` if they have been replaced already, or if there was such a
    /// suspicion a while ago: ten seconds, and twice as long each time that newer
    /// ones were refused as well. As with [`reject`](Self::reject), nothing from
    /// before holds the fetch off.
    pub fn suspect(&self, generation: u64, now: u64) -> Option<Entry> {
        if self.issued.as_ref()?.generation != generation {
            return None;
        }
        let pause = match self.suspicion {
            None => FIRST_SUSPICION_PAUSE,
            Some(last) if in_near_future(last.at + last.pause, now, last.pause) => return None,
            // Nobody has answered.
            Some(last) if last.outcome == Outcome::Failed => last.pause,
            // The newer ones have been good for a while.
            Some(last) if now >= last.at + last.pause * 2 => FIRST_SUSPICION_PAUSE,
            Some(last) => (last.pause * 2).min(LONGEST_SUSPICION_PAUSE),
        };
        Some(Entry {
            lease: None,
            not_before: 0,
            suspicion: Some(Suspicion {
                generation,
                at: now,
                pause,
                outcome: Outcome::Pending,
            }),
            ..self.clone()
        })
    }

    fn is_held_by(&self, holder: u64) -> bool {
        self.lease.is_some_and(|lease| lease.holder == holder)
    }
}

impl Suspicion {
    fn ended(self, outcome: Outcome) -> Suspicion {
        match self.outcome {
            Outcome::Pending => Suspicion { outcome, ..self },
            Outcome::Answered | Outcome::Failed => self,
        }
    }
}

impl Timing {
    /// A holder that has not answered by then is taken for dead.
    fn lease(&self) -> u64 {
        self.fetch_timeout + 1_000
    }
}

const FIRST_BACKOFF: u64 = 200;
const MAX_BACKOFF: u64 = 30_000;
/// Requests wait or fail: ask more often.
const MAX_BACKOFF_WITHOUT_CREDENTIALS: u64 = 1_000;
const REJECTION_PAUSE: u64 = 1_000;
const FIRST_SUSPICION_PAUSE: u64 = 10_000;
const LONGEST_SUSPICION_PAUSE: u64 = 10 * 60 * 1000;
const LONGEST_REFRESH_MARGIN: u64 = 15 * 60 * 1000;
/// An AccessKey that does not expire is read again in case it was replaced.
const REREAD_WITHOUT_EXPIRY: u64 = 10 * 60 * 1000;

/// The jitter, at most a tenth of the time, makes it earlier only.
fn refresh_at(expires_at: Option<u64>, now: u64, timing: &Timing, jitter: u64) -> u64 {
    let wait = match expires_at {
        None => REREAD_WITHOUT_EXPIRY,
        Some(expires_at) => {
            let life = (expires_at * 1000).saturating_sub(now);
            let margin = timing
                .refresh_margin
                .unwrap_or((life / 5).min(LONGEST_REFRESH_MARGIN));
            // A margin as long as the life would mean: without a pause.
            life.saturating_sub(margin).max(life / 5)
        }
    };
    now + wait - jitter % (wait / 10 + 1)
}

fn in_near_future(time: u64, now: u64, most: u64) -> bool {
    time > now && time - now <= most
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    const NOW: u64 = 1_764_946_083_000;
    const TIMING: Timing = Timing {
        clock_margin: 5_000,
        refresh_margin: None,
        fetch_timeout: 2_000,
    };

    fn credentials(life: u64) -> Credentials {
        Credentials {
            access_key_id: format!("STS.{life}"),
            access_key_secret: Secret::new("secret"),
            security_token: Some(Secret::new("token")),
            expires_at: Some(NOW / 1000 + life),
        }
    }

    fn stored(life: u64) -> Entry {
        let begun = Entry::default().begin(1, NOW, &TIMING).unwrap();
        begun.succeed(1, credentials(life), NOW, &TIMING, 0)
    }

    #[test]
    fn one_fetches_and_the_others_leave_it_to_them() {
        let begun = Entry::default().begin(1, NOW, &TIMING).unwrap();
        assert_eq!(begun.begin(2, NOW + 2_999, &TIMING), None);
    }

    #[test]
    fn a_dead_holder_blocks_nobody() {
        let begun = Entry::default().begin(1, NOW, &TIMING).unwrap();
        let taken = begun.begin(2, NOW + 3_000, &TIMING).unwrap();
        assert_eq!(taken.lease.unwrap().holder, 2);
        assert_eq!(
            taken.fail(1, "down", NOW, &TIMING, 0),
            taken,
            "the first one's failure is no news"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_blocks_nobody() {
        let begun = Entry::default().begin(1, NOW + 3_600_000, &TIMING).unwrap();
        assert!(begun.is_due(NOW, &TIMING));
        let failed = begun.fail(1, "down", NOW + 3_600_000, &TIMING, 0);
        assert!(failed.is_due(NOW, &TIMING));
    }

    #[test]
    fn credentials_are_refreshed_in_the_last_fifth_and_used_to_the_margin() {
        let entry = stored(3600);
        for (after, usable, due) in [
            (0, true, false),
            (2_879, true, false),
            (2_880, true, true),
            (3_594, true, true),
            (3_595, false, true),
            (9_999, false, true),
        ] {
            let now = NOW + after * 1000;
            assert_eq!(entry.usable(now, &TIMING).is_some(), usable, "{after} s");
            assert_eq!(entry.is_due(now, &TIMING), due, "{after} s");
        }
        let day = stored(24 * 3600);
        assert!(!day.is_due(NOW + (24 * 60 - 16) * 60_000, &TIMING));
        assert!(
            day.is_due(NOW + (24 * 60 - 15) * 60_000, &TIMING),
            "at most 15 minutes"
        );
    }

    #[test]
    fn a_margin_longer_than_the_life_is_no_busy_loop() {
        let timing = Timing {
            refresh_margin: Some(3_600_000),
            ..TIMING
        };
        let begun = Entry::default().begin(1, NOW, &timing).unwrap();
        let entry = begun.succeed(1, credentials(60), NOW, &timing, 0);
        assert!(!entry.is_due(NOW + 11_999, &timing));
        assert!(entry.is_due(NOW + 12_000, &timing));
    }

    #[test]
    fn failures_back_off_and_a_success_forgets_them() {
        let mut entry = Entry::default();
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            entry = entry
                .begin(1, now, &TIMING)
                .unwrap()
                .fail(1, "down", now, &TIMING, 0);
            pauses.push(entry.not_before - now);
            assert!(!entry.is_due(entry.not_before - 1, &TIMING));
            now = entry.not_before;
        }
        assert_eq!(pauses, [200, 400, 800, 1_000, 1_000]);
        let healed =
            entry
                .begin(1, now, &TIMING)
                .unwrap()
                .succeed(1, credentials(60), now, &TIMING, 0);
        assert_eq!(
            (healed.failures, healed.not_before, healed.lease),
            (0, 0, None)
        );
    }

    #[test]
    fn old_but_valid_credentials_stay_while_refreshing_fails() {
        let mut entry = stored(3600);
        let mut now = NOW + 2_880_000;
        let mut tries = 0;
        while entry.usable(now, &TIMING).is_some() {
            entry = entry
                .begin(1, now, &TIMING)
                .unwrap()
                .fail(1, "down", now, &TIMING, 7);
            assert!(entry.not_before - now <= MAX_BACKOFF * 5 / 4);
            now = entry.not_before;
            tries += 1;
        }
        assert!(tries > 40, "down to the end of the life: {tries}");
        assert!(now < NOW + 3_597_000, "and soon after it: {}", now - NOW);
    }

    #[test]
    fn a_late_answer_replaces_nothing_that_lives_longer() {
        let entry = stored(3600);
        let late = entry.succeed(9, credentials(60), NOW, &TIMING, 0);
        assert_eq!(late, entry);
        let better = entry.succeed(9, credentials(7200), NOW, &TIMING, 0);
        assert_eq!(better.generation, 2);
    }

    #[test]
    fn rejected_credentials_are_dropped_once_and_fetched_at_once() {
        let entry = stored(3600);
        let now = NOW + 60_000;
        let rejected = entry.reject(1, now).unwrap();
        assert!(rejected.issued.is_none() && rejected.is_due(now, &TIMING));
        assert_eq!(rejected.rejected.as_deref(), Some("STS.3600"));
        assert_eq!(rejected.reject(1, now), None, "a storm of refusals is one");
        let begun = rejected.begin(1, now, &TIMING).unwrap();
        let renewed = begun.succeed(1, credentials(3600), now, &TIMING, 0);
        assert_eq!(renewed.rejected, None);
        assert_eq!(
            renewed.reject(1, now + 5_000),
            None,
            "the old ones are no longer there"
        );
        assert_eq!(
            renewed.reject(2, now + 999),
            None,
            "newer ones are no better"
        );
        assert!(renewed.reject(2, now + 1_000).is_some());
        assert!(
            renewed.reject(2, now - 60_000).is_some(),
            "a clock set back blocks nobody"
        );
    }

    /// What becomes of an entry whose credentials are suspected, and then fetched
    /// anew after a while.
    fn suspected_and_renewed(entry: &Entry, now: u64) -> Entry {
        let suspected = entry.suspect(entry.generation, now).unwrap();
        let begun = suspected.begin(1, now, &TIMING).unwrap();
        begun.succeed(1, credentials(36_000 + entry.generation), now, &TIMING, 0)
    }

    #[test]
    fn suspected_credentials_go_on_signing_while_newer_ones_are_fetched_once() {
        let entry = stored(3600);
        let now = NOW + 60_000;
        let suspected = entry.suspect(1, now).unwrap();
        assert_eq!(suspected.suspected(), Some(1));
        assert!(suspected.usable(now, &TIMING).is_some() && suspected.is_due(now, &TIMING));
        assert_eq!(suspected.suspect(1, now + 1), None, "a storm is one");
        let begun = suspected.begin(1, now, &TIMING).unwrap();
        assert_eq!(begun.begin(2, now, &TIMING), None);
        let same = begun.succeed(1, credentials(3600), now, &TIMING, 0);
        assert_eq!((same.suspected(), same.generation), (None, 1), "no newer");
        let renewed = begun.succeed(1, credentials(3601), now, &TIMING, 0);
        assert_eq!((renewed.suspected(), renewed.generation), (None, 2));
        assert!(!renewed.is_due(now, &TIMING));
        assert_eq!(renewed.suspect(1, now + 20_000), None, "of the old ones");
        assert_eq!(Entry::default().suspect(0, now), None);
    }

    #[test]
    fn newer_ones_that_are_refused_as_well_are_fetched_ever_more_seldom() {
        let mut entry = stored(36_000);
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            entry = suspected_and_renewed(&entry, now);
            let begin = now;
            while entry.suspect(entry.generation, now).is_none() {
                now += 100;
            }
            pauses.push((now - begin) / 1000);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        // Newer ones that were good for as long again are a new beginning.
        now += 600_000;
        entry = suspected_and_renewed(&entry, now);
        assert_eq!(entry.suspect(entry.generation, now + 9_999), None);
        assert!(entry.suspect(entry.generation, now + 10_000).is_some());
        // A clock that was set back blocks nobody.
        assert!(entry.suspect(entry.generation, now - 3_600_000).is_some());
    }

    #[test]
    fn a_suspicion_that_brings_nothing_is_over_and_comes_again_as_soon() {
        let mut entry = stored(3600);
        for attempt in 0..3 {
            let now = NOW + attempt * 10_000;
            let begun = entry
                .suspect(1, now)
                .unwrap()
                .begin(1, now, &TIMING)
                .unwrap();
            entry = begun.fail(1, "down", now, &TIMING, 0);
            assert_eq!(entry.suspected(), None);
            let later = entry.not_before.max(now + 9_999);
            assert!(!entry.is_due(later, &TIMING), "one fetch is enough");
            assert_eq!(entry.suspect(1, now + 9_999), None);
        }
    }

    #[test]
    fn a_fetch_from_before_a_complaint_is_no_answer_to_it() {
        let now = NOW + 2_990_000;
        let fetching = stored(3600).begin(7, now, &TIMING).unwrap();
        for complained in [fetching.reject(1, now), fetching.suspect(1, now)] {
            let complained = complained.unwrap();
            // The same again: another fetch is due, and waited for.
            let late = complained.succeed(7, credentials(3600), now, &TIMING, 0);
            assert_eq!(late, complained);
            assert!(late.is_due(now, &TIMING));
            // Others are welcome.
            let late = complained.succeed(7, credentials(7200), now, &TIMING, 0);
            assert_eq!((late.generation, late.suspected()), (2, None));
            assert_eq!(late.rejected, None);
        }
    }

    #[test]
    fn failures_from_before_a_complaint_hold_nobody_off() {
        let mut entry = stored(3600);
        let mut now = NOW + 2_880_000;
        for _ in 0..10 {
            now = entry.not_before.max(now);
            let begun = entry.begin(1, now, &TIMING).unwrap();
            entry = begun.fail(1, "down", now, &TIMING, 0);
        }
        assert!(!entry.is_due(now + 20_000, &TIMING), "held off for long");
        for complained in [entry.reject(1, now), entry.suspect(1, now)] {
            let begun = complained.unwrap().begin(2, now, &TIMING).unwrap();
            let failed = begun.fail(2, "down", now, &TIMING, 0);
            assert!(!failed.is_due(now + 199, &TIMING), "but these do");
        }
    }

    #[test]
    fn the_same_again_do_not_hide_a_rejection() {
        let now = NOW + 2_990_000;
        let begun = stored(3600).begin(1, now, &TIMING).unwrap();
        let same = begun.succeed(1, credentials(3600), now, &TIMING, 0);
        assert!(same.reject(1, now).is_some());
    }

    #[test]
    fn rejected_credentials_are_no_longer_suspects() {
        let now = NOW + 60_000;
        let rejected = stored(3600)
            .suspect(1, now)
            .unwrap()
            .reject(1, now)
            .unwrap();
        assert_eq!(rejected.suspected(), None);
        assert!(rejected.is_due(now, &TIMING));
    }

    #[test]
    fn jitter_only_makes_a_refresh_earlier() {
        for jitter in [0, 1, 12_345, u64::MAX] {
            let at = refresh_at(Some(NOW / 1000 + 1000), NOW, &TIMING, jitter);
            assert!(
                (NOW + 720_000..=NOW + 800_000).contains(&at),
                "{jitter}: {at}"
            );
        }
    }
}
