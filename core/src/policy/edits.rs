//! What to do to the headers of a message.

use std::borrow::Cow;

use crate::signing::SignedHeaders;

/// What to do to the headers of a request or a response before it goes on, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Names to remove, in lower case.
    pub remove: Vec<Vec<u8>>,
    /// Headers to set, in place of any of their names.
    pub set: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    /// Headers to add: none of their names is there any more.
    pub add: Option<SignedHeaders>,
}
