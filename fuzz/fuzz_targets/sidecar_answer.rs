#![no_main]
//! A sidecar's body is credentials or an error, and an entry in shared data is
//! read back as it was written.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::fetch::answer::{self, Answer};
use oss_origin_auth_core::fetch::entry::{Entry, Timing};

const NOW: u64 = 1_764_946_083;

fuzz_target!(|body: &[u8]| {
    let timing = Timing { clock_margin: 5_000, refresh_margin: None, fetch_timeout: 2_000 };
    let foreign = Entry::decode(body);
    let _ = foreign.begin(1, NOW * 1000, &timing);
    let answer = Answer::Given { status: 200, size: body.len(), body };
    match answer::read(answer, NOW * 1000, 0) {
        Err(error) => drop(error.to_string()),
        Ok(credentials) => {
            assert!(credentials.access_key_id.bytes().all(|b| b.is_ascii_graphic()));
            let entry = foreign.succeed(1, credentials, NOW * 1000, &timing, 3);
            assert_eq!(Entry::decode(&entry.encode()), entry);
        }
    }
});
