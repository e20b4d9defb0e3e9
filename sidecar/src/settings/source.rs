//! The settings of one source, `[credentials.<name>]`.

use std::path::PathBuf;

use http::uri::Authority;
use serde::Deserialize;

use crate::address;
use crate::environment::Environment;
use crate::file;
use crate::secret::SecretPlace;

/// The source of the credentials of a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceSettings {
    /// A long-lived key pair, served as it is.
    Static {
        /// The place of the key pair.
        #[serde(flatten)]
        key: KeySettings,
    },
    /// The AccessKey in ALIBABA_CLOUD_ACCESS_KEY_ID and …_SECRET, with the token in
    /// ALIBABA_CLOUD_SECURITY_TOKEN if it is set.
    Environment {},
    /// STS AssumeRole, with a key pair or with the credentials of another name.
    AssumeRole(AssumeRoleSettings),
    /// STS AssumeRoleWithOIDC: RRSA of ACK.
    AssumeRoleWithOidc(OidcSettings),
    /// The RAM role of an ECS instance, from its metadata server.
    EcsRamRole(EcsSettings),
    /// Another server of the credentials-URI protocol.
    CredentialsUri {
        /// The address of the server; ALIBABA_CLOUD_CREDENTIALS_URI unless given.
        uri: Option<String>,
    },
    /// A profile of the Aliyun CLI.
    Profile {
        /// The CLI's file; `~/.aliyun/config.json` unless given.
        file: Option<PathBuf>,
        /// The name of the profile; the current one unless given.
        profile: Option<String>,
    },
    /// The first source that is set: the environment, OIDC, the CLI's profile, a credentials
    /// URI; without any of them the ECS instance.
    Default {},
}

/// The settings of a role that is assumed with other credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRoleSettings {
    /// The key pair that assumes the role, unless `from` is given.
    #[serde(flatten)]
    pub key: KeySettings,
    /// The STS to use.
    #[serde(flatten)]
    pub sts: StsSettings,
    /// The properties of the token.
    #[serde(flatten)]
    pub session: SessionSettings,
    /// The ARN of the role.
    pub role_arn: String,
    /// The name whose credentials assume the role.
    pub from: Option<String>,
    /// The external id, which the role's trust policy may require.
    pub external_id: Option<String>,
}

/// The properties of the token of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SessionSettings {
    /// The name of the session, which RAM's logs show.
    pub session_name: Option<String>,
    /// A session policy, which narrows what the role may do.
    pub policy: Option<String>,
    /// A file with the session policy.
    pub policy_file: Option<PathBuf>,
    /// The life of the token in seconds; STS chooses it unless given.
    pub duration_seconds: Option<u64>,
}

/// The settings of a role that is assumed with an OIDC token. The variables that ACK sets for a
/// pod stand in for settings that are not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// The STS to use.
    #[serde(flatten)]
    pub sts: StsSettings,
    /// The properties of the token.
    #[serde(flatten)]
    pub session: SessionSettings,
    /// The ARN of the role; ALIBABA_CLOUD_ROLE_ARN unless given.
    pub role_arn: Option<String>,
    /// The OIDC provider; ALIBABA_CLOUD_OIDC_PROVIDER_ARN unless given.
    pub oidc_provider_arn: Option<String>,
    /// The file with the OIDC token; ALIBABA_CLOUD_OIDC_TOKEN_FILE unless given.
    pub oidc_token_file: Option<PathBuf>,
}

/// The settings of the RAM role of an ECS instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcsSettings {
    /// The name of the role; the instance's own unless given.
    pub role_name: Option<String>,
    /// Whether a metadata token is required.
    #[serde(default)]
    pub hardened: bool,
    /// The metadata server; `http://100.100.100.200` unless given.
    pub endpoint: Option<String>,
}

/// The STS to use, by its host or by its region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StsSettings {
    /// The host of STS.
    pub sts_endpoint: Option<String>,
    /// The id of the region.
    pub sts_region: Option<String>,
    /// Whether to use the region's host for VPCs; ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED unless
    /// given.
    pub sts_vpc: Option<bool>,
}

/// The place of a key pair: a variable or a file for each part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KeySettings {
    /// The variable that holds the AccessKey id.
    pub access_key_id_env: Option<String>,
    /// The file that holds the AccessKey id.
    pub access_key_id_file: Option<PathBuf>,
    /// The variable that holds the AccessKey secret.
    pub access_key_secret_env: Option<String>,
    /// The file that holds the AccessKey secret.
    pub access_key_secret_file: Option<PathBuf>,
}

impl SourceSettings {
    /// The setting `type`, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            SourceSettings::Static { .. } => "static",
            SourceSettings::Environment {} => "environment",
            SourceSettings::AssumeRole(_) => "assume_role",
            SourceSettings::AssumeRoleWithOidc(_) => "assume_role_with_oidc",
            SourceSettings::EcsRamRole(_) => "ecs_ram_role",
            SourceSettings::CredentialsUri { .. } => "credentials_uri",
            SourceSettings::Profile { .. } => "profile",
            SourceSettings::Default {} => "default",
        }
    }

    /// The name whose credentials this source uses, if it uses any.
    pub fn base(&self) -> Option<&str> {
        match self {
            SourceSettings::AssumeRole(settings) => settings.from.as_deref(),
            _ => None,
        }
    }

    /// Reads the session policy from its file, and replaces the file's name by the text.
    pub fn read_policy(&mut self) -> Result<(), String> {
        match self {
            SourceSettings::AssumeRole(settings) => settings.session.read_policy(),
            SourceSettings::AssumeRoleWithOidc(settings) => settings.session.read_policy(),
            _ => Ok(()),
        }
    }

    /// Refuses settings that are wrong for certain, without any request; the error message
    /// begins with the field.
    pub fn check(&self, environment: &Environment) -> Result<(), String> {
        match self {
            SourceSettings::Static { key } => key.check(environment),
            SourceSettings::AssumeRole(settings) => settings.check(environment),
            SourceSettings::AssumeRoleWithOidc(settings) => settings.check(environment),
            SourceSettings::EcsRamRole(settings) => {
                check_url("endpoint", settings.endpoint.as_deref())
            }
            SourceSettings::CredentialsUri { uri } => check_url("uri", uri.as_deref()),
            SourceSettings::Environment {}
            | SourceSettings::Profile { .. }
            | SourceSettings::Default {} => Ok(()),
        }
    }
}

impl SessionSettings {
    fn read_policy(&mut self) -> Result<(), String> {
        let Some(path) = self.policy_file.take() else {
            return check_policy("policy", self.policy.as_deref());
        };
        if self.policy.is_some() {
            return Err("policy: policy_file is given too; keep one".into());
        }
        let text = file::read(&path)
            .map_err(|error| format!("policy_file: {}: {error}", path.display()))?;
        check_policy(&format!("policy_file: {}", path.display()), Some(&text))?;
        self.policy = Some(text.to_string());
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let duration = self.duration_seconds;
        if duration.is_some_and(|seconds| !(900..=43_200).contains(&seconds)) {
            return Err("duration_seconds: must be from 900 to 43200".into());
        }
        Ok(())
    }
}

/// Refuses a session policy that is not JSON; the error message begins with `place`.
pub fn check_policy(place: &str, policy: Option<&str>) -> Result<(), String> {
    let Some(policy) = policy else {
        return Ok(());
    };
    let json = serde_json::from_str::<serde::de::IgnoredAny>(policy);
    json.map(|_| ())
        .map_err(|error| format!("{place}: is no JSON: {error}"))
}

impl AssumeRoleSettings {
    fn check(&self, environment: &Environment) -> Result<(), String> {
        match self.from {
            None => self.key.check(environment)?,
            Some(_) if self.key != KeySettings::default() => {
                return Err("from: a key pair is given too; keep one".into());
            }
            Some(_) => {}
        }
        self.check_role(environment)
    }

    /// Checks the settings that do not depend on who assumes the role.
    pub fn check_role(&self, environment: &Environment) -> Result<(), String> {
        check_role_arn(&self.role_arn)?;
        self.session.check()?;
        self.sts.endpoint(environment).map(|_| ())
    }
}

impl OidcSettings {
    fn check(&self, environment: &Environment) -> Result<(), String> {
        self.role_arn.as_deref().map_or(Ok(()), check_role_arn)?;
        self.session.check()?;
        self.sts.endpoint(environment).map(|_| ())
    }
}

impl StsSettings {
    /// The address of the STS, without a slash at its end: that of the settings, or else that
    /// of the environment, or else the one for all regions.
    pub fn endpoint(&self, environment: &Environment) -> Result<String, String> {
        let vpc = || match self.sts_vpc {
            Some(vpc) => Ok(vpc),
            None => environment.flag(VPC_ENABLED),
        };
        match (&self.sts_endpoint, &self.sts_region) {
            (Some(_), Some(_)) => Err("sts_region: sts_endpoint is given too; keep one".into()),
            (Some(_), None) if self.sts_vpc == Some(true) => {
                Err("sts_vpc: is for sts_region, and sts_endpoint is given; keep one".into())
            }
            (Some(text), None) => endpoint("sts_endpoint", text),
            (None, Some(region)) => regional("sts_region", region, vpc()?),
            (None, None) if self.sts_vpc == Some(true) && !environment.has(STS_REGION) => {
                Err("sts_vpc: needs sts_region".into())
            }
            (None, None) => match (environment.get(STS_ENDPOINT), environment.get(STS_REGION)) {
                (Some(_), Some(_)) => {
                    Err(format!("{STS_REGION}: {STS_ENDPOINT} is set too; keep one"))
                }
                (Some(_), None) if vpc()? => Err(format!(
                    "{STS_ENDPOINT}: {VPC_ENABLED} is set too; keep one"
                )),
                (Some(text), None) => endpoint(STS_ENDPOINT, text),
                (None, Some(region)) => regional(STS_REGION, region, vpc()?),
                (None, None) if vpc()? => Err(format!("{VPC_ENABLED}: needs {STS_REGION}")),
                (None, None) => Ok("https://sts.aliyuncs.com".into()),
            },
        }
    }
}

const STS_ENDPOINT: &str = "ALIBABA_CLOUD_STS_ENDPOINT";
const STS_REGION: &str = "ALIBABA_CLOUD_STS_REGION";
const VPC_ENABLED: &str = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED";

fn regional(place: &str, region: &str, vpc: bool) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if region.is_empty() || !region.bytes().all(plain) || region.starts_with("oss-") {
        return Err(format!("{place}: must be a region id such as cn-hangzhou"));
    }
    let service = if vpc { "sts-vpc" } else { "sts" };
    Ok(format!("https://{service}.{region}.aliyuncs.com"))
}

/// The address of a host, which is asked by HTTPS unless it names another scheme.
fn endpoint(place: &str, text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let uri = address::parse_server(&whole);
    let uri =
        uri.ok_or_else(|| format!("{place}: must be a host such as sts.cn-hangzhou.aliyuncs.com"))?;
    let (scheme, host) = (uri.scheme_str(), uri.authority().map(Authority::as_str));
    Ok(format!(
        "{}://{}",
        scheme.unwrap_or_default(),
        host.unwrap_or_default()
    ))
}

impl KeySettings {
    /// The place of the AccessKey id; ALIBABA_CLOUD_ACCESS_KEY_ID unless given.
    pub fn id(&self) -> Result<SecretPlace, String> {
        let (env, file) = (self.access_key_id_env.as_deref(), &self.access_key_id_file);
        let place = SecretPlace::choose("access_key_id", env, file.as_ref())?;
        Ok(place.unwrap_or_else(|| {
            SecretPlace::variable("access_key_id", "ALIBABA_CLOUD_ACCESS_KEY_ID")
        }))
    }

    /// The place of the AccessKey secret; ALIBABA_CLOUD_ACCESS_KEY_SECRET unless given.
    pub fn secret(&self) -> Result<SecretPlace, String> {
        let env = self.access_key_secret_env.as_deref();
        let file = self.access_key_secret_file.as_ref();
        let place = SecretPlace::choose("access_key_secret", env, file)?;
        Ok(place.unwrap_or_else(|| {
            SecretPlace::variable("access_key_secret", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
        }))
    }

    fn check(&self, environment: &Environment) -> Result<(), String> {
        self.id()?.read(environment)?;
        self.secret()?.read(environment)?;
        Ok(())
    }
}

fn check_role_arn(arn: &str) -> Result<(), String> {
    if arn.starts_with("acs:ram::") && arn.contains(":role/") {
        return Ok(());
    }
    Err("role_arn: must be of the form acs:ram::<account>:role/<name>".into())
}

/// Refuses a text that is not an address. The error message begins with the field. It does not
/// hold the address, which may contain a password.
pub fn check_url(field: &str, url: Option<&str>) -> Result<(), String> {
    if url.is_none_or(|url| address::parse(url).is_some()) {
        return Ok(());
    }
    Err(format!(
        "{field}: must be an address that begins with http:// or https://, without a user"
    ))
}
