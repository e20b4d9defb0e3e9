//! What is measured, as values.

use std::collections::BTreeMap;

/// The chain without a filter.
pub const BASE: &str = "no-filter";
/// The same once more: what it differs by is the error of what is measured.
pub const AGAIN: &str = "no-filter-again";
/// The wasm filter where it stands by default.
pub const OURS: &str = "v4-upstream";
/// The same as a dynamic module.
pub const NATIVE: &str = "native-upstream";

/// The bytes of a large body.
pub const LARGE: usize = 16 << 20;
/// The connections of h2load, unless it is told otherwise.
pub const CONNECTIONS: u32 = 16;

/// CPU time of Envoy in seconds, by chain: one value a round.
pub type Costs = BTreeMap<&'static str, Vec<f64>>;

/// All that was measured.
#[derive(Default)]
pub struct Measured {
    pub rounds: usize,
    pub requests: u32,
    /// The rounds of `both`, and the requests of each.
    pub short: (usize, u32),
    /// Costs per request of both hosts and their peers alone, in many short rounds.
    pub both: Costs,
    /// Costs per request, beside the peers; every request is for another object.
    pub small: Costs,
    /// The same with one object.
    pub hot: Costs,
    /// The same of the steps that make the floor.
    pub floor: Costs,
    /// The same with many routes and credentials.
    pub scale: Costs,
    /// Costs per request with 20 more headers.
    pub headers: Costs,
    /// Costs per body of [`LARGE`] bytes.
    pub large: Costs,
    /// Microseconds of each request at a fixed rate.
    pub latency: Vec<(&'static str, Vec<u64>)>,
    pub workers: Vec<Workers>,
    pub starts: Vec<Start>,
    /// Instructions by chain.
    pub instructions: BTreeMap<String, Added>,
    /// The size of the wasm filter.
    pub module_bytes: u64,
    /// The size of the dynamic module, as it was built for this run.
    pub native_bytes: u64,
}

/// What an Envoy with some number of workers takes.
pub struct Workers {
    pub workers: u32,
    pub chain: &'static str,
    /// Seconds per request.
    pub cost: f64,
    /// The resident memory after the load.
    pub kib: u64,
}

/// What a new Envoy takes, in seconds.
pub struct Start {
    pub chain: &'static str,
    /// Until it serves.
    pub serves: f64,
    /// The very first request, which waits for credentials if it is signed.
    pub first_request: f64,
    pub second_request: f64,
}

/// Instructions per request: more than no filter takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added {
    /// For objects that were not asked for before.
    pub others: f64,
    /// For one object, again and again.
    pub one: f64,
    /// For a large body.
    pub large: f64,
    /// What a large body takes without a filter.
    pub large_without: f64,
}
