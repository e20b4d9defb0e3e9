//! The filter in each version of Envoy that it is made for: it serves, rotates,
//! heals, tries again and refuses, in both positions, however Envoy is set up.

use crate::common::Stack;
use crate::common::refusals::{check, check_versions_of_http, paired_setups, setups};
use testkit::tools::{ENVOYS, envoy_version, pairwise};

#[test]
fn envoy_1_36_4() {
    try_version("1.36.4");
}

#[test]
fn envoy_1_37_0() {
    try_version("1.37.0");
}

#[test]
fn envoy_1_39_3() {
    try_version("1.39.3");
}

#[test]
fn envoy_1_40_0() {
    try_version("1.40.0");
}

fn try_version(version: &str) {
    let envoy = envoy_version(version);
    let stack = Stack::start_with(|builder| builder.binary = envoy.clone());
    let told = stack.envoy.admin("/server_info");
    assert!(told.contains(&format!("/{version}/")), "{version}: {told}");
    drop(stack);

    let number = ENVOYS.iter().position(|known| *known == version).unwrap();
    let setups = match pairwise() {
        true => paired_setups(&envoy, number),
        false => setups(&envoy),
    };
    testkit::in_parallel(setups, |setup| check(&setup));
    check_versions_of_http(&envoy);
}
