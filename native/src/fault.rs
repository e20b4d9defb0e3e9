//! Catches panics. No panic is known; if one occurs, it ends neither a worker nor Envoy.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use log::Level;

use crate::abi;

/// Runs `act`, and returns `otherwise` if it panics.
pub fn guarded<T>(otherwise: T, act: impl FnOnce() -> T) -> T {
    panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or(otherwise)
}

/// Reports panics to Envoy's log: the place only, because the message may contain anything.
pub fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        panic::set_hook(Box::new(|info: &PanicHookInfo| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = format!("oss-origin-auth: internal error at {place}; please report it");
            abi::log(Level::Error, &message);
        }));
    });
}
