#![no_main]
//! Every error of OSS has a cause, a name and a fix.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth::diagnosis::{Answer, diagnose};

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, ec, body) = input;
    let cause = diagnose(&Answer { status, ec, body });
    assert!(!cause.name().is_empty() && !cause.fix().is_empty());
});
