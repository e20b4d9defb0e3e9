//! A fleet of Envoys, and what it asks of sidecars and of STS, in simulated time. The Envoys
//! are workers of the core; STS is a model; of the sidecar, `sidecar.rs` says what is real.
//!
//! `cargo test --release -p oss-origin-auth-core --test fleet -- --ignored --nocapture` prints
//! the table of docs/FLEET.md, for 10,000 Envoys, and fails if it is another.
#![allow(clippy::unwrap_used, reason = "test support")]

#[path = "../hosts/mod.rs"]
mod hosts;
/// The sidecar's own file: what is simulated is what runs.
#[path = "../../../sidecar/src/schedule.rs"]
#[allow(dead_code, reason = "STS gives no other reason than these two")]
mod schedule;

mod envoy;
mod report;
mod sidecar;
mod simulation;
mod sts;
mod table;

use report::Report;
use simulation::{Plan, Sidecars};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const HOUR_S: usize = 3_600;
/// That nobody notices, in seconds, if tokens live for an hour.
const LONGEST_OUTAGE: u64 = 37 * 60;

/// A small fleet with a sidecar in each pod, and a limit as small: a hundredth of the calls
/// a second that it would be for 100 times as many. All begin within a second.
fn pods(envoys: usize, until: u64) -> Plan {
    Plan {
        envoys,
        threads: 2,
        sidecars: Sidecars::OneFor(1),
        life: HOUR,
        limit: (envoys / 100).max(1) as u32,
        begin_within: SECOND,
        outages: Vec::new(),
        until,
        every_tick: false,
        seed: 1,
    }
}

/// An outage of so many seconds, one and a half hours after the start.
fn outage(mut plan: Plan, seconds: u64) -> (Report, usize) {
    let begin = HOUR * 3 / 2;
    let end = begin + seconds * SECOND;
    plan.outages = std::iter::once(begin..end).collect();
    plan.until = end + 30 * MINUTE;
    (plan.run(), (end / SECOND) as usize)
}

#[test]
fn the_same_seed_is_the_same_fleet() {
    assert!(pods(20, HOUR).run() == pods(20, HOUR).run());
    let other = Plan {
        seed: 2,
        ..pods(20, HOUR)
    };
    assert!(pods(20, HOUR).run() != other.run());
}

/// The simulation passes over ticks that find nothing due. Here all are made, and each is
/// checked against what was expected of it (`simulation.rs`, `tick`).
#[test]
fn ticks_that_are_passed_over_do_nothing() {
    let mut plan = Plan {
        threads: 3,
        every_tick: true,
        ..pods(4, HOUR * 3 / 2)
    };
    plan.outages = std::iter::once(0..10 * SECOND).collect();
    let report = plan.run();
    assert_eq!(report.lacking()[10], 4, "they wait for STS");
    assert_eq!(report.lacking()[HOUR_S], 0);
}

#[test]
fn all_have_credentials_soon_after_a_common_start_although_sts_throttles() {
    let report = pods(300, 10 * MINUTE).run();
    // 300 at 3 a second are 100 s if no second is lost, and the longest pause is 30 s.
    let whole_at = report.whole_at(0..600);
    assert!(whole_at <= 150, "{whole_at}");
    // STS refuses ever fewer: the pauses spread the calls and do not bring them together.
    let refused = [0, 30, 60, 90, 150].windows(2).map(|ends| {
        let seconds = ends[0]..ends[1];
        f64::from(report.throttled(seconds.clone())) / seconds.len() as f64
    });
    let refused: Vec<f64> = refused.collect();
    assert!(refused.is_sorted_by(|a, b| a > b), "{refused:?}");
    assert_eq!(report.throttled(180..600), 0);
    // Each asks some times, not once a second.
    let calls = report.calls(0..600);
    assert!(calls <= 300 * 9, "{calls}");
}

#[test]
fn those_that_begin_together_do_not_refresh_together() {
    // In so small a fleet, chance alone would go beyond 2 calls in a second.
    let plan = Plan {
        limit: 10,
        ..pods(200, 24 * HOUR)
    };
    let report = plan.run();
    // An hour's token is refreshed after 10 to 20 minutes: 200 calls in 900 s.
    let steady = 200.0 / 900.0;
    for hour in 1..24 {
        let seconds = hour * HOUR_S..(hour + 1) * HOUR_S;
        let mean = report.mean_calls(seconds.clone());
        assert!(
            (steady * 0.9..steady * 1.1).contains(&mean),
            "{hour}: {mean}"
        );
        assert_eq!(report.throttled(seconds.clone()), 0, "{hour}");
        // All at once would be 15 times the mean.
        let worst = seconds.step_by(60).map(|at| report.calls(at..at + 60));
        let worst = f64::from(worst.max().unwrap()) / 60.0;
        assert!(worst <= steady * 3.0, "{hour}: {worst}");
    }
    // Nor do the Envoys ask the sidecars more than once a second for that.
    assert!(report.worst_asked(HOUR_S..24 * HOUR_S) <= 1);
    assert!(
        report.lacking()[HOUR_S..24 * HOUR_S]
            .iter()
            .all(|n| *n == 0)
    );
}

/// A sidecar has refreshed before a third of the hour was gone: 40 minutes are left. Of these,
/// five seconds are `clock_margin_ms`, and after the outage not all are served at once.
#[test]
fn an_outage_of_37_minutes_takes_nobodys_credentials() {
    for seconds in [10 * 60, LONGEST_OUTAGE] {
        let (report, end) = outage(pods(200, 0), seconds);
        let lacking = report.lacking();
        assert!(
            lacking[600..end + 1_700].iter().all(|n| *n == 0),
            "{seconds}"
        );
        // No storm: the pauses of up to 30 s spread those who are overdue.
        assert!(report.worst_calls(end..end + 600) <= 20, "{seconds}");
        // And after three minutes it is as if there had been none.
        let later = report.mean_calls(end + 180..end + 1_700);
        assert!(later <= 200.0 / 900.0 * 1.5, "{seconds}: {later}");
    }
    let (report, end) = outage(pods(200, 0), 50 * 60);
    assert!(report.lacking()[end - 1] > 0, "longer is too long");
}

#[test]
fn after_an_outage_that_took_all_credentials_the_fleet_is_soon_whole() {
    let (report, end) = outage(pods(100, 0), 70 * 60);
    assert_eq!(report.lacking()[end - 1], 100);
    // 100 at 1 a second, and the longest pause.
    let whole_at = report.whole_at(end..end + 1_700) - end;
    assert!(whole_at <= 160, "{whole_at}");
    // Spread over half a minute: 100 in 22 s are 5 a second, and chance.
    let worst = report.worst_calls(end..end + 600);
    assert!(worst <= 15, "{worst}");
}

#[test]
fn one_envoy_has_credentials_again_soon_after_a_short_outage() {
    // Pauses double, to 30 s: none is more than twice as long as what went before.
    for (seconds, at_most) in [(1, 3), (5, 10), (20, 31), (600, 31)] {
        let mut plan = pods(1, 20 * MINUTE);
        plan.outages = std::iter::once(0..seconds * SECOND).collect();
        for seed in 1..6 {
            plan.seed = seed;
            let whole_at = plan.run().whole_at(0..1_190) - seconds as usize;
            assert!(whole_at <= at_most, "{seconds} s: {whole_at}");
        }
    }
}

#[test]
fn sidecars_that_are_shared_ask_less() {
    let start = |sidecars| Plan {
        sidecars,
        ..pods(300, 2 * HOUR)
    };
    for (sidecars, count) in [(Sidecars::OneFor(20), 15), (Sidecars::Replicas(3), 3)] {
        let report = start(sidecars).run();
        assert!(report.worst_calls(0..60) <= count, "{sidecars:?}");
        assert!(report.whole_at(0..600) <= 60, "{sidecars:?}");
        let calls = report.calls(HOUR_S..2 * HOUR_S);
        assert!(
            (count * 3..=count * 6).contains(&calls),
            "{sidecars:?} {calls}"
        );
    }
}
