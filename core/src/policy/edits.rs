//! Edits of a message's headers.

use std::borrow::Cow;

use crate::signing::SignedHeaders;

/// Edits of the headers of a request or a response, applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// The names of headers to remove, in lower case.
    pub remove: Vec<Vec<u8>>,
    /// Headers to set; each replaces all headers of its name.
    pub set: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    /// Headers to add; no header of their names is left.
    pub add: Option<SignedHeaders>,
}
