//! Unsupported formats, detected by their first bytes. The error for such a file contains the name of its format.

use crate::reader::{Endian, Reader};

/// The name of the format for a sentence.
pub(super) fn name(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 13] = [
        (b"<bigaf>\n", "AIX archive"),
        (b"<aiaff>\n", "AIX archive"),
        (b"!<thin>\n", "thin archive"),
        (b"BC\xc0\xde", "LLVM bitcode"),
        (b"\xde\xc0\x17\x0b", "LLVM bitcode"),
        (b"\xca\xfe\xba\xbe", "Java class"),
        (b"go object ", "Go object"),
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"#!", "script"),
    ];
    let by_magic = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic));
    if let Some((_, name)) = by_magic {
        return Some(name);
    }
    if is_plan9(bytes) {
        return Some("Plan 9");
    }
    is_xcoff(bytes).then_some("AIX XCOFF")
}

/// True for an `a.out` of Plan 9: a magic number for each machine, then the sizes of the parts behind the header.
fn is_plan9(bytes: &[u8]) -> bool {
    const MAGIC_386: u32 = 0x1eb;
    const MAGIC_ARM: u32 = 0x647;
    const MAGIC_AMD64: u32 = 0x8a97;
    const MAGIC_ARM64: u32 = 0x8c47;
    let reader = Reader::new(bytes, Endian::Big);
    let magic = reader.u32(0);
    if !matches!(
        magic,
        Some(MAGIC_386 | MAGIC_ARM | MAGIC_AMD64 | MAGIC_ARM64)
    ) {
        return false;
    }
    // Text and data. The third size is for memory only.
    let size = |at| reader.u32(at).map(u64::from);
    let sizes = size(4).zip(size(8));
    sizes.is_some_and(|(text, data)| text > 0 && text + data <= bytes.len() as u64)
}

/// True for XCOFF of 32 and 64 bit: a magic number of two bytes, and a plausible number of section headers.
fn is_xcoff(bytes: &[u8]) -> bool {
    let reader = Reader::new(bytes, Endian::Big);
    let (section, header) = match reader.u16(0) {
        Some(0x01df) => (40, 20),
        Some(0x01f7) => (72, 24),
        _ => return false,
    };
    let count = reader.u16(2).map(usize::from);
    let optional = reader.u16(16).map(usize::from);
    count.zip(optional).is_some_and(|(count, optional)| {
        (1..=256).contains(&count) && header + optional + count * section <= bytes.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_first_bytes() {
        let check = |bytes: &[u8], expected| assert_eq!(name(bytes), expected, "{bytes:?}");
        let with = |head: &[u8]| [head, &[0; 256]].concat();
        check(&with(b"\0\0\x8a\x97\0\0\0\x40\0\0\0\x20"), Some("Plan 9"));
        check(&with(b"\0\0\x01\xeb\0\0\0\x40\0\0\0\x20"), Some("Plan 9"));
        check(
            &with(b"\x01\xf7\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x48"),
            Some("AIX XCOFF"),
        );
        check(&with(b"\x01\xdf\0\x01"), Some("AIX XCOFF"));
        check(b"<bigaf>\n", Some("AIX archive"));
        check(b"#!/bin/sh\n", Some("script"));
        check(b"\x1f\x8b\x08", Some("gzip"));
        // The magic number alone can occur by chance.
        check(b"\0\0\x01\xeb", None);
        check(&with(b"\0\0\x01\xeb\0\xff\0\0"), None);
        check(&with(b"\x01\xf7\0\0"), None);
        check(&with(b"\x01\xdf\xff\xff"), None);
        check(b"package main\n", None);
        check(b"", None);
    }
}
