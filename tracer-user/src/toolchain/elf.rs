//! The part of ELF that probing needs, read piece by piece: segments, section names, and the bytes at an address.
//!
//! Supports only 64-bit little-endian files of gotrace's two architectures. Any user can have written the file, so every number in it is
//! checked, and no read is larger than a limit.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Maximum number of section headers to read.
const SECTIONS_MAX: usize = 4096;
/// Maximum number of program headers to read.
const SEGMENTS_MAX: usize = 256;
/// Maximum number of bytes of section names to read.
const NAMES_MAX: usize = 1 << 20;

const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;
const SHT_NOBITS: u32 = 8;

/// Instruction sets with known prologues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

/// The headers of an executable.
pub(super) struct Elf<'a> {
    file: &'a File,
    pub(super) machine: Machine,
    pub(super) entry: u64,
    segments: Vec<Segment>,
    sections: Vec<Section>,
}

struct Segment {
    is_executable: bool,
    offset: u64,
    address: u64,
    len: u64,
}

struct Section {
    name: Vec<u8>,
    range: Range,
}

/// Position of a section in the file.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl<'a> Elf<'a> {
    pub(super) fn read(file: &'a File) -> Option<Self> {
        let header = read_at(file, 0, 64)?;
        // Magic, 64 bits, little-endian.
        if header.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let machine = match u16_at(&header, 18)? {
            62 => Machine::X86_64,
            183 => Machine::Aarch64,
            _ => return None,
        };
        let mut elf = Self {
            file,
            machine,
            entry: u64_at(&header, 24)?,
            segments: Vec::new(),
            sections: Vec::new(),
        };
        elf.read_segments(&header)?;
        elf.read_sections(&header)?;
        Some(elf)
    }

    fn read_segments(&mut self, header: &[u8]) -> Option<()> {
        const SIZE: usize = 56;
        let n = usize::from(u16_at(header, 56)?).min(SEGMENTS_MAX);
        if usize::from(u16_at(header, 54)?) != SIZE {
            return None;
        }
        let bytes = read_at(self.file, u64_at(header, 32)?, n * SIZE)?;
        for at in bytes.chunks_exact(SIZE) {
            if u32_at(at, 0)? == PT_LOAD {
                self.segments.push(Segment {
                    is_executable: u32_at(at, 4)? & PF_X != 0,
                    offset: u64_at(at, 8)?,
                    address: u64_at(at, 16)?,
                    len: u64_at(at, 32)?,
                });
            }
        }
        Some(())
    }

    fn read_sections(&mut self, header: &[u8]) -> Option<()> {
        const SIZE: usize = 64;
        let n = usize::from(u16_at(header, 60)?).min(SECTIONS_MAX);
        if n == 0 || usize::from(u16_at(header, 58)?) != SIZE {
            return Some(()); // A file may have none.
        }
        let bytes = read_at(self.file, u64_at(header, 40)?, n * SIZE)?;
        let headers: Vec<&[u8]> = bytes.chunks_exact(SIZE).collect();
        let range = |at: &[u8]| {
            Some(Range {
                offset: u64_at(at, 24)?,
                len: u64_at(at, 32)?,
            })
        };
        let names = range(headers.get(usize::from(u16_at(header, 62)?))?)?;
        let names = self.bytes(names, NAMES_MAX)?;
        for at in headers {
            if u32_at(at, 4)? == SHT_NOBITS {
                continue;
            }
            let name = names
                .get(index(u64::from(u32_at(at, 0)?))..)
                .unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            self.sections.push(Section {
                name: name.to_vec(),
                range: range(at)?,
            });
        }
        Some(())
    }

    pub(super) fn section(&self, name: &str) -> Option<Range> {
        self.sections
            .iter()
            .find(|it| it.name == name.as_bytes())
            .map(|it| it.range)
    }

    /// Reads a part of the file; `None` if it is longer than `max`.
    pub(super) fn bytes(&self, range: Range, max: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(range.len).ok().filter(|len| *len <= max)?;
        read_at(self.file, range.offset, len)
    }

    /// File offset of the code at an address.
    pub(super) fn code_offset(&self, address: u64) -> Option<u64> {
        let segment = self
            .segments
            .iter()
            .find(|it| it.is_executable && it.holds(address))?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Reads `len` bytes at an address.
    pub(super) fn data(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let segment = self.segments.iter().find(|it| it.holds(address))?;
        read_at(
            self.file,
            segment.offset.checked_add(address - segment.address)?,
            len,
        )
    }

    /// Reads up to `max` bytes of code at a file offset; fewer at the end of the file.
    pub(super) fn code(&self, offset: u64, max: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; max];
        let n = self.file.read_at(&mut bytes, offset).ok()?;
        bytes.truncate(n);
        Some(bytes)
    }
}

impl Segment {
    fn holds(&self, address: u64) -> bool {
        address
            .checked_sub(self.address)
            .is_some_and(|it| it < self.len)
    }
}

fn read_at(file: &File, offset: u64, len: usize) -> Option<Vec<u8>> {
    // The file may contain a false length, so check it before allocating memory.
    let end = offset.checked_add(u64::try_from(len).ok()?)?;
    if end > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// A number from the file as an index. A number that is too large is out of every range.
pub(super) fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
