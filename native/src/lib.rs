//! The filter as an Envoy dynamic module: Envoy's hooks in, the core's actions out. The
//! decisions are made in `core/`. `docs/NATIVE.md` says when to choose this module, and
//! `docs/DESIGN.md` explains how it works.
//!
//! ```text
//!  hooks              what Envoy calls
//!     │
//!  configuration, stream      what becomes of a configuration and of a request
//!     │
//!  instance           what one thread makes of a configuration
//!     │
//!  envoy              Envoy, as the core asks for it
//!     │
//!  module, metrics, store, ticker      what all threads share
//!     │
//!  fault, abi         a panic's end; Envoy's functions
//! ```
//!
//! The core is made for one thread: it shares by `Rc`. So each thread has its own instance in a
//! `thread_local`. Threads share only what is in `module`, `metrics`, `store` and `ticker`.

mod abi;
mod configuration;
mod envoy;
mod fault;
mod hooks;
mod instance;
mod metrics;
mod module;
mod store;
mod stream;
mod ticker;
