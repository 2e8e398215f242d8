//! Reads ELF files, 32 and 64 bit, in both byte orders: headers to an [`Image`].

use std::borrow::Cow;
use std::ops::Range;

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use super::HeaderRanges;
use super::elf_linkage::{RELOCATIONS, linkage, parts};
use super::{elf_section, sectionless};
use crate::error::Error;
use crate::image::{
    Format, Header, Image, Mapping, RelativeFixups, Section, Segment, SegmentFlags, Shape, clamp,
};
use crate::limit;
use crate::reader::{Endian, Reader};

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
    let raw_sections = header.section_headers(endian, bytes).unwrap_or_else(|_| {
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

    for (what, n, most) in [
        ("sections", raw_sections.len(), limit::SECTIONS),
        ("segments", programs.len(), limit::SEGMENTS),
    ] {
        if n > most {
            notes.push(format!("{n} {what}, only the first {most} are read"));
        }
    }
    let segments: Vec<_> = programs
        .iter()
        .take(limit::SEGMENTS)
        .filter(|raw| raw.p_type(endian) == elf::PT_LOAD)
        .map(|raw| segment(raw, endian, bytes.len(), &mut notes))
        .collect();

    let linkage = linkage(programs, endian, bytes, reader);
    let shape = shape(header.e_type(endian), linkage.position_independent);
    let kind = relative(header.e_machine(endian), word);
    let mut table = elf_section::read(header, raw_sections, endian, bytes);
    let is_sectionless = !sectionless::agree(&table.sections, &segments);
    let n_sections = if is_sectionless {
        0
    } else {
        raw_sections.len()
    };
    let headers = headers(header, endian, bytes.len(), programs.len(), n_sections);
    if is_sectionless {
        notes.push(sectionless::note(raw_sections.is_empty()));
        let parts = parts(programs, endian, bytes);
        table = elf_section::Table {
            sections: sectionless::sections(&segments, &parts, &headers),
            fixups: parts
                .into_iter()
                .find(|it| it.name == RELOCATIONS)
                .map(|it| it.file),
            ..elf_section::Table::default()
        };
    }
    notes.append(&mut table.notes);
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
        symbols: table.symbols,
        fixups: table
            .fixups
            .zip(kind)
            .map(|(table, kind)| RelativeFixups { table, kind }),
        null_section: table.null_section,
        is_sectionless,
        mappings: mappings(&segments, &table.sections, shape),
        sections: table.sections,
        segments,
        linkage,
        notes,
        bodies: Vec::new(),
        chained: None,
        memory: Vec::new(),
    };
    Ok(image.finish())
}

/// The shape of the file. A PIE and a library have the same type. Only a PIE requests an interpreter or is marked as a
/// PIE.
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
    let mut headers = HeaderRanges::new(file);
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

/// The mappings of a file. Segments are loaded; an unlinked object has no addresses.
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

/// The relocation that means "base + addend". Only for RELA tables: REL keeps the addend in place, where it is read
/// anyway.
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
