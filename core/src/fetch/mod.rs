//! How credentials are fetched and shared: whoever has the lease asks the sidecar, and
//! all workers follow what is stored.

pub mod account;
pub mod answer;
pub mod entry;
pub mod source;
mod stored;

/// The data that all workers of a process share.
pub trait SharedData {
    /// The value, and the number that a compare-and-set of it takes. An absent
    /// value has one too, with which only one of several can create it.
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32);
    /// Writes a value. `false` if another was faster.
    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool;
}
