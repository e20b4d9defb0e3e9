//! The details of an error that an operator may read, beside its cause.
//!
//! The XML of SignatureDoesNotMatch repeats what was signed, including the security token; and
//! a server in OSS's place may send anything. So only the elements that are named here are
//! read, and only if they are short words.

use super::error::{Cause, ErrorResponse, element, help};

/// The details of an error that an operator may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// The EC, the number of the error.
    pub ec: Option<&'a str>,
    /// The `Code` of the error.
    pub code: Option<&'a str>,
    /// The bucket's own endpoint, if the request was sent to another.
    pub endpoint: Option<&'a str>,
    /// The elements of `AccessDeniedDetail`: their names and texts.
    pub denial: Vec<(&'static str, &'a str)>,
    /// The page on which OSS explains the EC, if the EC is not in the table of causes.
    pub help: Option<String>,
}

impl<'a> Details<'a> {
    /// The details of an error with this cause.
    pub fn of(error: &'a ErrorResponse, cause: Cause) -> Details<'a> {
        let xml = error.xml;
        let endpoint = element(xml, "Endpoint").filter(|_| cause == Cause::WrongEndpoint);
        let detail = element(xml, "AccessDeniedDetail").unwrap_or_default();
        let denial = OF_DENIAL.iter().filter_map(|name| {
            let value = element(detail, name).and_then(letters)?;
            Some((*name, value))
        });
        Details {
            ec: number(error.number()),
            code: element(xml, "Code").and_then(code),
            endpoint: endpoint.and_then(host),
            denial: denial.collect(),
            help: help(error.number()),
        }
    }

    /// Sentences for a person, each with a space before it. They do not contain the EC and the
    /// code.
    pub fn sentences(&self) -> String {
        let mut text = String::new();
        if let Some(endpoint) = self.endpoint {
            text += &[" The bucket's endpoint is ", endpoint, "."].concat();
        }
        for (place, (name, value)) in self.denial.iter().enumerate() {
            let before = if place == 0 { " OSS says " } else { ", " };
            text += &[before, name, " ", value].concat();
        }
        if !self.denial.is_empty() {
            text.push('.');
        }
        if let Some(help) = &self.help {
            text += &[" OSS explains its EC: ", help].concat();
        }
        text
    }
}

/// The elements of `AccessDeniedDetail` that are shown (OSS, "0003-00000201"). Its
/// `EncodedDiagnosticMessage` and the names of the account and of the identity are left out.
const OF_DENIAL: [&str; 4] = [
    "PolicyType",
    "NoPermissionType",
    "AuthAction",
    "AuthPrincipalType",
];

/// A short text of letters, digits and a few signs. Signatures and tokens are longer.
fn word(text: &[u8]) -> Option<&str> {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let is_word = (1..=MAX_WORD).contains(&text.len()) && text.iter().all(is_of_word);
    std::str::from_utf8(text).ok().filter(|_| is_word)
}

/// The longest word that is shown. OSS's codes are shorter.
const MAX_WORD: usize = 48;

/// An EC: digits and hyphens. OSS's ECs have 13 characters.
fn number(text: &[u8]) -> Option<&str> {
    let is_of_ec = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    let is_one = text.len() <= 32 && text.iter().all(|byte| is_of_ec(*byte));
    word(text).filter(|_| is_one)
}

/// The id of a request: hexadecimal, and shorter than a signature. So an AccessKey id, which a
/// server in OSS's place may send here, is not accepted.
pub fn request_id(text: &[u8]) -> Option<&str> {
    let is_of_id = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    word(text).filter(|_| text.iter().all(is_of_id))
}

/// A code: a few words of letters, without a space. So the id of an AccessKey is not accepted.
fn code(text: &[u8]) -> Option<&str> {
    let is_key = text.starts_with(b"STS.") || text.starts_with(b"LTAI");
    let is_of_code = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'.';
    word(text).filter(|_| text.iter().all(is_of_code) && !is_key)
}

/// A word without digits, such as `ExplicitDeny` or `oss:GetObject`.
fn letters(text: &[u8]) -> Option<&str> {
    word(text).filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
}

/// A host name of OSS, each part of which is a word.
fn host(text: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(text).ok()?;
    let is_part = |part: &str| word(part.as_bytes()).is_some() && !part.contains([':', '_']);
    let is_host =
        host.len() <= MAX_HOST && host.ends_with(".aliyuncs.com") && host.split('.').all(is_part);
    Some(host).filter(|_| is_host)
}

/// The longest host name (RFC 1035, section 2.3.4), without the dot at the end.
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    /// An error of OSS ("0003-00000201"), shortened.
    const DENIED: &str = "<Error><Code>AccessDenied</Code><AccessDeniedDetail>\
        <PolicyType>AccountLevelIdentityBasedPolicy</PolicyType>\
        <AuthPrincipalOwnerId>10323</AuthPrincipalOwnerId>\
        <AuthPrincipalType>SubUser</AuthPrincipalType>\
        <AuthPrincipalDisplayName>sesame</AuthPrincipalDisplayName>\
        <NoPermissionType>ExplicitDeny</NoPermissionType><AuthAction>oss:GetObject</AuthAction>\
        <EncodedDiagnosticMessage>sesame</EncodedDiagnosticMessage></AccessDeniedDetail>\
        <EC>0003-00000201</EC></Error>";

    fn of(xml: &str, ec: &str, cause: Cause) -> String {
        let (ec, xml) = (ec.as_bytes(), xml.as_bytes());
        let error = ErrorResponse {
            status: 403,
            ec,
            xml,
        };
        Details::of(&error, cause).sentences()
    }

    #[test]
    fn a_denial_names_the_kind_of_policy_and_nobody() {
        let want = " OSS says PolicyType AccountLevelIdentityBasedPolicy, NoPermissionType \
                    ExplicitDeny, AuthAction oss:GetObject, AuthPrincipalType SubUser.";
        assert_eq!(of(DENIED, "", Cause::ExplicitDeny), want);
        let outside = DENIED.replace("AccessDeniedDetail", "StringToSign");
        assert_eq!(of(&outside, "", Cause::ExplicitDeny), "");
    }

    #[test]
    fn the_right_endpoint_is_named_where_another_was_asked() {
        let xml = "<Error><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>";
        let want = " The bucket's endpoint is oss-cn-beijing.aliyuncs.com.";
        assert_eq!(of(xml, "", Cause::WrongEndpoint), want);
        assert_eq!(of(xml, "", Cause::AccessDenied), "");
    }

    #[test]
    fn an_ec_that_is_not_known_is_explained_by_oss() {
        let want = " OSS explains its EC: https://api.aliyun.com/troubleshoot?q=0003-00000999";
        assert_eq!(of("", "0003-00000999", Cause::Unknown), want);
        for ec in [
            "",
            "0003-00000001",
            "0003-0000099x",
            "0003-00000999&x",
            "\n",
        ] {
            assert_eq!(of("", ec, Cause::Unknown), "", "{ec}");
        }
        assert_eq!(of("", &"1".repeat(33), Cause::Unknown), "");
    }

    #[test]
    fn a_code_is_no_key() {
        for (text, is_one) in [
            ("AccessDenied", true),
            ("InvalidAccessKeyId.NotFound", true),
            ("STS.sesame", false),
            ("LTAIsesame", false),
            ("a:b", false),
            ("", false),
        ] {
            assert_eq!(code(text.as_bytes()).is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn a_request_id_is_hex() {
        for (text, is_one) in [
            ("6A0000000000000000000003", true),
            ("", false),
            ("LTAI5tsesame", false),
            ("STS.6A00", false),
            (&"6A".repeat(32), false),
        ] {
            let want = Some(text).filter(|_| is_one);
            assert_eq!(request_id(text.as_bytes()), want);
        }
    }

    #[test]
    fn what_is_no_word_is_not_shown() {
        // As long as a V4 signature.
        let long = "a".repeat(64);
        for text in [
            "",
            "two words",
            "a\nb",
            "se+same/=",
            "é",
            "<a>",
            &long,
            "LTAI5tsesame",
            "STS.sesame1",
        ] {
            let xml = format!(
                "<Error><Code>{text}</Code><EC>{text}</EC><Endpoint>{text}</Endpoint>\
                 <AccessDeniedDetail><PolicyType>{text}</PolicyType></AccessDeniedDetail></Error>"
            );
            let xml = xml.as_bytes();
            let error = ErrorResponse {
                status: 403,
                ec: b"",
                xml,
            };
            let details = Details::of(&error, Cause::WrongEndpoint);
            assert_eq!(details, Details::default(), "{text}");
        }
    }

    #[test]
    fn a_policy_is_named_by_letters_and_an_endpoint_is_a_host() {
        let xml = "<Error><AccessDeniedDetail><PolicyType>CAIS1</PolicyType></AccessDeniedDetail>\
                   </Error>";
        assert_eq!(of(xml, "", Cause::ExplicitDeny), "");
        for text in ["host", "a..b", "a:1.b", ".a", "a_b.c"] {
            let xml = format!("<Error><Endpoint>{text}</Endpoint></Error>");
            assert_eq!(of(&xml, "", Cause::WrongEndpoint), "", "{text}");
        }
    }
}
