//! A real Envoy, the sidecar and a fake OSS, for the tests, the demo and the benchmarks. Any
//! error here fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

pub mod alibaba;
pub mod attack;
pub mod clients;
pub mod demo;
pub mod discovery;
pub mod docker;
pub mod documents;
pub mod dynamic;
pub mod envoy;
pub mod generated;
pub mod host;
pub mod http;
pub mod http2;
pub mod keys;
pub mod load;
pub mod origin;
pub mod process;
pub mod recorder;
pub mod rendered;
pub mod shipped;
pub mod sidecar;
pub mod sidecar_soak;
pub mod signed_url;
pub mod soak;
pub mod stub;
pub mod tools;

pub use alibaba::FakeAlibaba;
pub use envoy::{Envoy, EnvoyBuilder, Position};
pub use http::{Request, Response, SendError};
pub use process::{Process, free_port, in_parallel};
pub use recorder::Recorder;
pub use stub::StubSidecar;
