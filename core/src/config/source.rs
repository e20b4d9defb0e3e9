//! Reads the sources of credentials.

use std::rc::Rc;

use super::reader::{ConfigError, Object};
use super::{fields, names};
use crate::credentials::{Credentials, Secret};
use crate::fetch::source::{Sidecar, Source, SourceKind};
use crate::json::Value;

/// Looks up a variable of the VM's environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the entries under `credentials`.
pub fn read_all(top: &Object, environment: Environment) -> Result<Vec<Source>, ConfigError> {
    let example = "for example {\"default\": {\"sidecar\": {\"cluster\": \"sts_sidecar\"}}}";
    let (path, value) = top
        .get("credentials")
        .ok_or_else(|| top.error("credentials", format!("missing; {example}")))?;
    let named = Object::open(path, value)?;
    let mut sources = Vec::new();
    for (name, path, value) in named.entries() {
        names::check_entry_name(name).map_err(|problem| named.error(name, problem))?;
        sources.push(Source {
            name: name.to_owned(),
            kind: read_kind(name, &path, value, environment)?,
        });
    }
    if sources.is_empty() {
        return Err(top.error("credentials", format!("has no entry; {example}")));
    }
    Ok(sources)
}

fn read_kind(
    name: &str,
    path: &str,
    value: &Value,
    environment: Environment,
) -> Result<SourceKind, ConfigError> {
    let object = Object::new(path, value, fields::SOURCE)?;
    match (object.get("sidecar"), object.get("access_key")) {
        (Some((path, value)), None) => {
            let sidecar = read_sidecar(name, path, value, environment)?;
            Ok(SourceKind::Sidecar(Rc::new(sidecar)))
        }
        (None, Some((path, value))) => {
            read_access_key(path, value, environment).map(SourceKind::AccessKey)
        }
        (Some(_), Some(_)) => Err(ConfigError::new(
            path,
            "has both `sidecar` and `access_key`; keep one",
        )),
        (None, None) => Err(ConfigError::new(
            path,
            "needs a source: `sidecar` or `access_key`",
        )),
    }
}

fn read_sidecar(
    name: &str,
    path: String,
    value: &Value,
    environment: Environment,
) -> Result<Sidecar, ConfigError> {
    let object = Object::new(path, value, fields::SIDECAR)?;
    let (path_of_cluster, cluster) =
        object.required_text("cluster", "the Envoy cluster of the sidecar")?;
    names::check_cluster(cluster).map_err(|problem| ConfigError::new(path_of_cluster, problem))?;
    let cluster = cluster.to_owned();
    Ok(Sidecar {
        authority: object
            .checked_text("authority", names::check_authority)?
            .unwrap_or(&cluster)
            .to_owned(),
        path: object
            .checked_text("path", names::check_request_path)?
            .map_or_else(|| format!("/v1/credentials/{name}"), str::to_owned),
        timeout_ms: object.integer(&fields::TIMEOUT_MS)?,
        clock_margin_ms: object.integer(&fields::CLOCK_MARGIN_MS)?,
        refresh_margin_ms: object.optional_integer(&fields::REFRESH_MARGIN_MS)?,
        token: optional_variable(&object, "token_env", environment)?.map(Secret::new),
        cluster,
    })
}

fn read_access_key(
    path: String,
    value: &Value,
    environment: Environment,
) -> Result<Credentials, ConfigError> {
    refuse_inline(&path, value, "`id_env` or `secret_env`")?;
    let object = Object::new(path, value, fields::ACCESS_KEY)?;
    let credentials = Credentials {
        access_key_id: variable(&object, "id_env", environment)?,
        access_key_secret: Secret::new(variable(&object, "secret_env", environment)?),
        security_token: None,
        expires_at: None,
    };
    match credentials.lacks_token() {
        true => Err(object.error("id_env", KEY_OF_STS)),
        false => Ok(credentials),
    }
}

const KEY_OF_STS: &str = "names a variable with a key of STS (`STS.…`), which expires and needs a \
     token; use a `sidecar`, or an AccessKey of a RAM user";

/// Refuses a field that looks like an attempt to write a key into the configuration. `belongs`
/// is the setting that names the variable instead.
pub fn refuse_inline(path: &str, value: &Value, belongs: &str) -> Result<(), ConfigError> {
    let object = Object::open(path, value)?;
    let mut names = object.names();
    let Some(inline) = names.find(|name| names::looks_like_a_secret(name)) else {
        return Ok(());
    };
    let problem = format!(
        "a key must not be written here, because Envoy's config_dump shows it; put it in the \
         environment of Envoy and name the variable in {belongs}"
    );
    Err(object.error(inline, problem))
}

/// The error message for a name that does not exist under a field.
pub fn unknown_name(field: &str, known: &[&str]) -> String {
    let known = known.join("`, `");
    format!("is no name under `{field}`; known are `{known}`")
}

/// The value of the environment variable that an optional setting names.
pub fn optional_variable(
    object: &Object,
    field: &str,
    environment: Environment,
) -> Result<Option<String>, ConfigError> {
    match object.get(field) {
        Some(_) => variable(object, field, environment).map(Some),
        None => Ok(None),
    }
}

/// The value of the environment variable that a required setting names.
pub fn variable(
    object: &Object,
    field: &str,
    environment: Environment,
) -> Result<String, ConfigError> {
    let (path, name) = object.required_text(field, "the name of an environment variable")?;
    let found = environment(name).map(|value| value.trim().to_owned());
    match found.as_deref() {
        // The message does not repeat the value: it may be the secret itself, written here by
        // mistake.
        None | Some("") => Err(ConfigError::new(
            path,
            "names a variable that is unset or empty; set it for Envoy and, for a wasm filter, list it \
             in vm_config.environment_variables.host_env_keys",
        )),
        Some(value) if !names::is_header_safe(value) => Err(ConfigError::new(
            path,
            "names a variable whose value contains spaces or non-ASCII characters",
        )),
        Some(value) => Ok(value.to_owned()),
    }
}
