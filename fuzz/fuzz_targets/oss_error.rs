#![no_main]
//! Every error of OSS has a verdict, a cause, a name and a fix.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::oss::error::{ErrorResponse, diagnose, header_xml, judge};
use oss_origin_auth_core::words::Word;

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, ec, body) = input;
    let header = header_xml(body);
    for xml in [body, &header] {
        let error = ErrorResponse { status, ec, xml };
        let _ = judge(&error);
        let cause = diagnose(&error);
        assert!(!cause.word().is_empty() && !cause.fix().is_empty());
    }
});
