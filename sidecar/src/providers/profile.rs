//! Profiles of the Aliyun CLI, read as Alibaba Cloud's SDK for Go reads them. An unknown field
//! is an error: it may be the one that narrows what the credentials may do.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sts::{AssumeRole, AssumeRoleWithOidc};
use super::{CredentialsUri, Metadata, World};
use crate::credential::{Ask, Credential, Fetch, FetchError, Fetching};
use crate::environment::Environment;
use crate::file;
use crate::settings::{
    AssumeRoleSettings, EcsSettings, KeySettings, OidcSettings, SessionSettings, SourceSettings,
    StsSettings, check_policy,
};

/// A profile of the CLI's file, which is read for each fetch.
#[derive(Debug)]
pub struct Profile {
    file: Option<PathBuf>,
    is_disabled: bool,
    name: Option<String>,
    world: World,
}

impl Profile {
    /// The profile `name` of `file`. Without `file` it is the one in the home folder; without
    /// `name`, the one that the environment or the file names.
    pub fn new(
        file: Option<PathBuf>,
        name: Option<&str>,
        world: &World,
    ) -> Result<Profile, String> {
        let environment = &world.environment;
        Ok(Profile {
            is_disabled: file.is_none() && environment.flag(DISABLED)?,
            file: file.or_else(|| in_home(environment)),
            name: environment.or(name, "ALIBABA_CLOUD_PROFILE"),
            world: world.clone(),
        })
    }

    async fn ask(&self) -> Result<Credential, FetchError> {
        if self.is_disabled {
            return Err(FetchError::missing(format!("needs {DISABLED} unset")));
        }
        let path = self.file.clone().ok_or_else(|| {
            FetchError::missing("file: there is no home folder; name the CLI's file")
        })?;
        let shown = path.display().to_string();
        let missing = |text: String| FetchError::missing(format!("{shown}: {text}"));
        let text = self.world.aside.run(move || file::read(&path)).await;
        let text = text.map_err(|error| missing(error.to_string()))?;
        // The text of serde's error may quote a secret.
        let file: File = serde_json::from_str(&text).map_err(|error| {
            missing(format!(
                "line {}: is no configuration of the CLI",
                error.line()
            ))
        })?;
        let name = self.name.as_deref().unwrap_or(&file.current);
        let fetcher = file.fetcher(name, &self.world, 0).map_err(missing)?;
        fetcher.fetch(Ask::Valid).await
    }
}

fn in_home(environment: &Environment) -> Option<PathBuf> {
    let home = environment.home()?;
    Some(home.join(".aliyun/config.json"))
}

/// Whether the CLI's file exists and may be used: a variable can switch it off. A file that
/// cannot be looked at counts as existing.
pub fn is_set(environment: &Environment) -> Result<bool, String> {
    let is_there = |path: PathBuf| {
        let looked = std::fs::symlink_metadata(path).map_err(|error| error.kind());
        !matches!(looked, Err(ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    Ok(!environment.flag(DISABLED)? && in_home(environment).is_some_and(is_there))
}

impl Fetch for Profile {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(self.ask())
    }
}

const DISABLED: &str = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    current: String,
    /// Each profile is kept as it is: an error in one does not matter to another.
    #[serde(default)]
    profiles: Vec<Map<String, Value>>,
}

/// The CLI writes an empty text for what is not given.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    name: String,
    mode: String,
    access_key_id: String,
    access_key_secret: String,
    sts_token: String,
    ram_role_arn: String,
    ram_session_name: String,
    ram_role_name: String,
    external_id: String,
    expired_seconds: u64,
    sts_region: String,
    enable_vpc: bool,
    policy: String,
    source_profile: String,
    oidc_provider_arn: String,
    oidc_token_file: String,
    credentials_uri: String,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Fields of the CLI's profiles that have nothing to do with where credentials come from,
/// or that belong to modes which are refused (config/profile.go of aliyun-cli 3).
const OTHER_FIELDS: [&str; 21] = [
    "access_token",
    "auto_plugin_install",
    "auto_plugin_install_enable_pre",
    "bearer_token",
    "bearer_token_header_key",
    "connect_timeout",
    "endpoint",
    "endpoint_type",
    "external_account_type",
    "key_pair_name",
    "language",
    "output_format",
    "parent_profile",
    "private_key",
    "process_command",
    "region_id",
    "retry_count",
    "retry_timeout",
    "site",
    "sts_expiration",
    "verified",
];
/// The prefixes of such fields, for the modes CloudSSO and OAuth.
const OTHER_PREFIXES: [&str; 2] = ["cloud_sso_", "oauth_"];

/// The modes that this program supports.
const MODES: [&str; 7] = [
    "AK",
    "StsToken",
    "RamRoleArn",
    "ChainableRamRoleArn",
    "EcsRamRole",
    "OIDC",
    "CredentialsURI",
];
/// The most profiles in a row; more are a circle.
const MAX_DEPTH: usize = 8;

impl File {
    /// The fetcher of the profile `name`. `depth` is the number of profiles that lead here.
    fn fetcher(&self, name: &str, world: &World, depth: usize) -> Result<Arc<dyn Fetch>, String> {
        let shown = name.escape_debug();
        let mut profiles = self.profiles.iter();
        let profile = profiles.find(|profile| profile.get("name").is_some_and(|it| it == name));
        let profile = profile.ok_or_else(|| format!("has no profile `{shown}`"))?;
        let fetcher = if depth > MAX_DEPTH {
            Err("source_profile: leads in a circle".to_owned())
        } else {
            Fields::read(profile).and_then(|profile| self.fetcher_of(&profile, world, depth))
        };
        fetcher.map_err(|problem| format!("profile `{shown}`: {problem}"))
    }

    fn fetcher_of(
        &self,
        profile: &Fields,
        world: &World,
        depth: usize,
    ) -> Result<Arc<dyn Fetch>, String> {
        profile.check()?;
        Ok(match profile.mode() {
            "" | "AK" => profile.key(None)?,
            "StsToken" => {
                let token = given(&profile.sts_token).ok_or("sts_token: is missing")?;
                profile.key(Some(token))?
            }
            "RamRoleArn" => profile.role(profile.key(None)?, world)?,
            "ChainableRamRoleArn" => {
                let base = self.fetcher(&profile.source_profile, world, depth + 1)?;
                profile.role(base, world)?
            }
            "EcsRamRole" => Arc::new(Metadata::new(
                &EcsSettings {
                    role_name: given(&profile.ram_role_name),
                    ..EcsSettings::default()
                },
                world,
            )?),
            "OIDC" => {
                let settings = OidcSettings {
                    sts: profile.sts(),
                    session: profile.session(),
                    role_arn: given(&profile.ram_role_arn),
                    oidc_provider_arn: given(&profile.oidc_provider_arn),
                    oidc_token_file: given(&profile.oidc_token_file).map(PathBuf::from),
                };
                let checked = SourceSettings::AssumeRoleWithOidc(settings.clone());
                checked.check(&world.environment)?;
                Arc::new(AssumeRoleWithOidc::new(&settings, world)?)
            }
            "CredentialsURI" => {
                let uri = given(&profile.credentials_uri);
                Arc::new(CredentialsUri::new(uri.as_deref(), world)?)
            }
            other => {
                let (other, modes) = (other.escape_debug(), MODES.join(", "));
                return Err(format!("mode `{other}`: {modes} are understood"));
            }
        })
    }
}

impl Fields {
    /// Reads the fields of a profile. Null means not given, as it does for the CLI.
    fn read(profile: &Map<String, Value>) -> Result<Fields, String> {
        let mut given = Map::new();
        for (name, value) in profile.iter().filter(|(_, value)| !value.is_null()) {
            given.insert(name.clone(), value.clone());
            // Each field is read alone, so that a message can name it without its value.
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            if serde_json::from_value::<Fields>(alone.into()).is_err() {
                return Err(format!("{}: is of another type", name.escape_debug()));
            }
        }
        serde_json::from_value(given.into()).map_err(|_| "cannot be read".into())
    }

    /// The mode in the CLI's own spelling; the CLI accepts other spellings, too.
    fn mode(&self) -> &str {
        let mut known = MODES.into_iter();
        let known = known.find(|mode| mode.eq_ignore_ascii_case(&self.mode));
        known.unwrap_or(&self.mode)
    }

    fn check(&self) -> Result<(), String> {
        let is_known = |name: &str| {
            OTHER_FIELDS.contains(&name)
                || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        let is_empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
        };
        let mut others = self.others.iter();
        if let Some((name, _)) = others.find(|(name, value)| !is_known(name) && !is_empty(value)) {
            let name = name.escape_debug();
            return Err(format!(
                "{name}: is not known here and would have no effect"
            ));
        }
        let of_role = ["RamRoleArn", "ChainableRamRoleArn", "OIDC"].contains(&self.mode());
        if !self.policy.is_empty() && !of_role {
            return Err("policy: narrows a role, and this mode has none".into());
        }
        check_policy("policy", given(&self.policy).as_deref())
    }

    fn key(&self, token: Option<String>) -> Result<Arc<dyn Fetch>, String> {
        let (Some(id), Some(secret)) = (given(&self.access_key_id), given(&self.access_key_secret))
        else {
            return Err("has no AccessKey".into());
        };
        let credential = Credential::new(id, secret, token, None)?;
        Ok(Arc::new(Fixed(credential)))
    }

    fn role(&self, caller: Arc<dyn Fetch>, world: &World) -> Result<Arc<dyn Fetch>, String> {
        let settings = AssumeRoleSettings {
            key: KeySettings::default(),
            sts: self.sts(),
            session: self.session(),
            role_arn: self.ram_role_arn.clone(),
            from: None,
            external_id: given(&self.external_id),
        };
        settings.check_role(&world.environment)?;
        Ok(Arc::new(AssumeRole::new(&settings, caller, world)?))
    }

    fn sts(&self) -> StsSettings {
        StsSettings {
            sts_endpoint: None,
            sts_region: given(&self.sts_region),
            sts_vpc: self.enable_vpc.then_some(true),
        }
    }

    fn session(&self) -> SessionSettings {
        SessionSettings {
            session_name: given(&self.ram_session_name),
            policy: given(&self.policy),
            policy_file: None,
            duration_seconds: (self.expired_seconds > 0).then_some(self.expired_seconds),
        }
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A key that is written in the file itself.
#[derive(Debug)]
struct Fixed(Credential);

impl Fetch for Fixed {
    fn fetch(&self, _: Ask) -> Fetching<'_> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(profile: &str) -> Result<(), String> {
        let profile: Value = serde_json::from_str(profile).unwrap();
        Fields::read(profile.as_object().unwrap())?.check()
    }

    #[test]
    fn a_field_without_effect_is_an_error_that_names_it() {
        let modes_with_a_role = [r#""RamRoleArn""#, r#""ChainableRamRoleArn""#, r#""OIDC""#];
        for mode in modes_with_a_role {
            for mode in [mode.to_owned(), mode.to_ascii_lowercase()] {
                let profile = format!(r#"{{"mode": {mode}, "policy": "{{}}"}}"#);
                assert_eq!(check(&profile), Ok(()), "{profile}");
            }
        }
        for (profile, want) in [
            (
                r#"{"mode": "AK", "policy": "{}"}"#,
                "policy: narrows a role",
            ),
            (r#"{"mode": "OIDC", "policy": "{"}"#, "policy: is no JSON"),
            (
                r#"{"serial_number": "sesame"}"#,
                "serial_number: is not known",
            ),
            (r#"{"narrower": {"a": 1}}"#, "narrower: is not known"),
            (
                r#"{"expired_seconds": "sesame"}"#,
                "expired_seconds: is of another type",
            ),
            (r#"{"mode": 5}"#, "mode: is of another type"),
        ] {
            let problem = check(profile).unwrap_err();
            assert!(problem.starts_with(want), "{problem}");
            assert!(!problem.contains("sesame"), "{problem}");
        }
        let harmless = r#"{"region_id": "cn-hangzhou", "cloud_sso_sign_in_url": "https://x",
            "retry_count": 3, "later": "", "much_later": 0, "at_last": null,
            "policy": null}"#;
        assert_eq!(check(harmless), Ok(()));
    }
}
