//! What needs more than `cargo xtask setup` installs: Docker, Prometheus, other
//! versions of Envoy, the clients that people have. `cargo xtask test --all` provides them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod compose;
mod edge;
mod envoys;
mod native_envoys;
mod observability;
mod released;
mod released_images;
mod released_native;
