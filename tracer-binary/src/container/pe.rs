//! Reads PE files, 32 and 64 bit: headers to an [`Image`].

use std::borrow::Cow;

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader as _, ImportTable};

use super::{HeaderRanges, lossy};
use crate::error::Error;
use crate::image::{
    Compression, Format, Image, Linkage, Mapping, Section, SectionClass, Segment, SegmentFlags,
    Shape, SymbolLayout, SymbolTable, clamp,
};
use crate::limit;
use crate::reader::{Endian, Reader, index};

pub(super) fn parse(bytes: &[u8]) -> Result<Image<'_>, Error> {
    let broken = |what| Error::Broken { format: "PE", what };
    let dos = pe::ImageDosHeader::parse(bytes).map_err(|_| broken("DOS header"))?;
    let offset: u64 = dos.nt_headers_offset().into();
    let at = index(offset).ok_or(broken("header offset"))?;
    let reader = Reader::new(bytes, Endian::Little);
    match at.checked_add(24).and_then(|at| reader.u16(at)) {
        Some(pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC) => with::<pe::ImageNtHeaders32>(bytes, offset, 4),
        Some(pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC) => with::<pe::ImageNtHeaders64>(bytes, offset, 8),
        _ => Err(broken("optional header")),
    }
}

fn with<N: ImageNtHeaders>(bytes: &[u8], nt_offset: u64, word: u8) -> Result<Image<'_>, Error> {
    let broken = |what| Error::Broken { format: "PE", what };
    let reader = Reader::new(bytes, Endian::Little);
    let mut offset = nt_offset;
    let (nt, directories) = N::parse(bytes, &mut offset).map_err(|_| broken("headers"))?;
    let table = nt
        .sections(bytes, offset)
        .map_err(|_| broken("section table"))?;
    let (file_header, optional) = (nt.file_header(), nt.optional_header());
    let base = optional.image_base();

    let mut headers = HeaderRanges::new(bytes.len());
    headers.add("DOS header", 0, nt_offset);
    headers.add("PE headers", nt_offset, offset.saturating_sub(nt_offset));
    headers.add("section table", offset, 40 * table.len() as u64);

    let symbols = symbol_table(file_header, reader);
    let mut notes = Vec::new();
    let mut sections: Vec<_> = table
        .iter()
        .take(limit::SECTIONS)
        .map(|raw| section(raw, base, reader, symbols.as_ref(), &mut notes))
        .collect();
    let segments = table
        .iter()
        .zip(&sections)
        .take(limit::SEGMENTS)
        .map(|(raw, section)| segment(raw, section))
        .collect();
    let mappings = sections
        .iter()
        .map(|section| Mapping {
            address: section.address,
            offset: section.file.start,
            // Bytes past the virtual size are padding of the file, not memory.
            len: section
                .file
                .len()
                .min(index(section.memory).unwrap_or(usize::MAX)),
        })
        .collect();
    tables(symbols.as_ref(), &mut sections);
    let flags = optional.dll_characteristics();
    let is_dll = file_header.characteristics.get(LE) & pe::IMAGE_FILE_DLL != 0;
    let relocated = flags & pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE != 0;
    let mut linkage = Linkage {
        position_independent: relocated,
        no_execute: Some(flags & pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT != 0),
        ..Linkage::default()
    };
    if let Ok(Some(imports)) = directories.import_table(bytes, &table) {
        linkage.has_dynamic = true;
        linkage.needed = needed(&imports, base, reader, &sections);
    }
    let image = Image {
        bytes,
        format: Format::Pe,
        goarch: goarch(file_header.machine.get(LE)),
        goos: Some("windows"),
        endian: Endian::Little,
        word,
        shape: match (is_dll, relocated) {
            (true, _) => Shape::SharedLibrary,
            (false, true) => Shape::PositionIndependent,
            (false, false) => Shape::Executable,
        },
        entry: base.wrapping_add(optional.address_of_entry_point().into()),
        headers: headers.done(),
        sections,
        segments,
        symbols,
        null_section: 0,
        is_sectionless: false,
        fixups: None,
        chained: None,
        linkage,
        notes,
        bodies: Vec::new(),
        mappings,
        memory: Vec::new(),
    };
    Ok(image.finish())
}

fn symbol_table(header: &pe::ImageFileHeader, reader: Reader<'_>) -> Option<SymbolTable> {
    let at = u64::from(header.pointer_to_symbol_table.get(LE));
    let len = u64::from(header.number_of_symbols.get(LE)) * 18;
    if at == 0 || len == 0 {
        return None;
    }
    let strings = at + len;
    let strings_len = index(strings).and_then(|at| reader.u32(at)).unwrap_or(0);
    Some(SymbolTable {
        layout: SymbolLayout::Coff,
        table: clamp(at, len, reader.len()).0,
        strings: clamp(strings, strings_len.into(), reader.len()).0,
    })
}

fn section<'a>(
    raw: &'a pe::ImageSectionHeader,
    base: u64,
    reader: Reader<'a>,
    symbols: Option<&SymbolTable>,
    notes: &mut Vec<String>,
) -> Section<'a> {
    let name = name(&raw.name, reader, symbols);
    let (offset, len) = (
        raw.pointer_to_raw_data.get(LE),
        raw.size_of_raw_data.get(LE),
    );
    let (mut file, cut) = clamp(offset.into(), len.into(), reader.len());
    if cut {
        notes.push(format!("section {name} reaches outside of the file"));
    }
    if offset == 0 {
        file = 0..0;
    }
    let mut memory = u64::from(raw.virtual_size.get(LE));
    let compression = name.starts_with(".zdebug_").then_some(Compression::Zlib);
    if compression.is_some() {
        // The GNU form: "ZLIB", then the size in big-endian order.
        let stated = reader.slice(file.start.saturating_add(4), 8);
        memory = stated
            .and_then(|size| Reader::new(size, Endian::Big).u64(0))
            .unwrap_or(memory);
    }
    Section {
        class: class(&name, raw.characteristics.get(LE)),
        name,
        address: base.wrapping_add(raw.virtual_address.get(LE).into()),
        memory,
        file,
        compression,
    }
}

/// Adds the symbol table and its strings, unless a section covers them, as in Go's files.
fn tables(symbols: Option<&SymbolTable>, sections: &mut Vec<Section<'_>>) {
    let Some(symbols) = symbols else { return };
    for (name, range) in [
        ("symbol table", &symbols.table),
        ("string table", &symbols.strings),
    ] {
        let is_covered = sections
            .iter()
            .any(|section| section.file.start <= range.start && range.end <= section.file.end);
        if !is_covered {
            sections.push(Section {
                name: Cow::Borrowed(name),
                class: SectionClass::Symbols,
                address: 0,
                memory: range.len() as u64,
                file: range.clone(),
                compression: None,
            });
        }
    }
}

fn needed(
    imports: &ImportTable<'_>,
    base: u64,
    reader: Reader<'_>,
    sections: &[Section<'_>],
) -> Vec<String> {
    let mut needed = Vec::new();
    let Ok(mut descriptors) = imports.descriptors() else {
        return needed;
    };
    while let Ok(Some(descriptor)) = descriptors.next() {
        if needed.len() >= limit::NEEDED {
            break;
        }
        let address = base.wrapping_add(descriptor.name.get(LE).into());
        needed.extend(string_at(reader, sections, address).map(lossy));
    }
    needed
}

/// A section's name: eight bytes, or `/123`, an offset into the strings behind the symbol table.
fn name<'a>(raw: &'a [u8; 8], reader: Reader<'a>, symbols: Option<&SymbolTable>) -> Cow<'a, str> {
    let end = raw.iter().position(|&byte| byte == 0).unwrap_or(raw.len());
    let short = raw.get(..end).unwrap_or(raw);
    let long = short.strip_prefix(b"/").and_then(|digits| {
        let offset: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let strings = &symbols?.strings;
        let left = strings.len().checked_sub(offset)?;
        reader.cstr(
            strings.start.checked_add(offset)?,
            left.min(limit::SECTION_NAME),
        )
    });
    String::from_utf8_lossy(long.unwrap_or(short))
}

fn string_at<'a>(reader: Reader<'a>, sections: &[Section<'_>], address: u64) -> Option<&'a [u8]> {
    sections.iter().find_map(|section| {
        let into = index(address.checked_sub(section.address)?)?;
        if section.address == 0 || into >= section.file.len() {
            return None;
        }
        reader.cstr(section.file.start + into, limit::SECTION_NAME)
    })
}

fn class(name: &str, flags: u32) -> SectionClass {
    if name.starts_with(".debug_") || name.starts_with(".zdebug_") {
        SectionClass::Debug
    } else if flags & pe::IMAGE_SCN_CNT_CODE != 0 {
        SectionClass::Code
    } else if flags & pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA != 0 {
        SectionClass::Zero
    } else if matches!(name, ".idata" | ".edata" | ".reloc" | ".pdata" | ".xdata") {
        SectionClass::Linking
    } else if name == ".symtab" {
        SectionClass::Symbols
    } else if flags & pe::IMAGE_SCN_MEM_WRITE != 0 {
        SectionClass::Data
    } else {
        SectionClass::ReadOnly
    }
}

fn segment<'a>(raw: &pe::ImageSectionHeader, section: &Section<'a>) -> Segment<'a> {
    let flags = raw.characteristics.get(LE);
    Segment {
        name: section.name.clone(),
        address: section.address,
        memory: u64::from(raw.virtual_size.get(LE)),
        file: section.file.clone(),
        flags: SegmentFlags {
            read: flags & pe::IMAGE_SCN_MEM_READ != 0,
            write: flags & pe::IMAGE_SCN_MEM_WRITE != 0,
            execute: flags & pe::IMAGE_SCN_MEM_EXECUTE != 0,
        },
    }
}

fn goarch(machine: u16) -> &'static str {
    match machine {
        pe::IMAGE_FILE_MACHINE_AMD64 => "amd64",
        pe::IMAGE_FILE_MACHINE_ARM64 => "arm64",
        pe::IMAGE_FILE_MACHINE_I386 => "386",
        pe::IMAGE_FILE_MACHINE_ARMNT | pe::IMAGE_FILE_MACHINE_ARM => "arm",
        _ => "unknown",
    }
}
