//! The native module in the versions of Envoy that load it, and in one that does not.

use testkit::tools::{self, envoy_version};
use testkit::{EnvoyBuilder, Process};

use crate::common::filter;
use crate::common::native::{check_basics, check_overflows};

#[test]
fn envoy_1_38_3_and_1_39_3_load_it() {
    for version in ["1.38.3", "1.39.3"] {
        let envoy = envoy_version(version);
        check_basics(&envoy);
        check_overflows(&envoy);
    }
}

/// Its ABI is another.
#[test]
fn envoy_1_37_0_says_that_it_does_not_load_it() {
    let mut builder = EnvoyBuilder::new(filter(), 1, 1);
    builder.binary = envoy_version("1.37.0");
    let mut process: Process = builder.launch();
    assert_eq!(process.wait(), Some(1));
    let output = process.output();
    assert!(output.contains(tools::MODULE_NAME), "{output}");
    println!("{output}");
}
