//! Calls that the kernel side does not record.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Capture;

/// Selects calls that are never recorded, by one of their texts. A call whose text cannot be read is not recorded either; it counts as
/// lost.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Guard {
    /// Location of the text: [`Capture::TEXT`], or [`Capture::TEXT_AT`] without hops. [`Capture::NONE`]: every call is recorded.
    pub text: Capture,
    /// The text of a call that is not recorded: its bytes, then zeroes.
    pub word: u64,
    /// Length of that text in bytes, 1 to 8.
    pub len: u64,
}
const _: () = assert!(size_of::<Guard>() == 32);

impl Guard {
    /// A guard for calls with exactly this text. `None` if the text does not fit into a word.
    #[must_use]
    pub fn of(text: Capture, forbidden: &[u8]) -> Option<Self> {
        let mut bytes = [0; size_of::<u64>()];
        bytes
            .get_mut(..forbidden.len())
            .filter(|it| !it.is_empty())?
            .copy_from_slice(forbidden);
        Some(Self {
            text,
            word: u64::from_ne_bytes(bytes),
            len: forbidden.len() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_holds_a_text_that_fits_into_a_word() {
        let guard = |text: &[u8]| Guard::of(Capture::default(), text).map(|it| (it.len, it.word));
        let word = |bytes| u64::from_ne_bytes(bytes);
        assert_eq!(guard(b"getenv"), Some((6, word(*b"getenv\0\0"))));
        assert_eq!(guard(b"12345678"), Some((8, word(*b"12345678"))));
        assert_eq!(guard(b"123456789"), None);
        assert_eq!(guard(b""), None);
    }
}
