//! Finds out why OSS refused a request.
//!
//! There are two questions, which are answered at different times. The headers decide what
//! happens to the credentials ([`verdict`]), because a retry of the same request follows at
//! once, and nothing waits for a body. The report to the operator may also use the body, once
//! it has passed ([`diagnose`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use super::causes::{Alert, Cause, Verdict};

use super::causes::{CODES, DECISIVE, ECS, SHARED, TEXTS};

/// The longest part of an error body that is read. OSS's bodies usually have less than 1 KiB,
/// and begin with `Code` and `Message`; those that repeat a request have several KiB.
pub const MAX_BODY: usize = 16 * 1024;

/// The known facts about an error that OSS sent in answer to a signed request.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorResponse<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `x-oss-ec`.
    pub ec: &'a [u8],
    /// The known part of the error's XML: from the body, or from the header `x-oss-err` (see
    /// [`header_xml`]).
    pub xml: &'a [u8],
}

impl ErrorResponse<'_> {
    /// The EC, from the header or else from the XML.
    pub fn number(&self) -> &[u8] {
        match self.ec {
            b"" => element(self.xml, "EC").unwrap_or_default(),
            ec => ec,
        }
    }
}

/// Whether the response may be an error of OSS. A 429 or a 5xx is one only if it has a request
/// id of OSS; otherwise it is Envoy's own. `has_id` is called only for these.
pub fn is_error(status: u16, has_id: impl FnOnce() -> bool) -> bool {
    match status {
        429 | 500.. => has_id(),
        status => status >= 400,
    }
}

/// The consequence of an error for the credentials, as its headers show it. `error.xml` is the
/// XML of `x-oss-err`, and empty if there is none.
///
/// Alibaba says that an EC may change. So an unknown EC may mean that a token has become
/// invalid. The family of an EC is more stable: `0002-` is authentication, and `0003-` and
/// above are later steps (OSS, "Error codes").
///
/// With a status other than 400, 401 and 403 the credentials are never the reason.
pub fn verdict(error: &ErrorResponse) -> Verdict {
    let ec = error.number();
    let may_be_theirs = ec.is_empty() || ec.starts_with(b"0002-");
    match diagnose(error).verdict() {
        verdict @ Verdict::Rejected(_) if matches!(error.status, 400 | 401 | 403) => verdict,
        Verdict::Suspect if may_be_theirs && matches!(error.status, 401 | 403) => Verdict::Suspect,
        _ => Verdict::Innocent,
    }
}

/// The cause of an error, from all that is known about it.
///
/// A known `Code` that has one cause decides, even against the EC, which may change. If several
/// causes share the `Code`, a text in the message decides (OSS publishes no EC for KMS errors),
/// or else the EC, as it also does if only the headers are known. Without a known `Code` the EC
/// decides, or its family if all of it has one cause; then the status, if it has one meaning
/// only. All other errors are unknown:
///
/// - an AccessDenied with an unknown EC, because OSS may have denied it for many reasons;
/// - a 403 with an unknown EC of the family `0003-`;
/// - a 404 with an unknown EC or `Code`. A 404 without either is an object that does not exist:
///   only OSS would give a reason.
pub fn diagnose(error: &ErrorResponse) -> Cause {
    let by_ec = || by_ec(error);
    let known = by_code(error).or_else(by_ec).or_else(|| by_status(error));
    known.unwrap_or(Cause::Unknown)
}

fn by_code(error: &ErrorResponse) -> Option<Cause> {
    let code = element(error.xml, "Code")?;
    let message = element(error.xml, "Message").unwrap_or_default();
    let sharing = SHARED.iter().filter(|(known, _)| known.as_bytes() == code);
    if sharing.clone().next().is_none() {
        return look_up(CODES, code);
    }
    let says = |text: &str| find(message, text.as_bytes()).is_some();
    let mut texts = TEXTS.iter().filter(|(text, _)| says(text));
    let by_text = texts.find(|(_, cause)| sharing.clone().any(|(_, shares)| shares == cause));
    let by_text = by_text.map(|(_, cause)| *cause);
    let is_new = code == b"AccessDenied" && !error.number().is_empty();
    let known = by_text.or_else(|| by_ec(error));
    known.or_else(|| look_up(CODES, code).filter(|_| !is_new))
}

fn by_ec(error: &ErrorResponse) -> Option<Cause> {
    // Image processing has many ECs. With another status the cause may not be the client's
    // mistake.
    let is_refusal = matches!(error.status, 400 | 409 | 411);
    let known = look_up(ECS, error.number());
    known.filter(|cause| *cause != Cause::BadRequest || is_refusal)
}

fn by_status(error: &ErrorResponse) -> Option<Cause> {
    let says_more = !error.number().is_empty() || element(error.xml, "Code").is_some();
    let mut decisive = DECISIVE.iter();
    let found = decisive.find(|(status, _)| *status == error.status);
    let found = found.map(|(_, cause)| *cause);
    // OSS's own failures have many statuses.
    let is_failure = (500..600).contains(&error.status);
    let found = found.or(is_failure.then_some(Cause::ServerError));
    found.filter(|_| error.status != 404 || !says_more)
}

/// The cause of the first pattern that a text matches.
fn look_up(among: &[(&str, Cause)], text: &[u8]) -> Option<Cause> {
    let mut among = among.iter();
    let found = among.find(|(pattern, _)| fits(pattern, text));
    found.map(|(_, cause)| *cause)
}

/// Whether a text matches a pattern (see [`super::causes::Facts`]).
fn fits(pattern: &str, text: &[u8]) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => text.ends_with(end.as_bytes()),
        (_, Some(begin)) => text.starts_with(begin.as_bytes()),
        (None, None) => text == pattern.as_bytes(),
    }
}

/// The page on which OSS explains an EC. It is `None` for an EC in the table of causes, and for
/// a text that is not an EC: an address may only contain digits and hyphens.
pub fn help(ec: &[u8]) -> Option<String> {
    let text = as_ec(ec)?;
    let is_new = look_up(ECS, ec).is_none();
    is_new.then(|| ["https://api.aliyun.com/troubleshoot?q=", text].concat())
}

/// The EC as a text, if it is valid.
pub fn as_ec(ec: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(ec).ok()?;
    let is_of_ec = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    let is_one = (1..=MAX_EC).contains(&ec.len()) && text.bytes().all(is_of_ec);
    is_one.then_some(text)
}

/// The longest EC that is accepted. OSS's ECs have 13 characters.
const MAX_EC: usize = 32;

/// The XML in the header `x-oss-err`, in which OSS explains an error to a HEAD. It is in Base64
/// (Alibaba's Python SDKs read it there). Empty if the header is not valid.
pub fn header_xml(header: &[u8]) -> Vec<u8> {
    STANDARD.decode(header).unwrap_or_default()
}

/// Encodes XML as [`header_xml`] reads it.
pub fn xml_header(xml: &[u8]) -> Vec<u8> {
    STANDARD.encode(xml).into_bytes()
}

/// The text of an element of OSS's error XML, if the element is complete.
pub fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let body = body.get(..MAX_BODY).unwrap_or(body);
    let opening = ["<", name, ">"].concat();
    let closing = ["</", name, ">"].concat();
    let rest = body.get(find(body, opening.as_bytes())? + opening.len()..)?;
    rest.get(..find(rest, closing.as_bytes())?)
}

/// The position of `wanted` in a text.
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
            ("SignatureDoesNotMatch", "", Cause::SignatureMismatch),
            ("RequestTimeTooSkewed", "", Cause::ClockSkew),
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
            ("QpsLimitExceeded", "", Cause::ThrottledQps),
            (
                "DownloadTrafficRateLimitExceeded",
                "",
                Cause::ThrottledTraffic,
            ),
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
    }

    #[test]
    fn of_a_code_that_causes_share_the_ec_decides() {
        for (code, ec, want) in [
            ("AccessDenied", "", Cause::AccessDenied),
            ("AccessDenied", "0003-00000001", Cause::AccessDenied),
            ("AccessDenied", "0003-00000101", Cause::BucketPolicy),
            ("AccessDenied", "0005-00000218", Cause::KmsNotActivated),
            // Also where it is another Code's.
            ("AccessDenied", "0003-00000801", Cause::AccountSuspended),
            ("AccessDenied", "0003-00000401", Cause::VpcPolicy),
            ("AccessDenied", "0002-00000007", Cause::TokenExpired),
            // Its reason is new.
            ("AccessDenied", "0003-00000999", Cause::Unknown),
            ("AccessDenied", "9999-00000001", Cause::Unknown),
            ("InvalidArgument", "0002-00000039", Cause::TwoSignatures),
            ("InvalidArgument", "0002-00000227", Cause::WrongProduct),
            ("InvalidArgument", "", Cause::Unknown),
            ("InvalidAccessKeyId", "", Cause::KeyUnknown),
            ("InvalidAccessKeyId", "0002-00000003", Cause::TokenMissing),
            ("InvalidAccessKeyId", "0002-00000999", Cause::KeyUnknown),
        ] {
            assert_eq!(with_body(code, "", ec), want, "{code} {ec}");
        }
    }

    #[test]
    fn a_404_is_a_missing_object_if_nothing_says_otherwise() {
        let missing = |ec: &str, xml: &str| {
            let (ec, xml) = (ec.as_bytes(), xml.as_bytes());
            let status = 404;
            diagnose(&ErrorResponse { status, ec, xml })
        };
        assert_eq!(missing("", ""), Cause::NoSuchKey);
        assert_eq!(missing("", "<html>"), Cause::NoSuchKey);
        assert_eq!(missing("0026-00000001", ""), Cause::NoSuchKey);
        assert_eq!(missing("0026-00000999", ""), Cause::Unknown);
        assert_eq!(missing("", &xml("NoSuchOther", "")), Cause::Unknown);
        let told = "<Code>NoSuchVersion</Code><EC>0026-00000001</EC>";
        assert_eq!(missing("0026-00000001", told), Cause::NoSuchVersion);
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
            (503, "0004-00000302", Cause::ThrottledQps),
            (429, "", Cause::Throttled),
            (429, "9999-00000001", Cause::Throttled),
            (503, "", Cause::ServiceUnavailable),
            (503, "9999-00000001", Cause::ServiceUnavailable),
            (502, "", Cause::ServerError),
            (504, "9999-00000001", Cause::ServerError),
            (501, "", Cause::BadRequest),
            (411, "", Cause::BadRequest),
            (413, "", Cause::Unknown),
            (400, "0040-00000321", Cause::BadRequest),
            // It may be more than a client's doing.
            (403, "0040-00000321", Cause::Unknown),
            (500, "0040-00000601", Cause::ServerError),
            (424, "0041-00000999", Cause::MirrorFailed),
            (403, "0003-00000999", Cause::Unknown),
            (404, "0026-00000999", Cause::Unknown),
            (412, "9999-00000001", Cause::PreconditionFailed),
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
    fn a_status_that_decides_is_one_of_its_cause() {
        for (status, cause) in DECISIVE {
            assert!(cause.facts().statuses.contains(status), "{cause:?}");
            let (status, ec, xml) = (*status, &b""[..], &b""[..]);
            assert_eq!(diagnose(&ErrorResponse { status, ec, xml }), *cause);
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
            (403, "0002-00000003", Rejected(Cause::TokenMissing)),
            // Of other statuses that is no sign.
            (400, "", Innocent),
            (404, "", Innocent),
            (503, "", Innocent),
            (400, "0002-00000999", Innocent),
            // Nor is what is said of them there.
            (404, "0002-00000007", Innocent),
            (405, "0002-00000902", Innocent),
            (429, "0002-00000007", Innocent),
            (503, "0002-00000007", Innocent),
            (400, "0002-00000007", Rejected(Cause::TokenExpired)),
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
            assert_eq!(verdict(&answer), want, "{status} {}", ec.escape_ascii());
        }
    }

    #[test]
    fn an_object_that_is_not_there_rejects_nothing_whatever_its_header_says() {
        let xml = xml("SecurityTokenExpired", "");
        let (status, ec, xml) = (404, &b""[..], xml.as_bytes());
        let error = ErrorResponse { status, ec, xml };
        assert_eq!(verdict(&error), Verdict::Innocent);
    }

    #[test]
    fn a_region_in_what_the_client_wrote_is_no_signing_region() {
        let message = "The value: region of parameter: prefix is invalid.";
        assert_eq!(with_body("InvalidArgument", message, ""), Cause::Unknown);
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
            assert_eq!(verdict(&answer), want, "{code} {ec}");
        }
        for garbage in [&b""[..], b"not Base64!", b"/////w=="] {
            let xml = header_xml(garbage);
            let answer = ErrorResponse {
                status: 403,
                ec: b"0002-00000007",
                xml: &xml,
            };
            assert_eq!(verdict(&answer), Rejected(Cause::TokenExpired));
        }
    }

    #[test]
    fn a_5xx_or_429_is_of_oss_if_it_has_its_id() {
        for (status, has_id, want) in [
            (400, false, true),
            (499, false, true),
            (429, false, false),
            (429, true, true),
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
            verdict(&answer);
        }
        let mut long = vec![b' '; MAX_BODY];
        long.extend(b"<Code>SecurityTokenExpired</Code>");
        assert_eq!(element(&long, "Code"), None);
        assert_eq!(element(b"</Code><Code>x</Code>", "Code"), Some(&b"x"[..]));
    }
}
