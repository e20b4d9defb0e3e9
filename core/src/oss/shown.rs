//! The parts of an OSS error that a client may see.

use super::error::find;

/// An error's XML, reduced to the elements that do not show how the request was signed. The XML
/// of SignatureDoesNotMatch repeats the string to sign, including the security token (OSS,
/// "Error responses"). `None` if the text is not such XML, or has no `Code`.
pub fn without_secrets(xml: &[u8]) -> Option<Vec<u8>> {
    let opening = b"<Error>";
    let mut rest = xml.get(find(xml, opening)? + opening.len()..)?;
    let mut shown = Vec::new();
    let mut has_code = false;
    while let Some((name, value, behind)) = first_element(rest) {
        rest = behind;
        // An element that contains other elements is not one of the known ones.
        if SHOWN.contains(&name) && !value.contains(&b'<') {
            has_code |= name == "Code";
            show(name, value, &mut shown);
        }
    }
    has_code.then(|| error_xml(&shown))
}

/// An error of the filter, in OSS's format.
pub fn error_with_code(code: &str) -> Vec<u8> {
    let mut shown = Vec::new();
    show("Code", code.as_bytes(), &mut shown);
    error_xml(&shown)
}

fn show(name: &str, value: &[u8], shown: &mut Vec<u8>) {
    let name = name.as_bytes();
    shown.extend([b"  <", name, b">", value, b"</", name, b">\n"].concat());
}

fn error_xml(elements: &[u8]) -> Vec<u8> {
    let beginning = &b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n"[..];
    [beginning, elements, b"</Error>\n"].concat()
}

/// The first element of a text: its name, its content, and the rest of the text.
fn first_element(xml: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let inner = xml.trim_ascii_start().strip_prefix(b"<")?;
    let (name, inner) = inner.split_at_checked(find(inner, b">")?)?;
    let name = std::str::from_utf8(name).ok()?;
    let closing = ["</", name, ">"].concat();
    let end = find(inner, closing.as_bytes())?;
    let (value, behind) = (inner.get(1..end)?, inner.get(end + closing.len()..)?);
    Some((name, value, behind))
}

/// Whether an error's XML is complete.
pub fn is_complete(xml: &[u8]) -> bool {
    find(xml, b"</Error>").is_some()
}

/// The elements of an error that a client may see.
const SHOWN: [&str; 9] = [
    "Code",
    "Message",
    "RequestId",
    "HostId",
    "BucketName",
    "Key",
    "Endpoint",
    "EC",
    "RecommendDoc",
];

#[cfg(test)]
mod tests {
    use super::super::error::{header_xml, xml_header};
    use super::*;

    #[test]
    fn what_a_client_may_see_is_listed() {
        let xml = b"<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
            <StringToSign>GET sesame</StringToSign><SecurityToken>sesame</SecurityToken>\
            <Message>It does &lt; not</Message><OSSAccessKeyId>sesame</OSSAccessKeyId>\
            <Key><Nested>sesame</Nested></Key><EC>0002-00000040</EC></Error>";
        let shown = String::from_utf8(without_secrets(xml).unwrap()).unwrap();
        assert!(!shown.contains("sesame"), "{shown}");
        for kept in ["SignatureDoesNotMatch", "It does &lt; not", "0002-00000040"] {
            assert!(shown.contains(kept), "{shown}");
        }
        assert_eq!(header_xml(&xml_header(xml)), xml);
        // What stands within another element is none of the error's.
        let nested =
            b"<Error><Code>A</Code><StringToSign>a<Message>sesame</Message></StringToSign>\
            <Empty></Empty><Message>of OSS</Message></Error>";
        let shown = String::from_utf8(without_secrets(nested).unwrap()).unwrap();
        assert!(shown.contains("<Message>of OSS</Message>"), "{shown}");
        assert!(!shown.contains("sesame"), "{shown}");
        for other in [
            &b""[..],
            b"<html>sesame</html>",
            b"<Error><Code>cut",
            b"<Code>A</Code>",
            b"<Error></Error>",
        ] {
            assert_eq!(without_secrets(other), None);
        }
    }
}
