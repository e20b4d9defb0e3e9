//! How credentials are fetched and shared: the worker with the lease asks the sidecar, and all
//! workers follow the stored result.

pub mod account;
pub mod answer;
pub mod entry;
pub mod source;
mod stored;

/// The data that all workers of a process share.
pub trait SharedData {
    /// The value of a key, and its compare-and-set number. An absent value has a number, too,
    /// with which only one of several workers can create it.
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32);
    /// Writes a value. The result is `false` if another worker has changed it since.
    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool;
}
