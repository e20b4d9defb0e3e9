//! Checks of the credentials: whether they can be fetched, and who owns them.

use oss_origin_auth_core::credentials::Credentials;
use oss_origin_auth_core::oss::time::rfc3339_utc;
use sts_sidecar::{Cause, FetchError, Trial};

use crate::doctor::bucket::now;
use crate::doctor::options::Options;
use crate::doctor::plan::Plan;
use crate::doctor::report::{Check, Report};

/// The credentials, as far as they could be fetched.
#[derive(Default)]
pub struct Known {
    pub credentials: Option<Credentials>,
    /// The number of seconds that STS's clock is ahead of this machine's.
    pub ahead: Option<i64>,
}

/// Fetches the credentials, and asks STS who owns them.
pub async fn check(options: &Options, plan: &Plan, report: &mut Report) -> Known {
    let name = plan.credentials.as_str();
    let timeout_ms = options.timeout * 1000;
    let trial = match Trial::new(options.sidecar_config.as_deref(), timeout_ms) {
        Ok(trial) => trial,
        Err(problem) => {
            report.add(Check::failed("credentials", problem, FIX_SETTINGS));
            report.skip("identity", "identity", "there are no credentials");
            return Known::default();
        }
    };
    let Some(kind) = trial.kind(name) else {
        let names: Vec<&str> = trial.names().collect();
        let names = names.join(", ");
        let seen = format!(
            "the sidecar's settings have no credentials `{}`; they have {names}",
            name.escape_debug()
        );
        let fix = "name one of these with --credentials, or give the sidecar's settings with \
                   --sidecar-config";
        report.add(Check::failed("credentials", seen, fix));
        report.skip("identity", "identity", "there are no credentials");
        return Known::default();
    };
    let credentials = match trial.fetch(name).await {
        Ok(credentials) => credentials,
        Err(error) => {
            let seen = format!("{name} ({kind}): {error}");
            let fix = match is_last_of_default(kind, &error) {
                true => FIX_DEFAULT,
                false => fix(&error),
            };
            report.add(Check::failed("credentials", seen, fix));
            report.skip("identity", "identity", "there are no credentials");
            return Known::default();
        }
    };
    report.add(shown(name, kind, &credentials));
    let ahead = identity(&trial, name, &credentials, report).await;
    Known {
        credentials: Some(credentials),
        ahead,
    }
}

fn shown(name: &str, kind: &str, credentials: &Credentials) -> Check {
    let id = credentials.masked_id();
    let end = match credentials.expires_at {
        Some(at) => {
            let minutes = at.saturating_sub(now()) / 60;
            format!("until {} ({minutes} minutes)", rfc3339_utc(at))
        }
        None if credentials.security_token.is_some() => {
            "with a token whose end is not known".to_owned()
        }
        None => "a key without an end".to_owned(),
    };
    Check::good("credentials", format!("{name} ({kind}): {id}, {end}"))
}

/// Reports the identity that STS sees; returns STS's clock.
async fn identity(
    trial: &Trial,
    name: &str,
    credentials: &Credentials,
    report: &mut Report,
) -> Option<i64> {
    match trial.identity(name, credentials).await {
        Ok(identity) => {
            let seen = format!("account {}, {}", identity.account, identity.arn);
            report.add(Check::good("identity", seen));
            ahead(identity.date?)
        }
        Err(error) => {
            let says_no = matches!(&error.cause, Cause::Refused { code, .. } if is_of_key(code));
            report.add(match says_no {
                true => Check::failed("identity", error.to_string(), fix(&error)),
                false => Check::unknown("identity", error.to_string()).fix(NO_IDENTITY),
            });
            // A server that refuses our time sends its own.
            match error.cause {
                Cause::Refused { date, .. } => ahead(date?),
                _ => None,
            }
        }
    }
}

/// The number of seconds that a clock is ahead of this machine's.
fn ahead(date: u64) -> Option<i64> {
    i64::try_from(date).ok()?.checked_sub_unsigned(now())
}

const NO_IDENTITY: &str = "nothing, if OSS takes the signatures below: only this command asks STS whose \
     credentials they are";

/// Whether a code of STS says that the credentials themselves are wrong.
fn is_of_key(code: &str) -> bool {
    let kinds = [
        "InvalidAccessKeyId",
        "InvalidSecurityToken",
        "SignatureDoesNotMatch",
        "InvalidTimeStamp",
    ];
    kinds.iter().any(|kind| code.starts_with(kind))
}

/// The advice for a failed fetch.
fn fix(error: &FetchError) -> &'static str {
    match &error.cause {
        Cause::Refused { code, .. } => of_code(code),
        Cause::Status(_) | Cause::Malformed => {
            "the server is not the source that the settings mean: compare its address, and \
             look at its log"
        }
        Cause::TimedOut | Cause::Unreachable(_) => {
            "see whether this machine reaches the source: its address, the network, a proxy \
             (HTTPS_PROXY, NO_PROXY); within a VPC sts_vpc and sts_region name an STS that it \
             reaches"
        }
        Cause::Missing(_) => FIX_SETTINGS,
    }
}

/// Whether the metadata server of ECS was asked because nothing else was set.
fn is_last_of_default(kind: &str, error: &FetchError) -> bool {
    let step = error.step.as_deref().unwrap_or_default();
    kind == "default" && step.contains("/latest/")
}

const FIX_DEFAULT: &str = "say where the credentials are: nothing in the environment does, so the metadata \
     server of ECS was asked at last; set the variables of docs/SIDECAR.md, or name the sidecar's \
     settings with --sidecar-config; on ECS give the instance a RAM role";

const FIX_SETTINGS: &str = "fix what the message names, in the sidecar's settings or the environment; \
     docs/SIDECAR.md describes them; `oss-origin-auth sidecar check` tries all names";

/// The advice for a code of STS, or for the beginning of its name (Alibaba Cloud, "STS error
/// codes").
fn of_code(code: &str) -> &'static str {
    let is = |begin: &str| code.starts_with(begin);
    if is("InvalidAccessKeyId") {
        "STS does not know the AccessKey: it was deleted or disabled, or is of another site; give a \
         key that is there"
    } else if is("SignatureDoesNotMatch") {
        "the AccessKey secret is not that of the AccessKey id: give both of one key, without spaces \
         or line ends in between"
    } else if is("InvalidSecurityToken") {
        "the token is not that of this AccessKey, or has expired: take id, secret and token of one \
         answer of STS"
    } else if is("InvalidTimeStamp") {
        "this machine's clock is off by more than 15 minutes: synchronize it (NTP)"
    } else if is("NoPermission") {
        "the caller may not assume the role: allow it sts:AssumeRole, name it in the role's trust \
         policy, and compare external_id"
    } else if is("EntityNotExist") {
        "there is no such role or OIDC provider: compare role_arn and oidc_provider_arn, and the \
         account in them"
    } else if is("AuthenticationFail") {
        "STS does not take the OIDC token: compare the provider's issuer and client id with the \
         token's, and whether it has expired"
    } else {
        "look the code up in STS's documentation, or give the request id to Alibaba's support"
    }
}
