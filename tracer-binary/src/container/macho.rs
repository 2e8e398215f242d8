//! Reads thin Mach-O files, 32 and 64 bit: load commands to an [`Image`].

use std::borrow::Cow;
use std::ops::Range;

use object::read::macho::{LoadCommandData, MachHeader, Section as _, Segment as _};
use object::{Endianness, macho};

use super::{HeaderRanges, lossy};
use crate::chained::ChainedPointers;
use crate::error::Error;
use crate::image::{
    Format, Image, Linkage, Mapping, Section, SectionClass, Segment, SegmentFlags, Shape,
    SymbolLayout, SymbolTable, clamp,
};
use crate::limit;
use crate::reader::{Endian, index};

pub(super) fn parse<H: MachHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<Image<'_>, Error> {
    let broken = |what| Error::Broken {
        format: "Mach-O",
        what,
    };
    let header = H::parse(bytes, 0).map_err(|_| broken("file header"))?;
    let endian = header.endian().map_err(|_| broken("byte order"))?;
    let mut commands = header
        .load_commands(endian, bytes, 0)
        .map_err(|_| broken("load commands"))?;
    let wide = header.is_type_64();
    let mut headers = HeaderRanges::new(bytes.len());
    headers.add("Mach-O header", 0, size_of::<H>() as u64);
    headers.add(
        "load commands",
        size_of::<H>() as u64,
        header.sizeofcmds(endian).into(),
    );

    let mut image = Image {
        bytes,
        format: Format::MachO,
        goarch: goarch(header.cputype(endian)),
        goos: Some("darwin"),
        endian: if header.is_big_endian() {
            Endian::Big
        } else {
            Endian::Little
        },
        word: if wide { 8 } else { 4 },
        shape: match header.filetype(endian) {
            macho::MH_EXECUTE if header.flags(endian) & macho::MH_PIE != 0 => {
                Shape::PositionIndependent
            }
            macho::MH_EXECUTE => Shape::Executable,
            macho::MH_DYLIB | macho::MH_BUNDLE => Shape::SharedLibrary,
            macho::MH_OBJECT => Shape::Relocatable,
            _ => Shape::Other,
        },
        entry: 0,
        headers: headers.done(),
        sections: Vec::new(),
        segments: Vec::new(),
        symbols: None,
        null_section: 0,
        is_sectionless: false,
        fixups: None,
        chained: None,
        linkage: Linkage {
            position_independent: header.flags(endian) & macho::MH_PIE != 0,
            // The kernel maps the stack without execute permission on these machines, unless this flag is set.
            no_execute: Some(header.flags(endian) & macho::MH_ALLOW_STACK_EXECUTION == 0),
            ..Linkage::default()
        },
        notes: Vec::new(),
        bodies: Vec::new(),
        mappings: Vec::new(),
        memory: Vec::new(),
    };
    let mut chained = None;
    loop {
        match commands.next() {
            Ok(Some(command)) => {
                chained = chained.or_else(|| self::chained(command, endian, bytes.len()));
                self::command::<H>(command, endian, &mut image);
            }
            Ok(None) => break,
            Err(_) => {
                image
                    .notes
                    .push("the load commands are damaged, the rest is not read".to_owned());
                break;
            }
        }
    }
    let tables = image.symbols.clone();
    if let Some(tables) = tables {
        linkedit(
            &mut image,
            "symbol table",
            SectionClass::Symbols,
            tables.table.start as u64,
            tables.table.len() as u64,
        );
        linkedit(
            &mut image,
            "string table",
            SectionClass::Symbols,
            tables.strings.start as u64,
            tables.strings.len() as u64,
        );
    }
    let mut image = image.finish();
    if let Some(table) = chained {
        image.chained = Some(ChainedPointers::read(&mut image, table));
    }
    Ok(image)
}

fn command<H: MachHeader<Endian = Endianness>>(
    command: LoadCommandData<'_, Endianness>,
    endian: Endianness,
    image: &mut Image<'_>,
) {
    if let Ok(Some((segment, data))) = H::Segment::from_command(command) {
        self::segment::<H>(segment, data, endian, image);
    } else if let Ok(Some(symtab)) = command.symtab() {
        let entry = if image.word == 8 { 16 } else { 12 };
        let size = image.bytes.len();
        image.symbols = Some(SymbolTable {
            layout: if image.word == 8 {
                SymbolLayout::Nlist64
            } else {
                SymbolLayout::Nlist32
            },
            table: clamp(
                symtab.symoff.get(endian).into(),
                u64::from(symtab.nsyms.get(endian)) * entry,
                size,
            )
            .0,
            strings: clamp(
                symtab.stroff.get(endian).into(),
                symtab.strsize.get(endian).into(),
                size,
            )
            .0,
        });
    } else if let Ok(Some(dynamic)) = command.dysymtab() {
        let (offset, count) = (
            dynamic.indirectsymoff.get(endian),
            dynamic.nindirectsyms.get(endian),
        );
        linkedit(
            image,
            "indirect symbols",
            SectionClass::Linking,
            offset.into(),
            u64::from(count) * 4,
        );
        image.linkage.has_dynamic_symbols |= dynamic.nundefsym.get(endian) > 0;
    } else if let Ok(Some(dylib)) = command.dylib() {
        image.linkage.has_dynamic = true;
        // LC_ID_DYLIB is the library's own name.
        if command.cmd() != macho::LC_ID_DYLIB && image.linkage.needed.len() < limit::NEEDED {
            let name = command.string(endian, dylib.dylib.name).ok();
            image
                .linkage
                .needed
                .extend(name.map(|name| lossy(name.get(..limit::NAME).unwrap_or(name))));
        }
    } else if let Ok(Some(info)) = command.dyld_info() {
        for (name, offset, size) in [
            ("rebase info", &info.rebase_off, &info.rebase_size),
            ("binding info", &info.bind_off, &info.bind_size),
            (
                "weak binding info",
                &info.weak_bind_off,
                &info.weak_bind_size,
            ),
            (
                "lazy binding info",
                &info.lazy_bind_off,
                &info.lazy_bind_size,
            ),
            ("export info", &info.export_off, &info.export_size),
        ] {
            linkedit(
                image,
                name,
                SectionClass::Linking,
                offset.get(endian).into(),
                size.get(endian).into(),
            );
        }
    } else if let Ok(Some(uuid)) = command.uuid() {
        image.linkage.uuid = Some(crate::hex::encode(&uuid.uuid));
    } else if let Ok(Some(entry)) = command.entry_point() {
        image.entry = entry.entryoff.get(endian);
    } else if let Ok(data) = command.data::<macho::LinkeditDataCommand<Endianness>>() {
        let name = match command.cmd() {
            macho::LC_CODE_SIGNATURE => "code signature",
            macho::LC_FUNCTION_STARTS => "function starts",
            macho::LC_DATA_IN_CODE => "data in code",
            macho::LC_DYLD_CHAINED_FIXUPS => "chained fixups",
            macho::LC_DYLD_EXPORTS_TRIE => "exports trie",
            _ => return,
        };
        linkedit(
            image,
            name,
            SectionClass::Linking,
            data.dataoff.get(endian).into(),
            data.datasize.get(endian).into(),
        );
    }
}

/// The range of the tables of chained pointers, if the command states it.
fn chained(
    command: LoadCommandData<'_, Endianness>,
    endian: Endianness,
    file: usize,
) -> Option<Range<usize>> {
    (command.cmd() == macho::LC_DYLD_CHAINED_FIXUPS).then_some(())?;
    let data: &macho::LinkeditDataCommand<Endianness> = command.data().ok()?;
    let (offset, len) = (data.dataoff.get(endian), data.datasize.get(endian));
    Some(clamp(offset.into(), len.into(), file).0)
}

/// Adds a table of `__LINKEDIT` as a section. Such tables are not sections in the format; as sections their bytes have
/// names.
fn linkedit(image: &mut Image<'_>, name: &'static str, class: SectionClass, offset: u64, len: u64) {
    let (file, _) = clamp(offset, len, image.bytes.len());
    if !file.is_empty() && image.sections.len() < limit::SECTIONS {
        image.sections.push(Section {
            name: Cow::Borrowed(name),
            class,
            address: 0,
            memory: file.len() as u64,
            file,
            compression: None,
        });
    }
}

fn segment<H: MachHeader<Endian = Endianness>>(
    raw: &H::Segment,
    data: &[u8],
    endian: Endianness,
    image: &mut Image<'_>,
) {
    let size = image.bytes.len();
    let (file, cut) = clamp(
        raw.fileoff(endian).into(),
        raw.filesize(endian).into(),
        size,
    );
    if cut {
        image.notes.push(format!(
            "segment {} reaches outside of the file",
            lossy(raw.name())
        ));
    }
    let address: u64 = raw.vmaddr(endian).into();
    let protection = raw.initprot(endian);
    if image.segments.len() < limit::SEGMENTS {
        image.mappings.push(Mapping {
            address,
            offset: file.start,
            // The linker keeps debug info in a segment that is not loaded, at address 0.
            len: file
                .len()
                .min(index(raw.vmsize(endian).into()).unwrap_or(usize::MAX)),
        });
        image.segments.push(Segment {
            name: Cow::Owned(lossy(raw.name())),
            address,
            memory: raw.vmsize(endian).into(),
            file,
            flags: SegmentFlags {
                read: protection & macho::VM_PROT_READ != 0,
                write: protection & macho::VM_PROT_WRITE != 0,
                execute: protection & macho::VM_PROT_EXECUTE != 0,
            },
        });
    }
    let Ok(sections) = raw.sections(endian, data) else {
        image.notes.push(format!(
            "the sections of segment {} are damaged",
            lossy(raw.name())
        ));
        return;
    };
    for section in sections {
        if image.sections.len() >= limit::SECTIONS {
            image.notes.push(format!(
                "more than {} sections, the rest is not read",
                limit::SECTIONS
            ));
            return;
        }
        let kind = section.flags(endian) & macho::SECTION_TYPE;
        let zero = matches!(
            kind,
            macho::S_ZEROFILL | macho::S_GB_ZEROFILL | macho::S_THREAD_LOCAL_ZEROFILL
        );
        let memory: u64 = section.size(endian).into();
        let (file, cut) = if zero {
            (0..0, false)
        } else {
            clamp(section.offset(endian).into(), memory, size)
        };
        let name = lossy(section.name());
        if cut {
            image
                .notes
                .push(format!("section {name} reaches outside of the file"));
        }
        // Go compresses Mach-O debug sections with a `ZLIB` header of its own under the name `__zdebug_*`.
        let compression = name
            .starts_with("__zdebug")
            .then_some(crate::image::Compression::Zlib);
        let memory = if compression.is_some() {
            crate::reader::Reader::new(image.bytes, Endian::Big)
                .u64(file.start.saturating_add(4))
                .unwrap_or(memory)
        } else {
            memory
        };
        image.sections.push(Section {
            class: class(
                section.segment_name(),
                &name,
                kind,
                section.flags(endian),
                zero,
            ),
            name: Cow::Owned(name),
            address: section.addr(endian).into(),
            memory,
            file,
            compression,
        });
    }
}

fn class(segment: &[u8], name: &str, kind: u32, flags: u32, zero: bool) -> SectionClass {
    if zero {
        SectionClass::Zero
    } else if segment == b"__DWARF" || name.starts_with("__debug") || name.starts_with("__zdebug") {
        SectionClass::Debug
    } else if matches!(
        kind,
        macho::S_SYMBOL_STUBS | macho::S_NON_LAZY_SYMBOL_POINTERS | macho::S_LAZY_SYMBOL_POINTERS
    ) {
        SectionClass::Linking
    } else if flags & (macho::S_ATTR_PURE_INSTRUCTIONS | macho::S_ATTR_SOME_INSTRUCTIONS) != 0 {
        SectionClass::Code
    } else if matches!(segment, b"__TEXT" | b"__DATA_CONST") {
        SectionClass::ReadOnly
    } else if segment == b"__DATA" {
        SectionClass::Data
    } else {
        SectionClass::Other
    }
}

fn goarch(cpu: u32) -> &'static str {
    match cpu {
        macho::CPU_TYPE_X86_64 => "amd64",
        macho::CPU_TYPE_ARM64 => "arm64",
        macho::CPU_TYPE_X86 => "386",
        macho::CPU_TYPE_ARM => "arm",
        _ => "unknown",
    }
}
