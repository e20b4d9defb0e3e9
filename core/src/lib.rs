//! The decisions of oss-origin-auth, for any host: events in, actions out.
//!
//! ```text
//!  exchange     one attempt at one request: events in, actions out
//!     │
//!  worker       what one thread has: settings, credentials, requests that wait
//!     │
//!  host         what the core asks of its host
//!     │
//!  metrics      the names of all that is counted
//!     │
//!  policy       what may leave, and in which form; what a client sees of an answer
//!     │
//!  config       JSON in, settings out
//!     │
//!  fetch        when credentials are fetched, and what all workers share
//!     │
//!  access       who may read: a request and a time in, yes or no out
//!     │
//!  signing      a request and credentials in, headers out
//!     │
//!  credentials
//!     │
//!  oss          facts of OSS: targets, times, names, errors
//!     │
//!  json, words
//! ```
//!
//! Each module uses only those below it. Nothing here depends on a particular host: an adapter
//! turns its host's callbacks into [`exchange::Event`]s, performs the [`exchange::Action`]s,
//! and implements [`host::Host`]. `docs/DESIGN.md` explains the design.

#![warn(missing_docs)]

pub mod access;
pub mod config;
pub mod credentials;
pub mod exchange;
pub mod fetch;
pub mod host;
pub mod json;
pub mod metrics;
pub mod oss;
pub mod policy;
pub mod signing;
pub mod words;
pub mod worker;
