//! Shared data as Envoy has it.

use std::collections::HashMap;

/// Numbers from 1 upwards, and a write to an absent value with any number but 0 creates
/// it.
#[derive(Default)]
pub struct Store {
    values: HashMap<String, (Vec<u8>, u32)>,
    last: u32,
}

impl Store {
    pub fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        match self.values.get(key) {
            Some((value, cas)) => (Some(value.clone()), *cas),
            None => (None, u32::MAX),
        }
    }

    pub fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        match self.values.get(key) {
            Some((_, current)) if cas != 0 && cas != *current => false,
            _ => {
                self.last += 1;
                self.values.insert(key.into(), (value.into(), self.last));
                true
            }
        }
    }
}
