//! Pieces of response bodies. Envoy hands over each piece of every body, and a module
//! cannot say for each response whether it wants them. Hardly any body is wanted, and
//! the way through the SDK costs some hundred instructions a piece, on top of entering
//! the VM. So `cargo xtask build` makes Envoy call this function in place of the
//! SDK's.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many streams there are whose bodies are wanted.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// While there is one of these, the pieces of bodies reach their streams.
#[derive(Debug)]
pub struct Wanted(());

impl Wanted {
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

/// `proxy_on_response_body` (ABI 0.2.1).
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
    // SAFETY: the SDK's function, with what Envoy has given for it.
    unsafe { proxy_on_response_body(context, size, end_of_stream) }
}

unsafe extern "C" {
    /// The SDK's.
    fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> u32;
}
