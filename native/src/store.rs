//! The data that all workers of the process share, in place of wasm's shared data: the
//! credentials. There is one store for all configurations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

type Values = HashMap<String, (Vec<u8>, u32)>;

static VALUES: Mutex<Option<Values>> = Mutex::new(None);

/// The number of changes.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// The compare-and-set number of an absent value.
const ABSENT: u32 = 0;

/// The number of changes so far.
pub fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// The value of a key, and its compare-and-set number.
pub fn get(key: &str) -> (Option<Vec<u8>>, u32) {
    match values().as_ref().and_then(|values| values.get(key)) {
        Some((value, number)) => (Some(value.clone()), *number),
        None => (None, ABSENT),
    }
}

/// Writes a value. The result is `false` if another worker has changed it since.
pub fn set(key: &str, value: &[u8], number: u32) -> bool {
    let mut values = values();
    let values = values.get_or_insert_default();
    let known = values.get(key).map_or(ABSENT, |(_, number)| *number);
    if known != number {
        return false;
    }
    // The number 0 is that of an absent value.
    let next = known.checked_add(1).unwrap_or(1);
    values.insert(key.to_owned(), (value.to_owned(), next));
    CHANGES.fetch_add(1, Ordering::Release);
    true
}

/// Removes all values, because no configuration is left.
pub fn clear() {
    *values() = None;
    CHANGES.fetch_add(1, Ordering::Release);
}

fn values() -> MutexGuard<'static, Option<Values>> {
    VALUES.lock().unwrap_or_else(PoisonError::into_inner)
}
