//! The loader's facts in the segments of an ELF file: interpreter, libraries, protections, GNU build ID.

use std::ops::Range;

use object::read::elf::ProgramHeader;
use object::{Endianness, elf};

use super::lossy;
use super::sectionless::NamedRange;
use crate::image::{Linkage, SectionClass, clamp};
use crate::limit;
use crate::reader::{Reader, index};

pub(super) fn linkage<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    bytes: &[u8],
    reader: Reader<'_>,
) -> Linkage {
    let mut linkage = Linkage::default();
    for raw in programs.iter().take(limit::SEGMENTS) {
        let (file, _) = clamp(
            raw.p_offset(endian).into(),
            raw.p_filesz(endian).into(),
            bytes.len(),
        );
        match raw.p_type(endian) {
            elf::PT_INTERP => {
                linkage.interpreter = reader
                    .cstr(file.start, file.len().min(limit::SECTION_NAME))
                    .map(lossy);
                linkage.position_independent = true;
            }
            elf::PT_GNU_RELRO => linkage.relro = true,
            elf::PT_GNU_STACK => linkage.no_execute = Some(raw.p_flags(endian) & elf::PF_X == 0),
            elf::PT_NOTE => note(reader, file, &mut linkage),
            elf::PT_DYNAMIC => {
                linkage.has_dynamic = true;
                if let Ok(Some(entries)) = raw.dynamic(endian, bytes) {
                    dynamic(entries, programs, endian, bytes.len(), reader, &mut linkage);
                }
            }
            _ => {}
        }
    }
    linkage
}

fn dynamic<
    P: ProgramHeader<Endian = Endianness>,
    D: object::read::elf::Dyn<Endian = Endianness>,
>(
    entries: &[D],
    programs: &[P],
    endian: Endianness,
    file: usize,
    reader: Reader<'_>,
    linkage: &mut Linkage,
) {
    let strings = value(entries, elf::DT_STRTAB, endian)
        .and_then(|address| offset(programs, endian, file, address));
    for entry in entries {
        let value: u64 = entry.d_val(endian).into();
        match entry.tag(endian) {
            elf::DT_NULL => break,
            elf::DT_NEEDED if linkage.needed.len() < limit::NEEDED => {
                let name = strings
                    .and_then(|strings| index(strings.checked_add(value)?))
                    .and_then(|at| reader.cstr(at, limit::SECTION_NAME));
                linkage.needed.extend(name.map(lossy));
            }
            elf::DT_BIND_NOW => linkage.bind_now = true,
            elf::DT_FLAGS => linkage.bind_now |= value & u64::from(elf::DF_BIND_NOW) != 0,
            elf::DT_FLAGS_1 => {
                linkage.bind_now |= value & u64::from(elf::DF_1_NOW) != 0;
                linkage.position_independent |= value & u64::from(elf::DF_1_PIE) != 0;
            }
            elf::DT_SYMTAB => linkage.has_dynamic_symbols = true,
            _ => {}
        }
    }
}

fn value<D: object::read::elf::Dyn<Endian = Endianness>>(
    entries: &[D],
    tag: i64,
    endian: Endianness,
) -> Option<u64> {
    let entry = entries.iter().find(|entry| entry.tag(endian) == tag)?;
    Some(entry.d_val(endian).into())
}

/// Converts an address of the dynamic section to a file offset, by the segments.
fn offset<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    file: usize,
    address: u64,
) -> Option<u64> {
    programs
        .iter()
        .take(limit::SEGMENTS)
        .filter(|raw| raw.p_type(endian) == elf::PT_LOAD)
        .find_map(|raw| {
            let into = address.checked_sub(raw.p_vaddr(endian).into())?;
            let (range, _) = clamp(
                raw.p_offset(endian).into(),
                raw.p_filesz(endian).into(),
                file,
            );
            (into < range.len() as u64).then(|| range.start as u64 + into)
        })
}

/// The name of the table of relocations in [`parts`].
pub(super) const RELOCATIONS: &str = "RELA";

/// Notes and the dynamic linker's tables whose bounds are in the program headers and the dynamic section.
pub(super) fn parts<P: ProgramHeader<Endian = Endianness>>(
    programs: &[P],
    endian: Endianness,
    bytes: &[u8],
) -> Vec<NamedRange> {
    let (mut parts, mut has_dynamic) = (Vec::new(), false);
    let mut add = |name, class, offset: u64, len: u64| {
        let (file, _) = clamp(offset, len, bytes.len());
        parts.push(NamedRange { name, class, file });
    };
    for raw in programs.iter().take(limit::SEGMENTS) {
        let (start, len) = (raw.p_offset(endian).into(), raw.p_filesz(endian).into());
        match raw.p_type(endian) {
            elf::PT_NOTE => add("NOTE", SectionClass::Note, start, len),
            elf::PT_INTERP => add("INTERP", SectionClass::Linking, start, len),
            elf::PT_DYNAMIC if !has_dynamic => {
                has_dynamic = true;
                add("DYNAMIC", SectionClass::Linking, start, len);
                let Ok(Some(entries)) = raw.dynamic(endian, bytes) else {
                    continue;
                };
                for (name, at, len) in [
                    (RELOCATIONS, elf::DT_RELA, elf::DT_RELASZ),
                    ("REL", elf::DT_REL, elf::DT_RELSZ),
                    ("RELR", elf::DT_RELR, elf::DT_RELRSZ),
                    ("JMPREL", elf::DT_JMPREL, elf::DT_PLTRELSZ),
                    ("STRTAB", elf::DT_STRTAB, elf::DT_STRSZ),
                ] {
                    let at = value(entries, at, endian)
                        .and_then(|address| offset(programs, endian, bytes.len(), address));
                    if let (Some(at), Some(len)) = (at, value(entries, len, endian)) {
                        add(name, SectionClass::Linking, at, len);
                    }
                }
            }
            _ => {}
        }
    }
    parts
}

/// Searches one note segment for the GNU build ID; `go::buildid` reads Go's own.
fn note(reader: Reader<'_>, file: Range<usize>, linkage: &mut Linkage) {
    let mut at = file.start;
    // A note has 12 bytes of header, so the loop ends.
    while at.saturating_add(12) <= file.end {
        let (Some(name), Some(desc), Some(kind)) =
            (reader.u32(at), reader.u32(at + 4), reader.u32(at + 8))
        else {
            return;
        };
        let (Some(name), Some(desc)) = (index(name.into()), index(desc.into())) else {
            return;
        };
        let body = at + 12;
        let Some(value) = name
            .checked_next_multiple_of(4)
            .and_then(|skip| body.checked_add(skip))
        else {
            return;
        };
        if kind == elf::NT_GNU_BUILD_ID && reader.slice(body, name) == Some(b"GNU\0") && desc <= 64
        {
            linkage.gnu_build_id = reader.slice(value, desc).map(crate::hex::encode);
        }
        let Some(next) = desc
            .checked_next_multiple_of(4)
            .and_then(|skip| value.checked_add(skip))
        else {
            return;
        };
        at = next;
    }
}
