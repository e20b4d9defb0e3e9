//! What was once found by attacking the filter. Each test says in its failure what got
//! through. `cargo xtask attack` runs them, against any module; so does `cargo xtask
//! test`, against the one that is built here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

#[path = "../common/mod.rs"]
mod common;

#[macro_use]
mod stage;
mod errors;
mod generated;
mod headers;
mod hosts;
mod operations;
mod random;
mod routes;
mod signed_urls;
mod sources;
mod stray;
