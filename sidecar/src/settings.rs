//! The sidecar's settings, from a TOML file or from the environment. Secrets
//! are named by variable or file and never written into the settings.

mod listen;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::environment::Environment;
use crate::file;
use crate::secret::SecretPlace;

pub use listen::Listen;
pub use source::{
    AssumeRoleSettings, EcsSettings, KeySettings, OidcSettings, SessionSettings, SourceSettings,
    StsSettings, check_policy, check_url,
};

/// All settings of the sidecar.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The place to listen: an address and port, or `unix:` and a path.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// The mode of a Unix socket, in octal, as for chmod.
    pub socket_mode: Option<String>,
    /// The time that one request to a source may take, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// The bearer token that callers must show.
    #[serde(flatten)]
    pub token: TokenSettings,
    /// The sources by name, as in `/v1/credentials/<name>`.
    pub credentials: BTreeMap<String, SourceSettings>,
}

/// The place of the bearer token: a variable or a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TokenSettings {
    /// The variable that holds the token.
    pub token_env: Option<String>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the settings from a file; an error message begins with its path.
    pub fn from_file(path: &Path, environment: &Environment) -> Result<Settings, String> {
        let shown = path.display();
        let text = file::read(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        Settings::parse(&text, environment).map_err(|problem| format!("{shown}: {problem}"))
    }

    /// Parses the text of a settings file; an error message names the field or the line.
    pub fn parse(text: &str, environment: &Environment) -> Result<Settings, String> {
        // The excerpt that the error's Display shows may hold a secret that
        // somebody wrote into the file.
        let mut settings: Settings = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            format!("line {line}: {}", without_values(error.message()))
        })?;
        if !(100..=60_000).contains(&settings.timeout_ms) {
            return Err("timeout_ms: must be from 100 to 60000".into());
        }
        if settings.credentials.is_empty() {
            return Err("credentials: has no entry; add [credentials.default]".into());
        }
        for (name, source) in &mut settings.credentials {
            // A reload compares this text, so that it notices a policy that changed in its
            // file.
            source
                .read_policy()
                .map_err(|problem| format!("credentials.{name}.{problem}"))?;
        }
        for (name, source) in &settings.credentials {
            if !is_name(name) {
                return Err(format!(
                    "credentials.{name}: the name must be 1 to 64 letters, digits, `-`, `_` and `.`"
                ));
            }
            source
                .check(environment)
                .and_then(|()| settings.check_chain(name))
                .map_err(|problem| format!("credentials.{name}.{problem}"))?;
        }
        Ok(settings)
    }

    /// The settings without a file: one source with the name `default`.
    pub fn from_environment(environment: &Environment) -> Result<Settings, String> {
        let key = KeySettings::default();
        let owned = |name: &str| environment.get(name).map(str::to_owned);
        let has_key = environment.has("ALIBABA_CLOUD_ACCESS_KEY_ID");
        let has_oidc = environment.has("ALIBABA_CLOUD_OIDC_TOKEN_FILE");
        let source = match environment.get("ALIBABA_CLOUD_ROLE_ARN").map(str::to_owned) {
            Some(role_arn) if has_key || !has_oidc => {
                SourceSettings::AssumeRole(AssumeRoleSettings {
                    key,
                    sts: StsSettings::default(),
                    session: SessionSettings {
                        session_name: owned("ALIBABA_CLOUD_ROLE_SESSION_NAME"),
                        ..SessionSettings::default()
                    },
                    role_arn,
                    from: None,
                    external_id: owned("ALIBABA_CLOUD_EXTERNAL_ID"),
                })
            }
            _ if has_key && !environment.has("ALIBABA_CLOUD_SECURITY_TOKEN") => {
                SourceSettings::Static { key }
            }
            _ => SourceSettings::Default {},
        };
        source.check(environment).map_err(|problem| {
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

    /// The place to listen. An address that other machines may reach is refused if callers need
    /// no token.
    pub fn place(&self, has_token: bool) -> Result<Listen, String> {
        Listen::new(&self.listen, self.socket_mode.as_deref(), has_token)
    }

    /// Checks that `from` names other credentials, and not in a circle.
    fn check_chain(&self, name: &str) -> Result<(), String> {
        let mut seen = vec![name];
        let mut at = name;
        while let Some(from) = self.credentials.get(at).and_then(SourceSettings::base) {
            if !self.credentials.contains_key(from) {
                return Err(format!("from: there is no [credentials.{from}]"));
            }
            if seen.contains(&from) {
                return Err(format!("from: leads back to `{from}`"));
            }
            seen.push(from);
            at = from;
        }
        Ok(())
    }
}

impl TokenSettings {
    /// The place of the token, if callers need one.
    pub fn place(&self) -> Result<Option<SecretPlace>, String> {
        SecretPlace::choose("token", self.token_env.as_deref(), self.token_file.as_ref())
    }
}

fn default_listen() -> String {
    "127.0.0.1:8181".into()
}

fn default_timeout() -> u64 {
    10_000
}

/// The message of the TOML reader, without the value that has a wrong type: it may be a secret.
fn without_values(message: &str) -> String {
    let cut = message.split_once("string \"").and_then(|(before, rest)| {
        let (_, after) = rest.rsplit_once('"')?;
        Some(format!("{before}string{after}"))
    });
    cut.unwrap_or_else(|| message.to_owned())
}

/// Whether a text is a valid name, of credentials here or of a role in RAM.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "access_key_id_env = \"ID\"\naccess_key_secret_env = \"SECRET\"\n";

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(
            text,
            &Environment::from([("ID", "id"), ("SECRET", "sesame")]),
        )
    }

    #[test]
    fn a_file_names_its_sources() {
        let settings = parse(&format!(
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
        let SourceSettings::AssumeRole(role) = &settings.credentials["c"] else {
            panic!();
        };
        assert_eq!(
            role.sts.endpoint(&Environment::default()).unwrap(),
            "https://sts-vpc.cn-hangzhou.aliyuncs.com"
        );
    }

    #[test]
    fn the_environment_says_which_sts_where_the_settings_do_not() {
        const ENDPOINT: (&str, &str) = ("ALIBABA_CLOUD_STS_ENDPOINT", "http://sts.test:1/");
        const REGION: (&str, &str) = ("ALIBABA_CLOUD_STS_REGION", "cn-beijing");
        const VPC: (&str, &str) = ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true");
        const NONE: (&str, &str) = ("", "");
        let open = StsSettings::default();
        let of_region = StsSettings {
            sts_region: Some("cn-hangzhou".into()),
            ..StsSettings::default()
        };
        let by_internet = StsSettings {
            sts_vpc: Some(false),
            ..of_region.clone()
        };
        for (settings, variables, want) in [
            (&open, [NONE, NONE], "https://sts.aliyuncs.com"),
            (&open, [ENDPOINT, NONE], "http://sts.test:1"),
            (&open, [REGION, NONE], "https://sts.cn-beijing.aliyuncs.com"),
            (
                &open,
                [REGION, VPC],
                "https://sts-vpc.cn-beijing.aliyuncs.com",
            ),
            (
                &of_region,
                [ENDPOINT, REGION],
                "https://sts.cn-hangzhou.aliyuncs.com",
            ),
            (
                &of_region,
                [VPC, NONE],
                "https://sts-vpc.cn-hangzhou.aliyuncs.com",
            ),
            (
                &by_internet,
                [VPC, NONE],
                "https://sts.cn-hangzhou.aliyuncs.com",
            ),
        ] {
            let environment = Environment::from(variables);
            assert_eq!(
                settings.endpoint(&environment).as_deref(),
                Ok(want),
                "{variables:?}"
            );
        }
        for (variables, want) in [
            ([VPC, NONE], "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED: needs"),
            ([VPC, ENDPOINT], "ALIBABA_CLOUD_STS_ENDPOINT: "),
            ([REGION, ENDPOINT], "ALIBABA_CLOUD_STS_REGION: "),
            (
                [("ALIBABA_CLOUD_STS_REGION", "a/b"), NONE],
                "ALIBABA_CLOUD_STS_REGION: must be",
            ),
            (
                [("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "ja"), REGION],
                "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED: must be",
            ),
        ] {
            let problem = open.endpoint(&Environment::from(variables)).unwrap_err();
            assert!(problem.starts_with(want), "{problem}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        refused([
            (String::new(), "line 1: missing field `credentials`"),
            ("[".into(), "line 1: "),
            ("[credentials]".into(), "credentials: has no entry"),
            ("listen = 5".into(), "line 1: invalid type: integer"),
            (
                "timeout_ms = \"sesame\"".into(),
                "line 1: invalid type: string, expected",
            ),
            ("listen = [\"sesame\"]".into(), "line 1: invalid type"),
            (
                "timeout_ms = 1\n[credentials.a]\ntype = \"default\"".into(),
                "timeout_ms: must be",
            ),
            (
                format!("liste = \"\"\n{}", with_key("type = \"static\"")),
                "unknown field `liste`",
            ),
            (
                format!("[credentials.\"a b\"]\ntype = \"static\"\n{KEY}"),
                "credentials.a b: the name must be",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_in_a_source_is_named() {
        refused([
            (with_key("type = \"magic\""), "unknown variant `magic`"),
            (with_key(""), "missing field `type`"),
            (
                with_key("type = \"static\"\nsecret = \"sesame\""),
                "unknown field `secret`",
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
                "[credentials.a]\ntype = \"assume_role_with_oidc\"\nsecret = \"sesame\"".into(),
                "unknown field `secret`",
            ),
            (
                "[credentials.a]\ntype = \"ecs_ram_role\"\nsecret = \"sesame\"".into(),
                "unknown field `secret`",
            ),
            (
                "[credentials.a]\ntype = \"credentials_uri\"\nuri = \"host\"".into(),
                "credentials.a.uri: must be an address that begins with http://",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_in_a_role_is_named() {
        let role = |text: &str| {
            format!(
                "[credentials.a]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n{text}"
            )
        };
        let with_key = |text: &str| format!("{}\n{KEY}", role(text));
        refused([
            (
                "[credentials.a]\ntype = \"assume_role\"".into(),
                "missing field `role_arn`",
            ),
            (
                format!("[credentials.a]\ntype = \"assume_role\"\nrole_arn = \"r\"\n{KEY}"),
                "credentials.a.role_arn: must be of the form",
            ),
            (with_key("secret = \"sesame\""), "unknown field `secret`"),
            (
                with_key("sts_endpoint = \"a/b\""),
                "credentials.a.sts_endpoint: must be a host",
            ),
            (
                with_key("sts_region = \"oss-cn-hangzhou\""),
                "credentials.a.sts_region: must be a region id",
            ),
            (with_key("sts_vpc = true"), "credentials.a.sts_vpc: needs"),
            (
                with_key("duration_seconds = 60"),
                "credentials.a.duration_seconds: must be from 900",
            ),
            (
                with_key("policy = \"{\""),
                "credentials.a.policy: is no JSON",
            ),
            (
                with_key("policy_file = \"/dev/null\""),
                "credentials.a.policy_file: /dev/null: is not a regular file",
            ),
            (
                "[credentials.a]\ntype = \"assume_role_with_oidc\"\npolicy = \"[\"".into(),
                "credentials.a.policy: is no JSON",
            ),
            (
                "[credentials.a]\ntype = \"assume_role_with_oidc\"\nduration_seconds = 1".into(),
                "credentials.a.duration_seconds: must be",
            ),
            (
                with_key("from = \"b\""),
                "credentials.a.from: a key pair is given too",
            ),
            (
                role("from = \"b\""),
                "credentials.a.from: there is no [credentials.b]",
            ),
            (
                role("from = \"a\""),
                "credentials.a.from: leads back to `a`",
            ),
        ]);
    }

    /// One source with a key pair that can be read.
    fn with_key(text: &str) -> String {
        format!("[credentials.a]\n{text}\n{KEY}")
    }

    /// Checks that each text is refused, with a message that holds the given words.
    fn refused<const N: usize>(cases: [(String, &str); N]) {
        for (text, want) in cases {
            let problem = parse(&text).expect_err(&text);
            assert!(
                problem.contains(want),
                "{text}\n got: {problem}\nwant: {want}"
            );
            assert!(!problem.contains("sesame"), "{problem}");
        }
    }
}
