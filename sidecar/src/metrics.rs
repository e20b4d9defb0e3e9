//! What Prometheus scrapes at `/metrics`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::error::Cause;
use crate::held::Held;

/// The counters, gauges and histograms of the sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    valid: Family<Name, Gauge>,
    expiry: Family<Name, Gauge>,
    refreshed: Family<Name, Gauge>,
    fetches: Family<Fetch, Counter>,
    duration: Family<Name, Histogram, fn() -> Histogram>,
    requests: Family<Status, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Name {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Fetch {
    name: String,
    /// One of the words of [`label`].
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
}

impl Metrics {
    /// Registers all metrics; nothing is counted yet.
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
        let help = "Whether there are credentials that are good now";
        registry.register("credentials_valid", help, Family::clone(&valid));
        let help = "When the credentials expire, in Unix time; absent if they never do";
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
        Metrics {
            registry,
            valid,
            expiry,
            refreshed,
            fetches,
            duration,
            requests,
        }
    }

    /// Counts a fetch of `name` that ended `now` with this outcome.
    pub fn fetched(
        &self,
        name: &str,
        outcome: Result<(), &Cause>,
        took: Duration,
        now: SystemTime,
    ) {
        let named = Name { name: name.into() };
        self.duration
            .get_or_create(&named)
            .observe(took.as_secs_f64());
        if outcome.is_ok()
            && let Ok(now) = now.duration_since(SystemTime::UNIX_EPOCH)
        {
            self.refreshed
                .get_or_create(&named)
                .set(now.as_secs() as i64);
        }
        let fetch = Fetch {
            name: name.into(),
            result: label(outcome),
        };
        self.fetches.get_or_create(&fetch).inc();
    }

    /// Counts a request for credentials that was answered with `status`.
    pub fn answered(&self, status: u16) {
        self.requests.get_or_create(&Status { status }).inc();
    }

    /// All metrics in the text format of OpenMetrics. `held`: each name, and the
    /// valid credentials that it has.
    pub fn text<'a>(&self, held: impl Iterator<Item = (&'a str, Option<Arc<Held>>)>) -> String {
        // Names that a reload took away are no longer shown.
        self.valid.clear();
        self.expiry.clear();
        for (name, held) in held {
            let name = Name { name: name.into() };
            self.valid.get_or_create(&name).set(held.is_some().into());
            if let Some(expires) = held.and_then(|held| held.expires) {
                self.expiry.get_or_create(&name).set(expires.as_second());
            }
        }
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The label `result` of a fetch.
fn label(outcome: Result<(), &Cause>) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(Cause::Refused { .. }) => "refused",
        Err(Cause::Status(_)) => "status",
        Err(Cause::Malformed) => "malformed",
        Err(Cause::TimedOut) => "timed_out",
        Err(Cause::Unreachable) => "unreachable",
        Err(Cause::Missing(_)) => "missing",
    }
}
