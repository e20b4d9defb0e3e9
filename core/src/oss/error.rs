//! Why OSS refused, from what it answered.
//!
//! There are two questions, and they are answered at different times. What
//! becomes of the credentials is decided by the headers ([`judge`]), since a
//! retry of the same request follows at once and nothing waits for a body. What
//! the operator is told may also come from the body, where it passes
//! ([`diagnose`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::words::words;

/// As much of an error body as is read. OSS's take less than 1 KiB, of which `Code` and
/// `Message` come first; those that repeat a request take several.
pub const MAX_BODY: usize = 16 * 1024;

/// What is known of an error that OSS sent in answer to a signed request.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorResponse<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `x-oss-ec`
    pub ec: &'a [u8],
    /// As much of the error's XML as is known: of the body, or of the header
    /// `x-oss-err` (see [`header_xml`]).
    pub xml: &'a [u8],
}

/// What an error says of the credentials that signed the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// OSS says that they are good for nothing.
    Rejected(Cause),
    /// OSS does not say why it refused, so that they may be the reason.
    Suspect,
    /// They are not the reason.
    Innocent,
}

words! {
    /// The known causes of an error. Each has its own fix.
    pub enum Cause {
        /// The security token is no longer good.
        TokenExpired = "token_expired",
        /// The security token is not one, or not one of this AccessKey.
        TokenInvalid = "token_invalid",
        /// There is no such AccessKey, or it is disabled.
        KeyUnknown = "key_unknown",
        /// OSS computes another signature.
        SignatureMismatch = "signature_mismatch",
        /// The signature is from another time than OSS's.
        ClockSkew = "clock_skew",
        /// The identity may not do this.
        AccessDenied = "access_denied",
        /// The identity may not use the key that the object is encrypted with.
        KmsForbidden = "kms_forbidden",
        /// The account has no KMS.
        KmsNotActivated = "kms_not_activated",
        /// There is no such object.
        NoSuchKey = "no_such_key",
        /// There is no such bucket.
        NoSuchBucket = "no_such_bucket",
        /// The region in the signature is not the bucket's.
        WrongRegion = "wrong_region",
        /// The endpoint is not the bucket's.
        WrongEndpoint = "wrong_endpoint",
        /// The account may not use the public endpoints of the mainland.
        PublicEndpoint = "public_endpoint",
        /// The object is archived, and must be restored before it can be read.
        Archived = "archived",
        /// There are more requests, or more bytes, than OSS serves at a time.
        Throttled = "throttled",
        /// There is a signature in the header and one in the URL.
        TwoSignatures = "two_signatures",
        /// An error of which nothing more is known.
        Unknown = "unknown",
    }
}

impl Cause {
    /// What an operator should do.
    pub fn fix(self) -> &'static str {
        match self {
            Cause::TokenExpired => {
                "the security token expired; new credentials are fetched; if this repeats, compare \
                 the clocks of Envoy and the sidecar"
            }
            Cause::TokenInvalid => {
                "OSS does not know the security token; new credentials are fetched; if this \
                 repeats, the role's sessions were revoked or the sidecar gives wrong tokens"
            }
            Cause::KeyUnknown => {
                "OSS does not know the AccessKey; new credentials are fetched; if this repeats, \
                 the key was deleted or disabled"
            }
            Cause::SignatureMismatch => {
                "the secret is not that of the AccessKey, or something between Envoy and OSS \
                 changes the request; among the listener's filters, the route's rewrite of path \
                 and host must be what the settings describe"
            }
            Cause::ClockSkew => {
                "the clock of this machine is off by more than 15 minutes; synchronize it"
            }
            Cause::AccessDenied => {
                "the role may not read this object; give it oss:GetObject on the bucket, and look \
                 at the bucket's policy"
            }
            Cause::KmsForbidden => {
                "the object is encrypted with KMS, and the role lacks AliyunKMSCryptoUserAccess; \
                 attach that policy to the role"
            }
            Cause::KmsNotActivated => {
                "the object is encrypted with KMS, which is not activated in the bucket's account"
            }
            Cause::NoSuchKey => "the object does not exist",
            Cause::NoSuchBucket => "the bucket does not exist; compare `bucket` and the endpoint",
            Cause::WrongRegion => "`region` is not that of the bucket or its endpoint",
            Cause::WrongEndpoint => {
                "the bucket lies in another region than the cluster's endpoint; use its own"
            }
            Cause::PublicEndpoint => {
                "accounts opened after 20 March 2025 may not read objects by a public endpoint of \
                 the mainland; set `endpoint` (and the cluster) to the internal one, \
                 oss-<region>-internal.aliyuncs.com, or to the bucket's own domain with \
                 `addressing`: \"cname\""
            }
            Cause::Archived => {
                "the object is archived; restore it, or turn on the bucket's direct read of \
                 archived objects"
            }
            Cause::Throttled => {
                "OSS serves no more requests or bytes of this bucket or account at a time; with \
                 `retry_policy` Envoy backs off and asks again; put a cache in front, or have the \
                 limit raised"
            }
            Cause::TwoSignatures => {
                "the request had a signature in its URL as well as the one in its header"
            }
            Cause::Unknown => "see the body of the answer and its request id",
        }
    }
}

/// Whether there is anything to find out: an error that OSS may have sent. A 5xx is one if it
/// has a request id of OSS: others are Envoy's own. `has_id` is asked only for these.
pub fn is_error(status: u16, has_id: impl FnOnce() -> bool) -> bool {
    (400..500).contains(&status) || (status >= 500 && has_id())
}

/// What the headers of an error say of the credentials. `error.xml` is that of
/// `x-oss-err`, and empty where there is none.
///
/// An EC may change, says Alibaba, and then one that we do not know may mean that
/// a token is no longer good. Its family is steadier: `0002-` is authentication,
/// and those from `0003-` on come after it (OSS, "Error codes").
pub fn judge(error: &ErrorResponse) -> Verdict {
    use Cause::{KeyUnknown, TokenExpired, TokenInvalid};
    let told = element(error.xml, "EC").unwrap_or_default();
    let ec = if error.ec.is_empty() { told } else { error.ec };
    let may_be_theirs = ec.is_empty() || ec.starts_with(b"0002-");
    match known_cause(error.xml, ec) {
        Some(cause @ (TokenExpired | TokenInvalid | KeyUnknown)) => Verdict::Rejected(cause),
        None if may_be_theirs && matches!(error.status, 401 | 403) => Verdict::Suspect,
        _ => Verdict::Innocent,
    }
}

/// The cause of an error, from all that is known of it.
pub fn diagnose(error: &ErrorResponse) -> Cause {
    known_cause(error.xml, error.ec).unwrap_or(match error.status {
        429 => Cause::Throttled,
        404 if element(error.xml, "Code").is_none() => Cause::NoSuchKey,
        _ => Cause::Unknown,
    })
}

/// `Code` in the XML decides where there is one that is known; the EC is a hint
/// where there is none, since Alibaba says that it may change.
fn known_cause(xml: &[u8], ec: &[u8]) -> Option<Cause> {
    let by_code = element(xml, "Code").and_then(|code| {
        let message = element(xml, "Message").unwrap_or_default();
        by_code(code, message, ec)
    });
    by_code.or_else(|| by_ec(ec))
}

/// The XML in the header `x-oss-err`, by which OSS explains an error to a HEAD: in
/// Base64 (Alibaba's Python SDKs read it there). Empty if it is no such header.
pub fn header_xml(header: &[u8]) -> Vec<u8> {
    STANDARD.decode(header).unwrap_or_default()
}

/// What [`header_xml`] reads.
pub fn xml_header(xml: &[u8]) -> Vec<u8> {
    STANDARD.encode(xml).into_bytes()
}

/// The text of an element of OSS's error XML, if it is all there.
pub fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let body = body.get(..MAX_BODY).unwrap_or(body);
    let opening = ["<", name, ">"].concat();
    let closing = ["</", name, ">"].concat();
    let rest = body.get(find(body, opening.as_bytes())? + opening.len()..)?;
    rest.get(..find(rest, closing.as_bytes())?)
}

/// OSS, "Error codes"; shared by all operations on objects.
fn by_code(code: &[u8], message: &[u8], ec: &[u8]) -> Option<Cause> {
    let says = |words: &str| find(message, words.as_bytes()).is_some();
    match code {
        b"AccessDenied" if says("forbidden by kms") => Some(Cause::KmsForbidden),
        b"AccessDenied" if says("specified endpoint") => Some(Cause::WrongEndpoint),
        b"AccessDenied" if by_ec(ec) == Some(Cause::KmsNotActivated) => {
            Some(Cause::KmsNotActivated)
        }
        b"InvalidArgument" if says("region") => Some(Cause::WrongRegion),
        b"InvalidArgument" if by_ec(ec) == Some(Cause::TwoSignatures) => Some(Cause::TwoSignatures),
        // QpsLimitExceeded, TotalQpsLimitExceeded, DownloadTrafficRateLimitExceeded and others.
        code if code.ends_with(b"LimitExceeded") => Some(Cause::Throttled),
        code => look_up(CODES, code),
    }
}

/// OSS, "Error codes": those that name one cause.
fn by_ec(ec: &[u8]) -> Option<Cause> {
    look_up(ECS, ec)
}

fn look_up(among: &[(&str, Cause)], wanted: &[u8]) -> Option<Cause> {
    let mut among = among.iter();
    let found = among.find(|(known, _)| known.as_bytes() == wanted);
    found.map(|(_, cause)| *cause)
}

/// The codes that name one cause, whatever their message.
const CODES: &[(&str, Cause)] = &[
    ("SecurityTokenExpired", Cause::TokenExpired),
    ("InvalidSecurityToken", Cause::TokenInvalid),
    ("AccessKeyIdAndSecurityTokenNotMatch", Cause::TokenInvalid),
    ("InvalidAccessKeyId", Cause::KeyUnknown),
    ("SignatureDoesNotMatch", Cause::SignatureMismatch),
    ("RequestTimeTooSkewed", Cause::ClockSkew),
    ("KmsServiceNotEnabled", Cause::KmsNotActivated),
    ("AccessDenied", Cause::AccessDenied),
    ("PublicEndpointForbidden", Cause::PublicEndpoint),
    ("InvalidObjectState", Cause::Archived),
    ("NoSuchKey", Cause::NoSuchKey),
    ("NoSuchBucket", Cause::NoSuchBucket),
];

const ECS: &[(&str, Cause)] = &[
    ("0002-00000007", Cause::TokenExpired),
    ("0002-00000006", Cause::TokenInvalid),
    ("0002-00000008", Cause::TokenInvalid),
    ("0002-00000002", Cause::KeyUnknown),
    ("0002-00000902", Cause::KeyUnknown),
    // V1, and V4 in the header.
    ("0002-00000040", Cause::SignatureMismatch),
    ("0002-00000201", Cause::SignatureMismatch),
    // The region or the product in V4's scope: in the header, in a URL.
    ("0002-00000226", Cause::WrongRegion),
    ("0002-00000227", Cause::WrongRegion),
    ("0002-00000228", Cause::WrongRegion),
    ("0002-00000504", Cause::ClockSkew),
    ("0002-00000039", Cause::TwoSignatures),
    ("0003-00000001", Cause::AccessDenied),
    ("0004-00000302", Cause::Throttled),
    ("0004-00000304", Cause::Throttled),
    ("0005-00000218", Cause::KmsNotActivated),
    ("0015-00000101", Cause::NoSuchBucket),
    ("0026-00000001", Cause::NoSuchKey),
    ("0048-00000401", Cause::PublicEndpoint),
];

/// Where `wanted` begins in a text.
pub(super) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(code: &str, message: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Error>\n  <Code>{code}</Code>\n  \
             <Message>{message}</Message>\n</Error>"
        )
    }

    fn with_body(code: &str, message: &str, ec: &str) -> Cause {
        diagnose(&ErrorResponse {
            status: 403,
            ec: ec.as_bytes(),
            xml: xml(code, message).as_bytes(),
        })
    }

    #[test]
    fn the_code_in_the_body_decides() {
        for (code, message, want) in [
            ("SecurityTokenExpired", "", Cause::TokenExpired),
            ("InvalidSecurityToken", "", Cause::TokenInvalid),
            (
                "AccessKeyIdAndSecurityTokenNotMatch",
                "",
                Cause::TokenInvalid,
            ),
            ("InvalidAccessKeyId", "", Cause::KeyUnknown),
            ("SignatureDoesNotMatch", "", Cause::SignatureMismatch),
            ("RequestTimeTooSkewed", "", Cause::ClockSkew),
            ("AccessDenied", "You have no right", Cause::AccessDenied),
            (
                "AccessDenied",
                "This request is forbidden by kms.",
                Cause::KmsForbidden,
            ),
            (
                "AccessDenied",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
                Cause::WrongEndpoint,
            ),
            ("NoSuchKey", "", Cause::NoSuchKey),
            ("NoSuchBucket", "", Cause::NoSuchBucket),
            ("PublicEndpointForbidden", "", Cause::PublicEndpoint),
            ("InvalidObjectState", "", Cause::Archived),
            ("QpsLimitExceeded", "", Cause::Throttled),
            ("DownloadTrafficRateLimitExceeded", "", Cause::Throttled),
            (
                "InvalidArgument",
                "Invalid signing region in Authorization header",
                Cause::WrongRegion,
            ),
        ] {
            for ec in ["", "9999-00000001", "0002-00000007"] {
                assert_eq!(with_body(code, message, ec), want, "{code} {ec}");
            }
        }
        assert_eq!(
            with_body("AccessDenied", "", "0005-00000218"),
            Cause::KmsNotActivated
        );
        assert_eq!(
            with_body("InvalidArgument", "", "0002-00000039"),
            Cause::TwoSignatures
        );
    }

    #[test]
    fn of_a_code_that_is_not_known_the_ec_is_a_hint() {
        assert_eq!(with_body("Other", "", ""), Cause::Unknown);
        assert_eq!(with_body("Other", "", "0002-00000504"), Cause::ClockSkew);
    }

    #[test]
    fn without_a_body_the_ec_is_a_hint() {
        for (status, ec, want) in [
            (403, "0002-00000007", Cause::TokenExpired),
            (403, "0002-00000902", Cause::KeyUnknown),
            (403, "0002-00000201", Cause::SignatureMismatch),
            (400, "0002-00000226", Cause::WrongRegion),
            (400, "0048-00000401", Cause::PublicEndpoint),
            (503, "0004-00000302", Cause::Throttled),
            (429, "", Cause::Throttled),
            (503, "", Cause::Unknown),
            (403, "9999-00000001", Cause::Unknown),
            (403, "", Cause::Unknown),
            (404, "", Cause::NoSuchKey),
            (404, "0015-00000101", Cause::NoSuchBucket),
        ] {
            let ec = ec.as_bytes();
            let answer = ErrorResponse {
                status,
                ec,
                xml: b"",
            };
            assert_eq!(diagnose(&answer), want);
        }
    }

    #[test]
    fn the_headers_decide_what_becomes_of_the_credentials() {
        use Verdict::{Innocent, Rejected, Suspect};
        for (status, ec, want) in [
            (403, "0002-00000007", Rejected(Cause::TokenExpired)),
            (403, "0002-00000006", Rejected(Cause::TokenInvalid)),
            (403, "0002-00000008", Rejected(Cause::TokenInvalid)),
            (403, "0002-00000002", Rejected(Cause::KeyUnknown)),
            (403, "0002-00000902", Rejected(Cause::KeyUnknown)),
            // It does not say why, or by a number that is new.
            (403, "", Suspect),
            (401, "", Suspect),
            (403, "0002-00000999", Suspect),
            (401, "0002-00000003", Suspect),
            // Of other statuses that is no sign.
            (400, "", Innocent),
            (404, "", Innocent),
            (503, "", Innocent),
            (400, "0002-00000999", Innocent),
            // No fault of the credentials.
            (400, "0002-00000039", Innocent),
            (403, "0002-00000040", Innocent),
            (403, "0002-00000201", Innocent),
            (400, "0002-00000226", Innocent),
            (403, "0002-00000226", Innocent),
            (403, "0002-00000227", Innocent),
            (403, "0002-00000228", Innocent),
            (403, "0002-00000504", Innocent),
            (403, "0003-00000001", Innocent),
            (403, "0003-00000999", Innocent),
            (403, "0005-00000218", Innocent),
            (403, "0048-00000401", Innocent),
            (403, "not an EC", Innocent),
        ] {
            let ec = ec.as_bytes();
            let answer = ErrorResponse {
                status,
                ec,
                xml: b"",
            };
            assert_eq!(judge(&answer), want, "{status} {}", ec.escape_ascii());
        }
    }

    #[test]
    fn to_a_head_the_xml_in_a_header_explains() {
        use Verdict::{Innocent, Rejected, Suspect};
        for (code, ec, want) in [
            ("SecurityTokenExpired", "", Rejected(Cause::TokenExpired)),
            (
                "InvalidSecurityToken",
                "0002-00000999",
                Rejected(Cause::TokenInvalid),
            ),
            ("AccessDenied", "", Innocent),
            ("SignatureDoesNotMatch", "0002-00000999", Innocent),
            ("Other", "0003-00000001", Innocent),
            ("Other", "", Suspect),
        ] {
            let text = xml(code, "").replace("</Error>", &format!("<EC>{ec}</EC></Error>"));
            let header = STANDARD.encode(text);
            let decoded = header_xml(header.as_bytes());
            let answer = ErrorResponse {
                status: 403,
                ec: b"",
                xml: &decoded,
            };
            assert_eq!(judge(&answer), want, "{code} {ec}");
        }
        for garbage in [&b""[..], b"not Base64!", b"/////w=="] {
            let xml = header_xml(garbage);
            let answer = ErrorResponse {
                status: 403,
                ec: b"0002-00000007",
                xml: &xml,
            };
            assert_eq!(judge(&answer), Rejected(Cause::TokenExpired));
        }
    }

    #[test]
    fn a_5xx_is_of_oss_if_it_has_its_id() {
        for (status, has_id, want) in [
            (400, false, true),
            (499, false, true),
            (500, true, true),
            (503, true, true),
            (503, false, false),
            (399, true, false),
            (200, true, false),
        ] {
            assert_eq!(is_error(status, || has_id), want, "{status}");
        }
    }

    #[test]
    fn no_body_panics_and_a_long_one_is_cut() {
        let body = b"<Code>A</Code>";
        for cut in 0..body.len() {
            let answer = ErrorResponse {
                status: 403,
                ec: b"\xff",
                xml: &body[..cut],
            };
            diagnose(&answer);
            judge(&answer);
        }
        let mut long = vec![b' '; MAX_BODY];
        long.extend(b"<Code>SecurityTokenExpired</Code>");
        assert_eq!(element(&long, "Code"), None);
        assert_eq!(element(b"</Code><Code>x</Code>", "Code"), Some(&b"x"[..]));
    }
}
