//! What is measured, as values.

use std::collections::BTreeMap;
use std::time::Duration;

/// The chain without a filter.
pub const BASE: &str = "no-filter";
/// The same once more: what it differs by is the error of what is measured.
pub const AGAIN: &str = "no-filter-again";

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
    pub start: Option<Start>,
    /// Instructions by chain.
    pub instructions: BTreeMap<String, Added>,
    pub module_bytes: u64,
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

/// What a new Envoy takes.
pub struct Start {
    pub without: Duration,
    pub with: Duration,
    /// The very first request, which waits for credentials.
    pub first_request: Duration,
    pub second_request: Duration,
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
