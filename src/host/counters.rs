//! Envoy's counters `wasmcustom.oss_origin_auth.*`. Counted here and told to
//! Envoy at a tick, so that a request costs no call for it.

use super::abi;

#[derive(Debug, Default)]
pub struct Counters {
    signed: u64,
    /// A few dozen at most: as many as there are reasons and causes.
    others: Vec<Counter>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Requests that were signed, or left unsigned as the settings say.
    Requests,
    /// Requests that were answered here, by reason.
    Refused,
    /// Errors of OSS, by cause.
    OssErrors,
}

impl Counters {
    pub fn signed(&mut self) {
        self.signed += 1;
    }

    pub fn count(&mut self, group: Group, name: &'static str) {
        self.add(group, name, 1);
    }

    fn add(&mut self, group: Group, name: &'static str, count: u64) {
        let mut known = self.others.iter_mut();
        match known.find(|counter| counter.group == group && counter.name == name) {
            Some(counter) => counter.count += count,
            None => self.others.push(Counter {
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
        for counter in self.others.iter_mut().filter(|counter| counter.count > 0) {
            if counter.id.is_none() {
                counter.id = abi::define_counter(&full_name(counter.group, counter.name)).ok();
            }
            if let Some(id) = counter.id {
                let _ = abi::increment(id, counter.count);
                counter.count = 0;
            }
        }
    }
}

fn full_name(group: Group, name: &str) -> String {
    let group = match group {
        Group::Requests => "requests",
        Group::Refused => "refused",
        Group::OssErrors => "oss_errors",
    };
    ["oss_origin_auth.", group, ".", name].concat()
}
