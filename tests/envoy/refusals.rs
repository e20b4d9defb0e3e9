//! OSS's refusals in every form, in Envoy 1.40, with every pair of two choices of
//! setting it up. `cargo xtask test --all` tries all combinations, and other Envoys.

use std::collections::HashSet;

use crate::common::refusals::{check, check_versions_of_http, paired_setups};
use testkit::{Position, tools};

#[test]
fn no_form_of_a_refusal_hurts() {
    let setups = (0..4).flat_map(|number| paired_setups(&tools::envoy(), number));
    testkit::in_parallel(setups.collect(), |setup| check(&setup));
}

#[test]
fn nothing_leaks_by_any_version_of_http() {
    check_versions_of_http(&tools::envoy());
}

#[test]
fn pairs_of_setups_hold_every_pair_of_two_choices() {
    let mut pairs = HashSet::new();
    for number in 0..4 {
        for setup in paired_setups(&tools::envoy(), number) {
            let choices = [
                number,
                usize::from(setup.position == Position::Upstream),
                usize::from(setup.retry),
                usize::from(setup.stop_iteration),
                usize::from(setup.delegated),
            ];
            for (first, one) in choices.into_iter().enumerate() {
                for (second, other) in choices.into_iter().enumerate().skip(first + 1) {
                    pairs.insert((first, one, second, other));
                }
            }
        }
    }
    // Each of four Envoys with two values of four choices; and six pairs of these.
    assert_eq!(pairs.len(), 4 * 4 * 2 + 6 * 4);
}
