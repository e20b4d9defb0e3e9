//! An Envoy proxy-wasm filter that signs requests to private Alibaba Cloud OSS
//! buckets. `docs/DESIGN.md` describes how the modules work together.

pub mod config;
pub mod credentials;
pub mod signing;
