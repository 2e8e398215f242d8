//! The symbol table of an image, decoded.
//!
//! ELF states the length of each symbol. Mach-O and PE do not, and `attribution::extent` derives the lengths where
//! possible. Undefined symbols, sections and file names are left out. The aliases `local.NAME` are left out, too: the
//! linker writes one beside each function of a program that imports `plugin`.

use std::collections::HashSet;

use crate::attribution::Mark;
use crate::image::{Image, SymbolLayout, SymbolTable};
use crate::limit;
use crate::reader::{Reader, index};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol<'i> {
    pub name: &'i [u8],
    pub address: u64,
    /// Zero for a mark that only names a place, and if the file does not state the size.
    pub size: u64,
    /// Index into the image's sections, if the table states it.
    pub section: Option<u32>,
    pub is_function: bool,
    /// True if not visible to other objects.
    pub is_local: bool,
    /// Derived from the name once, because names are scattered over the file.
    pub mark: Option<Mark>,
}

/// The symbols, sorted by address, and a note if some were left out.
pub(crate) fn read<'i>(image: &'i Image<'_>) -> (Vec<Symbol<'i>>, Option<String>) {
    let Some(table) = &image.symbols else {
        return (Vec::new(), None);
    };
    let (symbols, cut) = match table.layout {
        SymbolLayout::Elf32 => entries(image, table, 16, elf32),
        SymbolLayout::Elf64 => entries(image, table, 24, elf64),
        SymbolLayout::Nlist32 => entries(image, table, 12, |image, reader, table, at| {
            nlist(image, reader, table, at, 4)
        }),
        SymbolLayout::Nlist64 => entries(image, table, 16, |image, reader, table, at| {
            nlist(image, reader, table, at, 8)
        }),
        SymbolLayout::Coff => coff(image, table),
    };
    // In the order of the table, because names are in nearly the same order.
    let has_aliases = symbols.iter().any(|symbol| original(symbol).is_some());
    let mut symbols = by_address(&symbols);
    if has_aliases {
        symbols = without_aliases(&symbols);
    }
    let note = cut.then(|| format!("more than {} symbols, the rest is not read", limit::SYMBOLS));
    (symbols, note)
}

/// Sorts indices by address: they are a third of the size of symbols.
fn by_address<'i>(symbols: &[Symbol<'i>]) -> Vec<Symbol<'i>> {
    let mut order: Vec<_> = (0u32..)
        .zip(symbols)
        .map(|(number, symbol)| (symbol.address, number))
        .collect();
    // The sort is stable because a stable sort exploits existing order: the linker writes a few sorted runs.
    order.sort_by_key(|(address, _)| *address);
    order
        .into_iter()
        .filter_map(|(_, number)| symbols.get(index(number.into())?).copied())
        .collect()
}

/// Removes aliases. `putelfsym` of `cmd/link/internal/ld` writes a local symbol for each global function when it links
/// dynamically.
fn without_aliases<'i>(symbols: &[Symbol<'i>]) -> Vec<Symbol<'i>> {
    let mut kept = Vec::with_capacity(symbols.len());
    for same in symbols.chunk_by(|a, b| a.address == b.address) {
        let functions = same.iter().filter(|symbol| symbol.is_function);
        let names: HashSet<_> = functions.map(|symbol| symbol.name).collect();
        let is_alias = |symbol: &Symbol<'_>| original(symbol).is_some_and(|it| names.contains(it));
        kept.extend(same.iter().filter(|symbol| !is_alias(symbol)));
    }
    kept
}

/// The name that a function's alias stands for, if it is one.
fn original<'i>(symbol: &Symbol<'i>) -> Option<&'i [u8]> {
    let name = symbol.name.strip_prefix(b"local.")?;
    symbol.is_function.then_some(name)
}

type EntryDecoder =
    for<'i> fn(&'i Image<'_>, Reader<'i>, &SymbolTable, usize) -> Option<Symbol<'i>>;

fn entries<'i>(
    image: &'i Image<'_>,
    table: &SymbolTable,
    size: usize,
    entry: EntryDecoder,
) -> (Vec<Symbol<'i>>, bool) {
    let reader = image.reader();
    let count = table.table.len() / size;
    let mut symbols = Vec::with_capacity(count.min(limit::SYMBOLS));
    for number in 0..count.min(limit::SYMBOLS) {
        symbols.extend(entry(
            image,
            reader,
            table,
            table.table.start + number * size,
        ));
    }
    (symbols, count > limit::SYMBOLS)
}

fn name<'i>(reader: Reader<'i>, table: &SymbolTable, offset: u32) -> Option<&'i [u8]> {
    let offset = index(offset.into())?;
    let left = table.strings.len().checked_sub(offset)?;
    let name = reader.cstr(
        table.strings.start.checked_add(offset)?,
        left.min(limit::NAME),
    )?;
    (!name.is_empty()).then_some(name)
}

fn elf32<'i>(
    image: &'i Image<'_>,
    reader: Reader<'i>,
    table: &SymbolTable,
    at: usize,
) -> Option<Symbol<'i>> {
    let (address, size) = (reader.u32(at + 4)?.into(), reader.u32(at + 8)?.into());
    elf(
        image,
        name(reader, table, reader.u32(at)?)?,
        reader.u8(at + 12)?,
        reader.u16(at + 14)?,
        address,
        size,
    )
}

fn elf64<'i>(
    image: &'i Image<'_>,
    reader: Reader<'i>,
    table: &SymbolTable,
    at: usize,
) -> Option<Symbol<'i>> {
    let (address, size) = (reader.u64(at + 8)?, reader.u64(at + 16)?);
    elf(
        image,
        name(reader, table, reader.u32(at)?)?,
        reader.u8(at + 4)?,
        reader.u16(at + 6)?,
        address,
        size,
    )
}

fn elf<'i>(
    image: &Image<'_>,
    name: &'i [u8],
    info: u8,
    section: u16,
    address: u64,
    size: u64,
) -> Option<Symbol<'i>> {
    const NOTYPE: u8 = 0;
    const OBJECT: u8 = 1;
    const FUNC: u8 = 2;
    const IFUNC: u8 = 10;
    const FIRST_RESERVED: u16 = 0xff00;
    let kind = info & 15;
    if section == 0 || section >= FIRST_RESERVED || !matches!(kind, NOTYPE | OBJECT | FUNC | IFUNC)
    {
        return None;
    }
    let section = u32::from(section).checked_sub(u32::from(image.null_section));
    Some(Symbol {
        name,
        address,
        size,
        section,
        is_function: matches!(kind, FUNC | IFUNC),
        is_local: info >> 4 == 0,
        mark: Mark::of(name),
    })
}

fn nlist<'i>(
    image: &'i Image<'_>,
    reader: Reader<'i>,
    table: &SymbolTable,
    at: usize,
    word: u8,
) -> Option<Symbol<'i>> {
    const STAB: u8 = 0xe0;
    const TYPE: u8 = 0x0e;
    const IN_SECTION: u8 = 0x0e;
    const EXTERNAL: u8 = 0x01;
    let kind = reader.u8(at + 4)?;
    if kind & STAB != 0 || kind & TYPE != IN_SECTION {
        return None;
    }
    let name = name(reader, table, reader.u32(at)?)?;
    let section = reader.u8(at + 5)?.checked_sub(1).map(u32::from);
    let is_function = section
        .and_then(|section| image.sections.get(index(section.into())?))
        .is_some_and(|section| section.class == crate::image::SectionClass::Code);
    // C's underscore, which the toolchain puts before every name.
    let name = name.strip_prefix(b"_").unwrap_or(name);
    if is_label(name) {
        return None;
    }
    Some(Symbol {
        name,
        address: reader.word(at + 8, word)?,
        size: 0,
        section,
        is_function,
        is_local: kind & EXTERNAL == 0,
        mark: Mark::of(name),
    })
}

fn coff<'i>(image: &'i Image<'_>, table: &SymbolTable) -> (Vec<Symbol<'i>>, bool) {
    const SIZE: usize = 18;
    const EXTERNAL: u8 = 2;
    const STATIC: u8 = 3;
    const FUNCTION: u16 = 0x20;
    let reader = image.reader();
    let count = table.table.len() / SIZE;
    let (mut symbols, mut number) = (Vec::new(), 0usize);
    while number < count && symbols.len() < limit::SYMBOLS {
        let at = table.table.start + number * SIZE;
        let auxiliary = usize::from(reader.u8(at + 17).unwrap_or(0));
        number += 1 + auxiliary;
        let symbol = || {
            let name = if reader.u32(at)? == 0 {
                name(reader, table, reader.u32(at + 4)?)?
            } else {
                reader.cstr(at, 8)?
            };
            let section = u32::from(reader.u16(at + 12)?).checked_sub(1)?;
            let containing = image.sections.get(index(section.into())?)?;
            let storage = reader.u8(at + 16)?;
            // A section's symbol does not name an object. It has an auxiliary entry or its section's name.
            let is_section =
                name.starts_with(b".") && (auxiliary > 0 || name == containing.name.as_bytes());
            if !matches!(storage, EXTERNAL | STATIC) || is_section || is_label(name) {
                return None;
            }
            let address = containing.address.wrapping_add(reader.u32(at + 8)?.into());
            let is_function = reader.u16(at + 14)? == FUNCTION
                || containing.class == crate::image::SectionClass::Code;
            Some(Symbol {
                name,
                address,
                size: 0,
                section: Some(section),
                is_function,
                is_local: storage == STATIC,
                mark: Mark::of(name),
            })
        };
        symbols.extend(symbol());
    }
    (symbols, number < count)
}

/// True for a place inside a large symbol. The linker names such places where relocations reach no further:
/// `runtime.pclntab+8MB` (`offsetLabelName` of `cmd/link/internal/arm64`).
fn is_label(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"MB").unwrap_or(name);
    let Some(last) = name.iter().rposition(|byte| !byte.is_ascii_digit()) else {
        return false;
    };
    last + 1 < name.len() && name.get(last) == Some(&b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, name: &str) -> Symbol<'_> {
        Symbol {
            name: name.as_bytes(),
            address,
            size: 16,
            section: Some(0),
            is_function: true,
            is_local: false,
            mark: None,
        }
    }

    #[test]
    fn a_place_inside_of_a_symbol_is_a_label() {
        let labels = [&b"runtime.pclntab+8MB"[..], b"main.x+1048577"];
        assert!(labels.into_iter().all(is_label));
        let others = [
            &b"main.x"[..],
            b"main.x+",
            b"12",
            b"",
            b"8MB",
            b"example.com/c++.F1",
        ];
        assert!(!others.into_iter().any(is_label));
    }

    #[test]
    fn an_alias_is_left_out_and_a_package_called_local_is_not() {
        let data = Symbol {
            is_function: false,
            ..function(64, "local.main.x")
        };
        let symbols = vec![
            function(16, "local.main.main"),
            function(16, "main.main"),
            function(32, "local.F"),
            function(32, "local.local.F"),
            function(48, "local.main.main"),
            data,
            function(64, "main.x"),
        ];
        let kept = without_aliases(&symbols);
        let kept: Vec<_> = kept
            .iter()
            .map(|symbol| (symbol.address, std::str::from_utf8(symbol.name).unwrap()))
            .collect();
        assert_eq!(
            kept,
            [
                (16, "main.main"),
                (32, "local.F"),
                (48, "local.main.main"),
                (64, "local.main.x"),
                (64, "main.x"),
            ]
        );
    }
}
