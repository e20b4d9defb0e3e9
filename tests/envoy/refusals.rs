//! OSS's refusals in every form, in Envoy 1.40 set up in each way.

use crate::common::refusals::{check, check_versions_of_http, setups};
use testkit::tools;

#[test]
fn no_form_of_a_refusal_hurts() {
    testkit::in_parallel(setups(&tools::envoy()), |setup| check(&setup));
}

#[test]
fn nothing_leaks_by_any_version_of_http() {
    check_versions_of_http(&tools::envoy());
}
