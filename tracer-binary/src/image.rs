//! The neutral form of an object file: sections, segments and an address space over its bytes.
//!
//! `container` creates images; nothing here distinguishes ELF from PE. Ranges are clamped to the file, so having an
//! [`Image`] proves that every range in it can be sliced. An image contains no symbols: they are many, and not every
//! caller needs them (`symbol::read`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chained::ChainedPointers;
use crate::limit;
use crate::reader::{Endian, Reader, index};

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Elf,
    Pe,
    MachO,
    Wasm,
}

/// The kind of file that the header states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Executable,
    /// An executable that can be loaded anywhere (PIE). ELF requires further checks to distinguish it from a library.
    PositionIndependent,
    SharedLibrary,
    Relocatable,
    Other,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SectionClass {
    Code,
    /// Read-only data, including data that the dynamic linker writes once.
    ReadOnly,
    Data,
    /// Memory without bytes in the file.
    Zero,
    Debug,
    /// Symbol tables and their names.
    Symbols,
    /// Tables for the dynamic linker and loader.
    Linking,
    Note,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Zlib,
    Zstd,
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    pub name: Cow<'a, str>,
    pub class: SectionClass,
    pub address: u64,
    /// Bytes in memory, or after decompression for a compressed section, as stated by the file.
    pub memory: u64,
    /// Range of its bytes inside the image's bytes; empty if it has none.
    pub file: Range<usize>,
    pub compression: Option<Compression>,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment<'a> {
    pub name: Cow<'a, str>,
    pub address: u64,
    pub memory: u64,
    pub file: Range<usize>,
    pub flags: SegmentFlags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentFlags {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// A range of the file that describes it and is not a section: headers, tables.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub name: &'static str,
    pub file: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolLayout {
    Elf32,
    Elf64,
    Nlist32,
    Nlist64,
    Coff,
}

impl SymbolLayout {
    /// True if each symbol states its size.
    pub(crate) fn has_sizes(self) -> bool {
        match self {
            Self::Elf32 | Self::Elf64 => true,
            Self::Nlist32 | Self::Nlist64 | Self::Coff => false,
        }
    }
}

/// The position of the symbol table; `symbol::read` decodes it.
#[derive(Clone, Debug)]
pub(crate) struct SymbolTable {
    pub layout: SymbolLayout,
    pub table: Range<usize>,
    pub strings: Range<usize>,
}

/// The position of relocations that only add the load address (ELF `.rela.dyn`).
#[derive(Clone, Debug)]
pub(crate) struct RelativeFixups {
    pub table: Range<usize>,
    /// The relocation type that means "base + addend" on this machine.
    pub kind: u32,
}

/// Facts that are only in the container's headers.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Linkage {
    pub interpreter: Option<String>,
    pub needed: Vec<String>,
    pub has_dynamic: bool,
    pub relro: bool,
    pub bind_now: bool,
    /// `Some(true)` if the stack is marked not executable.
    pub no_execute: Option<bool>,
    pub position_independent: bool,
    pub gnu_build_id: Option<String>,
    pub uuid: Option<String>,
    pub has_dynamic_symbols: bool,
}

/// Consecutive addresses backed by consecutive bytes of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub address: u64,
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Image<'a> {
    pub bytes: &'a [u8],
    pub format: Format,
    pub goarch: &'static str,
    pub goos: Option<&'static str>,
    pub endian: Endian,
    /// Size of a pointer: 4 or 8.
    pub word: u8,
    pub shape: Shape,
    pub entry: u64,
    pub headers: Vec<Header>,
    pub sections: Vec<Section<'a>>,
    pub segments: Vec<Segment<'a>>,
    /// True if the file has no section table, and `sections` are made of its segments.
    pub is_sectionless: bool,
    pub symbols: Option<SymbolTable>,
    /// Number of null sections at the start that are not in `sections`, though symbols count them.
    pub null_section: u8,
    pub fixups: Option<RelativeFixups>,
    pub chained: Option<ChainedPointers>,
    pub linkage: Linkage,
    /// Parts that were left out, and values that did not add up, in words.
    pub notes: Vec<String>,
    /// Bodies of wasm functions, in order of their index.
    pub bodies: Vec<Range<usize>>,
    pub(crate) mappings: Vec<Mapping>,
    /// Linear memory of a wasm file from address 0, whose data comes in pieces; empty for other formats.
    pub(crate) memory: Vec<u8>,
}

impl Image<'_> {
    pub(crate) fn section(&self, name: &str) -> Option<&Section<'_>> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(crate) fn section_bytes(&self, section: &Section<'_>) -> &[u8] {
        self.bytes.get(section.file.clone()).unwrap_or_default()
    }

    /// Sections or segments with their bytes, for a search of all of them. In a hostile file each may be the whole
    /// file. The iterator therefore ends when their sum exceeds the sum of real ones.
    pub(crate) fn each_once<'s, T: 's>(
        &'s self,
        places: impl Iterator<Item = &'s T>,
        file: impl Fn(&T) -> &Range<usize>,
    ) -> impl Iterator<Item = (&'s T, &'s [u8])> {
        let mut left = (self.bytes.len() as u64).saturating_mul(limit::SECTION_REREAD);
        places.map_while(move |place| {
            let bytes = self.bytes.get(file(place).clone()).unwrap_or_default();
            left = left.checked_sub(bytes.len() as u64)?;
            Some((place, bytes))
        })
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(self.bytes, self.endian)
    }

    /// Sorts the address space; every container calls this last.
    pub(crate) fn finish(mut self) -> Self {
        self.mappings.retain(|mapping| mapping.len > 0);
        self.mappings
            .sort_unstable_by_key(|mapping| mapping.address);
        self
    }

    fn mapping(&self, address: u64) -> Option<(&Mapping, usize)> {
        let after = self
            .mappings
            .partition_point(|mapping| mapping.address <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        let into = index(address - mapping.address)?;
        (into < mapping.len).then_some((mapping, into))
    }

    /// The offset in the file of the byte at `address`, and the number of bytes that follow it there.
    pub(crate) fn file_offset(&self, address: u64) -> Option<(usize, usize)> {
        let (mapping, into) = self.mapping(address)?;
        Some((mapping.offset.checked_add(into)?, mapping.len - into))
    }

    /// Calls `each` with the ranges of the file that hold `len` bytes from `address` on.
    ///
    /// There is one range, except in wasm files, whose data is stored in pieces.
    pub(crate) fn file_ranges(&self, address: u64, len: u64, mut each: impl FnMut(Range<usize>)) {
        let end = address.saturating_add(len);
        let first = self
            .mappings
            .partition_point(|mapping| mapping.address <= address)
            .saturating_sub(1);
        for mapping in self.mappings.get(first..).unwrap_or_default() {
            if mapping.address >= end {
                return;
            }
            let mapped = mapping.address.saturating_add(mapping.len as u64);
            let (start, stop) = (address.max(mapping.address), end.min(mapped));
            if start < stop
                && let (Some(into), Some(len)) =
                    (index(start - mapping.address), index(stop - start))
            {
                each(mapping.offset + into..mapping.offset + into + len);
            }
        }
    }

    /// All bytes from `address` to the end of its mapping.
    pub(crate) fn bytes_from(&self, address: u64) -> Option<&[u8]> {
        if !self.memory.is_empty() {
            return self.memory.get(index(address)?..);
        }
        let (offset, len) = self.file_offset(address)?;
        self.bytes.get(offset..offset.checked_add(len)?)
    }

    /// The pointer stored at `address`, with the load-time relocation that a linker left for it.
    pub(crate) fn pointer(&self, address: u64) -> Option<u64> {
        let stored = self.reader_at(address)?.word(0, self.word)?;
        if stored != 0 || self.chained.is_some() {
            return self.resolve(address, stored);
        }
        Some(self.fixup(address).unwrap_or(0))
    }

    /// The pointer in the word `stored` at `address`, except for a relocation that is not in the word.
    pub(crate) fn resolve(&self, address: u64, stored: u64) -> Option<u64> {
        let Some(chained) = &self.chained else {
            return Some(stored);
        };
        let (at, _) = self.file_offset(address)?;
        chained.decode(at, stored)
    }

    /// GNU ld sorts relative relocations by the address they change. This is a search over the sorted addresses.
    fn fixup(&self, address: u64) -> Option<u64> {
        let fixups = self.fixups.as_ref()?;
        let reader = Reader::new(self.bytes.get(fixups.table.clone())?, self.endian);
        let (mut low, mut high) = (0, reader.len() / RELA);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = middle * RELA;
            // The sorted run of relative relocations comes first; others follow it.
            let relative = reader.u64(at + 8)? & u64::from(u32::MAX) == u64::from(fixups.kind);
            match reader.u64(at)?.cmp(&address) {
                Ordering::Equal if relative => return reader.u64(at + 16),
                Ordering::Less if relative => low = middle + 1,
                Ordering::Less | Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Addresses of pointers that a relocation makes point at `target`, in the order of the table.
    pub(crate) fn fixups_to(&self, target: u64) -> impl Iterator<Item = u64> + '_ {
        let table = self
            .fixups
            .as_ref()
            .and_then(|fixups| self.bytes.get(fixups.table.clone()))
            .unwrap_or_default();
        table.chunks_exact(RELA).filter_map(move |entry| {
            let entry = Reader::new(entry, self.endian);
            (entry.u64(16)? == target).then(|| entry.u64(0))?
        })
    }

    pub(crate) fn bytes_at(&self, address: u64, len: u64) -> Option<&[u8]> {
        self.bytes_from(address)?.get(..index(len)?)
    }

    pub(crate) fn reader_at(&self, address: u64) -> Option<Reader<'_>> {
        Some(Reader::new(self.bytes_from(address)?, self.endian))
    }
}

/// Size of an ELF64 relocation with addend.
const RELA: usize = 24;

/// The part of `offset..offset+len` that is inside a file of `file` bytes. True if any part was outside.
pub(crate) fn clamp(offset: u64, len: u64, file: usize) -> (Range<usize>, bool) {
    let file = file as u64;
    let start = offset.min(file);
    let end = offset.saturating_add(len).min(file);
    let cut = offset > file || offset.saturating_add(len) > file;
    // Both are at most the length of a slice, so they fit.
    (
        index(start).unwrap_or(0)..index(end).unwrap_or(0),
        cut && len > 0,
    )
}
