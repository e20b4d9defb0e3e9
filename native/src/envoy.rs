//! Envoy, as the core asks for it.

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

/// A stream of this thread: no other has had this number.
pub type Handle = u64;

/// What Envoy calls now.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Nothing.
    Nowhere,
    /// A hook of a stream.
    Stream(Filter),
    /// A hook of the configuration, on the main thread.
    Main(Configuration),
}

/// Envoy's functions, for what it is calling now.
#[derive(Debug)]
pub struct Envoy {
    /// What it is calling.
    pub place: Place,
    /// Fetches to make once this hook is over.
    pub fetches: Vec<Fetch>,
    /// Streams to wake once this hook is over.
    pub woken: Vec<Handle>,
    /// The id of the configuration.
    module: u64,
    metrics: Arc<Metrics>,
}

impl Envoy {
    /// Of the configuration of this id, with its statistics.
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
        // A request has an upstream on a cluster alone, and only an attempt leaves a note.
        match filter.text(abi::Attribute::UpstreamAddress).as_slice() {
            [] => 0,
            _ if self.noted(Note::Mapped).is_empty() => 1,
            _ => 2,
        }
    }

    fn noted(&self, note: Note) -> Vec<u8> {
        let filter = self.filter();
        let noted = filter.map(|filter| filter.metadata(MetadataOf::Stream, NAMESPACE, key(note)));
        noted.unwrap_or_default()
    }

    // Of filter state Envoy lets a module set a value once, and an attempt must replace that
    // of the attempt before.
    fn note(&mut self, note: Note, value: &[u8]) -> bool {
        let filter = self.filter();
        if let Some(filter) = filter {
            filter.set_metadata(NAMESPACE, key(note), value);
        }
        filter.is_some()
    }
}

/// How many attempts at a filter's request have begun; 0 among a listener's filters, until the
/// request has passed them.
pub fn attempts(filter: Filter) -> Option<u64> {
    /// Envoy 1.38 does not tell, and says so in its log each time that it is asked.
    static IS_UNTOLD: AtomicBool = AtomicBool::new(false);
    if IS_UNTOLD.load(Ordering::Relaxed) {
        return None;
    }
    let attempts = filter.number(abi::Attribute::AttemptCount);
    if attempts.is_none() {
        IS_UNTOLD.store(true, Ordering::Relaxed);
    }
    attempts
}

/// Of metadata: of a route's and a cluster's, that hold settings, and of a stream's own.
const NAMESPACE: &str = "oss_origin_auth";

fn key(note: Note) -> &'static str {
    match note {
        Note::Mapped => "mapped",
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
                // Requests may wait for what has come.
                Place::Main(_) => ticker::call_waiting(),
                // The main thread may have to fetch.
                Place::Stream(_) | Place::Nowhere => ticker::call(self.module),
            }
        }
        is_set
    }
}

/// The response of a stream, as it passes.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// Whose it is.
    pub filter: Filter,
    /// Its headers or its trailers.
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
