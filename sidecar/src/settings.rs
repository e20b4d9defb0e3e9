//! The sidecar's settings, from a TOML file or from the environment. Secrets
//! are named by variable or file and never written into the settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::secret::{SecretPlace, variable};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// An address and port, or `unix:` and a path.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// Of a Unix socket: octal, as for chmod.
    pub socket_mode: Option<String>,
    /// How long one request to a source may take, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// The bearer token that callers must show.
    #[serde(flatten)]
    pub token: TokenSettings,
    /// By name, as in `/v1/credentials/<name>`.
    pub credentials: BTreeMap<String, SourceSettings>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct TokenSettings {
    pub token_env: Option<String>,
    pub token_file: Option<PathBuf>,
}

/// Where credentials of a name come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceSettings {
    /// A long-lived key pair, served as it is.
    Static {
        #[serde(flatten)]
        key: KeySettings,
    },
    /// ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET and, if there is one, …_TOKEN.
    Environment {},
    /// STS AssumeRole, with a key pair or with the credentials named `from`.
    AssumeRole {
        #[serde(flatten)]
        key: KeySettings,
        #[serde(flatten)]
        sts: StsSettings,
        role_arn: String,
        session_name: Option<String>,
        from: Option<String>,
        external_id: Option<String>,
        /// A session policy, which narrows what the role may do.
        policy: Option<String>,
        policy_file: Option<PathBuf>,
        duration_seconds: Option<u64>,
    },
    /// STS AssumeRoleWithOIDC: RRSA of ACK. What is not given, the variables
    /// that ACK sets for a pod tell.
    AssumeRoleWithOidc {
        #[serde(flatten)]
        sts: StsSettings,
        role_arn: Option<String>,
        oidc_provider_arn: Option<String>,
        oidc_token_file: Option<PathBuf>,
        session_name: Option<String>,
    },
    /// The RAM role of an ECS instance, from its metadata server.
    EcsRamRole {
        /// The instance's own unless given.
        role_name: Option<String>,
        /// Insist on a metadata token.
        #[serde(default)]
        hardened: bool,
        /// `http://100.100.100.200` unless given.
        endpoint: Option<String>,
    },
    /// Another server of the credentials-URI protocol.
    CredentialsUri {
        /// ALIBABA_CLOUD_CREDENTIALS_URI unless given.
        uri: Option<String>,
    },
    /// A profile of the Aliyun CLI.
    Profile {
        /// `~/.aliyun/config.json` unless given.
        file: Option<PathBuf>,
        /// The current one unless given.
        profile: Option<String>,
    },
    /// The first that has any: the environment, OIDC, the CLI's profile, a
    /// credentials URI, the ECS instance.
    Default {},
}

/// Which STS to ask: by its host, or by its region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StsSettings {
    pub sts_endpoint: Option<String>,
    pub sts_region: Option<String>,
    #[serde(default)]
    pub sts_vpc: bool,
}

/// Where a key pair is: each part in a variable or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KeySettings {
    pub access_key_id_env: Option<String>,
    pub access_key_id_file: Option<PathBuf>,
    pub access_key_secret_env: Option<String>,
    pub access_key_secret_file: Option<PathBuf>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix { path: PathBuf, mode: u32 },
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
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
        if !(100..=60_000).contains(&settings.timeout_ms) {
            return Err("timeout_ms: must be from 100 to 60000".into());
        }
        if settings.credentials.is_empty() {
            return Err("credentials: has no entry; add [credentials.default]".into());
        }
        for (name, source) in &settings.credentials {
            if !is_name(name) {
                return Err(format!(
                    "credentials.{name}: the name must be 1 to 64 letters, digits, `-`, `_` and `.`"
                ));
            }
            source
                .check()
                .and_then(|()| settings.check_chain(name))
                .map_err(|problem| format!("credentials.{name}.{problem}"))?;
        }
        Ok(settings)
    }

    /// One name, `default`.
    pub fn from_environment() -> Result<Settings, String> {
        let key = KeySettings::default();
        let set = |name: &str| variable(name).is_some();
        let source = match variable("ALIBABA_CLOUD_ROLE_ARN") {
            Some(role_arn) if !set("ALIBABA_CLOUD_OIDC_TOKEN_FILE") => SourceSettings::AssumeRole {
                key,
                sts: StsSettings {
                    sts_endpoint: variable("ALIBABA_CLOUD_STS_ENDPOINT"),
                    ..StsSettings::default()
                },
                role_arn,
                session_name: variable("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
                from: None,
                external_id: variable("ALIBABA_CLOUD_EXTERNAL_ID"),
                policy: None,
                policy_file: None,
                duration_seconds: None,
            },
            _ if set("ALIBABA_CLOUD_ACCESS_KEY_ID") && !set("ALIBABA_CLOUD_SECURITY_TOKEN") => {
                SourceSettings::Static { key }
            }
            _ => SourceSettings::Default {},
        };
        source.check().map_err(|problem| {
            format!("ALIBABA_CLOUD_*: {problem}; or give the settings with --config")
        })?;
        Ok(Settings {
            listen: default_listen(),
            socket_mode: None,
            timeout_ms: default_timeout(),
            token: TokenSettings::default(),
            credentials: BTreeMap::from([("default".to_owned(), source)]),
        })
    }

    /// Where to listen; refuses an address that other machines may reach if
    /// callers need no token.
    pub fn place(&self, has_token: bool) -> Result<Listen, String> {
        if let Some(path) = self.listen.strip_prefix("unix:") {
            let mode = self.socket_mode.as_deref().unwrap_or("0600");
            let mode = u32::from_str_radix(mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o777 && !path.is_empty())
                .ok_or("socket_mode: must be an octal file mode such as \"0660\"")?;
            return Ok(Listen::Unix {
                path: path.into(),
                mode,
            });
        }
        if self.socket_mode.is_some() {
            return Err("socket_mode: is for a Unix socket; set listen = \"unix:/path\"".into());
        }
        let address: SocketAddr = self.listen.parse().map_err(|_| {
            format!(
                "listen: `{}` is neither an address and port such as 127.0.0.1:8181 nor \
                 unix:/path/to/socket",
                self.listen
            )
        })?;
        if !address.ip().is_loopback() && !has_token {
            return Err(format!(
                "listen: {address} may be reached by other machines, and whoever reaches it gets \
                 the credentials; listen on 127.0.0.1 or a Unix socket, or set token_file or \
                 token_env, and the same token in the filter's `token_env`"
            ));
        }
        Ok(Listen::Tcp(address))
    }

    /// `from` names other credentials, and not in a circle.
    fn check_chain(&self, name: &str) -> Result<(), String> {
        let mut seen = vec![name];
        let mut at = name;
        while let Some(SourceSettings::AssumeRole {
            from: Some(from), ..
        }) = self.credentials.get(at)
        {
            if !self.credentials.contains_key(from) {
                return Err(format!("from: there is no [credentials.{from}]"));
            }
            if seen.contains(&from.as_str()) {
                return Err(format!("from: leads back to `{from}`"));
            }
            seen.push(from);
            at = from;
        }
        Ok(())
    }
}

impl TokenSettings {
    pub fn place(&self) -> Result<Option<SecretPlace>, String> {
        SecretPlace::choose("token", self.token_env.as_deref(), self.token_file.as_ref())
    }
}

impl SourceSettings {
    /// A word for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            SourceSettings::Static { .. } => "static",
            SourceSettings::Environment {} => "environment",
            SourceSettings::AssumeRole { .. } => "assume_role",
            SourceSettings::AssumeRoleWithOidc { .. } => "assume_role_with_oidc",
            SourceSettings::EcsRamRole { .. } => "ecs_ram_role",
            SourceSettings::CredentialsUri { .. } => "credentials_uri",
            SourceSettings::Profile { .. } => "profile",
            SourceSettings::Default {} => "default",
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            SourceSettings::Static { key } => key.check(),
            SourceSettings::AssumeRole {
                key,
                sts,
                role_arn,
                from,
                policy,
                policy_file,
                duration_seconds,
                ..
            } => {
                match from {
                    None => key.check()?,
                    Some(_) if *key != KeySettings::default() => {
                        return Err("from: a key pair is given too; keep one".into());
                    }
                    Some(_) => {}
                }
                check_role_arn(role_arn)?;
                if policy.is_some() && policy_file.is_some() {
                    return Err("policy: policy_file is given too; keep one".into());
                }
                let policy = session_policy(policy.as_deref(), policy_file.as_deref())?;
                if let Some(policy) = policy {
                    serde_json::from_str::<serde_json::Value>(&policy)
                        .map_err(|error| format!("policy: is no JSON: {error}"))?;
                }
                if duration_seconds.is_some_and(|seconds| !(900..=43_200).contains(&seconds)) {
                    return Err("duration_seconds: must be from 900 to 43200".into());
                }
                sts.endpoint().map(|_| ())
            }
            SourceSettings::AssumeRoleWithOidc { sts, role_arn, .. } => {
                role_arn.as_deref().map_or(Ok(()), check_role_arn)?;
                sts.endpoint().map(|_| ())
            }
            SourceSettings::EcsRamRole { endpoint, .. } => check_url("endpoint", endpoint),
            SourceSettings::CredentialsUri { uri } => check_url("uri", uri),
            SourceSettings::Environment {}
            | SourceSettings::Profile { .. }
            | SourceSettings::Default {} => Ok(()),
        }
    }
}

impl StsSettings {
    /// `None`: the one that the library or the environment takes.
    pub fn endpoint(&self) -> Result<Option<String>, String> {
        match (&self.sts_endpoint, &self.sts_region) {
            (Some(_), Some(_)) => Err("sts_region: sts_endpoint is given too; keep one".into()),
            (None, None) if self.sts_vpc => Err("sts_vpc: needs sts_region".into()),
            (None, None) => Ok(None),
            (None, Some(region)) => {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if region.is_empty() || !region.bytes().all(plain) || region.starts_with("oss-") {
                    return Err("sts_region: must be a region id such as cn-hangzhou".into());
                }
                let service = if self.sts_vpc { "sts-vpc" } else { "sts" };
                Ok(Some(format!("{service}.{region}.aliyuncs.com")))
            }
            (Some(text), None) => {
                let host = text.trim_start_matches("https://");
                let host = host.trim_start_matches("http://");
                if host.is_empty() || !host.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
                    return Err(
                        "sts_endpoint: must be a host such as sts.cn-hangzhou.aliyuncs.com".into(),
                    );
                }
                Ok(Some(text.clone()))
            }
        }
    }
}

impl KeySettings {
    pub fn id(&self) -> Result<SecretPlace, String> {
        let (env, file) = (self.access_key_id_env.as_deref(), &self.access_key_id_file);
        let place = SecretPlace::choose("access_key_id", env, file.as_ref())?;
        Ok(place.unwrap_or_else(|| {
            SecretPlace::variable("access_key_id", "ALIBABA_CLOUD_ACCESS_KEY_ID")
        }))
    }

    pub fn secret(&self) -> Result<SecretPlace, String> {
        let env = self.access_key_secret_env.as_deref();
        let file = self.access_key_secret_file.as_ref();
        let place = SecretPlace::choose("access_key_secret", env, file)?;
        Ok(place.unwrap_or_else(|| {
            SecretPlace::variable("access_key_secret", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
        }))
    }

    fn check(&self) -> Result<(), String> {
        self.id()?.read()?;
        self.secret()?.read()?;
        Ok(())
    }
}

/// The text of a session policy.
pub fn session_policy(text: Option<&str>, file: Option<&Path>) -> Result<Option<String>, String> {
    match file {
        None => Ok(text.map(str::to_owned)),
        Some(path) => std::fs::read_to_string(path)
            .map(Some)
            .map_err(|error| format!("policy_file: {}: {error}", path.display())),
    }
}

fn check_role_arn(arn: &str) -> Result<(), String> {
    match arn.starts_with("acs:ram::") && arn.contains(":role/") {
        true => Ok(()),
        false => Err("role_arn: must be of the form acs:ram::<account>:role/<name>".into()),
    }
}

fn check_url(field: &str, url: &Option<String>) -> Result<(), String> {
    match url {
        Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            Err(format!("{field}: must begin with http:// or https://"))
        }
        _ => Ok(()),
    }
}

fn default_listen() -> String {
    "127.0.0.1:8181".into()
}

fn default_timeout() -> u64 {
    10_000
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
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
             external_id = \"x\"\nduration_seconds = 900\npolicy = '{{\"Version\": \"1\"}}'\n{KEY}\
             [credentials.c]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::2:role/r\"\n\
             from = \"b\"\nsts_region = \"cn-hangzhou\"\nsts_vpc = true\n\
             [credentials.d]\ntype = \"assume_role_with_oidc\"\n\
             [credentials.e]\ntype = \"ecs_ram_role\"\nhardened = true\n\
             [credentials.f]\ntype = \"credentials_uri\"\n\
             [credentials.g]\ntype = \"profile\"\n\
             [credentials.h]\ntype = \"environment\"\n\
             [credentials.i]\ntype = \"default\"\n"
        ))
        .unwrap();
        assert_eq!(settings.credentials.len(), 9);
        assert!(settings.place(false).is_ok());
        let SourceSettings::AssumeRole { sts, .. } = &settings.credentials["c"] else {
            panic!();
        };
        assert_eq!(
            sts.endpoint().unwrap().as_deref(),
            Some("sts-vpc.cn-hangzhou.aliyuncs.com")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |text: &str| format!("[credentials.a]\n{text}\n{KEY}");
        let role = |text: &str| {
            with(&format!(
                "type = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n{text}"
            ))
        };
        for (text, want) in [
            (String::new(), "line 1: missing field `credentials`"),
            ("[credentials]".into(), "credentials: has no entry"),
            ("listen = 5".into(), "line 1: invalid type: integer"),
            (
                "timeout_ms = 1\n[credentials.a]\ntype = \"default\"".into(),
                "timeout_ms: must be",
            ),
            (
                format!("liste = \"\"\n{}", with("type = \"static\"")),
                "unknown field `liste`",
            ),
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
                role("sts_endpoint = \"a/b\""),
                "credentials.a.sts_endpoint: must be a host",
            ),
            (
                role("sts_region = \"oss-cn-hangzhou\""),
                "credentials.a.sts_region: must be a region id",
            ),
            (role("sts_vpc = true"), "credentials.a.sts_vpc: needs"),
            (
                role("duration_seconds = 60"),
                "credentials.a.duration_seconds: must be from 900",
            ),
            (role("policy = \"{\""), "credentials.a.policy: is no JSON"),
            (
                role("from = \"b\""),
                "credentials.a.from: a key pair is given too",
            ),
            (
                "[credentials.a]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n\
                 from = \"b\""
                    .into(),
                "credentials.a.from: there is no [credentials.b]",
            ),
            (
                "[credentials.a]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n\
                 from = \"a\""
                    .into(),
                "credentials.a.from: leads back to `a`",
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
                "[credentials.a]\ntype = \"credentials_uri\"\nuri = \"host\"".into(),
                "credentials.a.uri: must begin with http://",
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
    fn a_place_to_listen_is_checked() {
        let place = |listen: &str, mode: Option<&str>, token| {
            let mut settings =
                Settings::parse(&format!("[credentials.a]\ntype = \"static\"\n{KEY}")).unwrap();
            settings.listen = listen.into();
            settings.socket_mode = mode.map(str::to_owned);
            settings.place(token)
        };
        assert!(place("127.0.0.1:1", None, false).is_ok());
        assert!(place("0.0.0.0:1", None, true).is_ok());
        let problem = place("0.0.0.0:1", None, false).unwrap_err();
        assert!(problem.contains("set token_file"), "{problem}");
        assert!(place("[::]:1", None, false).is_err());
        assert!(place("nowhere", None, true).is_err());
        assert!(place("127.0.0.1:1", Some("0600"), false).is_err());
        assert_eq!(
            place("unix:/run/s", Some("0660"), false).unwrap(),
            Listen::Unix {
                path: "/run/s".into(),
                mode: 0o660
            }
        );
        assert!(place("unix:/run/s", Some("rw"), false).is_err());
    }
}
