//! Regions: stretches whose content is known as a whole, though not whose each byte is.
//!
//! From the names of sections, from the marks that the linker puts into the symbol table, and from the
//! module data. A claim inside a region goes first; the region takes what is left.

use std::ops::Range;

use super::{Claims, Content, Facts};
use crate::image::{Image, Section, SectionClass};
use crate::symbol::Symbol;

/// Positions of the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub file: Range<usize>,
    pub content: Content,
}

/// Names under which the linker marks places rather than things.
const MARKS: [(&[u8], Option<Content>); 26] = [
    (b"type:*", Some(Content::Types)),
    (b"type.*", Some(Content::Types)),
    (b"typerel:*", Some(Content::Types)),
    (b"typerel.*", Some(Content::Types)),
    (b"go:string.*", Some(Content::Strings)),
    (b"go.string.*", Some(Content::Strings)),
    (b"go:func.*", Some(Content::FunctionTable)),
    (b"go.func.*", Some(Content::FunctionTable)),
    (b"go:funcrel.*", Some(Content::FunctionTable)),
    (b"go.funcrel.*", Some(Content::FunctionTable)),
    (b"go:funcdesc", Some(Content::FunctionTable)),
    (b"runtime.gcbits.*", Some(Content::Types)),
    (b"runtime.pclntab", Some(Content::FunctionTable)),
    (b"runtime.epclntab", None),
    (b"runtime.itablink", Some(Content::Itabs)),
    (b"runtime.typelink", Some(Content::Types)),
    (b"runtime.types", None),
    (b"runtime.etypes", None),
    (b"runtime.rodata", None),
    (b"runtime.erodata", None),
    (b"runtime.text", None),
    (b"runtime.etext", None),
    (b"runtime.data", None),
    (b"runtime.edata", None),
    (b"runtime.noptrdata", None),
    (b"runtime.enoptrdata", None),
];

pub(super) fn is_mark(name: &[u8]) -> bool {
    MARKS.iter().any(|(mark, _)| *mark == name)
}

/// Whether a symbol lies in a section of build information or module data.
pub(super) fn holds_build_info(image: &Image<'_>, symbol: &Symbol<'_>) -> bool {
    let section = symbol
        .section
        .and_then(|section| image.sections.get(crate::reader::index(section.into())?));
    section.is_some_and(|section| content_of(&section.name) == Some(Content::BuildInfo))
}

pub(super) fn mark(facts: &Facts<'_, '_>, claims: &mut Claims<'_>) {
    let mut regions = marked(facts);
    regions.extend(named(facts));
    if let (Some(table), Some(data)) = (&facts.table, &facts.data) {
        // Where it is no section of its own, the table ends where its last record does.
        let mut end = 0;
        let mut record = crate::go::pclntab::Record::default();
        if let Some(last) = table.functions().last() {
            let _ = table.record(last.record, &mut record);
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
        regions.extend(strings(facts, claims));
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
    claims.regions.extend(
        regions
            .into_iter()
            .filter(|region| !region.file.is_empty())
            .map(|region| Region {
                file: region.file.start + offset..region.file.end + offset,
                content: region.content,
            }),
    );
}

/// Without marks: up to 1.26 the linker puts string constants between the types and the stack maps.
fn strings(facts: &Facts<'_, '_>, claims: &Claims<'_>) -> Option<Region> {
    let data = facts
        .data
        .as_ref()
        .filter(|data| data.descriptors.is_none())?;
    let (end, _) = facts.image.file_offset(data.gofunc?)?;
    let (first, _) = facts.image.file_offset(data.types)?;
    let inside = first + facts.offset..end + facts.offset;
    let ends = claims
        .list
        .iter()
        .filter(|claim| claim.content == Content::Types)
        .filter_map(|claim| {
            crate::reader::index(claim.end.into()).filter(|end| inside.contains(end))
        });
    let start = ends.max()?.checked_sub(facts.offset)?;
    (start < end).then_some(Region {
        file: start..end,
        content: Content::Strings,
    })
}

/// From each mark to the next thing that has a name in the same section.
fn marked(facts: &Facts<'_, '_>) -> Vec<Region> {
    let mut regions = Vec::new();
    for (number, symbol) in facts.symbols.iter().enumerate() {
        let Some(content) = MARKS
            .iter()
            .find(|(mark, _)| *mark == symbol.name)
            .and_then(|(_, content)| *content)
        else {
            continue;
        };
        let Some(section) = home(facts, symbol.address) else {
            continue;
        };
        let end = section.address.saturating_add(section.file.len() as u64);
        let next = facts
            .symbols
            .get(number + 1..)
            .unwrap_or_default()
            .iter()
            .map(|next| next.address)
            .find(|&next| next > symbol.address);
        let end = next.unwrap_or(end).min(end);
        facts
            .image
            .file_ranges(symbol.address, end.saturating_sub(symbol.address), |file| {
                regions.push(Region { file, content });
            });
    }
    regions
}

fn home<'s>(facts: &'s Facts<'_, '_>, address: u64) -> Option<&'s Section<'s>> {
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

/// What a section holds by its name, in the spelling of ELF or of Mach-O.
fn content_of(name: &str) -> Option<Content> {
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
