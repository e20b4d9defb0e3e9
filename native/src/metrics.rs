//! The statistics of a configuration. Envoy allows metrics to be defined only while the
//! configuration is created, so all possible ones are defined then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use oss_origin_auth_core::metrics::{Counter, Gauge, WAITS, counter_name, counters, gauge_name};

use crate::abi::{Configuration, Filter, Metric, MetricKind, Result};

/// Envoy's ids of the metrics, for all threads.
#[derive(Debug)]
pub struct Metrics {
    counters: Vec<(Counter, Metric)>,
    /// The gauges and their names.
    gauges: Vec<(String, Metric)>,
    waits: Metric,
    /// The counts of the main thread that Envoy 1.38 has no function for. The next stream
    /// reports them.
    unreported: Mutex<Vec<(Metric, u64)>>,
    has_untold: AtomicBool,
}

impl Metrics {
    /// Defines the metrics. `accounts` are the operator's names of the credentials.
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
            unreported: Mutex::default(),
            has_untold: AtomicBool::new(false),
        })
    }

    /// The metric of a counter.
    pub fn counter(&self, counter: Counter) -> Option<Metric> {
        let found = self.counters.iter().find(|(known, _)| *known == counter);
        found.map(|(_, metric)| *metric)
    }

    /// The metric of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> Option<Metric> {
        let name = gauge_name(gauge);
        let found = self.gauges.iter().find(|(known, _)| *known == name);
        found.map(|(_, metric)| *metric)
    }

    /// The metric of the waits.
    pub fn waits(&self) -> Metric {
        self.waits
    }

    /// Records a value on the main thread.
    pub fn record_on_main(&self, config: Configuration, metric: Metric, value: u64) {
        if config.record(metric, value).is_err() {
            let mut unreported = self
                .unreported
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // A newer value of a gauge replaces the older one. There are only a few gauges.
            unreported.retain(|(known, _)| *known != metric || !metric.is_gauge());
            if unreported.len() < MAX_UNREPORTED {
                unreported.push((metric, value));
            }
            self.has_untold.store(true, Ordering::Release);
        }
    }

    /// Records a value on a stream's thread, and those that the main thread could not record.
    pub fn record(&self, filter: Filter, metric: Metric, value: u64) {
        filter.record(metric, value);
        if self.has_untold.load(Ordering::Relaxed) && self.has_untold.swap(false, Ordering::Acquire)
        {
            let mut unreported = self
                .unreported
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (metric, value) in unreported.drain(..) {
                filter.record(metric, value);
            }
        }
    }
}

/// The limit of unreported values. Without requests the main thread only counts a fetch now and
/// then.
const MAX_UNREPORTED: usize = 1_000;
