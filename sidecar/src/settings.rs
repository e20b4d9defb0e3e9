//! The sidecar's settings, from a TOML file or from the environment. Secrets
//! are named by variable or file and never written into the settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default = "default_listen")]
    pub listen: String,
    /// Whoever reaches the address gets the credentials.
    #[serde(default)]
    pub allow_non_loopback: bool,
    /// By name, as in `/v1/credentials/<name>`.
    pub credentials: BTreeMap<String, SourceSettings>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceSettings {
    /// A long-lived key pair, served as it is.
    Static {
        #[serde(flatten)]
        key: KeySettings,
    },
    /// STS AssumeRole with a key pair.
    AssumeRole {
        #[serde(flatten)]
        key: KeySettings,
        role_arn: String,
        external_id: Option<String>,
        session_name: Option<String>,
        sts_endpoint: Option<String>,
    },
}

/// Where a key pair is: each part in a variable or in a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct KeySettings {
    pub access_key_id_env: Option<String>,
    pub access_key_id_file: Option<PathBuf>,
    pub access_key_secret_env: Option<String>,
    pub access_key_secret_file: Option<PathBuf>,
}

/// A key pair that was read.
#[derive(Clone)]
pub struct KeyPair {
    pub id: String,
    pub secret: String,
}

impl Settings {
    pub fn from_file(path: &Path) -> Result<Settings, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        Settings::parse(&text).map_err(|problem| format!("{shown}: {problem}"))
    }

    pub fn parse(text: &str) -> Result<Settings, String> {
        // The excerpt that the error's Display shows may hold a secret that
        // somebody wrote into the file.
        let settings: Settings = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.as_bytes()
                    .iter()
                    .take(span.start)
                    .filter(|&&byte| byte == b'\n')
                    .count()
                    + 1
            });
            format!("line {line}: {}", error.message())
        })?;
        if settings.credentials.is_empty() {
            return Err("credentials: has no entry; add [credentials.default]".into());
        }
        for (name, source) in &settings.credentials {
            source
                .check()
                .map_err(|problem| format!("credentials.{name}.{problem}"))?;
            if !is_name(name) {
                return Err(format!(
                    "credentials.{name}: the name must be 1 to 64 letters, digits, `-`, `_` and `.`"
                ));
            }
        }
        Ok(settings)
    }

    pub fn from_environment() -> Result<Settings, String> {
        let key = KeySettings::default();
        let source = match variable("ALIBABA_CLOUD_ROLE_ARN") {
            None => SourceSettings::Static { key },
            Some(role_arn) => SourceSettings::AssumeRole {
                key,
                role_arn,
                external_id: variable("ALIBABA_CLOUD_EXTERNAL_ID"),
                session_name: variable("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
                sts_endpoint: variable("ALIBABA_CLOUD_STS_ENDPOINT"),
            },
        };
        source.check().map_err(|problem| {
            format!("ALIBABA_CLOUD_*: {problem}; or give the settings with --config")
        })?;
        Ok(Settings {
            listen: default_listen(),
            allow_non_loopback: false,
            credentials: BTreeMap::from([("default".to_owned(), source)]),
        })
    }

    pub fn address(&self) -> Result<SocketAddr, String> {
        let address: SocketAddr = self.listen.parse().map_err(|_| {
            format!(
                "listen: `{}` is not an address and port such as 127.0.0.1:8181",
                self.listen
            )
        })?;
        if !address.ip().is_loopback() && !self.allow_non_loopback {
            return Err(format!(
                "listen: {address} may be reached by other machines, and whoever reaches it gets \
                 the credentials; listen on 127.0.0.1, or set allow_non_loopback where the \
                 network lets only Envoy in"
            ));
        }
        Ok(address)
    }
}

impl SourceSettings {
    fn check(&self) -> Result<(), String> {
        let (SourceSettings::Static { key } | SourceSettings::AssumeRole { key, .. }) = self;
        key.read()?;
        if let SourceSettings::AssumeRole {
            role_arn,
            sts_endpoint,
            ..
        } = self
        {
            if !(role_arn.starts_with("acs:ram::") && role_arn.contains(":role/")) {
                return Err("role_arn: must be of the form acs:ram::<account>:role/<name>".into());
            }
            if sts_endpoint.as_ref().is_some_and(|text| {
                let host = text.trim_start_matches("https://");
                let host = host.trim_start_matches("http://");
                host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
            }) {
                return Err(
                    "sts_endpoint: must be a host such as sts.cn-hangzhou.aliyuncs.com".into(),
                );
            }
        }
        Ok(())
    }
}

impl KeySettings {
    pub fn read(&self) -> Result<KeyPair, String> {
        let part = |field: &str, env: &Option<String>, file: &Option<PathBuf>, default: &str| {
            let (place, value) = match (env, file) {
                (Some(_), Some(_)) => {
                    return Err(format!("{field}_env: {field}_file is given too; keep one"));
                }
                (None, Some(path)) => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|error| format!("{field}_file: {}: {error}", path.display()))?;
                    (format!("{field}_file"), Some(text))
                }
                (name, None) => {
                    let name = name.as_deref().unwrap_or(default);
                    (format!("{field}_env: {name}"), variable(name))
                }
            };
            let value = value.map(|value| value.trim().to_owned());
            match value {
                Some(value) if value.bytes().any(|b| !b.is_ascii_graphic()) => Err(format!(
                    "{place}: holds spaces or other than ASCII characters"
                )),
                Some(value) if !value.is_empty() => Ok(value),
                _ => Err(format!("{place}: is unset or empty")),
            }
        };
        Ok(KeyPair {
            id: part(
                "access_key_id",
                &self.access_key_id_env,
                &self.access_key_id_file,
                "ALIBABA_CLOUD_ACCESS_KEY_ID",
            )?,
            secret: part(
                "access_key_secret",
                &self.access_key_secret_env,
                &self.access_key_secret_file,
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            )?,
        })
    }
}

fn default_listen() -> String {
    "127.0.0.1:8181".into()
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PATH is set wherever tests run.
    const KEY: &str = "access_key_id_env = \"PATH\"\naccess_key_secret_env = \"PATH\"\n";

    #[test]
    fn a_file_names_its_sources() {
        let settings = Settings::parse(&format!(
            "listen = \"127.0.0.1:1\"\n[credentials.a]\ntype = \"static\"\n{KEY}\
             [credentials.b]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n\
             external_id = \"x\"\n{KEY}"
        ))
        .unwrap();
        assert_eq!(settings.credentials.len(), 2);
        assert!(settings.address().is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |text: &str| format!("[credentials.a]\n{text}\n{KEY}");
        for (text, want) in [
            (String::new(), "line 1: missing field `credentials`"),
            ("[credentials]".into(), "credentials: has no entry"),
            ("listen = 5".into(), "line 1: invalid type: integer"),
            ("liste = \"\"".into(), "line 1: unknown field `liste`"),
            ("[".into(), "line 1: "),
            (with("type = \"magic\""), "unknown variant `magic`"),
            (with(""), "missing field `type`"),
            (
                with("type = \"static\"\nsecret = \"sesame\""),
                "unknown field `secret`",
            ),
            (with("type = \"assume_role\""), "missing field `role_arn`"),
            (
                with("type = \"assume_role\"\nrole_arn = \"r\""),
                "credentials.a.role_arn: must be of the form",
            ),
            (
                with(
                    "type = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\nsts_endpoint = \"a/b\"",
                ),
                "credentials.a.sts_endpoint: must be a host",
            ),
            (
                "[credentials.a]\ntype = \"static\"\naccess_key_id_env = \"NOT_SET_ANYWHERE\""
                    .into(),
                "credentials.a.access_key_id_env: NOT_SET_ANYWHERE: is unset or empty",
            ),
            (
                "[credentials.a]\ntype = \"static\"\naccess_key_id_file = \"/nowhere\"".into(),
                "credentials.a.access_key_id_file: /nowhere: No such file",
            ),
            (
                format!("[credentials.\"a b\"]\ntype = \"static\"\n{KEY}"),
                "credentials.a b: the name must be",
            ),
        ] {
            let problem = Settings::parse(&text).expect_err(&text);
            assert!(
                problem.contains(want),
                "{text}\n got: {problem}\nwant: {want}"
            );
            assert!(!problem.contains("sesame"), "{problem}");
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_a_word() {
        let mut settings = Settings::parse(&format!(
            "listen = \"0.0.0.0:1\"\n[credentials.a]\ntype = \"static\"\n{KEY}"
        ))
        .unwrap();
        assert!(
            settings
                .address()
                .unwrap_err()
                .contains("allow_non_loopback")
        );
        settings.allow_non_loopback = true;
        assert!(settings.address().is_ok());
    }
}
