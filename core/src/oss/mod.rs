//! Facts about Object Storage Service, as Alibaba Cloud documents them. This module knows no
//! settings and no credentials.

pub mod causes;
pub mod details;
pub mod encoding;
pub mod error;
pub mod facts;
pub mod headers;
pub mod parameters;
pub mod shown;
pub mod signed_url;
pub mod target;
pub mod time;
