//! Values of flags, with the flag's name in the problem.

/// Whether a variable of the environment has a value.
pub fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// A variable that is set to nothing is as good as one that is not set.
pub fn filled(value: &Option<String>) -> Option<String> {
    value.clone().filter(|value| !value.is_empty())
}

/// A value without which nothing can be rendered.
pub fn needed(value: &Option<String>, flag: &str, what: &str) -> Result<String, String> {
    filled(value).ok_or_else(|| format!("{flag} is not given: {what}"))
}

/// A value that is there.
pub fn one<T>(
    flag: &str,
    value: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    parse(value).map_err(|problem| format!("{flag} is {value:?}: {problem}"))
}

/// A value that may be there.
pub fn optional<T>(
    flag: &str,
    value: &Option<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    filled(value)
        .map(|value| one(flag, &value, parse))
        .transpose()
}

/// The values of a flag that may be there several times.
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
