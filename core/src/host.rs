//! The functions that the core needs of its host, which is Envoy or a substitute in tests.

use log::Level;

use crate::fetch::SharedData;
use crate::fetch::account::Fetch;
use crate::metrics::{Counter, Gauge};

/// One thread of a host, in the callback of one stream or of none.
///
/// No function of this trait may call the core back. Actions that would do so are only noted,
/// as by [`Host::wake`] and [`Host::callout`], and performed after the callback.
pub trait Host: SharedData {
    /// The handle of a stream of this thread.
    type Handle: Clone + PartialEq;

    /// The time in milliseconds since 1970, if there is a clock.
    fn now(&self) -> Option<u64>;

    /// Writes to the host's log. The message must not contain a secret.
    fn log(&self, level: Level, message: &str);

    /// Adds to a counter.
    fn count(&mut self, counter: Counter, by: u64);

    /// Sets a gauge.
    fn gauge(&mut self, gauge: Gauge, value: u64);

    /// Records how long a request has waited for credentials, in milliseconds.
    fn record_wait(&mut self, milliseconds: u64);

    /// Performs a fetch after this callback. The host must report its outcome, also a failure,
    /// to the worker that began it.
    fn callout(&mut self, fetch: Fetch);

    /// Wakes the stream of this handle after this callback.
    fn wake(&mut self, handle: Self::Handle);

    /// An attribute of the stream; empty if the host does not know it.
    fn attribute(&self, attribute: Attribute) -> Vec<u8>;

    /// The number of the stream's attempt on a cluster, from 1. It is 0 among the listener's
    /// filters, or if the host does not know it.
    fn attempt(&self) -> u64;

    /// The note that an attempt at the request of this stream has left; empty if there is none.
    fn noted(&self, note: Note) -> Vec<u8>;

    /// Leaves a note for later attempts at the same request, or for the access log. The result
    /// is `false` if the host could not store it.
    fn note(&mut self, note: Note, value: &[u8]) -> bool;
}

/// An attribute of a stream that the host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The name of the stream's route.
    RouteName,
    /// The name of the route's cluster.
    ClusterName,
    /// The settings in the route's metadata.
    RouteMetadata,
    /// The settings in the cluster's metadata.
    ClusterMetadata,
}

/// A note of a stream, which all attempts at its request share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The client's path and the path that an attempt made of it. If the settings require
    /// checks, that attempt has passed them.
    Mapped,
    /// The index of the rule that the first attempt used.
    Rule,
    /// The generation of the credentials with which OSS refused an attempt, where newer ones
    /// may help.
    Suspect,
    /// The name of the credentials that signed the request, for the access log.
    Credentials,
    /// The cause of an error, for the access log.
    Cause,
}

/// A response that passes.
pub trait Response {
    /// The value of a header; empty if there is none.
    fn header(&self, name: &str) -> Vec<u8>;
    /// The names of the headers, or of the trailers once they have arrived.
    fn names(&self) -> Vec<Vec<u8>>;
    /// The first `most` bytes of the current piece of the body.
    fn body(&self, most: usize) -> Vec<u8>;
}
