//! What needs the built filter, the sidecar, a real Envoy or the fake OSS: `cargo
//! xtask test` provides them, and runs each test in a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod access_retries;
mod access_urls;
mod causes;
mod changes;
mod conditions;
mod configuration;
mod credentials;
mod differences;
mod doctor;
mod doctor_envoy;
mod doctor_faults;
mod doctor_way;
mod documents;
mod fake;
mod from_cdn;
mod guards;
mod lapse;
mod manifests;
mod module;
mod native;
mod native_memory;
mod native_signature;
mod native_waiting;
mod objects;
mod policies;
mod policy;
mod readme;
mod refusals;
mod rendered;
mod rewrites;
mod rotation;
mod route_settings;
mod rules;
mod shipped;
mod shipped_access;
mod shipped_cache;
mod shipped_copies;
mod shipped_cuts;
mod shipped_keys;
mod shipped_native;
mod shipped_origin;
mod shipped_web;
mod sidecar;
mod sidecar_callers;
mod sidecar_limits;
mod sidecar_process;
mod sources;
mod sources_settings;
mod world;
mod world_bodies;
mod world_requests;
mod xds;
mod xds_cluster;
mod xds_credentials;
