//! The core's host, implemented with Envoy's functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use log::Level;
use oss_origin_auth_core::fetch::SharedData;
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::host::{Attribute, Host, Note, Response};
use oss_origin_auth_core::metrics::{Counter, Gauge};

use crate::abi::{self, Configuration, Filter, MetadataOf, Metric, Part};
use crate::metrics::Metrics;
use crate::{store, ticker};

/// The number of a stream of this thread; it is never used again.
pub type Handle = u64;

/// The hook that Envoy is calling.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// No hook.
    Nowhere,
    /// A hook of a stream.
    Stream(Filter),
    /// A hook of the configuration, on the main thread.
    Main(Configuration),
}

/// The functions of Envoy that the current hook may use.
#[derive(Debug)]
pub struct Envoy {
    /// The current hook.
    pub place: Place,
    /// The fetches to perform after this hook.
    pub fetches: Vec<Fetch>,
    /// The streams to wake after this hook.
    pub woken: Vec<Handle>,
    /// The id of the configuration.
    module: u64,
    metrics: Arc<Metrics>,
}

impl Envoy {
    /// The host of the configuration with this id and these metrics.
    pub fn new(module: u64, metrics: Arc<Metrics>) -> Envoy {
        Envoy {
            place: Place::Nowhere,
            fetches: Vec::new(),
            woken: Vec::new(),
            module,
            metrics,
        }
    }

    fn filter(&self) -> Option<Filter> {
        match self.place {
            Place::Stream(filter) => Some(filter),
            Place::Nowhere | Place::Main(_) => None,
        }
    }

    fn record(&self, metric: Option<Metric>, value: u64) {
        match (self.place, metric) {
            (Place::Stream(filter), Some(metric)) => self.metrics.record(filter, metric, value),
            (Place::Main(config), Some(metric)) => {
                self.metrics.record_on_main(config, metric, value);
            }
            (Place::Nowhere, _) | (_, None) => {}
        }
    }
}

impl Host for Envoy {
    type Handle = Handle;

    fn now(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        now.as_millis().try_into().ok()
    }

    fn log(&self, level: Level, message: &str) {
        abi::log(level, &["oss-origin-auth: ", message].concat());
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.record(self.metrics.counter(counter), by);
    }

    fn gauge(&mut self, gauge: Gauge, value: u64) {
        self.record(self.metrics.gauge(gauge), value);
    }

    fn record_wait(&mut self, milliseconds: u64) {
        self.record(Some(self.metrics.waits()), milliseconds);
    }

    fn callout(&mut self, fetch: Fetch) {
        self.fetches.push(fetch);
    }

    fn wake(&mut self, handle: Handle) {
        self.woken.push(handle);
    }

    fn attribute(&self, attribute: Attribute) -> Vec<u8> {
        let Some(filter) = self.filter() else {
            return Vec::new();
        };
        match attribute {
            Attribute::RouteName => filter.text(abi::Attribute::RouteName),
            Attribute::ClusterName => filter.cluster_name(),
            Attribute::RouteMetadata => filter.metadata(MetadataOf::Route, NAMESPACE, "config"),
            Attribute::ClusterMetadata => filter.metadata(MetadataOf::Cluster, NAMESPACE, "config"),
        }
    }

    fn attempt(&self) -> u64 {
        let Some(filter) = self.filter() else {
            return 0;
        };
        if let Some(attempt) = attempts(filter) {
            return attempt;
        }
        // Only a request on a cluster has an upstream, and only an attempt leaves a note.
        match filter.text(abi::Attribute::UpstreamAddress).as_slice() {
            [] => 0,
            _ if [Note::Mapped, Note::Rule]
                .iter()
                .all(|note| self.noted(*note).is_empty()) =>
            {
                1
            }
            _ => 2,
        }
    }

    fn noted(&self, note: Note) -> Vec<u8> {
        let filter = self.filter();
        let noted = filter.map(|filter| filter.metadata(MetadataOf::Stream, NAMESPACE, key(note)));
        noted.unwrap_or_default()
    }

    // A module can set a value of Envoy's filter state only once, but each attempt must replace
    // the note of the earlier one. So notes are stored in metadata.
    fn note(&mut self, note: Note, value: &[u8]) -> bool {
        let filter = self.filter();
        if let Some(filter) = filter {
            filter.set_metadata(NAMESPACE, key(note), value);
        }
        filter.is_some()
    }
}

/// The number of attempts that have begun for a filter's request. Among the listener's filters
/// it is 0 until the request has passed them.
pub fn attempts(filter: Filter) -> Option<u64> {
    /// Whether Envoy lacks this attribute, as 1.38 does, which logs an error at every query.
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_MISSING.load(Ordering::Relaxed) {
        return None;
    }
    let attempts = filter.number(abi::Attribute::AttemptCount);
    if attempts.is_none() {
        IS_MISSING.store(true, Ordering::Relaxed);
    }
    attempts
}

/// The namespace of the settings in a route's and a cluster's metadata, and of the notes in a
/// stream's own metadata.
const NAMESPACE: &str = "oss_origin_auth";

fn key(note: Note) -> &'static str {
    match note {
        Note::Mapped => "mapped",
        Note::Rule => "rule",
        Note::Suspect => "refused",
        Note::Credentials => "credentials",
        Note::Cause => "cause",
    }
}

impl SharedData for Envoy {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        store::get(key)
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        let is_set = store::set(key, value, cas);
        if is_set {
            match self.place {
                // Requests may wait for the new data.
                Place::Main(_) => ticker::call_waiting(),
                // The main thread may have to begin a fetch.
                Place::Stream(_) | Place::Nowhere => ticker::call(self.module),
            }
        }
        is_set
    }
}

/// A response that passes.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// The filter of the response.
    pub filter: Filter,
    /// Whether it reads the headers or the trailers.
    pub part: Part,
}

impl Response for Passing {
    fn header(&self, name: &str) -> Vec<u8> {
        self.filter.header(self.part, name)
    }

    fn names(&self) -> Vec<Vec<u8>> {
        self.filter.headers(self.part, |headers| {
            headers.iter().map(|(name, _)| name.to_vec()).collect()
        })
    }

    fn body(&self, most: usize) -> Vec<u8> {
        self.filter.response_body(most)
    }
}
