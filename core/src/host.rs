//! What the core asks of its host: Envoy's wasm VM, or what stands in for it in a test.

use log::Level;

use crate::fetch::SharedData;
use crate::fetch::account::Fetch;
use crate::metrics::{Counter, Gauge};

/// One thread of a host, in the callback of one stream or of none.
///
/// Nothing here may call the core back: what has to run later is only noted, as by
/// [`Host::wake`] and [`Host::callout`].
pub trait Host: SharedData {
    /// Names a stream of this thread.
    type Handle: Clone + PartialEq;

    /// Milliseconds since 1970, if there is a clock.
    fn now(&self) -> Option<u64>;

    /// Writes to the host's log. A message holds no secret.
    fn log(&self, level: Level, message: &str);

    /// Adds to a counter.
    fn count(&mut self, counter: Counter, by: u64);

    /// Sets a gauge.
    fn gauge(&mut self, gauge: Gauge, value: u64);

    /// Records how long a request has waited for credentials, in milliseconds.
    fn record_wait(&mut self, milliseconds: u64);

    /// Makes a fetch, once this callback is over. The host must give its answer, or that
    /// there is none, to the worker that began it.
    fn callout(&mut self, fetch: Fetch);

    /// Wakes the stream of this handle, once this callback is over.
    fn wake(&mut self, handle: Self::Handle);

    /// What the host knows of the stream; empty if nothing.
    fn attribute(&self, attribute: Attribute) -> Vec<u8>;

    /// Which attempt at its request the stream is on a cluster, from 1; 0 if it is among the
    /// listener's filters, or if the host does not know.
    fn attempt(&self) -> u64;

    /// What an attempt at the request of this stream has noted; empty if nothing.
    fn noted(&self, note: Note) -> Vec<u8>;

    /// Notes something for later attempts at the same request, or for the access log.
    /// `false` if the host could not.
    fn note(&mut self, note: Note, value: &[u8]) -> bool;
}

/// What the host knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The name of its route.
    RouteName,
    /// The settings in its route's metadata.
    RouteMetadata,
    /// The settings in its cluster's metadata.
    ClusterMetadata,
}

/// What is noted with a stream, in a place that all attempts at its request share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// What an attempt has made of the client's path, which it has also checked if the
    /// settings say so.
    Mapped,
    /// The generation of the credentials with which an attempt was refused, where newer
    /// ones may heal it.
    Suspect,
    /// For the access log: the name of the credentials that signed.
    Credentials,
    /// For the access log: the cause of an error.
    Cause,
}

/// A response, as it passes.
pub trait Response {
    /// The value of a header; empty if there is none.
    fn header(&self, name: &str) -> Vec<u8>;
    /// The names of the headers, or of the trailers once it has come to these.
    fn names(&self) -> Vec<Vec<u8>>;
    /// At most `most` bytes of the piece of the body that passes now.
    fn body(&self, most: usize) -> Vec<u8>;
}
