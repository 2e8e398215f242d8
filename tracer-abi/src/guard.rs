//! Calls that the kernel side does not record.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Capture;

/// Selects calls that are never recorded, by one of their texts: secret ones and noise.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Guard {
    /// Location of the text: [`Capture::TEXT`], or [`Capture::TEXT_AT`] without hops. [`Capture::NONE`]: every call is recorded.
    pub text: Capture,
    /// Calls with this text must stay in the kernel. A call whose text could be this one, but cannot be read, is not recorded either; it
    /// counts as lost.
    pub secret: Text,
    /// Calls with this text are frequent and useless. A call whose text cannot be read is recorded.
    pub noise: Text,
}
const _: () = assert!(size_of::<Guard>() == 48);

/// A text by its length and its first eight bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Text {
    /// The first bytes, then zeroes.
    pub word: u64,
    /// Length of the whole text in bytes; zero for no text.
    pub len: u64,
}

impl Text {
    /// The form of this text that the kernel side compares.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut bytes = [0; size_of::<u64>()];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Self {
            word: u64::from_ne_bytes(bytes),
            len: text.len() as u64,
        }
    }

    /// True if no other text has this form.
    #[must_use]
    pub fn is_exact(self) -> bool {
        (1..=size_of::<u64>() as u64).contains(&self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_exact_if_it_fits_into_a_word() {
        let text = |text: &[u8]| {
            let it = Text::of(text);
            (it.len, it.word, it.is_exact())
        };
        let word = |bytes| u64::from_ne_bytes(bytes);
        assert_eq!(text(b"getenv"), (6, word(*b"getenv\0\0"), true));
        assert_eq!(text(b"12345678"), (8, word(*b"12345678"), true));
        assert_eq!(text(b"moduleIndex"), (11, word(*b"moduleIn"), false));
        assert_eq!(text(b""), (0, 0, false));
    }
}
