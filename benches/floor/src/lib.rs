//! What a filter in wasm on the SDK that does to a message what ours does cannot do without:
//! it has the filter's callbacks, reads the request's headers once, lets the same headers
//! leave (it removes three, and adds four of the same lengths), reads the status of the
//! answer, and hashes as many bytes as a V4 signature with a security token takes. It decides
//! nothing and signs nothing: what the filter costs beyond this is our own code. The
//! configuration says how many of the four steps it takes, so that each one's cost shows:
//! `1` to `4`.
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
        self.steps = digit.unwrap_or(b'4').saturating_sub(b'0');
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

/// A canonical request for `/objects/00000000.txt` of `demo-bucket`, with a token of 700
/// bytes; and what an HMAC of its digest hashes behind the blocks that the filter keeps:
/// the end of the string to sign, and the digest of that.
const HASHED: [usize; 3] = [845, 79, 32];
/// What Envoy adds to a request, and OSS is not to see.
const REMOVED: [&str; 3] = [
    "x-request-id",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-original-host",
];
const TOKEN: [u8; 700] = [b't'; 700];
/// That of the bench's AccessKey: its scope, and 64 digits.
const AUTHORIZATION: [u8; 157] = [b'a'; 157];

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let request = MapType::HttpRequestHeaders;
        let mut digest = header_map(request).len() as u8;
        if self.steps < 2 {
            return Action::Continue;
        }
        for length in HASHED.into_iter().filter(|_| self.steps > 3) {
            let bytes = [digest; 1024];
            digest = Sha256::digest(bytes.get(..length).unwrap_or_default())[0];
        }
        for name in REMOVED {
            let _ = hostcalls::remove_map_value(request, name);
        }
        let mut authorization = AUTHORIZATION;
        authorization[0] = b'a' + digest % 26;
        for (name, value) in [
            ("authorization", &authorization[..]),
            ("x-oss-date", b"20251205T144803Z"),
            ("x-oss-content-sha256", b"UNSIGNED-PAYLOAD"),
            ("x-oss-security-token", &TOKEN),
        ] {
            let _ = hostcalls::add_map_value_bytes(request, name, value);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.steps > 2 {
            let _ = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status");
        }
        Action::Continue
    }
}

/// As the host serializes it: the SDK's own call makes two copies of each header.
fn header_map(map: MapType) -> Vec<u8> {
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    }
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host puts there what it got from `proxy_on_memory_allocate`, which makes a
    // Vec of exactly this capacity and forgets it.
    unsafe {
        match proxy_get_header_map_pairs(map as u32, &mut data, &mut size) {
            0 if !data.is_null() => Vec::from_raw_parts(data, size, size),
            _ => Vec::new(),
        }
    }
}
