//! The encoding of an [`Entry`] in shared data. It contains the secrets in clear text, as does
//! the memory of Envoy.

use super::entry::{Entry, Issued, Lease, Outcome, Suspicion};
use crate::credentials::{Credentials, Secret};

/// The first bytes of the encoding and of its key. Each format has its own number, so that
/// filters of two versions in one process, as during an upgrade, do not share entries.
pub const FORMAT: &str = "oss-origin-auth/4";

/// The largest accepted time. It prevents overflow, whatever was read.
const MAX_TIME: u64 = u64::MAX / 4096;

impl Entry {
    /// Encodes the entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Writer(FORMAT.into());
        bytes.option(&self.issued, Writer::issued);
        bytes.number(self.generation);
        bytes.option(&self.lease, |bytes, lease| {
            bytes.number(lease.holder);
            bytes.number(lease.until);
        });
        bytes.number(self.failures.into());
        bytes.number(self.not_before);
        bytes.text(&self.problem);
        bytes.number(self.rejected_at);
        bytes.option(&self.rejected, |bytes, id| bytes.text(id));
        bytes.option(&self.suspicion, |bytes, suspicion| {
            bytes.number(suspicion.generation);
            bytes.number(suspicion.at);
            bytes.number(suspicion.pause);
            bytes.number(suspicion.outcome as u64);
        });
        bytes.0
    }

    /// Decodes an entry. Invalid bytes, which another filter with the same `vm_id` may have
    /// written, are read as an empty entry: the credentials are fetched again.
    pub fn decode(bytes: &[u8]) -> Entry {
        let rest = bytes.strip_prefix(FORMAT.as_bytes());
        rest.and_then(|rest| Reader(rest).entry())
            .unwrap_or_default()
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn issued(&mut self, issued: &Issued) {
        let credentials = &issued.credentials;
        self.text(&credentials.access_key_id);
        self.text(credentials.access_key_secret.expose());
        self.option(&credentials.security_token, |bytes, token| {
            bytes.text(token.expose())
        });
        self.option(&credentials.expires_at, |bytes, time| bytes.number(*time));
        self.number(issued.generation);
        self.number(issued.refresh_at);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn option<T>(&mut self, option: &Option<T>, put: impl FnOnce(&mut Writer, &T)) {
        self.number(option.is_some().into());
        if let Some(value) = option {
            put(self, value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn entry(&mut self) -> Option<Entry> {
        let entry = Entry {
            issued: self.option(Reader::issued)?,
            generation: self.time()?,
            lease: self.option(|bytes| {
                let (holder, until) = (bytes.number()?, bytes.number()?);
                Some(Lease { holder, until })
            })?,
            failures: self.number()?.try_into().ok()?,
            not_before: self.number()?,
            problem: self.text()?,
            rejected_at: self.time()?,
            rejected: self.option(Reader::text)?,
            suspicion: self.option(Reader::suspicion)?,
        };
        self.0.is_empty().then_some(entry)
    }

    fn issued(&mut self) -> Option<Issued> {
        Some(Issued {
            credentials: Credentials {
                access_key_id: self.text()?,
                access_key_secret: Secret::new(self.text()?),
                security_token: self.option(Reader::text)?.map(Secret::new),
                expires_at: self.option(Reader::time)?,
            },
            generation: self.number()?,
            refresh_at: self.number()?,
        })
    }

    fn suspicion(&mut self) -> Option<Suspicion> {
        Some(Suspicion {
            generation: self.number()?,
            at: self.time()?,
            pause: self.time()?,
            outcome: {
                let number = self.number()?;
                let all = [Outcome::Pending, Outcome::Answered, Outcome::Failed];
                all.into_iter().find(|outcome| *outcome as u64 == number)?
            },
        })
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn time(&mut self) -> Option<u64> {
        Some(self.number()?.min(MAX_TIME))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.number()? {
            0 => Some(None),
            1 => Some(Some(read(self)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let issued = |token: Option<&str>, expires_at| Issued {
            credentials: Credentials {
                access_key_id: "STS.id".into(),
                access_key_secret: Secret::new("secret"),
                security_token: token.map(Secret::new),
                expires_at,
            },
            generation: 7,
            refresh_at: 8,
        };
        let full = Entry {
            issued: Some(issued(Some("token"), Some(1_764_946_143))),
            generation: 7,
            lease: Some(Lease {
                holder: u64::MAX,
                until: 9,
            }),
            failures: 3,
            not_before: 10,
            problem: "no\nanswer é".into(),
            rejected_at: 11,
            rejected: Some("STS.old".into()),
            suspicion: Some(Suspicion {
                generation: 7,
                at: 12,
                pause: 13,
                outcome: Outcome::Failed,
            }),
        };
        vec![
            Entry::default(),
            Entry {
                issued: Some(issued(None, None)),
                ..Entry::default()
            },
            full,
        ]
    }

    #[test]
    fn an_entry_survives() {
        for entry in entries() {
            assert_eq!(Entry::decode(&entry.encode()), entry);
        }
    }

    #[test]
    fn garbage_is_an_empty_entry() {
        for entry in entries() {
            let bytes = entry.encode();
            for end in 0..bytes.len() {
                assert_eq!(Entry::decode(&bytes[..end]), Entry::default());
            }
            assert_eq!(
                Entry::decode(&[&bytes[..], b"x"].concat()),
                Entry::default()
            );
            for (at, byte) in bytes.iter().enumerate().skip(FORMAT.len()) {
                let mut other = bytes.clone();
                other[at] = !byte;
                let _ = Entry::decode(&other);
            }
        }
        for garbage in [&b"{}"[..], b"null", b"oss-origin-auth/2\n"] {
            assert_eq!(Entry::decode(garbage), Entry::default());
        }
    }

    #[test]
    fn no_time_overflows_later() {
        let mut huge = entries().remove(2);
        huge.rejected_at = u64::MAX;
        huge.generation = u64::MAX;
        if let Some(suspicion) = &mut huge.suspicion {
            (suspicion.at, suspicion.pause) = (u64::MAX, u64::MAX);
        }
        if let Some(issued) = &mut huge.issued {
            issued.credentials.expires_at = Some(u64::MAX);
        }
        let read = Entry::decode(&huge.encode());
        assert_eq!(read.rejected_at, MAX_TIME);
        assert_eq!(read.generation, MAX_TIME);
        let _ = read.suspect(read.issued.as_ref().unwrap().generation, 0);
        let expires_at = read.issued.unwrap().credentials.expires_at.unwrap();
        assert!(expires_at.checked_mul(1000).is_some());
    }
}
