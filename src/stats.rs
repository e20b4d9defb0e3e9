//! Envoy's statistics `wasmcustom.oss_origin_auth.*`. What happens is counted
//! here and told to Envoy at a tick, so that a request costs no call for it.

use super::abi::{self, Metric};

#[derive(Debug, Default)]
pub struct Stats {
    signed: u64,
    /// A few dozen at most: as many as there are reasons and causes.
    counters: Vec<Counter>,
    gauges: Vec<Gauge>,
    /// How long requests waited for credentials, in milliseconds.
    waits: Vec<u64>,
    wait_histogram: Option<u32>,
}

#[derive(Debug)]
struct Counter {
    group: Group,
    name: &'static str,
    /// Not told to Envoy yet.
    count: u64,
    /// Envoy's.
    id: Option<u32>,
}

/// Of one name of the credentials.
#[derive(Debug, Default)]
struct Gauge {
    valid: Told,
    seconds_left: Told,
}

#[derive(Debug, Default)]
struct Told {
    id: Option<u32>,
    value: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Requests that were signed, or left unsigned as the settings say.
    Requests,
    /// Requests that were answered here, by reason.
    Refused,
    /// Errors of OSS, by cause.
    OssErrors,
    /// Fetches of credentials, by result.
    Callouts,
}

impl Stats {
    pub fn signed(&mut self) {
        self.signed += 1;
    }

    pub fn count(&mut self, group: Group, name: &'static str) {
        self.add(group, name, 1);
    }

    pub fn waited(&mut self, milliseconds: u64) {
        self.waits.push(milliseconds);
    }

    /// How credentials stand; `seconds_left` is `None` where they have no end,
    /// or there are none. `index`: of the name.
    pub fn credentials(
        &mut self,
        index: usize,
        name: &str,
        valid: bool,
        seconds_left: Option<u64>,
    ) {
        if self.gauges.len() <= index {
            self.gauges.resize_with(index + 1, Gauge::default);
        }
        let Some(gauge) = self.gauges.get_mut(index) else {
            return;
        };
        gauge.valid.tell("valid", name, valid.into());
        let left = match valid {
            true => seconds_left,
            false => Some(0),
        };
        if let Some(left) = left {
            gauge.seconds_left.tell("seconds_left", name, left);
        }
    }

    fn add(&mut self, group: Group, name: &'static str, count: u64) {
        let mut known = self.counters.iter_mut();
        match known.find(|counter| counter.group == group && counter.name == name) {
            Some(counter) => counter.count += count,
            None => self.counters.push(Counter {
                group,
                name,
                count,
                id: None,
            }),
        }
    }

    /// Tells Envoy what was counted since the last time.
    pub fn flush(&mut self) {
        if self.signed > 0 {
            let signed = std::mem::take(&mut self.signed);
            self.add(Group::Requests, "signed", signed);
        }
        for counter in self.counters.iter_mut().filter(|counter| counter.count > 0) {
            let name = || counter_name(counter.group, counter.name);
            if let Some(id) = defined(&mut counter.id, Metric::Counter, name) {
                let _ = abi::increment(id, counter.count);
                counter.count = 0;
            }
        }
        if self.waits.is_empty() {
            return;
        }
        let name = || "oss_origin_auth.wait_ms".to_owned();
        let histogram = defined(&mut self.wait_histogram, Metric::Histogram, name);
        for wait in self.waits.drain(..) {
            if let Some(id) = histogram {
                let _ = abi::record(id, wait);
            }
        }
    }
}

impl Told {
    fn tell(&mut self, what: &str, name: &str, value: u64) {
        if self.value == Some(value) {
            return;
        }
        let name = || ["oss_origin_auth.credentials.", what, ".", name].concat();
        if let Some(id) = defined(&mut self.id, Metric::Gauge, name) {
            let _ = abi::record(id, value);
            self.value = Some(value);
        }
    }
}

/// Envoy's id of a metric, which is asked for when it is first wanted.
fn defined(id: &mut Option<u32>, kind: Metric, name: impl FnOnce() -> String) -> Option<u32> {
    if id.is_none() {
        *id = abi::define_metric(kind, &name()).ok();
    }
    *id
}

fn counter_name(group: Group, name: &str) -> String {
    let group = match group {
        Group::Requests => "requests",
        Group::Refused => "refused",
        Group::OssErrors => "oss_errors",
        Group::Callouts => "callouts",
    };
    ["oss_origin_auth.", group, ".", name].concat()
}
