#![no_main]
//! Every error of OSS has a verdict, a cause, a name and a fix; and what a client sees of
//! it has the listed elements alone.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::oss::error::{ErrorResponse, diagnose, header_xml, verdict};
use oss_origin_auth_core::oss::shown::without_secrets;
use oss_origin_auth_core::words::Word;

fuzz_target!(|input: (u16, &[u8], &[u8])| {
    let (status, ec, body) = input;
    let header = header_xml(body);
    for xml in [body, &header] {
        let error = ErrorResponse { status, ec, xml };
        let _ = verdict(&error);
        let cause = diagnose(&error);
        assert!(!cause.word().is_empty() && !cause.fix().is_empty());
        if let Some(shown) = without_secrets(xml) {
            // Of each element one, on a line that begins with its name.
            for line in shown.split(|byte| *byte == b'\n') {
                assert!(!line.starts_with(b"  <S"), "no StringToSign, no SecurityToken");
            }
            assert_eq!(without_secrets(&shown).as_deref(), Some(&*shown));
        }
    }
});
