//! What no V4 signer in wasm can do without: it has the filter's callbacks, reads the
//! request's headers once, adds four headers of the filter's lengths, and hashes as many
//! bytes as a signature with a security token takes. It decides nothing and signs nothing,
//! and has no SDK: what the filter costs beyond this is what could still be saved. The
//! configuration says how many of the three steps it takes, so that each one's cost shows:
//! `1`, `2` or `3`.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicU8, Ordering};

use sha2::{Digest, Sha256};

static STEPS: AtomicU8 = AtomicU8::new(3);

/// A canonical request for `/objects/00000000.txt` of `demo-bucket`, with a token of 700
/// bytes; and what an HMAC of its digest hashes behind the blocks that the filter keeps:
/// the end of the string to sign, and the digest of that.
const HASHED: [usize; 3] = [845, 79, 32];
const TOKEN: [u8; 700] = [b't'; 700];
/// That of the bench's AccessKey: its scope, and 64 digits.
const AUTHORIZATION: [u8; 157] = [b'a'; 157];

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: bool) -> u32 {
    let steps = STEPS.load(Ordering::Relaxed);
    let headers = taken(|data, size| unsafe { proxy_get_header_map_pairs(0, data, size) });
    let mut digest = headers.len() as u8;
    if steps < 2 {
        return CONTINUE;
    }
    for length in HASHED.into_iter().filter(|_| steps > 2) {
        let bytes = [digest; 1024];
        digest = Sha256::digest(bytes.get(..length).unwrap_or_default())[0];
    }
    let mut authorization = AUTHORIZATION;
    authorization[0] = b'a' + digest % 26;
    for (name, value) in [
        ("authorization", &authorization[..]),
        ("x-oss-date", b"20251205T144803Z"),
        ("x-oss-content-sha256", b"UNSIGNED-PAYLOAD"),
        ("x-oss-security-token", &TOKEN),
    ] {
        let (n, v) = (name.as_ptr(), value.as_ptr());
        // SAFETY: the host reads both, and keeps nothing of them.
        unsafe { proxy_add_header_map_value(0, n, name.len(), v, value.len()) };
    }
    CONTINUE
}

const CONTINUE: u32 = 0;

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_: u32, _: usize) -> bool {
    const PLUGIN_CONFIGURATION: u32 = 7;
    let text = taken(|data, size| unsafe {
        proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, 1, data, size)
    });
    let digit = text.first().copied().unwrap_or(b'3');
    STEPS.store(digit.saturating_sub(b'0'), Ordering::Relaxed);
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(_: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_: u32, _: u32, _: usize, _: usize, _: usize) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(_: u32, _: usize, _: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(_: u32, _: usize) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(_: u32, _: usize, _: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(_: u32, _: usize, _: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(_: u32, _: usize) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(_: u32) {}

/// Takes over what the host has put into memory that it asked this module for.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Vec<u8> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    match call(&mut data, &mut size) {
        // SAFETY: the host got it from `proxy_on_memory_allocate`, which makes a slice of
        // exactly this length and forgets it.
        0 if !data.is_null() => unsafe { Vec::from_raw_parts(data, size, size) },
        _ => Vec::new(),
    }
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> u32;
}
