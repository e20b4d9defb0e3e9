//! HMAC without a `Result`: it accepts keys of every length (RFC 2104).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// HMAC-SHA1 of a message.
pub fn sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new(&block::<Sha1>(key).into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The state of HMAC-SHA256 after the key and, optionally, the beginning of the message.
/// Cloning it saves these blocks in every signature.
#[derive(Clone)]
pub struct Sha256Key(Hmac<Sha256>);

impl std::fmt::Debug for Sha256Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Sha256Key(…)")
    }
}

impl Sha256Key {
    /// The state after a key of any length.
    pub fn new(key: &[u8]) -> Sha256Key {
        Sha256Key(Hmac::new(&block::<Sha256>(key).into()))
    }

    /// The state for messages that begin with these bytes.
    pub fn after(&self, beginning: &[u8]) -> Sha256Key {
        let mut mac = self.0.clone();
        mac.update(beginning);
        Sha256Key(mac)
    }

    /// The HMAC of a message, or of the rest of a message that has begun.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

/// The block length of both hash functions.
const BLOCK: usize = 64;

/// A key, padded with zeros to the block length, or its hash if it is longer (RFC 2104, section
/// 2).
fn block<D: Digest>(key: &[u8]) -> [u8; BLOCK] {
    if key.len() > BLOCK {
        return block::<D>(&D::digest(key));
    }
    std::array::from_fn(|place| key.get(place).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are RFC 4231, test cases 2 and 6, and RFC 2202, test cases 2 and 6: a short
    /// key, and one that is longer than a block.
    #[test]
    fn keys_of_every_length_are_taken() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let long = "Test Using Larger Than Block-Size Key - Hash Key First";
        for (key, message, want) in [
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                long,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&Sha256Key::new(key).sign(message.as_bytes())), want);
        }
        for (key, message, want) in [
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (
                &[0xaa; 80],
                long,
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
        ] {
            assert_eq!(hex(&sha1(key, message.as_bytes())), want);
        }
    }
}
