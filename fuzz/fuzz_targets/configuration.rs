#![no_main]
//! A configuration is accepted or refused with a message.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth::config::Config;

fuzz_target!(|text: &[u8]| {
    match Config::parse(text, |name| (name.len() < 9).then(|| "sesame".to_owned())) {
        Ok(config) => {
            let _ = config.route(text);
            assert!(!format!("{config:?}").contains("sesame"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
