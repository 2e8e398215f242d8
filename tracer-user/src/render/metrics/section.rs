//! Sections of a binary under few labels. A builder chooses the names of sections, so only names of Go's linker are labels.

use std::collections::BTreeMap;

use tracer_core::event::{Anatomy, Section};

/// Section names of all formats that are labels, sorted. All these sections are large.
const NAMES: &[&str] = &[
    ".data",
    ".data.rel.ro",
    ".dynstr",
    ".dynsym",
    ".eh_frame",
    ".go.buildinfo",
    ".go.type",
    ".gopclntab",
    ".itablink",
    ".noptrdata",
    ".pdata",
    ".rdata",
    ".rela",
    ".rela.dyn",
    ".reloc",
    ".rodata",
    ".strtab",
    ".symtab",
    ".text",
    ".typelink",
    "__data",
    "__go_type",
    "__gopclntab",
    "__noptrdata",
    "__rodata",
    "__text",
    "code",
    "data",
    "name",
    "string table",
    "symbol table",
];
/// Label of all sections with debugging information.
const DEBUG: &str = "debug";
const OTHER: &str = "other";
/// Largest number of labels, over all formats. One format has two thirds of them.
pub(crate) const LABELS: usize = NAMES.len() + 2;

/// Size and entropy of the sections under one label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measure {
    /// Bytes in the file.
    pub(crate) size: u64,
    /// The mean over the sections, weighted by size.
    pub(crate) entropy_bits: Option<f64>,
}

pub(crate) fn measures(anatomy: &Anatomy) -> BTreeMap<&'static str, Measure> {
    let mut sums: BTreeMap<&'static str, (u64, u128)> = BTreeMap::new();
    for section in &anatomy.sections {
        let (size, weighed) = sums.entry(label(section)).or_default();
        *size = size.saturating_add(section.size);
        let millibits = section.entropy_millibits.unwrap_or(0);
        *weighed += u128::from(section.size) * u128::from(millibits);
    }
    sums.into_iter()
        .map(|(label, (size, weighed))| {
            let entropy_bits = mean(size, weighed);
            (label, Measure { size, entropy_bits })
        })
        .collect()
}

fn mean(size: u64, weighed: u128) -> Option<f64> {
    let millibits = weighed.checked_div(u128::from(size))?;
    u32::try_from(millibits)
        .ok()
        .map(|it| f64::from(it) / 1000.0)
}

fn label(section: &Section) -> &'static str {
    if section.debug {
        return DEBUG;
    }
    // In an archive or a file for several machines, the name begins with the member or the machine.
    let name = section.name.rsplit(':').next().unwrap_or_default();
    NAMES
        .binary_search(&name)
        .ok()
        .and_then(|at| NAMES.get(at).copied())
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str, size: u64, entropy_millibits: u32) -> Section {
        Section {
            name: name.to_owned(),
            debug: name.starts_with(".debug"),
            size,
            entropy_millibits: Some(entropy_millibits),
        }
    }

    #[test]
    fn names_are_sorted() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn sections_under_one_label_are_added_up() {
        let sections = vec![
            section(".text", 100, 6123),
            section("go.o:.text", 50, 6123),
            section(".debug_info", 30, 8000),
            section(".debug_line", 10, 4000),
            section("\u{202e}evil{}", 3, 1000),
            section(".text.unlikely", 1, 5000),
        ];
        let anatomy = Anatomy {
            sections,
            ..Anatomy::default()
        };
        let measure = |size, bits| Measure {
            size,
            entropy_bits: Some(bits),
        };
        let expected = [
            (".text", measure(150, 6.123)),
            ("debug", measure(40, 7.0)),
            ("other", measure(4, 2.0)),
        ];
        assert_eq!(measures(&anatomy), BTreeMap::from(expected));
    }

    #[test]
    fn no_bytes_have_no_entropy() {
        assert_eq!(mean(0, 0), None);
    }
}
