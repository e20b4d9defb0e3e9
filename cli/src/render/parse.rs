//! Parses values of flags; an error message names the flag.

/// Whether a variable of the environment has a value.
pub fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The value of a flag; an empty variable counts as one that is not set.
pub fn filled(value: &Option<String>) -> Option<String> {
    value.clone().filter(|value| !value.is_empty())
}

/// A required value.
pub fn needed(value: &Option<String>, flag: &str, what: &str) -> Result<String, String> {
    filled(value).ok_or_else(|| format!("{flag} is not given: {what}"))
}

/// Parses a required value.
pub fn one<T>(
    flag: &str,
    value: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    parse(value).map_err(|problem| format!("{flag} is {value:?}: {problem}"))
}

/// Parses an optional value.
pub fn optional<T>(
    flag: &str,
    value: &Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    filled(value)
        .map(|value| one(flag, &value, parse))
        .transpose()
}

/// Parses the values of a flag that may be given several times.
pub fn each<T>(
    flag: &str,
    values: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    values
        .iter()
        .map(|value| one(flag, value, &parse))
        .collect()
}
