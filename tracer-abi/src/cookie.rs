//! A probe's cookie, encoded in the path that the probe is attached by. Kernels before Linux 5.15 pass no cookie to a program.
//!
//! The paths `/./` and `//` lead to the same file as `/`. Each pair of bytes `//` or `/.` after a directory therefore encodes one bit, and
//! the path still names the file. The kernel stores the path as given, and the program at the probe reads it there.
//!
//! This module contains both directions. It neither follows a path nor reads kernel memory.

/// The start of such a path. The cookie follows, then a slash and the number of a descriptor.
pub const DIRECTORY: &str = "/proc/self/fd";

/// Bits of a cookie: 16 for the row of the specification table, 32 for the file.
const BITS: usize = 48;

/// Length of an encoded cookie in bytes.
pub const LEN: usize = 2 * BITS;

/// Length of an encoded cookie in 64-bit words.
pub const WORDS: usize = LEN / 8;

/// Encodes a cookie for a path, lowest bit first. Bits above the 48th are lost.
pub fn encode(cookie: u64) -> [u8; LEN] {
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

/// Decodes the cookie from that part of a path, given as words from memory.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "old verifiers check a program of several functions value by value"
)]
pub fn decode(words: [u64; WORDS]) -> u64 {
    let mut cookie = 0;
    let mut at = 0;
    for word in words {
        // A dot is 0x2e and a slash 0x2f, so the lowest bit of every second byte is a bit of the cookie.
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
    fn a_cookie_survives_encoding() {
        let bits = (0..BITS).map(|it| 1 << it);
        for cookie in bits.chain([0, 0xffff_ffff_ffff, 0x1234_5678_9abc, 0x3_0011]) {
            assert_eq!(decode(words(encode(cookie))), cookie);
        }
    }

    #[test]
    fn an_encoded_path_leads_to_the_same_file() {
        let file = File::open("/etc/passwd").unwrap();
        let cookie = encode(0x5a5a_0ff0_1234);
        let cookie = core::str::from_utf8(&cookie).unwrap();
        let path = format!("{DIRECTORY}{cookie}/{}", file.as_raw_fd());
        assert_eq!(fs::read(path).unwrap(), fs::read("/etc/passwd").unwrap());
    }
}
