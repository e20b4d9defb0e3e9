//! Hosts of the core that are nothing but memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "test support, of which no test file uses all"
)]

pub mod asked;
pub mod node;
pub mod store;
pub mod world;

/// Each of these tests, on each host.
#[macro_export]
macro_rules! on_both_hosts {
    ($($test:ident)*) => {
        mod one_thread_with_everything {
            $(#[test] fn $test() { super::$test::<super::Solo>(); })*
        }
        mod one_fetches_and_others_serve {
            $(#[test] fn $test() { super::$test::<super::Fleet>(); })*
        }
    };
}
