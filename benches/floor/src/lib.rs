//! What no V4 signer in wasm can do without: reads the request's headers once,
//! hashes as much as a signature with a security token does, sets the four
//! headers, and reads the status of the answer. It decides nothing and signs
//! nothing: what the filter costs beyond this is what could still be saved.
#![cfg(target_arch = "wasm32")]

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType};
use sha2::{Digest, Sha256};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;

impl Context for Stream {}

/// A canonical request with a token of 700 bytes, and the two hashes of an
/// HMAC of its digest whose key has been absorbed.
const HASHED: [usize; 3] = [980, 142, 32];
const TOKEN: [u8; 700] = [b't'; 700];
const AUTHORIZATION: [u8; 170] = [b'a'; 170];

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let headers = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default();
        let mut digest = headers.len() as u8;
        for length in HASHED {
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
            let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let _ = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status");
        Action::Continue
    }
}
