//! Numbers and strings out of untrusted bytes: every read is checked, none allocates.

/// Byte order of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Bytes with a byte order. Reading outside of them returns `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { bytes, endian }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn slice(&self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(len)?)
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.slice(at, N)?.try_into().ok()
    }

    pub(crate) fn u8(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(crate) fn u16(&self, at: usize) -> Option<u16> {
        let raw = self.array(at)?;
        Some(match self.endian {
            Endian::Little => u16::from_le_bytes(raw),
            Endian::Big => u16::from_be_bytes(raw),
        })
    }

    pub(crate) fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.array(at)?;
        Some(match self.endian {
            Endian::Little => u32::from_le_bytes(raw),
            Endian::Big => u32::from_be_bytes(raw),
        })
    }

    pub(crate) fn u64(&self, at: usize) -> Option<u64> {
        let raw = self.array(at)?;
        Some(match self.endian {
            Endian::Little => u64::from_le_bytes(raw),
            Endian::Big => u64::from_be_bytes(raw),
        })
    }

    /// A machine word of 4 or 8 bytes.
    pub(crate) fn word(&self, at: usize, size: u8) -> Option<u64> {
        if size == 8 {
            self.u64(at)
        } else {
            self.u32(at).map(u64::from)
        }
    }

    /// The bytes up to the next NUL, at most `max` of them.
    ///
    /// Without the bound, many names in one table without a NUL would each scan the whole table.
    pub(crate) fn cstr(&self, at: usize, max: usize) -> Option<&'a [u8]> {
        let rest = self.bytes.get(at..)?;
        let rest = rest.get(..max).unwrap_or(rest);
        rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len()))
    }

    /// An unsigned LEB128 number and the offset behind it.
    pub(crate) fn uvarint(&self, at: usize) -> Option<(u64, usize)> {
        let mut value = 0u64;
        for index in 0..10usize {
            let position = at.checked_add(index)?;
            let byte = self.u8(position)?;
            value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(index).ok()? * 7)?;
            if byte & 0x80 == 0 {
                return Some((value, position + 1));
            }
        }
        None
    }
}

/// A file offset as an index. Files are at most 4 GiB, so the conversion fails only for invalid offsets.
pub(crate) fn index(value: u64) -> Option<usize> {
    usize::try_from(value).ok()
}
