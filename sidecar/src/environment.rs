//! The environment as it was at the start, and the record of the variables that were read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The variables of a process. Each read is noted, so that a variable that nothing reads can be
/// reported.
#[derive(Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    asked: Mutex<BTreeSet<String>>,
}

impl Environment {
    /// The variables of this process. A variable that this program may read and that is not
    /// UTF-8 is an error: it might be the one that requires a token.
    pub fn of_process() -> Result<Environment, String> {
        let mut values = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => drop(values.insert(name, value)),
                Err(_) if is_ours(&name) || is_heeded(&name) => {
                    return Err(format!("{name}: is no UTF-8"));
                }
                Err(_) => {}
            }
        }
        Ok(Environment {
            values,
            asked: Mutex::default(),
        })
    }

    /// The same variables, none of them noted as read.
    pub fn unasked(&self) -> Environment {
        Environment {
            values: self.values.clone(),
            asked: Mutex::default(),
        }
    }

    /// Whether a variable is set and not empty; this is not noted as a read.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_empty())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The given value, or else that of a variable.
    pub fn or(&self, given: Option<&str>, name: &str) -> Option<String> {
        given.or_else(|| self.get(name)).map(str::to_owned)
    }

    /// The value of a variable that is set, even if it is empty.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// The value of a switch: `true` or `1`, and `false`, `0` or nothing.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(_) => Err(format!("{name}: must be true or false")),
        }
    }

    /// The home folder.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// The variables of this program and of Alibaba Cloud that are set and that nothing has
    /// read.
    pub fn unheeded(&self) -> Vec<&str> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let set = self.values.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, _)| name.as_str())
            .filter(|name| is_ours(name) && !asked.contains(*name))
            .collect()
    }
}

/// Whether this program may read a variable that other programs use, too.
fn is_heeded(name: &str) -> bool {
    name == "HOME" || name.to_ascii_uppercase().ends_with("_PROXY")
}

fn is_ours(name: &str) -> bool {
    // Alibaba Cloud's own programs read variables with the second and the third prefix as well.
    let prefixes = [
        "ALIBABA_CLOUD_",
        "ALIBABACLOUD_",
        "ALICLOUD_",
        "STS_SIDECAR_",
    ];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(values: [(&str, &str); N]) -> Environment {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Environment {
            values: values.into_iter().map(owned).collect(),
            asked: Mutex::default(),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Environment")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_named() {
        let environment = Environment::from([
            ("ALIBABA_CLOUD_PROFILE", "sesame"),
            ("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou"),
            ("ALIBABA_CLOUD_EMPTY", ""),
            ("ALICLOUD_ACCESS_KEY_ID", "id"),
            ("STS_SIDECAR_LISTNE", "127.0.0.1:1"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(environment.get("ALIBABA_CLOUD_PROFILE"), Some("sesame"));
        assert_eq!(environment.get("ALIBABA_CLOUD_EMPTY"), None);
        assert_eq!(environment.raw("ALIBABA_CLOUD_EMPTY"), Some(""));
        assert_eq!(
            environment.unheeded(),
            [
                "ALIBABA_CLOUD_REGION_ID",
                "ALICLOUD_ACCESS_KEY_ID",
                "STS_SIDECAR_LISTNE"
            ]
        );
        assert!(!format!("{environment:?}").contains("sesame"));
    }

    #[test]
    fn a_switch_is_on_or_off() {
        let environment = Environment::from([("A", "True"), ("B", "0"), ("C", "maybe")]);
        let flag = |name| environment.flag(name);
        assert_eq!(flag("A"), Ok(true));
        assert_eq!((flag("B"), flag("UNSET")), (Ok(false), Ok(false)));
        assert_eq!(flag("C"), Err("C: must be true or false".into()));
    }
}
