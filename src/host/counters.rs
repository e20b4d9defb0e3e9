//! Envoy's counters `wasmcustom.oss_origin_auth.*`. Counted here and told to
//! Envoy at a tick, so that a request costs no call for it.

use std::collections::BTreeMap;

use super::abi;

#[derive(Debug, Default)]
pub struct Counters {
    signed: u64,
    others: BTreeMap<(Group, &'static str), u64>,
    ids: BTreeMap<(Group, &'static str), u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        *self.others.entry((group, name)).or_default() += 1;
    }

    /// Tells Envoy what was counted since the last time.
    pub fn flush(&mut self) {
        if self.signed > 0 {
            *self.others.entry((Group::Requests, "signed")).or_default() += self.signed;
            self.signed = 0;
        }
        for (key, by) in std::mem::take(&mut self.others) {
            let id = match self.ids.get(&key) {
                Some(id) => Ok(*id),
                None => abi::define_counter(&full_name(key)),
            };
            if let Ok(id) = id {
                self.ids.insert(key, id);
                let _ = abi::increment(id, by);
            }
        }
    }
}

fn full_name((group, name): (Group, &str)) -> String {
    let group = match group {
        Group::Requests => "requests",
        Group::Refused => "refused",
        Group::OssErrors => "oss_errors",
    };
    ["oss_origin_auth.", group, ".", name].concat()
}
