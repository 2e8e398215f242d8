//! The neutral form of an object file: sections, segments and an address space over its bytes.
//!
//! What comes in was read by `container`; nothing here knows ELF from PE. Ranges are clamped to the
//! file, so that having an [`Image`] proves that every range in it can be sliced. It holds no symbols:
//! they are many and not everybody needs them (`symbol::read`).

use std::borrow::Cow;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What kind of thing the header says the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Executable,
    /// An executable loaded anywhere (PIE); ELF cannot tell it from a library without looking further.
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
    /// Read-only data, with what the dynamic linker writes once.
    ReadOnly,
    Data,
    /// Memory without bytes in the file.
    Zero,
    Debug,
    /// Symbol tables and their names.
    Symbols,
    /// What the dynamic linker and loader read.
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
pub struct Section<'a> {
    pub name: Cow<'a, str>,
    pub class: SectionClass,
    pub address: u64,
    /// Bytes in memory, or after decompression for a compressed section. As the file claims it.
    pub memory: u64,
    /// Where its bytes are, inside the image's bytes; empty when it has none.
    pub file: Range<usize>,
    pub compression: Option<Compression>,
}

#[derive(Clone, Debug)]
pub struct Segment<'a> {
    pub name: Cow<'a, str>,
    pub address: u64,
    pub memory: u64,
    pub file: Range<usize>,
    pub flags: SegmentFlags,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentFlags {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

/// A stretch of the file that describes it and is no section: headers, tables.
#[derive(Clone, Debug)]
pub struct Header {
    pub name: &'static str,
    pub file: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolLayout {
    Elf32,
    Elf64,
    Nlist32,
    Nlist64,
    Coff,
    /// The `name` section of a wasm file.
    WasmNames,
}

/// Where the symbol table is; `symbol::read` decodes it.
#[derive(Clone, Debug)]
pub struct SymbolTable {
    pub layout: SymbolLayout,
    pub table: Range<usize>,
    pub strings: Range<usize>,
}

/// Where relocations that only add the load address are (ELF `.rela.dyn`).
#[derive(Clone, Debug)]
pub struct RelativeFixups {
    pub table: Range<usize>,
    /// The relocation type that means "base + addend" on this machine.
    pub kind: u32,
}

/// Facts that only the container's headers tell.
#[derive(Clone, Debug, Default)]
pub struct Linkage {
    pub interpreter: Option<String>,
    pub needed: Vec<String>,
    pub has_dynamic: bool,
    pub relro: bool,
    pub bind_now: bool,
    /// `Some(true)` when the stack is marked not executable.
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
pub struct Image<'a> {
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
    pub symbols: Option<SymbolTable>,
    pub fixups: Option<RelativeFixups>,
    pub linkage: Linkage,
    /// What was left out or did not add up, in words.
    pub notes: Vec<String>,
    /// Bodies of wasm functions, in order of their index.
    pub bodies: Vec<Range<usize>>,
    pub(crate) mappings: Vec<Mapping>,
    /// Linear memory of a wasm file from address 0, whose data comes in pieces; empty elsewhere.
    pub(crate) memory: Vec<u8>,
}

impl Image<'_> {
    pub fn section(&self, name: &str) -> Option<&Section<'_>> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub fn section_bytes(&self, section: &Section<'_>) -> &[u8] {
        self.bytes.get(section.file.clone()).unwrap_or_default()
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self.bytes, self.endian)
    }

    /// Sorts the address space; every container calls it last.
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

    /// The offset in the file of the byte at `address`, and how many bytes follow it there.
    pub fn file_offset(&self, address: u64) -> Option<(usize, usize)> {
        let (mapping, into) = self.mapping(address)?;
        Some((mapping.offset.checked_add(into)?, mapping.len - into))
    }

    /// All bytes from `address` to the end of what is mapped together with it.
    pub fn bytes_from(&self, address: u64) -> Option<&[u8]> {
        if !self.memory.is_empty() {
            return self.memory.get(index(address)?..);
        }
        let (offset, len) = self.file_offset(address)?;
        self.bytes.get(offset..offset.checked_add(len)?)
    }

    pub fn bytes_at(&self, address: u64, len: u64) -> Option<&[u8]> {
        self.bytes_from(address)?.get(..index(len)?)
    }

    pub fn reader_at(&self, address: u64) -> Option<Reader<'_>> {
        Some(Reader::new(self.bytes_from(address)?, self.endian))
    }
}

/// The part of `offset..offset+len` that is inside a file of `file` bytes, and whether any was outside.
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
