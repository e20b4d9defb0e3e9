//! The content of generated objects, as testkit/fakes/oss_objects.py makes it.

use std::sync::LazyLock;

/// A prime, so that an offset that is wrong by a power of two gives other bytes.
const BLOCK_LENGTH: usize = 1_048_573;

/// A linear congruential generator's words, most significant byte first.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut word = 1_u32;
    let words = std::iter::repeat_with(|| {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word.to_be_bytes()
    });
    words.flatten().take(BLOCK_LENGTH).collect()
});

/// The bytes at an offset of a generated object; all such objects begin alike, whatever their
/// size.
pub fn generated(offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let rest = from(offset + bytes.len() as u64);
        bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
    }
    bytes
}

/// Whether a part of a generated object is right. No copy is made.
pub fn is_generated(offset: u64, bytes: &[u8]) -> bool {
    let mut compared = 0;
    while compared < bytes.len() {
        let want = from(offset + compared as u64);
        let length = want.len().min(bytes.len() - compared);
        if bytes[compared..compared + length] != want[..length] {
            return false;
        }
        compared += length;
    }
    true
}

/// The block from an offset of the object to the block's end.
fn from(offset: u64) -> &'static [u8] {
    let begin = offset % BLOCK_LENGTH as u64;
    &BLOCK[usize::try_from(begin).expect("less than a block")..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_bytes_repeat_after_a_block_and_no_earlier() {
        assert_eq!(generated(0, 4), [0x3c, 0x88, 0x59, 0x6c]);
        let beyond_4_gib = (1 << 32) + 17;
        let same = beyond_4_gib % BLOCK_LENGTH as u64;
        assert_eq!(generated(beyond_4_gib, 64), generated(same, 64));
        assert_ne!(generated(beyond_4_gib, 64), generated(17, 64));
        let across = generated(BLOCK_LENGTH as u64 - 2, 4);
        assert_eq!(across[2..], generated(0, 2));

        let mut some = generated(5, 3 * BLOCK_LENGTH);
        assert!(is_generated(5, &some) && !is_generated(6, &some));
        *some.last_mut().unwrap() ^= 1;
        assert!(!is_generated(5, &some));
    }
}
