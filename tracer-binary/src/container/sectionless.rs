//! ELF files without a usable section table: segments replace the sections.
//!
//! A program needs no sections to run, and `sstrip` and packers remove them. The segments contain everything that is
//! loaded. The program headers also contain the positions of notes and the dynamic linker's tables. The rest of a
//! segment is one piece, whose content is determined from Go's tables.

use std::borrow::Cow;
use std::ops::Range;

use crate::image::{Header, Section, SectionClass, Segment};
use crate::limit;

/// A range that a program header names and that lies inside a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedRange {
    pub name: &'static str,
    pub class: SectionClass,
    pub file: Range<usize>,
}

/// True if the section table describes the file: a loaded section lies where its segment places it.
pub(super) fn agree(sections: &[Section<'_>], segments: &[Segment<'_>]) -> bool {
    let lies_in = |section: &Section<'_>, segment: &Segment<'_>| {
        let into = section.file.start.checked_sub(segment.file.start);
        into.is_some_and(|into| {
            section.file.end <= segment.file.end
                && segment.address.checked_add(into as u64) == Some(section.address)
        })
    };
    let mut loaded = segments.iter().filter(|it| !it.file.is_empty()).peekable();
    loaded.peek().is_none()
        || sections
            .iter()
            .filter(|section| !section.file.is_empty() && section.address != 0)
            .any(|section| segments.iter().any(|segment| lies_in(section, segment)))
}

pub(super) fn note(has_no_table: bool) -> String {
    let what = if has_no_table {
        "the file has no section table; its segments are shown"
    } else {
        "the section table does not match the segments, which are shown"
    };
    format!("{what} in place of sections")
}

/// The segments without headers, cut where a named range begins or ends.
pub(super) fn sections<'a>(
    segments: &[Segment<'a>],
    named: &[NamedRange],
    headers: &[Header],
) -> Vec<Section<'a>> {
    let mut inner: Vec<_> = headers.iter().map(|header| (&header.file, None)).collect();
    inner.extend(named.iter().map(|it| (&it.file, Some(it))));
    inner.sort_by_key(|(file, _)| (file.start, file.end));
    let mut sections = Vec::new();
    for segment in segments {
        let mut add = |file: Range<usize>, named: Option<&NamedRange>| {
            if file.is_empty() || sections.len() >= limit::SECTIONS {
                return;
            }
            let into = file.start.saturating_sub(segment.file.start) as u64;
            sections.push(Section {
                name: named.map_or_else(|| segment.name.clone(), |it| Cow::Borrowed(it.name)),
                class: named.map_or(class(segment), |it| it.class),
                address: segment.address.wrapping_add(into),
                memory: file.len() as u64,
                file,
                compression: None,
            });
        };
        let mut cursor = segment.file.start;
        for &(file, named) in &inner {
            let (start, end) = (file.start.max(cursor), file.end.min(segment.file.end));
            if start < end {
                add(cursor..start, None);
                if named.is_some() {
                    add(start..end, named);
                }
                cursor = end;
            }
        }
        add(cursor..segment.file.end, None);
    }
    sections
}

fn class(segment: &Segment<'_>) -> SectionClass {
    match (segment.flags.execute, segment.flags.write) {
        (true, _) => SectionClass::Code,
        (false, true) => SectionClass::Data,
        (false, false) => SectionClass::ReadOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::SegmentFlags;

    fn segment(address: u64, file: Range<usize>) -> Segment<'static> {
        Segment {
            name: Cow::Borrowed("LOAD code"),
            address,
            memory: file.len() as u64,
            file,
            flags: SegmentFlags {
                read: true,
                write: false,
                execute: true,
            },
        }
    }

    #[test]
    fn a_segment_is_cut_around_headers_and_named_stretches() {
        let header = Header {
            name: "ELF header",
            file: 0..64,
        };
        let note = NamedRange {
            name: "NOTE",
            class: SectionClass::Note,
            file: 100..120,
        };
        let sections = sections(&[segment(0x1000, 0..200)], &[note], &[header]);
        let found: Vec<_> = sections
            .iter()
            .map(|it| (&*it.name, it.class, it.address, it.file.clone()))
            .collect();
        assert_eq!(
            found,
            [
                ("LOAD code", SectionClass::Code, 0x1040, 64..100),
                ("NOTE", SectionClass::Note, 0x1064, 100..120),
                ("LOAD code", SectionClass::Code, 0x1078, 120..200),
            ]
        );
    }

    #[test]
    fn a_section_table_of_another_file_does_not_agree() {
        let segments = [segment(0x1000, 0..200)];
        let section = |address| Section {
            name: Cow::Borrowed(".text"),
            class: SectionClass::Code,
            address,
            memory: 50,
            file: 100..150,
            compression: None,
        };
        assert!(agree(&[section(0x1064)], &segments));
        assert!(!agree(&[section(0x2000)], &segments));
        assert!(!agree(&[], &segments));
        assert!(agree(&[], &[]));
    }
}
