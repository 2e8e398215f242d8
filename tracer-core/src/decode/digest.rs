//! Keyed digests of values that gotrace does not keep. Two equal digests mean that the value is the same. A test of
//! a guessed value requires the key, which stays on its machine.

use std::fmt;

use crate::hex::hex;
use crate::redact::REDACTED;

/// Key of the digests. It appears in no output: not in a recording, not in a log.
#[derive(Clone, Copy)]
pub struct DigestKey([u8; Self::LEN]);

impl DigestKey {
    pub const LEN: usize = 32;

    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The mark of a removed value, with the first bytes of the digest of `value`: `<redacted:KEY-DIGEST>`.
    pub(super) fn mark(&self, value: &[u8], n_bytes: usize) -> String {
        let (begin, end) = REDACTED.split_at(REDACTED.len() - 1);
        let (name, digest) = (self.name(), self.digest(value, n_bytes));
        format!("{begin}:{name}-{digest}{end}")
    }

    /// Short name of the key, to distinguish digests of different keys.
    fn name(&self) -> String {
        self.digest(b"name of this key", 2)
    }

    /// The first bytes of the digest, as hexadecimal digits.
    fn digest(&self, value: &[u8], n_bytes: usize) -> String {
        let digest = blake3::keyed_hash(&self.0, value);
        hex(digest.as_bytes().get(..n_bytes).unwrap_or_default())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        let key = DigestKey::new([0xab; DigestKey::LEN]);
        assert_eq!(format!("{key:?}"), "DigestKey(..)");
    }
}
