//! Bytes as lower-case hexadecimal digits.

use std::fmt::{self, Write};

/// Writes two digits per byte.
pub fn write(bytes: &[u8], to: &mut impl Write) -> fmt::Result {
    bytes.iter().try_for_each(|it| write!(to, "{it:02x}"))
}

/// The digits as text.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    // Writing to a string cannot fail.
    let _ok = write(bytes, &mut text);
    text
}
