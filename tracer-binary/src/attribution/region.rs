//! Regions: ranges whose content is known as a whole, but not for each byte.
//!
//! Their sources are the names of sections, the linker's marks in the symbol table, and the module data. An attribution
//! inside a region takes precedence; the region takes the remaining bytes.

use std::ops::Range;

use super::{Attributions, Content, Facts};
use crate::image::{Image, Section, SectionClass};

/// Positions are relative to the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub file: Range<usize>,
    pub content: Content,
}

/// A linker's mark: a name for a place, not for an item. Contains the content from that place on, if there is one
/// content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(Option<Content>);

impl Mark {
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        const LONGEST: usize = "runtime.enoptrdata".len();
        // The linker puts C's underscore before some of them on windows/386.
        let name = name.strip_prefix(b"_").unwrap_or(name);
        // This check runs for every symbol, and hardly any symbol is a mark.
        if name.len() > LONGEST || !matches!(name, [b't' | b'g' | b'r', ..]) {
            return None;
        }
        Some(Self(match name {
            b"type:*" | b"type.*" | b"typerel:*" | b"typerel.*" | b"runtime.gcbits.*"
            | b"runtime.typelink" => Some(Content::Types),
            b"go:string.*" | b"go.string.*" => Some(Content::Strings),
            b"go:func.*" | b"go.func.*" | b"go:funcrel.*" | b"go.funcrel.*" | b"go:funcdesc"
            | b"runtime.pclntab" => Some(Content::FunctionTable),
            b"runtime.itablink" => Some(Content::Itabs),
            b"runtime.epclntab"
            | b"runtime.symtab"
            | b"runtime.esymtab"
            | b"runtime.types"
            | b"runtime.etypes"
            | b"runtime.rodata"
            | b"runtime.erodata"
            | b"runtime.text"
            | b"runtime.etext"
            | b"runtime.data"
            | b"runtime.edata"
            | b"runtime.noptrdata"
            | b"runtime.enoptrdata" => None,
            _ => return None,
        }))
    }
}

/// The sections that hold build information or module data.
pub(super) fn build_info(image: &Image<'_>) -> Vec<bool> {
    let sections = image.sections.iter();
    sections
        .map(|section| content_of(&section.name) == Some(Content::BuildInfo))
        .collect()
}

pub(super) fn mark(facts: &Facts<'_, '_>, attributions: &mut Attributions<'_>) {
    let mut regions = Vec::new();
    for (addresses, content) in marked(facts) {
        let len = addresses.end.saturating_sub(addresses.start);
        facts.image.file_ranges(addresses.start, len, |file| {
            regions.push(Region { file, content });
        });
    }
    regions.extend(named(facts));
    if let (Some(table), Some(data)) = (&facts.table, &facts.data) {
        // If the table has no section of its own, it ends at the end of its last record.
        let mut end = 0;
        let mut record = crate::go::pclntab::Record::default();
        if let Some(last) = table.last_record() {
            let _ = table.record(last, &mut record);
            end = record.range.end;
        }
        let (start, _) = table.index();
        facts
            .image
            .file_ranges(table.address, end.max(start) as u64, |file| {
                regions.push(Region {
                    file,
                    content: Content::FunctionTable,
                });
            });
        regions.extend(strings(facts, attributions));
        if let Some(len) = data.descriptors {
            facts.image.file_ranges(data.types, len, |file| {
                regions.push(Region {
                    file,
                    content: Content::Types,
                });
            });
        }
    }
    let offset = facts.offset;
    attributions.regions.extend(
        regions
            .into_iter()
            .filter(|region| !region.file.is_empty())
            .map(|region| Region {
                file: region.file.start + offset..region.file.end + offset,
                content: region.content,
            }),
    );
}

/// The range of string constants in a file without marks. Up to 1.26 the linker puts them between the types and the
/// stack maps.
fn strings(facts: &Facts<'_, '_>, attributions: &Attributions<'_>) -> Option<Region> {
    let data = facts
        .data
        .as_ref()
        .filter(|data| data.descriptors.is_none())?;
    let (end, _) = facts.image.file_offset(data.gofunc?)?;
    let (first, _) = facts.image.file_offset(data.types)?;
    let inside = first + facts.offset..end + facts.offset;
    let ends = attributions
        .list
        .iter()
        .filter(|attribution| attribution.content() == Content::Types)
        .filter_map(|attribution| {
            crate::reader::index(attribution.end.into()).filter(|end| inside.contains(end))
        });
    let start = ends.max()?.checked_sub(facts.offset)?;
    (start < end).then_some(Region {
        file: start..end,
        content: Content::Strings,
    })
}

/// The ranges from each mark to the next named item in the same section.
pub(super) fn marked(facts: &Facts<'_, '_>) -> impl Iterator<Item = (Range<u64>, Content)> {
    let symbols = facts.symbols.iter().enumerate();
    symbols.filter_map(|(number, symbol)| {
        let Mark(content) = symbol.mark?;
        let section = section_of(facts, symbol.address)?;
        let end = section.address.saturating_add(section.file.len() as u64);
        let next = facts
            .symbols
            .get(number + 1..)
            .unwrap_or_default()
            .iter()
            .map(|next| next.address)
            .find(|&next| next > symbol.address);
        Some((symbol.address..next.unwrap_or(end).min(end), content?))
    })
}

fn section_of<'s>(facts: &'s Facts<'_, '_>, address: u64) -> Option<&'s Section<'s>> {
    let inside = |section: &&Section<'_>| {
        section.class != SectionClass::Zero
            && section.address <= address
            && address - section.address < section.file.len() as u64
    };
    facts.image.sections.iter().find(inside)
}

fn named(facts: &Facts<'_, '_>) -> Vec<Region> {
    let sections = facts.image.sections.iter();
    sections
        .filter_map(|section| {
            Some(Region {
                file: section.file.clone(),
                content: content_of(&section.name)?,
            })
        })
        .collect()
}

/// The content of a section by its name, in the spelling of ELF or of Mach-O.
pub(super) fn content_of(name: &str) -> Option<Content> {
    Some(
        match name.trim_start_matches("__").trim_start_matches('.') {
            "go.buildinfo" | "go_buildinfo" | "go.fipsinfo" | "go_fipsinfo" | "go.module"
            | "go_module" => Content::BuildInfo,
            "gopclntab" | "go.func" | "go_func" | "data.rel.ro.gopclntab" => Content::FunctionTable,
            "go.type" | "go_type" | "typelink" | "data.rel.ro.typelink" => Content::Types,
            "itablink" | "data.rel.ro.itablink" => Content::Itabs,
            _ => return None,
        },
    )
}
