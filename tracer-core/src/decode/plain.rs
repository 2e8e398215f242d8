//! Texts that were found to contain nothing to remove. The search for secrets is the largest part of decoding. Lines of cache keys and
//! names of spans repeat within a build and from one build to the next.
//!
//! A text is compared as a whole, never by its hash alone. A text with a secret is never stored here.

use std::collections::HashSet;

/// Longer texts are searched each time.
const LEN_MAX: usize = 512;
/// Bytes of stored texts after which all are forgotten: the lines of several builds with hundreds of packages each.
const BYTES_MAX: usize = 1 << 20;

/// Texts that one rule leaves unchanged.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainTexts {
    texts: HashSet<Box<[u8]>>,
    bytes: usize,
}

impl PlainTexts {
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        text.len() <= LEN_MAX && self.texts.contains(text)
    }

    pub(super) fn insert(&mut self, text: &[u8]) {
        if text.len() > LEN_MAX {
            return;
        }
        if self.bytes + text.len() > BYTES_MAX {
            *self = Self::default();
        }
        if self.texts.insert(text.into()) {
            self.bytes += text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "moves megabytes, too slow under an interpreter")]
    fn the_memory_is_limited() {
        let mut plain = PlainTexts::default();
        let long = [b'a'; LEN_MAX + 1];
        plain.insert(&long);
        assert!(!plain.contains(&long));
        for n in 0..BYTES_MAX / LEN_MAX * 3 {
            let text = format!("{n:0LEN_MAX$}");
            plain.insert(text.as_bytes());
            plain.insert(text.as_bytes());
            assert!(plain.contains(text.as_bytes()));
            assert!(plain.bytes <= BYTES_MAX);
            assert_eq!(plain.bytes, plain.texts.len() * LEN_MAX);
        }
    }
}
