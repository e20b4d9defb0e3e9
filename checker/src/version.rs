//! Versions of Envoy.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A version of Envoy, without the patch number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// The oldest version that the filter is tested with.
    pub const OLDEST: Version = Version::new(1, 36);

    /// The newest version that the filter is tested with.
    pub const NEWEST: Version = Version::new(1, 40);

    /// The version with these numbers.
    pub const fn new(major: u16, minor: u16) -> Version {
        Version { major, minor }
    }
}

impl Default for Version {
    fn default() -> Version {
        Version::NEWEST
    }
}

impl FromStr for Version {
    type Err = String;

    /// Reads `1.36`, `1.36.4` or `v1.36.4`.
    fn from_str(text: &str) -> Result<Version, String> {
        let wrong = || format!("`{text}` is not a version of Envoy, such as 1.36 or 1.36.4");
        let numbers = text.strip_prefix('v').unwrap_or(text).split('.');
        let numbers: Result<Vec<u16>, _> = numbers.map(str::parse).collect();
        match numbers.map_err(|_| wrong())?.as_slice() {
            [major, minor] | [major, minor, _] => Ok(Version::new(*major, *minor)),
            _ => Err(wrong()),
        }
    }
}

impl Display for Version {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}
