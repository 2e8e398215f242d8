//! ELF, 32 and 64 bit, both byte orders: headers to an [`Image`].

use std::borrow::Cow;
use std::ops::Range;

use object::Endianness;
use object::elf;
use object::read::elf::{CompressionHeader as _, FileHeader, ProgramHeader, SectionHeader};

use super::Headers;
use super::elf_linkage::{RELOCATIONS, linkage, named};
use super::sectionless;
use crate::error::Error;
use crate::image::{
    Compression, Format, Header, Image, Mapping, RelativeFixups, Section, SectionClass, Segment,
    SegmentFlags, Shape, SymbolLayout, SymbolTable, clamp,
};
use crate::limit;
use crate::reader::{Endian, Reader, index};

pub(super) fn parse<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Image<'_>, Error> {
    let broken = |what| Error::Broken {
        format: "ELF",
        what,
    };
    let header = H::parse(bytes).map_err(|_| broken("file header"))?;
    let endian = header.endian().map_err(|_| broken("byte order"))?;
    let mut notes = Vec::new();
    let programs = header.program_headers(endian, bytes).unwrap_or_else(|_| {
        notes.push("the segment table lies outside of the file".to_owned());
        &[]
    });
    let mut raw_sections = header.section_headers(endian, bytes).unwrap_or_else(|_| {
        notes.push("the section table lies outside of the file".to_owned());
        &[]
    });
    if programs.is_empty() && raw_sections.is_empty() {
        return Err(broken("segment and section tables"));
    }
    let word = if header.is_type_64() { 8 } else { 4 };
    let order = if header.is_big_endian() {
        Endian::Big
    } else {
        Endian::Little
    };
    let reader = Reader::new(bytes, order);

    if raw_sections.len() > limit::SECTIONS {
        notes.push(format!(
            "{} sections, only the first {} are read",
            raw_sections.len(),
            limit::SECTIONS
        ));
    }
    if programs.len() > limit::SEGMENTS {
        notes.push(format!(
            "{} segments, only the first {} are read",
            programs.len(),
            limit::SEGMENTS
        ));
    }
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
    let mut section_notes = Vec::new();
    let mut sections: Vec<_> = raw_sections
        .iter()
        .take(limit::SECTIONS)
        .skip(usize::from(null_section))
        .map(|raw| {
            section(
                raw,
                endian,
                reader,
                bytes,
                names.clone(),
                &mut section_notes,
            )
        })
        .collect();
    let segments: Vec<_> = programs
        .iter()
        .take(limit::SEGMENTS)
        .filter(|raw| raw.p_type(endian) == elf::PT_LOAD)
        .map(|raw| segment(raw, endian, bytes.len(), &mut notes))
        .collect();

    let linkage = linkage(programs, endian, bytes, reader);
    let shape = shape(header.e_type(endian), linkage.position_independent);
    let is_sectionless = !sectionless::agree(&sections, &segments);
    if is_sectionless {
        notes.push(if raw_sections.is_empty() {
            "the file has no section table; its segments are shown in place of sections".to_owned()
        } else {
            "the section table does not match the segments, which are shown in place of sections"
                .to_owned()
        });
        raw_sections = &[];
    } else {
        notes.extend(section_notes);
    }
    let headers = headers(
        header,
        endian,
        bytes.len(),
        programs.len(),
        raw_sections.len(),
    );
    let kind = relative(header.e_machine(endian), word);
    let mut fixups = fixups(raw_sections, endian, bytes.len()).filter(|_| kind.is_some());
    if is_sectionless {
        let named = named(programs, endian, bytes);
        sections = sectionless::sections(&segments, &named, &headers);
        let relocations = named.iter().find(|it| it.name == RELOCATIONS);
        fixups = relocations.map(|it| it.file.clone());
    }
    let image = Image {
        bytes,
        format: Format::Elf,
        goarch: goarch(header.e_machine(endian), word, order),
        goos: None,
        endian: order,
        word,
        shape,
        entry: header.e_entry(endian).into(),
        headers,
        symbols: symbol_table(raw_sections, endian, word, bytes.len()),
        fixups: fixups
            .zip(kind)
            .map(|(table, kind)| RelativeFixups { table, kind }),
        null_section,
        is_sectionless,
        mappings: mappings(&segments, &sections, shape),
        sections,
        segments,
        linkage,
        notes,
        bodies: Vec::new(),
        memory: Vec::new(),
    };
    Ok(image.finish())
}

/// A PIE and a library are the same type; only a PIE asks for an interpreter or says what it is.
fn shape(kind: u16, is_pie: bool) -> Shape {
    match kind {
        elf::ET_EXEC => Shape::Executable,
        elf::ET_DYN if is_pie => Shape::PositionIndependent,
        elf::ET_DYN => Shape::SharedLibrary,
        elf::ET_REL => Shape::Relocatable,
        _ => Shape::Other,
    }
}

fn headers<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    file: usize,
    n_segments: usize,
    n_sections: usize,
) -> Vec<Header> {
    let mut headers = Headers::new(file);
    headers.add("ELF header", 0, header.e_ehsize(endian).into());
    headers.add(
        "segment table",
        header.e_phoff(endian).into(),
        u64::from(header.e_phentsize(endian)) * n_segments as u64,
    );
    headers.add(
        "section table",
        header.e_shoff(endian).into(),
        u64::from(header.e_shentsize(endian)) * n_sections as u64,
    );
    headers.done()
}

/// Segments are what is loaded; an object that is not linked yet has no addresses.
fn mappings(segments: &[Segment<'_>], sections: &[Section<'_>], shape: Shape) -> Vec<Mapping> {
    let mapping = |address: u64, file: &Range<usize>| Mapping {
        address,
        offset: file.start,
        len: file.len(),
    };
    if !segments.is_empty() || shape == Shape::Relocatable {
        return segments
            .iter()
            .map(|it| mapping(it.address, &it.file))
            .collect();
    }
    let loaded = sections.iter().filter(|section| section.address != 0);
    loaded.map(|it| mapping(it.address, &it.file)).collect()
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
    reader: Reader<'a>,
    bytes: &'a [u8],
    names: Option<Range<usize>>,
    notes: &mut Vec<String>,
) -> Section<'a> {
    let name = names
        .and_then(|names| reader.slice(names.start, names.len()))
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
        // The GNU form: "ZLIB", then the size in big-endian order whatever the file's order is.
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

fn segment<P: ProgramHeader<Endian = Endianness>>(
    raw: &P,
    endian: Endianness,
    file: usize,
    notes: &mut Vec<String>,
) -> Segment<'static> {
    let (range, cut) = clamp(
        raw.p_offset(endian).into(),
        raw.p_filesz(endian).into(),
        file,
    );
    if cut {
        notes.push("a segment reaches outside of the file".to_owned());
    }
    let flags = raw.p_flags(endian);
    let flags = SegmentFlags {
        read: flags & elf::PF_R != 0,
        write: flags & elf::PF_W != 0,
        execute: flags & elf::PF_X != 0,
    };
    let name = match (flags.write, flags.execute) {
        (_, true) => "LOAD code",
        (true, false) => "LOAD data",
        (false, false) => "LOAD read-only",
    };
    Segment {
        name: Cow::Borrowed(name),
        address: raw.p_vaddr(endian).into(),
        memory: raw.p_memsz(endian).into(),
        file: range,
        flags,
    }
}

fn symbol_table<S: SectionHeader<Endian = Endianness>>(
    sections: &[S],
    endian: Endianness,
    word: u8,
    file: usize,
) -> Option<SymbolTable> {
    let sections = sections.get(..limit::SECTIONS).unwrap_or(sections);
    let find = |kind| {
        sections
            .iter()
            .find(|section| section.sh_type(endian) == kind)
    };
    // The dynamic table is what a stripped library still has.
    let raw = find(elf::SHT_SYMTAB).or_else(|| find(elf::SHT_DYNSYM))?;
    let strings = sections.get(index(raw.sh_link(endian).into())?)?;
    Some(SymbolTable {
        layout: if word == 8 {
            SymbolLayout::Elf64
        } else {
            SymbolLayout::Elf32
        },
        table: range(raw, endian, file).0,
        strings: range(strings, endian, file).0,
    })
}

/// The relocation that means "base + addend". Only in RELA tables: REL keeps the addend in place, where it is read anyway.
fn relative(machine: u16, word: u8) -> Option<u32> {
    let kind = match machine {
        elf::EM_X86_64 => elf::R_X86_64_RELATIVE,
        elf::EM_AARCH64 => elf::R_AARCH64_RELATIVE,
        elf::EM_S390 => elf::R_390_RELATIVE,
        elf::EM_PPC64 => elf::R_PPC64_RELATIVE,
        elf::EM_RISCV => elf::R_RISCV_RELATIVE,
        elf::EM_LOONGARCH => elf::R_LARCH_RELATIVE,
        _ => return None,
    };
    (word == 8).then_some(kind)
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

fn goarch(machine: u16, word: u8, order: Endian) -> &'static str {
    let big = order == Endian::Big;
    match (machine, word, big) {
        (elf::EM_X86_64, _, _) => "amd64",
        (elf::EM_386, _, _) => "386",
        (elf::EM_AARCH64, _, false) => "arm64",
        (elf::EM_ARM, _, false) => "arm",
        (elf::EM_S390, 8, _) => "s390x",
        (elf::EM_PPC64, _, true) => "ppc64",
        (elf::EM_PPC64, _, false) => "ppc64le",
        (elf::EM_RISCV, 8, _) => "riscv64",
        (elf::EM_LOONGARCH, 8, _) => "loong64",
        (elf::EM_MIPS, 8, true) => "mips64",
        (elf::EM_MIPS, 8, false) => "mips64le",
        (elf::EM_MIPS, _, true) => "mips",
        (elf::EM_MIPS, _, false) => "mipsle",
        _ => "unknown",
    }
}
