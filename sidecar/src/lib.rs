//! The sidecar: serves Alibaba Cloud credentials over HTTP, in the form that
//! Alibaba's SDKs know as credentials URI, and in that of the ECS metadata
//! server. It is `oss-origin-auth sidecar` (`cli/`).
//!
//! Each module uses only modules that stand on lines below its own:
//!
//! ```text
//! command      the command line; puts the parts together and reloads them
//! once         one fetch, for programs that try credentials and do not serve them
//! server       connections: how many, and for how long
//! listener     TCP or a Unix socket: accepts connections, and asks a running sidecar
//! routes       the paths and their answers
//! guard        which callers may have credentials
//! sources      builds the sources of all names; a reload keeps the unchanged
//! source       one name: held, refreshed ahead, one fetch at a time
//! providers    builds the fetcher of a source from its settings
//! settings     TOML or the environment, checked; secrets only by name
//! client       HTTP to the sources: directly, or by a proxy
//! metrics      what Prometheus scrapes
//! held         credentials that are held, and how long they are used
//! schedule     the times at which a source is asked: ahead, and again after a failure
//! credential   credentials, the trait of what fetches them, the errors of a fetch
//! secret       where a secret is, read each time; texts that are overwritten
//! address      addresses that requests can be sent to
//! log          what operators read; nothing waits for it
//! file         files that are read whole
//! trust        the certificate authorities that TLS trusts
//! environment  the variables, and which of them nothing reads
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
mod schedule;
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
