//! Explains an error of OSS to a person. Of what a server sends, only short words are shown.

use oss_origin_auth_core::oss::details::{Details, request_id};
use oss_origin_auth_core::oss::error::{
    Cause, ErrorResponse, MAX_BODY, diagnose, element, header_xml,
};
use oss_origin_auth_core::oss::headers;
use oss_origin_auth_core::words::Word;

use super::report::Check;
use super::wire::Answer;

/// An error of OSS.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The cause of the refusal.
    pub cause: Cause,
    status: u16,
    code: Option<String>,
    ec: Option<String>,
    request_id: Option<String>,
    /// Details that only a body has: the right endpoint, the policy that denied.
    more: String,
}

impl Explained {
    /// Explains an answer; `None` if it is not an error of OSS.
    pub fn of(answer: &Answer) -> Option<Explained> {
        let in_header;
        let body = answer.body.get(..MAX_BODY).unwrap_or(&answer.body);
        let xml = match body.is_empty() {
            true => {
                in_header = header_xml(answer.header(headers::ERR));
                in_header.as_slice()
            }
            false => body,
        };
        let in_body = || request_id(element(xml, "RequestId")?);
        let id = request_id(answer.header(headers::REQUEST_ID)).or_else(in_body);
        let is_of_oss = id.is_some() || element(xml, "Code").is_some();
        if answer.status < 400 || !is_of_oss {
            return None;
        }
        let error = ErrorResponse {
            status: answer.status,
            ec: answer.header(headers::EC),
            xml,
        };
        let cause = diagnose(&error);
        let details = Details::of(&error, cause);
        Some(Explained {
            cause,
            status: answer.status,
            code: details.code.map(str::to_owned),
            ec: details.ec.map(str::to_owned),
            request_id: id.map(str::to_owned),
            more: details.sentences(),
        })
    }

    /// The error in one line.
    pub fn seen(&self) -> String {
        let mut text = self.status.to_string();
        if let Some(code) = &self.code {
            text += &format!(" {code}");
        }
        if let Some(ec) = &self.ec {
            text += &format!(", EC {ec}");
        }
        if self.cause != Cause::Unknown || self.code.is_none() {
            text += &format!(" ({})", self.cause.word());
        }
        if let Some(id) = &self.request_id {
            text += &format!(", request id {id}");
        }
        text
    }

    /// The advice for the operator.
    pub fn fix(&self) -> String {
        format!("{}.{}", self.what_to_do(), self.more)
    }

    /// The advice for this cause. The filter fetches new credentials by itself, and `doctor`
    /// has just fetched them.
    fn what_to_do(&self) -> &'static str {
        match self.cause {
            Cause::TokenExpired => {
                "fetch a newer token (a token in the environment or in a file must be renewed in \
                 time), and compare this machine's clock with the source's"
            }
            Cause::TokenInvalid => {
                "take id, secret and token of one answer of the source; if they are of one, the \
                 role's sessions were revoked: assume the role again"
            }
            Cause::TokenMissing => {
                "give the key its `SecurityToken`: an id that begins with `STS.` is none without"
            }
            Cause::KeyUnknown => {
                "give a key that is there and enabled: this one was deleted or disabled, is of \
                 another site, or its network policy excludes this machine"
            }
            cause => cause.fix(),
        }
    }

    /// Whether OSS accepts the credentials and denies the request, by a policy or for lack of a
    /// permission.
    pub fn is_denial(&self) -> bool {
        use Cause::{AccessDenied, BucketPolicy, ExplicitDeny, SessionPolicy, VpcPolicy};
        matches!(
            self.cause,
            AccessDenied | BucketPolicy | ExplicitDeny | SessionPolicy | VpcPolicy
        )
    }

    /// Whether OSS refuses the request from everybody: by a denial, or by an error that is not
    /// known here.
    pub fn is_refusal(&self) -> bool {
        let is_denied = self.code.as_deref() == Some("AccessDenied");
        self.is_denial() || (self.cause == Cause::Unknown && is_denied)
    }

    /// Whether the error is about this object alone, so that another request would show more.
    pub fn is_of_object(&self) -> bool {
        use Cause::{
            Archived, BadObjectName, KmsForbidden, KmsKeyUnusable, KmsNotActivated, MirrorFailed,
            NoSuchKey, NoSuchStyle, NoSuchSymlinkTarget, NoSuchVersion, PreconditionFailed,
            RangeNotSatisfiable,
        };
        let of_kms = [KmsForbidden, KmsKeyUnusable, KmsNotActivated];
        let missing = [NoSuchKey, NoSuchStyle, NoSuchSymlinkTarget, NoSuchVersion];
        let others = [
            Archived,
            BadObjectName,
            MirrorFailed,
            PreconditionFailed,
            RangeNotSatisfiable,
        ];
        let all = [&of_kms[..], &missing, &others];
        self.is_denial() || all.concat().contains(&self.cause)
    }

    /// The check that this error fails.
    pub fn failed(&self, check: &'static str) -> Check {
        self.mark(Check::failed(check, self.seen(), self.fix()))
    }

    /// Adds the parts of the error that programs read to a check.
    pub fn mark(&self, check: Check) -> Check {
        Check {
            request_id: self.request_id.clone(),
            ec: self.ec.clone(),
            cause: Some(self.cause.word()),
            ..check
        }
    }
}

/// The check for an answer that shows nothing about it.
pub fn untold(check: &'static str, answer: &Answer) -> Check {
    let untold = Check::unknown(check, odd(answer));
    match answer.is_of_oss() {
        true => untold,
        false => untold.fix(NOT_OSS),
    }
}

/// The advice for an answer that did not come from OSS.
pub const NOT_OSS: &str = "something else than OSS answers there: see what `resolve` shows (DNS), a proxy or a \
     portal on the way that wants a login, and --connect";

/// The description, in one line, of an answer that explains nothing.
pub fn odd(answer: &Answer) -> String {
    let size = answer.body.len();
    let kind = answer.media_type().unwrap_or("no content type");
    let mut text = format!("status {}, {size} bytes, {kind}", answer.status);
    if (300..400).contains(&answer.status) {
        text += &match place(answer.header("location")) {
            Some(host) => format!("; a redirect to {host}, which is not followed"),
            None => "; a redirect, which is not followed".to_owned(),
        };
    } else if answer.status >= 400 {
        text += "; it is not an answer of OSS";
    }
    if let Some(trouble) = &answer.cut {
        text += &format!("; {trouble}");
    }
    text
}

/// The host of a URL; the other parts may hold a signature.
fn place(url: &[u8]) -> Option<String> {
    let url: http::Uri = std::str::from_utf8(url).ok()?.parse().ok()?;
    word(url.host()?.as_bytes()).filter(|host| host.contains('.'))
}

/// The text, if it is a short word of letters, digits, dots and hyphens.
fn word(text: &[u8]) -> Option<String> {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.*".contains(byte);
    let is_word = (1..=MAX_WORD).contains(&text.len()) && text.iter().all(is_of_word);
    let text = std::str::from_utf8(text).ok().filter(|_| is_word);
    text.map(str::to_owned)
}

/// The longest word; a longer one may hold more than a name.
const MAX_WORD: usize = 48;
