//! Signed URLs of Alibaba's CDN ("Type A signing" to "Type F signing").
//!
//! ```text
//! A   /path?auth_key={time}-{rand}-{uid}-{hash}    MD5({path}-{time}-{rand}-{uid}-{key})
//! B   /{time}/{hash}/path                          MD5({key}{time}{path})
//! C1  /{hash}/{time}/path                          MD5({key}{path}{time})
//! C2  /path?KEY1={hash}&KEY2={time}                the same
//! F   /path?sign={hash}&time={time}                the same; the names can be others
//! ```
//!
//! The path is hashed as it was received. These formulas are weaker than they look. This module
//! closes two gaps:
//!
//! - MD5 allows length extension: without the key, a hash can be computed for a longer message,
//!   but that message contains bytes that no URL contains. So a path must be visible ASCII.
//! - Nothing separates the path from the time: `/v2` at `1700000000` and `/v` at `21700000000`
//!   have the same hash. So a time must have the length that the CDN gives it, and one key signs
//!   only times of one length.

use std::borrow::Cow;
use std::rc::Rc;

use md5::{Digest, Md5};

use super::{Denied, Passed};
use crate::credentials::Secret;
use crate::oss::encoding::{form_decode, hex};
use crate::oss::time::{basic, parse_rfc3339_utc};
use crate::words::words;

words! {
    /// The setting `type`: the CDN's ways to sign a URL.
    pub enum UrlType {
        /// The signature is in one parameter.
        A = "A",
        /// The signature is in the path, after the time.
        B = "B",
        /// The signature is in the path, before the time.
        C1 = "C1",
        /// The signature and the time are in two parameters.
        C2 = "C2",
        /// The signature and the time are in two parameters whose names are configured.
        F = "F",
    }
}

words! {
    /// The setting `time_format`: how a time is written.
    pub enum TimeFormat {
        /// Ten decimal digits.
        Decimal = "decimal",
        /// Eight hexadecimal digits.
        Hex = "hex",
    }
}

words! {
    /// One of the two keys of an entry. Two keys make it possible to replace a key while URLs
    /// signed with either are in use.
    pub enum Key {
        /// The key in `key_env`.
        Main = "main",
        /// The key in `backup_key_env`.
        Backup = "backup",
    }
}

/// An entry under `url_keys`.
#[derive(Debug, PartialEq, Eq)]
pub struct Keys {
    /// The name of the entry.
    pub name: String,
    /// The main key.
    pub main: Secret,
    /// The backup key, which is accepted as well.
    pub backup: Option<Secret>,
}

impl Keys {
    /// All keys of the entry, one or two.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        [Some(&self.main), self.backup.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// The settings of signed URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlSigning {
    /// The signing type.
    pub kind: UrlType,
    /// The keys; the URL must be signed with one of them.
    pub keys: Rc<Keys>,
    /// How long a signature is valid, in seconds after its time.
    pub valid_seconds: u64,
    /// The name of the parameter that holds the hash (with type A, the whole signature).
    pub signature_parameter: String,
    /// The name of the parameter that holds the time; empty if there is none.
    pub time_parameter: String,
    /// The format of the time, where it is a number.
    pub time_format: TimeFormat,
}

/// The parts of a signed URL.
struct Signed<'a> {
    /// The path that is hashed.
    path: &'a [u8],
    /// The time; with type A, also `rand` and `uid`.
    stamp: &'a [u8],
    hash: &'a [u8],
    /// The path and query without the signature.
    rest: Cow<'a, [u8]>,
}

impl UrlSigning {
    /// The settings of a type, with the CDN's default names and formats.
    pub fn new(kind: UrlType, keys: Rc<Keys>, valid_seconds: u64) -> UrlSigning {
        let (signature, time, time_format) = match kind {
            UrlType::A => ("auth_key", "", TimeFormat::Decimal),
            UrlType::B => ("", "", TimeFormat::Decimal),
            UrlType::C1 => ("", "", TimeFormat::Hex),
            UrlType::C2 => ("KEY1", "KEY2", TimeFormat::Hex),
            UrlType::F => ("sign", "time", TimeFormat::Decimal),
        };
        UrlSigning {
            kind,
            keys,
            valid_seconds,
            signature_parameter: signature.into(),
            time_parameter: time.into(),
            time_format,
        }
    }

    /// Whether the signature is part of the path.
    pub fn moves(&self) -> bool {
        matches!(self.kind, UrlType::B | UrlType::C1)
    }

    /// The format of the time, if the time follows the path in the hashed text. A key must sign
    /// times of one format only: `/20` with the decimal time `1770000000` has the same hash as
    /// `/2017` with the hexadecimal time `70000000`.
    pub fn times_behind_path(&self) -> Option<TimeFormat> {
        match self.kind {
            UrlType::A | UrlType::B => None,
            UrlType::C1 | UrlType::C2 | UrlType::F => Some(self.time_format),
        }
    }

    /// Checks the signature of a path and query at `now`, in seconds since 1970.
    pub fn check<'a>(&self, target: &'a [u8], now: u64) -> Result<Passed<'a>, Denied> {
        let signed = self.read(target)?;
        let is_hash = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = signed.hash.len() == HASH && signed.hash.iter().all(is_hash);
        let is_plain = signed.path.iter().all(u8::is_ascii_graphic);
        let time = self.time(signed.stamp).filter(|_| fits && is_plain);
        let time = time.ok_or(Denied::UrlMalformed)?;
        if time + self.valid_seconds < now {
            return Err(Denied::UrlExpired);
        }
        let main = self.is_of(&self.keys.main, &signed);
        let backup = self.keys.backup.as_ref();
        let backup = backup.is_some_and(|key| self.is_of(key, &signed));
        let key = match (main, backup) {
            (true, _) => Key::Main,
            (false, true) => Key::Backup,
            (false, false) => return Err(Denied::UrlWrong),
        };
        Ok(Passed {
            path: signed.rest,
            key: Some(key),
        })
    }

    /// Removes the signature from a path and query.
    pub fn strip<'a>(&self, target: &'a [u8]) -> Result<Cow<'a, [u8]>, Denied> {
        Ok(self.read(target)?.rest)
    }

    /// Signs a path and query with a time, in seconds since 1970. `salt` is `rand-uid` for type
    /// A. The result is `None` if the format cannot hold the time.
    pub fn sign(&self, key: &Secret, target: &str, time: u64, salt: &str) -> Option<String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if time > MAX_TIME {
            return None;
        }
        let stamp = match (self.kind, self.time_format) {
            (UrlType::A, _) => format!("{time:010}-{salt}"),
            (UrlType::B, _) => {
                let text = basic(time + UTC_8);
                [text.get(..8)?, text.get(9..13)?].concat()
            }
            (_, TimeFormat::Decimal) => format!("{time:010}"),
            (_, TimeFormat::Hex) => format!("{time:08X}"),
        };
        self.time(stamp.as_bytes())?;
        let hash = self.hash(key, path.as_bytes(), stamp.as_bytes());
        let hash = String::from_utf8(hash).ok()?;
        let (one, other) = (&self.signature_parameter, &self.time_parameter);
        let with = |query: &str| match query {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let and = |own: String| match query {
            "" => format!("{path}?{own}"),
            query => format!("{path}?{query}&{own}"),
        };
        Some(match self.kind {
            UrlType::A => and(format!("{one}={stamp}-{hash}")),
            UrlType::B => format!("/{stamp}/{hash}{path}{}", with(query)),
            UrlType::C1 => format!("/{hash}/{stamp}{path}{}", with(query)),
            UrlType::C2 | UrlType::F => and(format!("{one}={hash}&{other}={stamp}")),
        })
    }

    fn is_of(&self, key: &Secret, signed: &Signed) -> bool {
        are_equal(&self.hash(key, signed.path, signed.stamp), signed.hash)
    }

    fn hash(&self, key: &Secret, path: &[u8], stamp: &[u8]) -> Vec<u8> {
        let key = key.expose().as_bytes();
        let message = match self.kind {
            UrlType::A => [path, b"-", stamp, b"-", key].concat(),
            UrlType::B => [key, stamp, path].concat(),
            UrlType::C1 | UrlType::C2 | UrlType::F => [key, path, stamp].concat(),
        };
        let mut text = Vec::with_capacity(HASH);
        hex(&Md5::digest(message), &mut text);
        text
    }

    /// Reads the time in a stamp, in seconds since 1970.
    fn time(&self, stamp: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(stamp).ok()?;
        let number = |text: &str, digits, radix| {
            let is_digit = |byte: u8| char::from(byte).is_digit(radix);
            let fits = text.len() == digits && text.bytes().all(is_digit);
            u64::from_str_radix(text, radix).ok().filter(|_| fits)
        };
        match (self.kind, self.time_format) {
            (UrlType::A, _) => number(text.split('-').next()?, 10, 10),
            (UrlType::B, _) => {
                number(text, 12, 10)?;
                let part = |at: usize, length| text.get(at..at + length);
                let date = [part(0, 4)?, "-", part(4, 2)?, "-", part(6, 2)?].concat();
                let clock = [part(8, 2)?, ":", part(10, 2)?].concat();
                let time = parse_rfc3339_utc(&[&date, "T", &clock, ":00Z"].concat())?;
                time.checked_sub(UTC_8)
            }
            (_, TimeFormat::Decimal) => number(text, 10, 10),
            (_, TimeFormat::Hex) => number(text, 8, 16),
        }
    }

    fn read<'a>(&self, target: &'a [u8]) -> Result<Signed<'a>, Denied> {
        let at = target.iter().position(|byte| *byte == b'?');
        let (path, query) = target.split_at(at.unwrap_or(target.len()));
        match self.moves() {
            true => self.read_path(target, path, query),
            false => self.read_query(path, query.strip_prefix(b"?").unwrap_or_default()),
        }
    }

    /// Reads a signature in the first two segments of the path.
    fn read_path<'a>(
        &self,
        target: &'a [u8],
        path: &'a [u8],
        query: &'a [u8],
    ) -> Result<Signed<'a>, Denied> {
        let mut segments = path.splitn(4, |byte| *byte == b'/');
        let (Some(b""), Some(first), Some(second), Some(behind)) = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) else {
            return Err(Denied::UrlMissing);
        };
        let (stamp, hash) = match self.kind {
            UrlType::B => (first, second),
            _ => (second, first),
        };
        if hash.len() != HASH {
            return Err(Denied::UrlMissing);
        }
        let begins = target.len() - query.len() - behind.len() - 1;
        Ok(Signed {
            path: path.get(begins..).unwrap_or_default(),
            stamp,
            hash,
            rest: target.get(begins..).unwrap_or_default().into(),
        })
    }

    /// Reads a signature in the parameters of the query.
    fn read_query<'a>(&self, path: &'a [u8], query: &'a [u8]) -> Result<Signed<'a>, Denied> {
        let (mut one, mut other) = (None, None);
        let mut rest = path.to_vec();
        let mut separator = b'?';
        for pair in query.split(|byte| *byte == b'&') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = form_decode(parts.next().unwrap_or_default());
            let place = if name == self.signature_parameter.as_bytes() {
                &mut one
            } else if name == self.time_parameter.as_bytes() && !name.is_empty() {
                &mut other
            } else {
                if !query.is_empty() {
                    rest.push(separator);
                    rest.extend(pair);
                    separator = b'&';
                }
                continue;
            };
            if place.replace(parts.next().unwrap_or_default()).is_some() {
                return Err(Denied::UrlMalformed);
            }
        }
        let (stamp, hash) = match (self.kind, one, other) {
            (_, None, None) => return Err(Denied::UrlMissing),
            (UrlType::A, Some(value), _) => split_stamp(value).ok_or(Denied::UrlMalformed)?,
            (_, Some(hash), Some(time)) => (time, hash),
            _ => return Err(Denied::UrlMalformed),
        };
        Ok(Signed {
            path,
            stamp,
            hash,
            rest: rest.into(),
        })
    }
}

/// Splits the parameter of type A into `time-rand-uid` and the hash. None of the four contains
/// a hyphen.
fn split_stamp(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_hyphen = |byte: &&u8| **byte == b'-';
    if value.iter().filter(is_hyphen).count() != 3 {
        return None;
    }
    let at = value.iter().rposition(|byte| *byte == b'-')?;
    Some((value.get(..at)?, value.get(at + 1..)?))
}

/// Compares in constant time, so that nobody can guess a hash digit by digit.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let pairs = one.iter().zip(other);
    let differ = pairs.fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

/// The time zone of type B's times: UTC+8, in seconds.
const UTC_8: u64 = 8 * 3600;

/// The largest time of ten decimal digits.
const MAX_TIME: u64 = 9_999_999_999;

/// The number of hexadecimal digits of an MD5.
const HASH: usize = 32;

#[cfg(test)]
mod tests;
