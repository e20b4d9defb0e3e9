//! Pieces of response bodies. Envoy passes each piece of every body, and a module cannot refuse
//! them for a single response. Few bodies are wanted, and the SDK's dispatch costs some hundred
//! instructions for each piece, in addition to entering the VM. So `cargo xtask build` makes
//! Envoy call this function instead of the SDK's.

use std::sync::atomic::{AtomicU32, Ordering};

/// The number of streams whose bodies are wanted.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// While at least one of these exists, the pieces of bodies reach their streams.
#[derive(Debug)]
pub struct Wanted(());

impl Wanted {
    /// Makes the pieces of bodies reach their streams until this is dropped.
    pub fn new() -> Wanted {
        WANTED.fetch_add(1, Ordering::Relaxed);
        Wanted(())
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        WANTED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The callback `proxy_on_response_body` (ABI 0.2.1).
#[unsafe(no_mangle)]
extern "C" fn oss_origin_auth_on_response_body(
    context: u32,
    size: usize,
    end_of_stream: bool,
) -> u32 {
    const CONTINUE: u32 = 0;
    if WANTED.load(Ordering::Relaxed) == 0 {
        return CONTINUE;
    }
    // SAFETY: this is the SDK's function, and the arguments come from Envoy.
    unsafe { proxy_on_response_body(context, size, end_of_stream) }
}

unsafe extern "C" {
    /// The SDK's function.
    fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> u32;
}
