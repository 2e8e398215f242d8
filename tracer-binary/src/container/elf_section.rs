//! The section table of an ELF file: sections, and the positions of the symbol table and the relocations.

use std::borrow::Cow;
use std::ops::Range;

use object::read::elf::{CompressionHeader as _, FileHeader, SectionHeader};
use object::{Endianness, elf};

use crate::image::{Compression, Section, SectionClass, SymbolLayout, SymbolTable, clamp};
use crate::limit;
use crate::reader::{Endian, Reader, index};

#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    pub sections: Vec<Section<'a>>,
    /// Number of null sections that are left out at the start.
    pub null_section: u8,
    pub symbols: Option<SymbolTable>,
    /// The table of relocations with addends.
    pub fixups: Option<Range<usize>>,
    pub notes: Vec<String>,
}

pub(super) fn read<'a, H: FileHeader<Endian = Endianness>>(
    header: &H,
    raw_sections: &'a [H::SectionHeader],
    endian: Endianness,
    bytes: &'a [u8],
) -> Table<'a> {
    let names = header
        .shstrndx(endian, bytes)
        .ok()
        .and_then(|index| raw_sections.get(usize::try_from(index).ok()?))
        .map(|section| range(section, endian, bytes.len()).0);
    let null_section = u8::from(
        raw_sections
            .first()
            .is_some_and(|section| section.sh_type(endian) == elf::SHT_NULL),
    );
    let mut notes = Vec::new();
    let sections = raw_sections
        .iter()
        .take(limit::SECTIONS)
        .skip(usize::from(null_section))
        .map(|raw| section(raw, endian, bytes, names.clone(), &mut notes))
        .collect();
    let layout = if header.is_type_64() {
        SymbolLayout::Elf64
    } else {
        SymbolLayout::Elf32
    };
    Table {
        sections,
        null_section,
        symbols: symbol_table(raw_sections, endian, layout, bytes.len()),
        fixups: fixups(raw_sections, endian, bytes.len()),
        notes,
    }
}

fn range<S: SectionHeader<Endian = Endianness>>(
    raw: &S,
    endian: Endianness,
    file: usize,
) -> (Range<usize>, bool) {
    if raw.sh_type(endian) == elf::SHT_NOBITS {
        return (0..0, false);
    }
    clamp(
        raw.sh_offset(endian).into(),
        raw.sh_size(endian).into(),
        file,
    )
}

fn section<'a, S: SectionHeader<Endian = Endianness>>(
    raw: &S,
    endian: Endianness,
    bytes: &'a [u8],
    names: Option<Range<usize>>,
    notes: &mut Vec<String>,
) -> Section<'a> {
    let name = names
        .and_then(|names| bytes.get(names))
        .and_then(|names| {
            Reader::new(names, Endian::Little)
                .cstr(index(raw.sh_name(endian).into())?, limit::SECTION_NAME)
        })
        .map_or(Cow::Borrowed(""), String::from_utf8_lossy);
    let (file, cut) = range(raw, endian, bytes.len());
    if cut {
        notes.push(format!("section {name} reaches outside of the file"));
    }
    let flags: u64 = raw.sh_flags(endian).into();
    let mut memory = raw.sh_size(endian).into();
    let mut compression = None;
    if flags & u64::from(elf::SHF_COMPRESSED) != 0 {
        compression = Some(Compression::Unknown);
        if let Ok(Some((header, _, _))) = raw.compression(endian, bytes) {
            memory = header.ch_size(endian).into();
            compression = Some(match header.ch_type(endian) {
                elf::ELFCOMPRESS_ZLIB => Compression::Zlib,
                elf::ELFCOMPRESS_ZSTD => Compression::Zstd,
                _ => Compression::Unknown,
            });
        }
    } else if name.starts_with(".zdebug_") {
        compression = Some(Compression::Zlib);
        // The GNU form: "ZLIB", then the size in big-endian order for files of any byte order.
        let size = Reader::new(bytes, Endian::Big).u64(file.start.saturating_add(4));
        memory = size.unwrap_or(memory);
    }
    let class = class(&name, raw.sh_type(endian), flags);
    Section {
        name,
        class,
        address: raw.sh_addr(endian).into(),
        memory,
        file,
        compression,
    }
}

fn class(name: &str, kind: u32, flags: u64) -> SectionClass {
    let has = |flag: u32| flags & u64::from(flag) != 0;
    match kind {
        elf::SHT_NOBITS => return SectionClass::Zero,
        elf::SHT_NOTE => return SectionClass::Note,
        elf::SHT_SYMTAB | elf::SHT_SYMTAB_SHNDX => return SectionClass::Symbols,
        elf::SHT_STRTAB if !has(elf::SHF_ALLOC) => return SectionClass::Symbols,
        elf::SHT_DYNAMIC
        | elf::SHT_DYNSYM
        | elf::SHT_HASH
        | elf::SHT_GNU_HASH
        | elf::SHT_GNU_VERSYM
        | elf::SHT_GNU_VERNEED
        | elf::SHT_GNU_VERDEF
        | elf::SHT_RELA
        | elf::SHT_REL
        | elf::SHT_RELR
        | elf::SHT_STRTAB => return SectionClass::Linking,
        _ => {}
    }
    if name.starts_with(".debug_") || name.starts_with(".zdebug_") || name == ".gdb_index" {
        SectionClass::Debug
    } else if matches!(
        name,
        ".plt" | ".plt.got" | ".plt.sec" | ".got" | ".got.plt" | ".interp"
    ) {
        SectionClass::Linking
    } else if has(elf::SHF_EXECINSTR) {
        SectionClass::Code
    } else if !has(elf::SHF_ALLOC) {
        SectionClass::Other
    } else if has(elf::SHF_WRITE) && !name.starts_with(".data.rel.ro") {
        SectionClass::Data
    } else {
        SectionClass::ReadOnly
    }
}

fn symbol_table<S: SectionHeader<Endian = Endianness>>(
    sections: &[S],
    endian: Endianness,
    layout: SymbolLayout,
    file: usize,
) -> Option<SymbolTable> {
    let sections = sections.get(..limit::SECTIONS).unwrap_or(sections);
    let find = |kind| {
        sections
            .iter()
            .find(|section| section.sh_type(endian) == kind)
    };
    // A stripped library still has the dynamic table.
    let raw = find(elf::SHT_SYMTAB).or_else(|| find(elf::SHT_DYNSYM))?;
    let strings = sections.get(index(raw.sh_link(endian).into())?)?;
    Some(SymbolTable {
        layout,
        table: range(raw, endian, file).0,
        strings: range(strings, endian, file).0,
    })
}

fn fixups<S: SectionHeader<Endian = Endianness>>(
    sections: &[S],
    endian: Endianness,
    file: usize,
) -> Option<Range<usize>> {
    let alloc = |section: &&S| {
        let flags: u64 = section.sh_flags(endian).into();
        flags & u64::from(elf::SHF_ALLOC) != 0
    };
    let raw = sections
        .iter()
        .take(limit::SECTIONS)
        .filter(alloc)
        .filter(|section| section.sh_type(endian) == elf::SHT_RELA)
        .max_by_key(|section| section.sh_size(endian).into())?;
    Some(range(raw, endian, file).0)
}
