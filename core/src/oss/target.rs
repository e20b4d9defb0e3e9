//! The request target. It is decoded as OSS decodes it, and encoded in the canonical form, so
//! that the signed text is the one that is sent.

use std::borrow::Cow;

use super::encoding::{
    Pair, encode_component, encode_path, form_decode, is_canonical_path, percent_decode,
};

/// A parsed `:path`: the object key and the query parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: Vec<u8>,
    /// The object key. `None` means that the path has no encoded character, so the key is the
    /// path without its slash.
    key: Option<Vec<u8>>,
    parameters: Vec<Parameter>,
}

/// A query parameter, decoded. OSS reads `a` and `a=` alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name: any bytes.
    pub name: Vec<u8>,
    /// The value: any bytes; empty if there is none.
    pub value: Vec<u8>,
}

impl Target {
    /// Parses an origin-form target: a path and, after the first `?`, a query. `None` if it
    /// does not begin with `/`.
    pub fn parse(raw: &[u8]) -> Option<Target> {
        let (path, query) = match raw.iter().position(|&byte| byte == b'?') {
            Some(at) => (raw.get(..at)?, raw.get(at + 1..)?),
            None => (raw, [].as_slice()),
        };
        let raw_key = path.strip_prefix(b"/")?;
        let mut target = if is_canonical_path(raw_key) {
            Target {
                path: path.to_vec(),
                key: None,
                parameters: Vec::new(),
            }
        } else {
            Target::of_key(percent_decode(raw_key))
        };
        if !query.is_empty() {
            target.parameters = query
                .split(|&byte| byte == b'&')
                .filter(|pair| !pair.is_empty() && *pair != b"=")
                .map(Parameter::parse)
                .collect();
        }
        Some(target)
    }

    /// The target of an object, without a query.
    pub fn of_key(key: Vec<u8>) -> Target {
        let mut path = Vec::with_capacity(key.len() + 1);
        path.push(b'/');
        encode_path(&key, &mut path);
        let is_path = path.get(1..) == Some(&key);
        Target {
            path,
            key: Some(key).filter(|_| !is_path),
            parameters: Vec::new(),
        }
    }

    /// A target with the same query and another object key.
    pub fn with_key(&self, key: Vec<u8>) -> Target {
        Target {
            parameters: self.parameters.clone(),
            ..Target::of_key(key)
        }
    }

    /// The object key, decoded: any bytes. It is empty for the bucket itself.
    pub fn key(&self) -> &[u8] {
        match &self.key {
            Some(key) => key,
            None => self.path.get(1..).unwrap_or_default(),
        }
    }

    /// The canonical path: `/` and the encoded key, without a bucket.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The parameters, in the order of the request.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Keeps the parameters that `keep` accepts, and returns the first error of `keep`.
    pub fn try_retain_parameters<E>(
        &mut self,
        keep: impl Fn(&Parameter) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut result = Ok(());
        self.parameters.retain(|parameter| match keep(parameter) {
            Ok(keeps) => keeps,
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result
    }

    /// The canonical query of V4: encoded, then sorted by name and value, without `=` after a
    /// name that has no value.
    pub fn canonical_query(&self) -> Vec<u8> {
        if self.parameters.is_empty() {
            return Vec::new();
        }
        let pairs: Vec<(Vec<u8>, Vec<u8>)> = self
            .parameters
            .iter()
            .map(|parameter| {
                let mut pair = (Vec::new(), Vec::new());
                encode_component(&parameter.name, &mut pair.0);
                encode_component(&parameter.value, &mut pair.1);
                pair
            })
            .collect();
        let mut pairs: Vec<Pair> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        pairs.sort_unstable();
        let mut query = Vec::new();
        for (name, value) in pairs {
            if !query.is_empty() {
                query.push(b'&');
            }
            query.extend_from_slice(name);
            if !value.is_empty() {
                query.push(b'=');
                query.extend_from_slice(value);
            }
        }
        query
    }

    /// The `:path` that is sent to OSS: the canonical path and query.
    pub fn wire(&self) -> Cow<'_, [u8]> {
        match self.parameters.is_empty() {
            true => Cow::Borrowed(&self.path),
            false => [&self.path, &b"?"[..], &self.canonical_query()]
                .concat()
                .into(),
        }
    }
}

impl Parameter {
    fn parse(pair: &[u8]) -> Parameter {
        let mut parts = pair.splitn(2, |&byte| byte == b'=');
        Parameter {
            name: form_decode(parts.next().unwrap_or_default()),
            value: form_decode(parts.next().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(raw: &[u8]) -> String {
        String::from_utf8(Target::parse(raw).unwrap().wire().into_owned()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_key_leaves_in_the_canonical_one() {
        for (raw, want) in [
            (&b"/a/b"[..], "/a/b"),
            (b"/", "/"),
            (b"/%7Ea~", "/~a~"),
            (b"/a%2fb%2Fc", "/a/b/c"),
            (b"/a+b c", "/a%2Bb%20c"),
            (b"/100%", "/100%25"),
            (b"//a//b", "//a//b"),
            (b"/a/./../b", "/a/./../b"),
            (b"/%252F", "/%252F"),
            (b"/\xff%FE", "/%FF%FE"),
            (b"/a#b", "/a%23b"),
            (b"/a;v=1", "/a%3Bv%3D1"),
            (b"/a?", "/a"),
            (b"/a?&&=&", "/a"),
            (b"/a?b=2&a=1&a", "/a?a&a=1&b=2"),
            (b"/a?x=a+b%2B&y=%zz", "/a?x=a%20b%2B&y=%25zz"),
            (b"/a?b=c=d?e", "/a?b=c%3Dd%3Fe"),
            (b"/a?b=", "/a?b"),
            (b"/a?=v", "/a?=v"),
        ] {
            assert_eq!(wire(raw), want, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn the_canonical_form_of_a_canonical_form_is_itself() {
        for byte in 0..=255_u8 {
            let once = wire(&[b'/', byte, b'x', b'?', byte, b'=', byte, b'y']);
            assert_eq!(wire(once.as_bytes()), once);
        }
    }

    #[test]
    fn another_form_than_origin_form_is_no_target() {
        for raw in [&b""[..], b"*", b"a/b", b"http://h/a", b"?a"] {
            assert_eq!(Target::parse(raw), None, "{}", raw.escape_ascii());
        }
    }
}
