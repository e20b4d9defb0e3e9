//! What no V4 signer in wasm can do without: reads the request's headers once,
//! adds four headers, and hashes as much as a signature with a security token
//! does. It decides nothing and signs nothing: what the filter costs beyond
//! this is what could still be saved. The configuration says how many of the
//! three steps it takes, so that each one's cost shows: `1`, `2` or `3`.
#![cfg(target_arch = "wasm32")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType};
use sha2::{Digest, Sha256};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::<Root>::default());
}}

#[derive(Default)]
struct Root {
    steps: u8,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, 1);
        let digit = text.ok().flatten().and_then(|text| text.first().copied());
        self.steps = digit.unwrap_or(b'3').saturating_sub(b'0');
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { steps: self.steps }))
    }
}

struct Stream {
    steps: u8,
}

impl Context for Stream {}

/// A canonical request with a token of 700 bytes, and the two hashes of an
/// HMAC of its digest whose key has been absorbed.
const HASHED: [usize; 3] = [980, 142, 32];
const TOKEN: [u8; 700] = [b't'; 700];
const AUTHORIZATION: [u8; 170] = [b'a'; 170];

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut digest = header_map().len() as u8;
        if self.steps < 2 {
            return Action::Continue;
        }
        for length in HASHED.into_iter().filter(|_| self.steps > 2) {
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
            let _ = hostcalls::add_map_value_bytes(MapType::HttpRequestHeaders, name, value);
        }
        Action::Continue
    }
}

/// As the host serializes it: the SDK's own call makes two copies of each header.
fn header_map() -> Vec<u8> {
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    }
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host puts there what it got from `proxy_on_memory_allocate`,
    // which makes a Vec of exactly this capacity and forgets it.
    unsafe {
        match proxy_get_header_map_pairs(MapType::HttpRequestHeaders as u32, &mut data, &mut size) {
            0 if !data.is_null() => Vec::from_raw_parts(data, size, size),
            _ => Vec::new(),
        }
    }
}
