//! The table of docs/FLEET.md.

use super::simulation::{Plan, Sidecars};
use super::{HOUR, HOUR_S, LONGEST_OUTAGE, SECOND, outage, pods};

const ENVOYS: usize = 10_000;
/// Calls a second (docs/FLEET.md has the source).
const LIMIT: u32 = 100;

#[test]
#[ignore = "10,000 Envoys take a minute in a release build"]
fn the_table_of_the_document_is_what_the_simulation_yields() {
    let rows = [
        ("pod", Sidecars::OneFor(1)),
        ("node, 20 Envoys", Sidecars::OneFor(20)),
        ("cluster, 3 replicas", Sidecars::Replicas(3)),
    ]
    .map(|(name, sidecars)| row(name, sidecars));
    let rows = rows.into_iter().chain([long_outage()]);
    let rows: Vec<String> = rows.collect();
    let document = include_str!("../../../docs/FLEET.md");
    println!("{}", rows.join("\n"));
    for row in rows {
        assert!(document.contains(&row), "{row}");
    }
}

/// A sidecar refreshes after a sixth to a third of a session, by chance.
#[test]
fn the_arithmetic_of_the_document_is_right() {
    let document = include_str!("../../../docs/FLEET.md");
    for (shown, sidecars) in [("10,000", 10_000.0), ("500", 500.0)] {
        let rates = [900.0, 3_600.0, 43_200.0].map(|session| sidecars * 4.0 / session);
        let rates = rates.map(|rate| match rate {
            rate if rate < 1.0 => format!("{rate:.2} calls/s"),
            rate => format!("{rate:.1} calls/s"),
        });
        let row = format!("| {shown} sidecars, one name | {} |", rates.join(" | "));
        assert!(document.contains(&row), "{row}");
    }
}

/// Of 70 minutes, which takes all credentials. Meanwhile each Envoy asks its sidecar once a
/// second, so this is a tenth of the fleet, and of the limit.
fn long_outage() -> String {
    let (report, end) = outage(pods(ENVOYS / 10, 0), 70 * 60);
    let whole = report.whole_at(end..end + 1_700) - end;
    let worst = report.worst_calls(end..end + 600);
    format!(
        "After 70 minutes all have credentials within {whole} s, and the worst second has {worst} calls"
    )
}

fn row(name: &str, sidecars: Sidecars) -> String {
    let plan = Plan {
        envoys: ENVOYS,
        threads: 2,
        sidecars,
        life: HOUR,
        limit: LIMIT,
        begin_within: SECOND,
        outages: Vec::new(),
        until: 4 * HOUR,
        every_tick: false,
        seed: 1,
    };
    let calm = plan.run();
    let later = HOUR_S..4 * HOUR_S;
    let steady = calm.mean_calls(later.clone());
    let start = calm.worst_calls(0..HOUR_S);
    let whole = calm.whole_at(0..HOUR_S);
    let refreshes = calm.worst_calls(600..4 * HOUR_S);
    let asked = calm.worst_asked(0..4 * HOUR_S);
    let (report, end) = outage(plan, LONGEST_OUTAGE);
    let lacking = report.lacking()[HOUR_S..end + 1_700].iter().copied().max();
    let after = report.worst_calls(end..end + 600);
    let lacking = lacking.unwrap_or_default();
    format!(
        "| {name} | {steady:.3} | {start} | {whole} s | {refreshes} | {lacking} | {after} | {asked} |"
    )
}
