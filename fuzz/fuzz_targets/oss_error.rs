#![no_main]
//! Every error of OSS has a verdict, a cause, a name and a fix.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::diagnosis::{Answer, diagnose, header_xml, judge};

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, ec, body) = input;
    let header = header_xml(body);
    for xml in [body, &header] {
        let answer = Answer { status, ec, xml };
        let _ = judge(&answer);
        let cause = diagnose(&answer);
        assert!(!cause.name().is_empty() && !cause.fix().is_empty());
    }
});
