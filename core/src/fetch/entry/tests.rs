use super::*;
use crate::credentials::Secret;

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
    let healed = entry
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

/// An entry whose credentials are suspected, after newer ones have been fetched.
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
