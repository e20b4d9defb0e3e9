//! Percent encoding as OSS reads and canonicalizes it, over bytes.

/// Decodes `%XX`. A `%` without two hex digits after it stays as it is; the canonical form
/// encodes it as `%25`, so OSS reads what was signed.
pub fn percent_decode(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%'
            && let Some(value) = hex_pair(tail)
        {
            decoded.push(value);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            decoded.push(byte);
            rest = tail;
        }
    }
    decoded
}

/// Decodes a query name or value: `%XX` as in [`percent_decode`], and `+` as a space.
pub fn form_decode(raw: &[u8]) -> Vec<u8> {
    let spaced = raw
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte });
    percent_decode(&spaced.collect::<Vec<u8>>())
}

/// Appends `bytes`; all but unreserved characters are encoded.
pub fn encode_component(bytes: &[u8], out: &mut Vec<u8>) {
    encode(bytes, is_unreserved, out);
}

/// Appends `bytes`; all but unreserved characters and `/` are encoded.
pub fn encode_path(bytes: &[u8], out: &mut Vec<u8>) {
    encode(bytes, |byte| byte == b'/' || is_unreserved(byte), out);
}

/// Whether these bytes need no encoding in a canonical path.
pub fn is_canonical_path(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|&byte| byte == b'/' || is_unreserved(byte))
}

/// Appends lower-case hex.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + bytes.len() * 2, 0);
    let added = out.get_mut(before..).unwrap_or_default();
    for (pair, byte) in added.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&LOWER[usize::from(*byte)]);
    }
}

/// Whether a character is unreserved (RFC 3986, section 2.3).
#[inline]
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn encode(bytes: &[u8], stays: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    out.reserve(bytes.len());
    for &byte in bytes {
        if stays(byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(UPPER[usize::from(byte)]);
        }
    }
}

/// The two hex digits of each byte.
const LOWER: [[u8; 2]; 256] = pairs(b"0123456789abcdef");
const UPPER: [[u8; 2]; 256] = pairs(b"0123456789ABCDEF");

const fn pairs(digits: &[u8; 16]) -> [[u8; 2]; 256] {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
}

/// Decodes the two hex digits at the beginning of `bytes`.
pub fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let value = |byte: u8| (byte as char).to_digit(16);
    match bytes {
        [high, low, ..] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
        _ => None,
    }
}

/// The name and the value of a parameter.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_stands_for_itself() {
        for (raw, want) in [
            ("a%20b", "a b"),
            ("100%", "100%"),
            ("100%2", "100%2"),
            ("%zz%41", "%zzA"),
            ("%%41", "%A"),
            ("%+1", "%+1"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(percent_decode(raw.as_bytes()), want.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_only() {
        assert_eq!(form_decode(b"a+b%2Bc"), b"a b+c");
        assert_eq!(percent_decode(b"a+b%2Bc"), b"a+b+c");
    }

    #[test]
    fn every_byte_survives_encoding() {
        let all: Vec<u8> = (0..=255).collect();
        let mut encoded = Vec::new();
        encode_component(&all, &mut encoded);
        assert_eq!(percent_decode(&encoded), all);
        encoded.clear();
        encode_path(&all, &mut encoded);
        assert_eq!(percent_decode(&encoded), all);
    }
}
