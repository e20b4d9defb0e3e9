//! Names of which some stand for many.

/// Names, of which a `*` at the end stands for any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// These.
    pub fn of(names: &[&str]) -> Patterns {
        Patterns(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name is one of them.
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
