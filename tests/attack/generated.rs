//! Requests, settings, sidecars and origins that chance has made: what becomes of each
//! is what a model of the policy says.
#![allow(clippy::unwrap_used, reason = "test support")]

use testkit::attack;

#[test]
fn what_becomes_of_random_requests_is_what_the_model_says() {
    let mut command = attack::command();
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    assert!(status.success(), "{status}: {shown}\n{problem}");
}
