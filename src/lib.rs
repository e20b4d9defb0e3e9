//! An Envoy proxy-wasm filter that signs requests to private Alibaba Cloud OSS
//! buckets. `docs/DESIGN.md` describes how the modules work together.

pub mod config;
pub mod credentials;
pub mod diagnosis;
pub mod flow;
#[cfg(target_arch = "wasm32")]
mod host;
pub mod json;
pub mod log_limit;
pub mod request;
pub mod response;
pub mod signing;
pub mod waiting;
