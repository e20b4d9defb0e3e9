//! The core's host, implemented with Envoy's functions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Weak;
use std::time::Duration;

use oss_origin_auth_core::exchange::Exchange;
use oss_origin_auth_core::fetch::SharedData;
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::host::{Attribute, Host, Note, Response};
use oss_origin_auth_core::metrics::{Counter, Gauge, WAITS, counter_name, gauge_name};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType};

use crate::abi;

/// A stream of this worker, which may be gone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Envoy's id of the stream's context.
    pub stream: u32,
    /// The exchange of the stream.
    pub exchange: Weak<RefCell<Exchange<Handle>>>,
}

impl PartialEq for Handle {
    fn eq(&self, other: &Handle) -> bool {
        self.stream == other.stream
    }
}

/// The functions of Envoy, for the context that it is calling.
#[derive(Debug, Default)]
pub struct Envoy {
    /// The fetches to perform after this callback.
    pub fetches: Vec<Fetch>,
    /// The streams to wake after this callback.
    pub woken: Vec<Handle>,
    /// Envoy's ids of the statistics, by their names.
    metrics: BTreeMap<String, u32>,
}

impl Host for Envoy {
    type Handle = Handle;

    fn now(&self) -> Option<u64> {
        abi::now_ms().ok()
    }

    fn log(&self, level: log::Level, message: &str) {
        log::log!(level, "oss-origin-auth: {message}");
    }

    fn count(&mut self, counter: Counter, by: u64) {
        if let Some(id) = self.metric(MetricType::Counter, counter_name(counter)) {
            let _ = abi::increment(id, by);
        }
    }

    fn gauge(&mut self, gauge: Gauge, value: u64) {
        if let Some(id) = self.metric(MetricType::Gauge, gauge_name(gauge)) {
            let _ = abi::record(id, value);
        }
    }

    fn record_wait(&mut self, milliseconds: u64) {
        if let Some(id) = self.metric(MetricType::Histogram, WAITS.to_owned()) {
            let _ = abi::record(id, milliseconds);
        }
    }

    fn callout(&mut self, fetch: Fetch) {
        self.fetches.push(fetch);
    }

    fn wake(&mut self, handle: Handle) {
        self.woken.push(handle);
    }

    fn attribute(&self, attribute: Attribute) -> Vec<u8> {
        abi::property(match attribute {
            Attribute::RouteName => "xds\0route_name",
            Attribute::ClusterName => "xds\0cluster_name",
            Attribute::RouteMetadata => {
                "xds\0route_metadata\0filter_metadata\0oss_origin_auth\0config"
            }
            Attribute::ClusterMetadata => {
                "xds\0cluster_metadata\0filter_metadata\0oss_origin_auth\0config"
            }
        })
        .unwrap_or_default()
    }

    fn attempt(&self) -> u64 {
        // Envoy counts attempts only on the cluster, and encodes the number in eight bytes.
        let attempt = abi::property("upstream\0request_attempt_count").unwrap_or_default();
        attempt.try_into().map_or(0, u64::from_le_bytes)
    }

    fn noted(&self, note: Note) -> Vec<u8> {
        abi::property(name(note)).unwrap_or_default()
    }

    fn note(&mut self, note: Note, value: &[u8]) -> bool {
        abi::set_filter_state(name(note), value).is_ok()
    }
}

/// The name of a note in Envoy's filter state, where it follows the prefix `wasm.`.
fn name(note: Note) -> &'static str {
    match note {
        Note::Mapped => "oss_origin_auth.mapped",
        Note::Rule => "oss_origin_auth.rule",
        Note::Suspect => "oss_origin_auth.refused",
        Note::Credentials => "oss_origin_auth.credentials",
        Note::Cause => "oss_origin_auth.cause",
    }
}

impl Envoy {
    /// Envoy's id of a statistic, which is defined at its first use.
    fn metric(&mut self, kind: MetricType, name: String) -> Option<u32> {
        if let Some(id) = self.metrics.get(&name) {
            return Some(*id);
        }
        let id = abi::define_metric(kind, &name).ok()?;
        self.metrics.insert(name, id);
        Some(id)
    }
}

impl SharedData for Envoy {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        abi::shared_data(key)
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        abi::set_shared_data(key, value, cas).is_ok()
    }
}

/// The headers or trailers of a response that passes.
#[derive(Clone, Copy, Debug)]
pub struct Part(pub MapType);

impl Response for Part {
    fn header(&self, name: &str) -> Vec<u8> {
        abi::header(self.0, name).unwrap_or_default()
    }

    fn names(&self) -> Vec<Vec<u8>> {
        let headers = abi::header_map(self.0).unwrap_or_default();
        let pairs = abi::header_pairs(&headers);
        pairs.iter().map(|(name, _)| name.to_vec()).collect()
    }

    fn body(&self, most: usize) -> Vec<u8> {
        abi::buffer(BufferType::HttpResponseBody, most).unwrap_or_default()
    }
}

/// Sends a request for credentials and returns Envoy's token of it. `None` if the cluster does
/// not exist.
pub fn dispatch(fetch: &Fetch) -> Option<u32> {
    let sidecar = &fetch.sidecar;
    let headers = sidecar.request_headers(fetch.no_cache);
    hostcalls::dispatch_http_call(
        &sidecar.cluster,
        headers
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect(),
        None,
        Vec::new(),
        Duration::from_millis(sidecar.timeout_ms),
    )
    .ok()
}
