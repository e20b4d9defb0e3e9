//! Lists of names and of prefixes of names.

/// A list of names. A name that ends in `*` is a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// A list of these names.
    pub fn of(names: &[&str]) -> Patterns {
        Patterns(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list contains a name.
    pub fn allow(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => name == pattern.as_bytes(),
            })
    }
}

impl From<Vec<String>> for Patterns {
    fn from(names: Vec<String>) -> Patterns {
        Patterns(names)
    }
}
