//! No request fails while credentials rotate and the sidecar is restarted or
//! away for less than their life.

use std::time::Duration;

use testkit::soak::{Plan, run};

#[test]
fn no_request_fails_through_rotations_restarts_and_outages() {
    let report = run(&Plan {
        requests: 200_000,
        duration: Duration::ZERO,
        rotations: 50,
        restarts: 10,
        outages: 3,
    });
    println!("{report}");
    assert!(report.counts.failed.is_empty(), "{report}");
    assert!(report.counts.total >= 200_000, "{report}");
    assert!(
        report.rotations >= 50 && report.restarts >= 10 && report.outages >= 3,
        "{report}"
    );
    assert_eq!(
        report.callouts_of_rotations, 50,
        "one for each rotation: {report}"
    );
    assert!(
        report.callouts_unconnected >= 3,
        "outages made callouts fail: {report}"
    );
    let growth = report.memory_at_end.saturating_sub(report.memory_at_start);
    assert!(growth < 16 * 1024, "flat memory: {report}");
}
