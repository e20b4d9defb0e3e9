//! OSS's refusals in every form, in both positions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod common;
#[path = "common/refusals.rs"]
mod refusals;

use refusals::{Setup, check};
use testkit::{Position, tools};

#[test]
fn no_form_of_a_refusal_hurts() {
    for position in [Position::Upstream, Position::Downstream] {
        for (retry, stop_iteration, delegated) in [(true, false, false), (false, true, true)] {
            check(&Setup {
                envoy: tools::envoy(),
                position,
                retry,
                stop_iteration,
                delegated,
            });
        }
    }
}
