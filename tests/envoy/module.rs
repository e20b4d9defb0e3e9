//! The module, as it is shipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use testkit::tools;

fn module() -> Vec<u8> {
    std::fs::read(tools::filter_wasm()).expect("the module; `cargo xtask build` makes it")
}

fn has(module: &[u8], text: &str) -> bool {
    module
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn it_is_small() {
    let size = module().len();
    assert!(size <= 340 << 10, "{size} bytes are more than 340 KiB");
}

#[test]
fn envoy_calls_nothing_of_it_that_does_nothing() {
    let module = module();
    for used in ["proxy_abi_version_0_2_1", "proxy_on_request_headers"] {
        assert!(has(&module, used), "{used}");
    }
    for unused in [
        "proxy_on_log",
        "proxy_on_done",
        "proxy_on_downstream_data",
        "oss_origin_auth_on_response_body",
    ] {
        assert!(!has(&module, unused), "{unused}");
    }
}

#[test]
fn it_tells_nothing_of_the_machine_that_built_it() {
    let module = module();
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    for folder in [
        tools::root().display().to_string(),
        format!("{home}/.cargo"),
    ] {
        assert!(!has(&module, &folder), "{folder}");
    }
}
