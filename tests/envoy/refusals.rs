//! OSS's refusals in every form, in Envoy 1.40, with every pair of two choices of
//! setting it up. `cargo xtask test --all` tries all combinations, and other Envoys.

use crate::common::refusals::{check, check_versions_of_http, paired_setups};
use testkit::tools;

#[test]
fn no_form_of_a_refusal_hurts() {
    let setups = (0..4).flat_map(|number| paired_setups(&tools::envoy(), number));
    testkit::in_parallel(setups.collect(), |setup| check(&setup));
}

#[test]
fn nothing_leaks_by_any_version_of_http() {
    check_versions_of_http(&tools::envoy());
}
