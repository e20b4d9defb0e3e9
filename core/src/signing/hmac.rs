//! HMAC without a `Result`: it takes keys of every length (RFC 2104).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

pub fn sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::<Sha1>::new(&Default::default()));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 whose key, and perhaps the beginning of the message, has been
/// absorbed: cloning it saves these blocks in every signature.
#[derive(Clone)]
pub struct Sha256Key(Hmac<Sha256>);

impl std::fmt::Debug for Sha256Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Sha256Key(…)")
    }
}

impl Sha256Key {
    pub fn new(key: &[u8]) -> Sha256Key {
        Sha256Key(
            Hmac::<Sha256>::new_from_slice(key)
                .unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default())),
        )
    }

    /// For messages that begin so.
    pub fn after(&self, beginning: &[u8]) -> Sha256Key {
        let mut mac = self.0.clone();
        mac.update(beginning);
        Sha256Key(mac)
    }

    /// Signs a message, or the rest of one that has begun.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}
