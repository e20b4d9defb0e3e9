//! The metrics that Prometheus scrapes at `/metrics`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The counters, gauges and histograms of the sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    valid: Family<Name, Gauge>,
    expiry: Family<Name, Gauge>,
    refreshed: Family<Name, Gauge>,
    fetches: Family<FetchLabels, Counter>,
    duration: Family<Name, Histogram, fn() -> Histogram>,
    requests: Family<Status, Counter>,
    evicted: Counter,
    /// The lock that allows one scrape at a time: each lists the names again.
    scrape: Mutex<()>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Name {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FetchLabels {
    name: String,
    /// `ok`, or a word for the failure.
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    /// Registers all metrics, with nothing counted.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("sts_sidecar");
        let valid = Family::default();
        let expiry = Family::default();
        let refreshed = Family::default();
        let fetches = Family::default();
        let duration: Family<Name, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
            });
        let requests = Family::default();
        let evicted = Counter::default();
        let help = "Whether there are credentials that are valid now";
        registry.register("credentials_valid", help, Family::clone(&valid));
        let help = "When the credentials expire, in Unix time; absent if that is not known, or there are none";
        registry.register_with_unit(
            "credentials_expiry_timestamp",
            help,
            Unit::Seconds,
            Family::clone(&expiry),
        );
        let help = "When credentials were last fetched, in Unix time";
        registry.register_with_unit(
            "last_refresh_timestamp",
            help,
            Unit::Seconds,
            Family::clone(&refreshed),
        );
        let help = "Fetches of credentials, by result: ok, or the cause of the failure";
        registry.register("fetches", help, Family::clone(&fetches));
        let help = "How long fetches took";
        registry.register_with_unit(
            "fetch_duration",
            help,
            Unit::Seconds,
            Family::clone(&duration),
        );
        let help = "Requests for credentials that were answered, by status";
        registry.register("requests", help, Family::clone(&requests));
        let help = "Connections without a right to credentials that were closed to make room";
        registry.register("connections_evicted", help, Counter::clone(&evicted));
        Metrics {
            registry,
            valid,
            expiry,
            refreshed,
            fetches,
            duration,
            requests,
            evicted,
            scrape: Mutex::default(),
        }
    }

    /// Counts a fetch of `name` that ended at `now`, in seconds since 1970. `failed` is a word
    /// for the failure, if it failed.
    pub fn fetched(&self, name: &str, failed: Option<&'static str>, took: Duration, now: u64) {
        let named = Name { name: name.into() };
        self.duration
            .get_or_create(&named)
            .observe(took.as_secs_f64());
        if failed.is_none() {
            self.refreshed.get_or_create(&named).set(now as i64);
        }
        let fetch = FetchLabels {
            name: name.into(),
            result: failed.unwrap_or("ok"),
        };
        self.fetches.get_or_create(&fetch).inc();
    }

    /// Counts a request for credentials that was answered with `status`.
    pub fn answered(&self, status: u16) {
        self.requests.get_or_create(&Status { status }).inc();
    }

    /// Forgets a name that a reload removed. `results` are all words that a fetch may end with.
    pub fn forget(&self, name: &str, results: impl Iterator<Item = &'static str>) {
        let named = Name { name: name.into() };
        self.duration.remove(&named);
        self.refreshed.remove(&named);
        for result in results {
            let name = name.into();
            self.fetches.remove(&FetchLabels { name, result });
        }
    }

    /// Counts a connection that was closed to make room for others.
    pub fn evicted(&self) {
        self.evicted.inc();
    }

    /// Writes all metrics in the text format of OpenMetrics.
    pub fn text<'a>(&self, names: impl Iterator<Item = Shown<'a>>) -> String {
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that a reload removed are no longer shown.
        self.valid.clear();
        self.expiry.clear();
        for shown in names {
            let name = Name {
                name: shown.name.into(),
            };
            self.valid.get_or_create(&name).set(shown.is_valid.into());
            if let Some(expires) = shown.expires {
                let expires = i64::try_from(expires).unwrap_or(i64::MAX);
                self.expiry.get_or_create(&name).set(expires);
            }
        }
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The values that the metrics show for one name.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The name.
    pub name: &'a str,
    /// Whether the name has valid credentials now.
    pub is_valid: bool,
    /// When its credentials expire, in seconds since 1970, if they do.
    pub expires: Option<u64>,
}
