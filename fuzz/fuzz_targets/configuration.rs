#![no_main]
//! A configuration is accepted or refused with a message, and so are settings
//! in metadata.

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::config::{Config, Facts, RouteCache, RuleInput, Settings, Treatment};
use oss_origin_auth_core::fetch::account::AccountId;

fuzz_target!(|text: &[u8]| {
    match Config::parse(text, |name| (name.len() < 9).then(|| "sesame".to_owned())) {
        Ok(config) => {
            let input = RuleInput { route_name: text, cluster_name: text, authority: Some(text) };
            let facts = Facts { rule: config.rule_of(input), ..Facts::of_route(text) };
            let _ = config.treatment(&facts);
            assert!(config.unreachable_rules().iter().all(|(later, earlier)| earlier < later));
            assert!(!format!("{config:?}").contains("sesame"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let owner = br#"{"credentials":{"default":{"sidecar":{"cluster":"c"}}},"metadata":["route","cluster"]}"#;
    let config = Config::parse(owner, |_| None).expect("good");
    let mut cache = RouteCache::default();
    for metadata in [
        Facts { route_metadata: text.to_vec(), ..Facts::default() },
        Facts { cluster_metadata: text.to_vec(), ..Facts::default() },
    ] {
        if let Settings::Known(Treatment::Sign(route)) = cache.settings(&config, metadata) {
            assert_eq!(route.account, AccountId(0));
        }
    }
});
