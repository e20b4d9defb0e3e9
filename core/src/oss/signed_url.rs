//! Recognizes a signed URL by its parameters (OSS, "Add signatures to URLs").

use super::parameters::is_signature_parameter;
use super::target::Parameter;

/// A kind of URL signature and its parameters.
struct Kind {
    /// The required parameters; each is given once, with this value or, if `None`, any value.
    required: &'static [(&'static str, Option<&'static str>)],
    /// The optional parameters; each may be given once. A `*` at the end stands for any ending:
    /// the signature covers these parameters.
    optional: &'static [&'static str],
}

#[rustfmt::skip]
const KINDS: [Kind; 4] = [
    // Signature version 1.
    Kind {
        required: &[("OSSAccessKeyId", None), ("Expires", None), ("Signature", None)],
        optional: &["security-token"],
    },
    // Signature version 2.
    Kind {
        required: &[("x-oss-signature-version", Some("OSS2")), ("x-oss-expires", None),
                    ("x-oss-access-key-id", None), ("x-oss-signature", None)],
        optional: &["x-oss-additional-headers", "security-token"],
    },
    // Signature version 4.
    Kind {
        required: &[("x-oss-signature-version", Some("OSS4-HMAC-SHA256")),
                    ("x-oss-credential", None), ("x-oss-date", None), ("x-oss-expires", None),
                    ("x-oss-signature", None)],
        optional: &["x-oss-additional-headers", "x-oss-security-token"],
    },
    // AWS's signature version 4.
    Kind {
        required: &[("X-Amz-Algorithm", Some("AWS4-HMAC-SHA256")), ("X-Amz-Credential", None),
                    ("X-Amz-Date", None), ("X-Amz-Expires", None), ("X-Amz-SignedHeaders", None),
                    ("X-Amz-Signature", None)],
        optional: &["X-Amz-*"],
    },
];

/// Whether these are the parameters of a complete signed URL: all of one kind, each once and
/// not empty, and none of another kind.
pub fn is_whole(parameters: &[Parameter]) -> bool {
    KINDS.iter().any(|kind| kind.is_whole(parameters))
}

impl Kind {
    fn is_whole(&self, parameters: &[Parameter]) -> bool {
        let count = |name: &str| {
            let alike = |parameter: &&Parameter| parameter.name == name.as_bytes();
            parameters.iter().filter(alike).count()
        };
        let is_good = |parameter: &Parameter| match self.value(&parameter.name) {
            Some(Some(value)) => parameter.value == value.as_bytes(),
            Some(None) => !parameter.value.is_empty(),
            None => !is_signature_parameter(&parameter.name),
        };
        let once = |parameter: &Parameter| {
            let alike = |other: &&Parameter| other.name == parameter.name;
            self.value(&parameter.name).is_none() || parameters.iter().filter(alike).count() == 1
        };
        self.required.iter().all(|(name, _)| count(name) == 1)
            && parameters
                .iter()
                .all(|parameter| is_good(parameter) && once(parameter))
    }

    /// The required value of a parameter, if the parameter belongs to this kind.
    fn value(&self, name: &[u8]) -> Option<Option<&'static str>> {
        let mut required = self.required.iter();
        let required = required.find(|(known, _)| known.as_bytes() == name);
        let optional = || {
            let mut optional = self.optional.iter();
            optional.any(|known| match known.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning.as_bytes()),
                None => known.as_bytes() == name,
            })
        };
        match required {
            Some((_, value)) => Some(*value),
            None => optional().then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    const V1: &str = "OSSAccessKeyId=a&Expires=1&Signature=b";
    const V2: &str =
        "x-oss-signature-version=OSS2&x-oss-expires=1&x-oss-access-key-id=a&x-oss-signature=b";
    const V4: &str = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=a&x-oss-date=d\
                      &x-oss-expires=1&x-oss-signature=b";
    const AWS: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a&X-Amz-Date=d\
                       &X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=b";

    fn whole(query: &str) -> bool {
        let target = Target::parse(format!("/a?{query}").as_bytes()).unwrap();
        is_whole(target.parameters())
    }

    #[test]
    fn a_signed_url_is_one_that_is_whole() {
        for (url, token) in [
            (V1, "security-token"),
            (V2, "security-token"),
            (V4, "x-oss-security-token"),
            (AWS, "X-Amz-Security-Token"),
        ] {
            assert!(whole(url), "{url}");
            assert!(whole(&format!("{url}&{token}=t&versionId=v&x=y")), "{url}");
            assert!(!whole(&format!("{url}&{token}=t&{token}=t")), "{url}");
            assert!(!whole(&format!("{url}&{token}=")), "{url}");
            for part in url.split('&') {
                let name = part.split('=').next().unwrap();
                let without: Vec<&str> = url.split('&').filter(|other| *other != part).collect();
                assert!(!whole(&without.join("&")), "{url} without {part}");
                assert!(!whole(&url.replace(part, name)), "{url}: {part} is empty");
                assert!(!whole(&format!("{url}&{part}")), "{url}: {part} twice");
                assert!(!whole(&url.replace(name, &name.to_uppercase())), "{name}");
            }
        }
    }

    #[test]
    fn two_kinds_at_once_are_none() {
        for (one, other) in [(V1, V2), (V1, V4), (V4, AWS), (V1, AWS)] {
            assert!(!whole(&format!("{one}&{other}")));
        }
        assert!(!whole(&format!("{V1}&x-oss-signature=b")));
        assert!(!whole(&format!("{V1}&x-amz-signature=b")));
        // What AWS's SDKs add.
        assert!(whole(&format!(
            "{AWS}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&x-id=GetObject"
        )));
        assert!(!whole(&format!("{AWS}&X-Amz-Content-Sha256=")));
        assert!(!whole("security-token=x"));
        assert!(!whole("AWSAccessKeyId=a&Expires=1&Signature=b"));
        assert!(!whole(""));
    }
}
