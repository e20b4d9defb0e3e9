//! Where a panic ends. None is known; one that there is takes neither a worker nor Envoy
//! down.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use log::Level;

use crate::abi;

/// Runs this; if it panics, `otherwise`.
pub fn guarded<T>(otherwise: T, act: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or(otherwise)
}

/// Has panics told in Envoy's log: where, and not why, which may hold anything.
pub fn tell_envoy() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info: &PanicHookInfo| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = format!("oss-origin-auth: a fault at {place}; please report it");
            abi::log(Level::Error, &message);
        }));
    });
}
