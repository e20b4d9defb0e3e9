//! The bytes in which shared data holds an [`Entry`]. They have the secrets in
//! clear, as the memory of Envoy does.

use super::entry::{Entry, Issued, Lease, Outcome, Suspicion};
use crate::credentials::{Credentials, Secret};

/// What the bytes begin with. Another layout gets another number.
const FORMAT: &[u8] = b"oss-origin-auth/4\n";

/// Keeps arithmetic with times far from overflow, whatever was read.
const MAX_TIME: u64 = u64::MAX / 4096;

impl Entry {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(FORMAT);
        let mut put = Writer(&mut bytes);
        put.flag(self.issued.is_some());
        if let Some(issued) = &self.issued {
            let credentials = &issued.credentials;
            put.text(&credentials.access_key_id);
            put.text(credentials.access_key_secret.expose());
            put.flag(credentials.security_token.is_some());
            if let Some(token) = &credentials.security_token {
                put.text(token.expose());
            }
            put.flag(credentials.expires_at.is_some());
            if let Some(time) = credentials.expires_at {
                put.number(time);
            }
            put.number(issued.generation);
            put.number(issued.refresh_at);
        }
        put.number(self.generation);
        put.flag(self.lease.is_some());
        if let Some(lease) = &self.lease {
            put.number(lease.holder);
            put.number(lease.until);
        }
        put.number(self.failures.into());
        put.number(self.not_before);
        put.text(&self.problem);
        put.number(self.rejected_at);
        put.flag(self.rejected.is_some());
        if let Some(id) = &self.rejected {
            put.text(id);
        }
        put.flag(self.suspicion.is_some());
        if let Some(suspicion) = &self.suspicion {
            put.number(suspicion.generation);
            put.number(suspicion.at);
            put.number(suspicion.pause);
            put.flag(suspicion.outcome == Outcome::Pending);
            put.flag(suspicion.outcome == Outcome::Failed);
        }
        bytes
    }

    /// Reads such bytes. Others, as another filter of the same `vm_id` may
    /// have written, are an empty entry: the credentials are fetched again.
    pub fn decode(bytes: &[u8]) -> Entry {
        let rest = bytes.strip_prefix(FORMAT);
        rest.and_then(|rest| Reader(rest).entry())
            .unwrap_or_default()
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(flag.into());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn entry(&mut self) -> Option<Entry> {
        let entry = Entry {
            issued: match self.flag()? {
                true => Some(self.issued()?),
                false => None,
            },
            generation: self.time()?,
            lease: match self.flag()? {
                true => Some(Lease {
                    holder: self.number()?,
                    until: self.number()?,
                }),
                false => None,
            },
            failures: self.number()?.try_into().ok()?,
            not_before: self.number()?,
            problem: self.text()?,
            rejected_at: self.time()?,
            rejected: match self.flag()? {
                true => Some(self.text()?),
                false => None,
            },
            suspicion: match self.flag()? {
                true => Some(Suspicion {
                    generation: self.number()?,
                    at: self.time()?,
                    pause: self.time()?,
                    outcome: match (self.flag()?, self.flag()?) {
                        (true, _) => Outcome::Pending,
                        (false, true) => Outcome::Failed,
                        (false, false) => Outcome::Answered,
                    },
                }),
                false => None,
            },
        };
        self.0.is_empty().then_some(entry)
    }

    fn issued(&mut self) -> Option<Issued> {
        Some(Issued {
            credentials: Credentials {
                access_key_id: self.text()?,
                access_key_secret: Secret::new(self.text()?),
                security_token: match self.flag()? {
                    true => Some(Secret::new(self.text()?)),
                    false => None,
                },
                expires_at: match self.flag()? {
                    true => Some(self.time()?),
                    false => None,
                },
            },
            generation: self.number()?,
            refresh_at: self.number()?,
        })
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn time(&mut self) -> Option<u64> {
        Some(self.number()?.min(MAX_TIME))
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == [1])
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
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
