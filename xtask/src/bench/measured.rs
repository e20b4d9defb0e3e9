//! The results of the measurements, as values.

use std::collections::BTreeMap;

/// The chain without a filter.
pub const BASE: &str = "no-filter";
/// The chain without a filter a second time: the difference is the error of the measurement.
pub const AGAIN: &str = "no-filter-again";
/// The wasm filter in its default position.
pub const OURS: &str = "v4-upstream";
/// The dynamic module in that position.
pub const NATIVE: &str = "native-upstream";

/// The bytes of a large body.
pub const LARGE: usize = 16 << 20;
/// The number of h2load's connections, unless another is given.
pub const CONNECTIONS: u32 = 16;

/// The percentiles of the latency that are measured.
pub const PERCENTILES: [usize; 3] = [50, 90, 99];

/// The CPU time of Envoy in seconds, by chain, with one value for each round.
pub type Costs = BTreeMap<&'static str, Vec<f64>>;

/// The results of all measurements.
#[derive(Default)]
pub struct Measured {
    pub rounds: usize,
    pub requests: u32,
    /// The rounds of `both`, and the requests of each.
    pub short: (usize, u32),
    /// The cost of a request with both hosts and their peers alone, in many short rounds.
    pub both: Costs,
    /// The cost of a request beside the peers; every request is for another object.
    pub small: Costs,
    /// The cost of a request for a single object.
    pub hot: Costs,
    /// The cost of a request in the steps from the floor to the filter.
    pub floor: Costs,
    /// The cost of a request with many routes and credentials.
    pub scale: Costs,
    /// The cost of a request with 20 more headers.
    pub headers: Costs,
    /// The cost of a body of [`LARGE`] bytes.
    pub large: Costs,
    /// The latency at a fixed rate, for each of [`PERCENTILES`]: seconds in each round.
    pub latency: [Costs; 3],
    pub workers: Vec<Workers>,
    pub starts: Vec<Start>,
    /// The instructions by chain.
    pub instructions: BTreeMap<String, Added>,
    /// The size of the wasm filter.
    pub module_bytes: u64,
    /// The size of the dynamic module, as it was built for this run.
    pub native_bytes: u64,
}

/// The cost and the memory of an Envoy with some number of workers.
pub struct Workers {
    pub workers: u32,
    pub chain: &'static str,
    /// The seconds for each request.
    pub cost: f64,
    /// The resident memory after the load.
    pub kib: u64,
}

/// The times of a new Envoy, in seconds.
pub struct Start {
    pub chain: &'static str,
    /// The time until it serves.
    pub serves: f64,
    /// The time of the very first request, which waits for credentials if it is signed.
    pub first_request: f64,
    pub second_request: f64,
}

/// The instructions that a chain adds to a request without a filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added {
    /// The instructions for objects that were not requested before.
    pub others: f64,
    /// The instructions for a single object, again and again.
    pub one: f64,
    /// The instructions for a large body.
    pub large: f64,
    /// The instructions for a large body without a filter.
    pub large_without: f64,
}
