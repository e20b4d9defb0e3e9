//! STS GetCallerIdentity: reports whose credentials these are. It needs no permission.

use std::time::SystemTime;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde::Deserialize;

use super::World;
use super::sts::{nonce, signed_query};
use crate::client::Way;
use crate::credential::{Cause, Credential, FetchError};
use crate::held::unix;

/// The identity that STS reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the account.
    pub account: String,
    /// The user, or the role and the session.
    pub arn: String,
    /// The clock of STS, in seconds since 1970, if the answer has a date.
    pub date: Option<u64>,
}

/// Asks the STS at `endpoint`, which has no slash at its end.
pub async fn ask(
    endpoint: &str,
    credential: &Credential,
    world: &World,
) -> Result<Identity, FetchError> {
    const ACTION: &str = "GetCallerIdentity";
    let now = unix(SystemTime::now());
    let query = signed_query(ACTION, credential, &Vec::new(), now, &nonce()?);
    let request = Request::post(format!("{endpoint}/?{query}")).body(Full::new(Bytes::new()));
    let request = request.map_err(|_| FetchError::missing("sts_endpoint: is not an address"))?;
    let answer = world.client.send(Way::ByProxy, ACTION, request).await?;
    let body: Result<Body, _> = serde_json::from_slice(&answer.body);
    let body = body.ok().filter(Body::is_plain);
    let body = body.ok_or_else(|| answer.error(Cause::Malformed))?;
    Ok(Identity {
        account: body.account_id,
        arn: body.arn,
        date: answer.date,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    account_id: String,
    arn: String,
}

impl Body {
    /// Whether it holds only characters that names are made of.
    fn is_plain(&self) -> bool {
        let is_of_arn = |b: u8| b.is_ascii_alphanumeric() || b":/._-@*=,+".contains(&b);
        (1..=32).contains(&self.account_id.len())
            && self.account_id.bytes().all(|b| b.is_ascii_alphanumeric())
            && (1..=512).contains(&self.arn.len())
            && self.arn.starts_with("acs:")
            && self.arn.bytes().all(is_of_arn)
    }
}
