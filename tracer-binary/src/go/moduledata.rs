//! The runtime's module data: the addresses of the runtime's tables, set by the linker. Go 1.16 to 1.27.
//!
//! Module data has no mark of its own. It begins with a pointer to the function table followed by a pointer to the
//! table's names. The search is for this pair. Only the addresses used here are read.

use super::pclntab::{Layout, Pclntab};
use crate::image::{Image, SectionClass};
use crate::reader::Reader;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub address: u64,
    pub len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModuleData {
    pub address: u64,
    pub text: u64,
    pub etext: u64,
    pub types: u64,
    pub etypes: u64,
    /// Length of the consecutive type descriptors at `types` (1.27 and later).
    pub descriptors: Option<u64>,
    /// The consecutive interface tables (1.27 and later).
    pub itabs: Option<Slice>,
    /// Offsets of some types, and addresses of the interface tables (before 1.27).
    pub typelinks: Slice,
    pub itablinks: Slice,
    /// `go:func.*` (1.18 and later).
    pub gofunc: Option<u64>,
    /// Field sizes of a map's type changed with 1.24 and 1.27.
    pub minor: u32,
}

/// Finds the module data. `minor` is the Go release, 27 for `go1.27.3`, if the file states it.
pub(crate) fn find(
    image: &Image<'_>,
    table: &Pclntab<'_>,
    minor: Option<u32>,
) -> Option<ModuleData> {
    if !image.memory.is_empty() {
        return scan(image, &image.memory, 0, table, minor);
    }
    let named = image
        .sections
        .iter()
        .filter(|section| matches!(&*section.name, ".go.module" | "__go_module"));
    let writable = image.sections.iter().filter(|section| {
        section.class == SectionClass::Data || section.name.starts_with(".data.rel.ro")
    });
    // Mach-O and PE may keep module data with constant data.
    let constant = image
        .sections
        .iter()
        .filter(|section| section.class == SectionClass::ReadOnly);
    let candidates = named
        .chain(writable)
        .chain(constant)
        .filter(|section| section.address != 0);
    for (section, bytes) in image.each_once(candidates, |section| &section.file) {
        let found = scan(image, bytes, section.address, table, minor);
        if found.is_some() {
            return found;
        }
    }
    // A position-independent file linked by the system's linker has zeros there and relocations for them.
    image
        .fixups_to(table.address)
        .take(64)
        .find_map(|address| at(image, address, table, minor))
}

fn scan(
    image: &Image<'_>,
    bytes: &[u8],
    address: u64,
    table: &Pclntab<'_>,
    minor: Option<u32>,
) -> Option<ModuleData> {
    let word = usize::from(image.word);
    bytes
        .chunks_exact(word)
        .enumerate()
        .find_map(|(number, chunk)| {
            let stored = Reader::new(chunk, image.endian).word(0, image.word)?;
            let address = address.wrapping_add((number * word) as u64);
            let pointer = image.resolve(address, stored)?;
            (pointer == table.address).then(|| at(image, address, table, minor))?
        })
}

fn at(
    image: &Image<'_>,
    address: u64,
    table: &Pclntab<'_>,
    minor: Option<u32>,
) -> Option<ModuleData> {
    let word = u64::from(image.word);
    let field = |number: u64| image.pointer(address.checked_add(number * word)?);
    let slice = |number: u64| {
        Some(Slice {
            address: field(number)?,
            len: field(number + 1)?,
        })
    };
    if field(0)? != table.address || field(1)? != table.names_address() {
        return None;
    }
    let (text, etext) = (field(22)?, field(23)?);
    if etext < text {
        return None;
    }
    // Between the bounds of memory and the types, 1.20 put those of coverage counters.
    let types_at = if table.layout == Layout::Go120 {
        37
    } else {
        35
    };
    let types = field(types_at)?;
    let second = field(types_at + 1)?;
    // 1.27 put the length of the descriptors between the bounds of the types.
    let minor = minor.unwrap_or(match table.layout {
        Layout::Go116 => 16,
        Layout::Go118 => 18,
        Layout::Go120 if second < types => 27,
        Layout::Go120 if table.text_start().is_none() => 26,
        Layout::Go120 => 20,
    });
    let mut data = ModuleData {
        address,
        text,
        etext,
        types,
        etypes: second,
        descriptors: None,
        itabs: None,
        typelinks: Slice::default(),
        itablinks: Slice::default(),
        gofunc: None,
        minor,
    };
    let links = match (table.layout, minor) {
        (Layout::Go116, _) => types_at + 5,
        (Layout::Go118 | Layout::Go120, ..=25) => types_at + 7,
        (Layout::Go118 | Layout::Go120, 26) => types_at + 8,
        (Layout::Go118 | Layout::Go120, 27..) => {
            data.descriptors = Some(second);
            data.etypes = field(types_at + 2)?;
            data.itabs = Some(Slice {
                address: types.checked_add(field(types_at + 3)?)?,
                len: field(types_at + 4)?,
            });
            data.gofunc = field(types_at + 6);
            return (data.etypes >= types).then_some(data);
        }
    };
    if table.layout != Layout::Go116 {
        data.gofunc = field(types_at + 3);
    }
    data.typelinks = slice(links)?;
    data.itablinks = slice(links + 3)?;
    (data.etypes >= types).then_some(data)
}
