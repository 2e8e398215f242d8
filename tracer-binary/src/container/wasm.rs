//! WebAssembly modules: the section walk, the function bodies and the linear memory that data segments define.
//!
//! This is not `object`'s reader, which brings a full WebAssembly parser, while four facts are needed.

use std::borrow::Cow;
use std::ops::Range;

use super::HeaderRanges;
use crate::error::Error;
use crate::image::{Format, Image, Linkage, Mapping, Section, SectionClass, Shape};
use crate::limit;
use crate::reader::{Endian, Reader, index};

pub(super) fn parse(bytes: &[u8]) -> Result<Image<'_>, Error> {
    let reader = Reader::new(bytes, Endian::Little);
    if reader.u32(4) != Some(1) {
        return Err(Error::Broken {
            format: "wasm",
            what: "version",
        });
    }
    let mut headers = HeaderRanges::new(bytes.len());
    headers.add("wasm header", 0, 8);
    let mut image = Image {
        bytes,
        format: Format::Wasm,
        goarch: "wasm",
        goos: None,
        endian: Endian::Little,
        word: 8,
        shape: Shape::Executable,
        entry: 0,
        headers: Vec::new(),
        sections: Vec::new(),
        segments: Vec::new(),
        symbols: None,
        null_section: 0,
        is_sectionless: false,
        fixups: None,
        chained: None,
        linkage: Linkage::default(),
        notes: Vec::new(),
        bodies: Vec::new(),
        mappings: Vec::new(),
        memory: Vec::new(),
    };
    let mut at = 8;
    while at < bytes.len() {
        let Some((id, len, body)) = section_header(reader, at) else {
            image
                .notes
                .push("a section header is damaged, the rest is not read".to_owned());
            break;
        };
        if image.sections.len() >= limit::SECTIONS {
            image.notes.push(format!(
                "more than {} sections, the rest is not read",
                limit::SECTIONS
            ));
            break;
        }
        let end = body.saturating_add(len).min(bytes.len());
        if body.saturating_add(len) > bytes.len() {
            image.notes.push("the last section is cut".to_owned());
        }
        headers.add("section header", at as u64, (body - at) as u64);
        let (name, class, start) = section(reader, id, body..end, &mut image);
        headers.add("section header", body as u64, (start - body) as u64);
        image.sections.push(Section {
            name,
            class,
            address: 0,
            memory: (end - start) as u64,
            file: start..end,
            compression: None,
        });
        at = end;
    }
    image.headers = headers.done();
    let mut image = image.finish();
    image.memory = memory(&image).unwrap_or_else(|| {
        image
            .notes
            .push("the data segments are too far apart, Go's tables are not read".to_owned());
        Vec::new()
    });
    Ok(image)
}

fn section_header(reader: Reader<'_>, at: usize) -> Option<(u8, usize, usize)> {
    let id = reader.u8(at)?;
    let (len, body) = reader.uvarint(at + 1)?;
    Some((id, index(len)?, body))
}

fn section<'a>(
    reader: Reader<'a>,
    id: u8,
    body: Range<usize>,
    image: &mut Image<'_>,
) -> (Cow<'a, str>, SectionClass, usize) {
    let start = body.start;
    let (name, class) = match id {
        0 => {
            let (name, start) =
                custom_name(reader, &body).unwrap_or((Cow::Borrowed("custom"), start));
            let class = match &*name {
                "name" => SectionClass::Symbols,
                debug if debug.starts_with(".debug_") => SectionClass::Debug,
                "go:buildid" => SectionClass::Note,
                _ => SectionClass::Other,
            };
            return (name, class, start);
        }
        1 => ("type", SectionClass::Linking),
        2 => ("import", SectionClass::Linking),
        3 => ("function", SectionClass::Linking),
        4 => ("table", SectionClass::Linking),
        5 => ("memory", SectionClass::Linking),
        6 => ("global", SectionClass::Linking),
        7 => ("export", SectionClass::Linking),
        8 => ("start", SectionClass::Linking),
        9 => ("element", SectionClass::Linking),
        10 => {
            image.bodies = bodies(reader, &body);
            ("code", SectionClass::Code)
        }
        11 => {
            image.mappings = data(reader, &body);
            ("data", SectionClass::Data)
        }
        12 => ("data count", SectionClass::Linking),
        13 => ("tag", SectionClass::Linking),
        _ => ("unknown", SectionClass::Other),
    };
    (Cow::Borrowed(name), class, start)
}

fn custom_name<'a>(reader: Reader<'a>, body: &Range<usize>) -> Option<(Cow<'a, str>, usize)> {
    let (len, at) = reader.uvarint(body.start)?;
    let len = index(len)?;
    let end = at.checked_add(len).filter(|&end| end <= body.end)?;
    let name = reader.slice(at, len.min(limit::SECTION_NAME))?;
    Some((String::from_utf8_lossy(name), end))
}

fn bodies(reader: Reader<'_>, section: &Range<usize>) -> Vec<Range<usize>> {
    let mut bodies = Vec::new();
    let Some((count, mut at)) = reader.uvarint(section.start) else {
        return bodies;
    };
    let count = index(count).unwrap_or(usize::MAX).min(limit::FUNCTIONS);
    while bodies.len() < count && at < section.end {
        let Some((len, start)) = reader.uvarint(at) else {
            break;
        };
        let Some(end) = index(len)
            .and_then(|len| start.checked_add(len))
            .filter(|&end| end <= section.end)
        else {
            break;
        };
        bodies.push(at..end);
        at = end;
    }
    bodies
}

/// Active segments of memory 0 at a constant address. Go writes no others.
fn data(reader: Reader<'_>, section: &Range<usize>) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    let Some((count, mut at)) = reader.uvarint(section.start) else {
        return mappings;
    };
    let count = index(count).unwrap_or(usize::MAX).min(limit::SYMBOLS);
    while mappings.len() < count && at < section.end {
        let Some(next) = segment(reader, at, &mut mappings).filter(|&next| next <= section.end)
        else {
            break;
        };
        at = next;
    }
    mappings
}

fn segment(reader: Reader<'_>, at: usize, mappings: &mut Vec<Mapping>) -> Option<usize> {
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let (kind, at) = reader.uvarint(at)?;
    if kind != 0 || reader.u8(at)? != I32_CONST {
        return None;
    }
    // A signed LEB128 of 32 bits; linear memory is addressed unsigned.
    let (mut address, mut at, mut shift) = (0u64, at + 1, 0u32);
    loop {
        let byte = reader.u8(at)?;
        address |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if shift >= 35 {
            return None;
        }
    }
    let address = address & u64::from(u32::MAX);
    if reader.u8(at)? != END {
        return None;
    }
    let (len, start) = reader.uvarint(at + 1)?;
    let len = index(len)?;
    mappings.push(Mapping {
        address,
        offset: start,
        len,
    });
    start.checked_add(len)
}

/// The linear memory. Go's linker leaves out runs of zeros, so tables of the runtime are spread over many segments.
fn memory(image: &Image<'_>) -> Option<Vec<u8>> {
    let Some(end) = image
        .mappings
        .iter()
        .map(|map| map.address.saturating_add(map.len as u64))
        .max()
    else {
        return Some(Vec::new());
    };
    if end > image.bytes.len() as u64 + limit::WASM_SLACK {
        return None;
    }
    let mut memory = vec![0; index(end)?];
    for map in &image.mappings {
        let start = index(map.address)?;
        let source = image
            .bytes
            .get(map.offset..map.offset.checked_add(map.len)?)?;
        memory
            .get_mut(start..start.checked_add(map.len)?)?
            .copy_from_slice(source);
    }
    Some(memory)
}
