//! The sidecar: serves Alibaba Cloud credentials over HTTP, in the form that
//! Alibaba's SDKs know as credentials URI, and in that of the ECS metadata
//! server. It is `oss-origin-auth sidecar` (`cli/`).
//!
//! Each module uses only modules that stand on lines below its own:
//!
//! ```text
//! command      the command line; puts the parts together and reloads them
//! once         one fetch, for whoever tries credentials and does not serve them
//! server       connections: how many, and for how long
//! listener     TCP or a Unix socket: to listen on, and to ask
//! routes       the paths and their answers
//! guard        who may ask
//! sources      builds the sources of all names; a reload keeps the unchanged
//! source       one name: held, refreshed ahead, one fetch at a time
//! providers    from a source's settings to what fetches
//! settings     TOML or the environment, checked; secrets only by name
//! client       HTTP to the sources: directly, or by a proxy
//! metrics      what Prometheus scrapes
//! held         what was fetched, since when, and until when it serves
//! credential   credentials, what fetches them, and why it gave none
//! secret       where a secret is, read each time; texts that are overwritten
//! address      addresses that can be asked
//! log          what operators read; nothing waits for it
//! file         files that are read whole
//! trust        what servers are trusted by TLS
//! environment  the variables, and which of them nobody heeds
//! ```

pub mod address;
mod client;
mod command;
mod credential;
mod environment;
mod file;
mod guard;
mod held;
mod listener;
mod log;
mod metrics;
mod once;
mod providers;
mod routes;
mod secret;
mod server;
mod settings;
mod source;
mod sources;
mod trust;

pub use command::{Options, run};
pub use credential::{Cause, FetchError};
pub use once::Trial;
pub use providers::Identity;
pub use trust::{authorities_of_this_machine, trusting};
