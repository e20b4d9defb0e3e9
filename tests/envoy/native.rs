//! What only the native module can get wrong: it lives in Envoy's own process.

use crate::common::native::{check_basics, check_overflows};

use testkit::tools;

#[test]
fn it_does_what_it_is_for() {
    check_basics(&tools::envoy());
}

#[test]
fn an_overflow_of_the_circuit_breakers_is_answered_by_envoy_which_lives() {
    check_overflows(&tools::envoy());
}
