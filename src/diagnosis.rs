//! Why OSS refused, from what it answered. Pure.

/// As much of an error body as is read; OSS's take less than 1 KiB, of which
/// `Code` and `Message` come first.
pub const MAX_BODY: usize = 8 * 1024;

/// What OSS answered to a request that we signed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    pub status: u16,
    /// `x-oss-ec`
    pub ec: &'a [u8],
    /// As much of the body as is known; empty for HEAD.
    pub body: &'a [u8],
}

/// The known causes. Each has its own fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    TokenExpired,
    TokenInvalid,
    KeyUnknown,
    SignatureMismatch,
    ClockSkew,
    AccessDenied,
    KmsForbidden,
    KmsNotActivated,
    NoSuchKey,
    NoSuchBucket,
    WrongRegion,
    WrongEndpoint,
    TwoSignatures,
    /// An error of which nothing more is known.
    Unknown,
}

impl Cause {
    /// A word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Cause::TokenExpired => "token_expired",
            Cause::TokenInvalid => "token_invalid",
            Cause::KeyUnknown => "key_unknown",
            Cause::SignatureMismatch => "signature_mismatch",
            Cause::ClockSkew => "clock_skew",
            Cause::AccessDenied => "access_denied",
            Cause::KmsForbidden => "kms_forbidden",
            Cause::KmsNotActivated => "kms_not_activated",
            Cause::NoSuchKey => "no_such_key",
            Cause::NoSuchBucket => "no_such_bucket",
            Cause::WrongRegion => "wrong_region",
            Cause::WrongEndpoint => "wrong_endpoint",
            Cause::TwoSignatures => "two_signatures",
            Cause::Unknown => "unknown",
        }
    }

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
                 changes the request; as a downstream filter, no rewrite of the path may follow"
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
            Cause::TwoSignatures => {
                "the request had a signature in its URL as well as the one in its header"
            }
            Cause::Unknown => "see the body of the answer and its request id",
        }
    }

    /// Whether newer credentials may help: those that were used are known to
    /// be good for nothing.
    pub fn condemns_credentials(self) -> bool {
        matches!(
            self,
            Cause::TokenExpired | Cause::TokenInvalid | Cause::KeyUnknown
        )
    }
}

/// Whether there is anything to find out: an error that OSS may have sent.
pub fn is_error(status: u16) -> bool {
    (400..500).contains(&status)
}

/// The cause of an error. `Code` in the body decides where there is one; the EC
/// is a hint where there is none, since Alibaba says that it may change.
pub fn diagnose(answer: &Answer) -> Cause {
    match element(answer.body, "Code") {
        Some(code) => {
            let message = element(answer.body, "Message").unwrap_or_default();
            by_code(code, message, answer.ec)
        }
        None => by_ec(answer.ec).unwrap_or(match answer.status {
            404 => Cause::NoSuchKey,
            _ => Cause::Unknown,
        }),
    }
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
fn by_code(code: &[u8], message: &[u8], ec: &[u8]) -> Cause {
    let says = |words: &str| find(message, words.as_bytes()).is_some();
    match code {
        b"SecurityTokenExpired" => Cause::TokenExpired,
        b"InvalidSecurityToken" => Cause::TokenInvalid,
        b"InvalidAccessKeyId" => Cause::KeyUnknown,
        b"SignatureDoesNotMatch" => Cause::SignatureMismatch,
        b"RequestTimeTooSkewed" => Cause::ClockSkew,
        b"AccessDenied" if says("forbidden by kms") => Cause::KmsForbidden,
        b"AccessDenied" if says("specified endpoint") => Cause::WrongEndpoint,
        b"KmsServiceNotEnabled" => Cause::KmsNotActivated,
        b"AccessDenied" => match by_ec(ec) {
            Some(Cause::KmsNotActivated) => Cause::KmsNotActivated,
            _ => Cause::AccessDenied,
        },
        b"NoSuchKey" => Cause::NoSuchKey,
        b"NoSuchBucket" => Cause::NoSuchBucket,
        b"InvalidArgument" if says("region") => Cause::WrongRegion,
        b"InvalidArgument" if ec == b"0002-00000039" => Cause::TwoSignatures,
        _ => Cause::Unknown,
    }
}

fn by_ec(ec: &[u8]) -> Option<Cause> {
    Some(match ec {
        b"0002-00000007" => Cause::TokenExpired,
        b"0002-00000006" | b"0002-00000008" => Cause::TokenInvalid,
        b"0002-00000002" | b"0002-00000902" => Cause::KeyUnknown,
        b"0002-00000040" => Cause::SignatureMismatch,
        b"0002-00000504" => Cause::ClockSkew,
        b"0002-00000039" => Cause::TwoSignatures,
        b"0003-00000001" => Cause::AccessDenied,
        b"0005-00000218" => Cause::KmsNotActivated,
        b"0015-00000101" => Cause::NoSuchBucket,
        b"0026-00000001" => Cause::NoSuchKey,
        _ => return None,
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_body(code: &str, message: &str, ec: &str) -> Cause {
        let body = format!(
            "<?xml version=\"1.0\"?>\n<Error>\n  <Code>{code}</Code>\n  \
             <Message>{message}</Message>\n</Error>"
        );
        let answer = Answer {
            status: 403,
            ec: ec.as_bytes(),
            body: body.as_bytes(),
        };
        diagnose(&answer)
    }

    #[test]
    fn the_code_in_the_body_decides() {
        for (code, message, want) in [
            ("SecurityTokenExpired", "", Cause::TokenExpired),
            ("InvalidSecurityToken", "", Cause::TokenInvalid),
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
            (
                "InvalidArgument",
                "Invalid signing region in Authorization header",
                Cause::WrongRegion,
            ),
            ("Other", "", Cause::Unknown),
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
    fn without_a_body_the_ec_is_a_hint() {
        for (status, ec, want) in [
            (403, "0002-00000007", Cause::TokenExpired),
            (403, "0002-00000902", Cause::KeyUnknown),
            (403, "9999-00000001", Cause::Unknown),
            (403, "", Cause::Unknown),
            (404, "", Cause::NoSuchKey),
            (404, "0015-00000101", Cause::NoSuchBucket),
        ] {
            let ec = ec.as_bytes();
            assert_eq!(
                diagnose(&Answer {
                    status,
                    ec,
                    body: b""
                }),
                want
            );
        }
    }

    #[test]
    fn only_what_newer_credentials_may_heal_condemns_them() {
        assert!(Cause::TokenExpired.condemns_credentials());
        assert!(!Cause::AccessDenied.condemns_credentials());
        assert!(!Cause::SignatureMismatch.condemns_credentials());
        assert!(!Cause::Unknown.condemns_credentials());
    }

    #[test]
    fn no_body_panics_and_a_long_one_is_cut() {
        let body = b"<Code>A</Code>";
        for cut in 0..body.len() {
            diagnose(&Answer {
                status: 403,
                ec: b"\xff",
                body: &body[..cut],
            });
        }
        let mut long = vec![b' '; MAX_BODY];
        long.extend(b"<Code>SecurityTokenExpired</Code>");
        assert_eq!(element(&long, "Code"), None);
        assert_eq!(element(b"</Code><Code>x</Code>", "Code"), Some(&b"x"[..]));
    }
}
