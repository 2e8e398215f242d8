//! A probe's cookie as part of the path that the probe is attached by, for kernels that hand none to a program (before Linux 5.15).
//!
//! `/./` and `//` lead where `/` does, so each pair of bytes `//` or `/.` behind a directory is one bit, and the path is still that of
//! the file. The kernel keeps it as it was given, and the program at the probe finds it there.
//!
//! Both sides are here. Neither follows a path or reads the kernel's memory.

/// What such a path begins with. Behind it comes the cookie, then a slash and the number of a descriptor.
pub const DIRECTORY: &str = "/proc/self/fd";

/// Bits of a cookie: 16 for the row of the specification table, 32 for the file.
const BITS: usize = 48;

/// Bytes that a cookie takes.
pub const LEN: usize = 2 * BITS;

/// The same in words.
pub const WORDS: usize = LEN / 8;

/// A cookie as it is written into a path, its lowest bit first. Bits above the 48th are lost.
pub fn spell(cookie: u64) -> [u8; LEN] {
    let mut path = [b'/'; LEN];
    for (i, pair) in path.chunks_exact_mut(2).enumerate() {
        if let [_, byte] = pair
            && cookie >> i & 1 == 0
        {
            *byte = b'.';
        }
    }
    path
}

/// The cookie in that part of a path, which was taken from memory as words.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "old verifiers look at a program of several functions value by value"
)]
pub fn read(words: [u64; WORDS]) -> u64 {
    let mut cookie = 0;
    let mut at = 0;
    for word in words {
        // A dot is 0x2e and a slash 0x2f, so the last bit of every second byte is one of the cookie's.
        let pairs = u64::from_le(word) >> 8;
        let four = pairs & 1 | pairs >> 15 & 2 | pairs >> 30 & 4 | pairs >> 45 & 8;
        cookie |= four << at;
        at += 4;
    }
    cookie
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn words(bytes: [u8; LEN]) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap());
        }
        words
    }

    #[test]
    fn what_was_spelt_is_read() {
        let bits = (0..BITS).map(|it| 1 << it);
        for cookie in bits.chain([0, 0xffff_ffff_ffff, 0x1234_5678_9abc, 0x3_0011]) {
            assert_eq!(read(words(spell(cookie))), cookie);
        }
    }

    #[test]
    fn a_spelt_path_leads_to_the_same_file() {
        let file = File::open("/etc/passwd").unwrap();
        let cookie = spell(0x5a5a_0ff0_1234);
        let cookie = core::str::from_utf8(&cookie).unwrap();
        let path = format!("{DIRECTORY}{cookie}/{}", file.as_raw_fd());
        assert_eq!(fs::read(path).unwrap(), fs::read("/etc/passwd").unwrap());
    }
}
