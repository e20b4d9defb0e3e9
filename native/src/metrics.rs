//! The statistics of a configuration. Envoy lets them be defined only while the
//! configuration is made, so all that there may be are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use oss_origin_auth_core::metrics::{Counter, Gauge, WAITS, counter_name, counters, gauge_name};

use crate::abi::{Configuration, Filter, Metric, MetricKind, Result};

/// Envoy's ids of them, for all threads.
#[derive(Debug)]
pub struct Metrics {
    counters: Vec<(Counter, Metric)>,
    /// By their names.
    gauges: Vec<(String, Metric)>,
    waits: Metric,
    /// What the main thread has counted and Envoy 1.38 has no function to tell: the next
    /// stream does.
    untold: Mutex<Vec<(Metric, u64)>>,
    has_untold: AtomicBool,
}

impl Metrics {
    /// Defines them. `accounts`: the operator's names of the credentials.
    pub fn define<'a>(
        config: Configuration,
        accounts: impl Iterator<Item = &'a str>,
    ) -> Result<Metrics> {
        let counter = |counter| {
            let metric = config.define(MetricKind::Counter, &counter_name(counter))?;
            Ok((counter, metric))
        };
        let of_accounts = accounts.flat_map(|name| [Gauge::Valid(name), Gauge::SecondsLeft(name)]);
        let gauge = |gauge| {
            let name = gauge_name(gauge);
            config
                .define(MetricKind::Gauge, &name)
                .map(|metric| (name, metric))
        };
        Ok(Metrics {
            counters: counters().map(counter).collect::<Result<_>>()?,
            gauges: of_accounts
                .chain([Gauge::ClockCorrection])
                .map(gauge)
                .collect::<Result<_>>()?,
            waits: config.define(MetricKind::Histogram, WAITS)?,
            untold: Mutex::default(),
            has_untold: AtomicBool::new(false),
        })
    }

    /// What a counter is to Envoy.
    pub fn counter(&self, counter: Counter) -> Option<Metric> {
        let found = self.counters.iter().find(|(known, _)| *known == counter);
        found.map(|(_, metric)| *metric)
    }

    /// What a gauge is to Envoy.
    pub fn gauge(&self, gauge: Gauge) -> Option<Metric> {
        let name = gauge_name(gauge);
        let found = self.gauges.iter().find(|(known, _)| *known == name);
        found.map(|(_, metric)| *metric)
    }

    /// What the times of waiting are to Envoy.
    pub fn waits(&self) -> Metric {
        self.waits
    }

    /// Tells Envoy from the main thread.
    pub fn record_on_main(&self, config: Configuration, metric: Metric, value: u64) {
        if config.record(metric, value).is_err() {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            // Of a gauge the last value counts, and there are but a few.
            untold.retain(|(known, _)| *known != metric || !metric.is_gauge());
            if untold.len() < MOST_UNTOLD {
                untold.push((metric, value));
            }
            self.has_untold.store(true, Ordering::Release);
        }
    }

    /// Tells Envoy from a stream, and what the main thread could not.
    pub fn record(&self, filter: Filter, metric: Metric, value: u64) {
        filter.record(metric, value);
        if self.has_untold.load(Ordering::Relaxed) && self.has_untold.swap(false, Ordering::Acquire)
        {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            for (metric, value) in untold.drain(..) {
                filter.record(metric, value);
            }
        }
    }
}

/// A main thread without requests counts a fetch now and then.
const MOST_UNTOLD: usize = 1_000;
