//! Secrets: where they are kept, and how they are held.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::environment::Environment;
use crate::file;

/// A text that is overwritten when it is dropped.
pub type Secret = Zeroizing<String>;

/// A variable or a file that holds a secret. It is read each time, so that a file may be
/// replaced while the sidecar runs.
#[derive(Clone, Debug)]
pub struct SecretPlace {
    /// The name of the setting and of the place, for messages.
    shown: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Variable(String),
    File(PathBuf),
}

impl SecretPlace {
    /// The variable `name`, for the setting `field`.
    pub fn variable(field: &str, name: &str) -> SecretPlace {
        // An operator may have written the secret itself in the place of a variable's name.
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let shown = match name.bytes().all(plain) {
            true => name,
            false => "the variable of that name",
        };
        SecretPlace {
            shown: format!("{field}_env: {shown}"),
            place: Place::Variable(name.to_owned()),
        }
    }

    /// The place that the settings name, if they name one: `<field>_env` or `<field>_file`.
    pub fn choose(
        field: &str,
        env: Option<&str>,
        file: Option<&PathBuf>,
    ) -> Result<Option<SecretPlace>, String> {
        match (env, file) {
            (Some(_), Some(_)) => Err(format!("{field}_env: {field}_file is given too; keep one")),
            (Some(name), None) => Ok(Some(SecretPlace::variable(field, name))),
            (None, Some(path)) => Ok(Some(SecretPlace {
                shown: format!("{field}_file: {}", path.display()),
                place: Place::File(path.clone()),
            })),
            (None, None) => Ok(None),
        }
    }

    /// Reads the secret, without white space around it.
    pub fn read(&self, environment: &Environment) -> Result<Secret, String> {
        let shown = &self.shown;
        let text = match &self.place {
            Place::Variable(name) => {
                Zeroizing::new(environment.get(name).unwrap_or_default().to_owned())
            }
            Place::File(path) => file::read(path).map_err(|error| format!("{shown}: {error}"))?,
        };
        plain(&text).map_err(|problem| format!("{shown}: {problem}"))
    }
}

/// Reads a secret that is one word, without white space around it.
pub fn plain(text: &str) -> Result<Secret, &'static str> {
    let secret = Zeroizing::new(text.trim().to_owned());
    if secret.is_empty() {
        return Err("is unset or empty");
    }
    if secret.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("holds spaces or characters that are not ASCII");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let secret: Secret = Zeroizing::new("sesame".into());
        assert!(!format!("{secret:?}").contains("sesame"));
    }

    #[test]
    fn a_secret_in_the_place_of_its_name_is_not_shown() {
        let read = |name| SecretPlace::variable("token", name).read(&Environment::default());
        assert_eq!(
            read("NAME_1").unwrap_err(),
            "token_env: NAME_1: is unset or empty"
        );
        let problem = read("Sesame30").unwrap_err();
        assert_eq!(
            problem,
            "token_env: the variable of that name: is unset or empty"
        );
    }
}
