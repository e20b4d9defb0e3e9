//! What oss-origin-auth decides, for any host: bytes in, actions out.
//! `docs/DESIGN.md` describes how the modules work together.

pub mod config;
pub mod credentials;
pub mod diagnosis;
pub mod flow;
pub mod json;
pub mod log_limit;
pub mod request;
pub mod response;
pub mod signing;
pub mod waiting;
