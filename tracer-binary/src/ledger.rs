//! The ledger: every byte of the file in exactly one bucket.
//!
//! Two layers cover the file from its start to its end. The frame is the container of a byte: a header, a section, a
//! member, or none. Inside a section the attributions determine the owner. If two overlap, the one that begins first
//! keeps the byte. The buckets therefore add up by construction for every file, and a property test checks this.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::attribution::{Attribution, Attributions, Content, NO_NAME, Region};
use crate::container::{Container, Wrapper};
use crate::image::SectionClass;
use crate::package::PackageId;

/// The container of a range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Frame {
    /// Headers of the file or of its parts, by their name.
    Header(&'static str),
    /// Index into the sections of all parts, one after another.
    Section(u32),
    /// Index into the container's members.
    Member(u32),
    /// In no header, section or member.
    None,
}

/// Bytes on disk by content, for one package.
pub(crate) type ByContent = [u64; Content::ALL.len()];

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The buckets. They add up to the file's size.
    pub buckets: BTreeMap<(Frame, Content), u64>,
    /// The same bytes by package. `unowned` has the rest.
    pub packages: Vec<ByContent>,
    /// The bytes that belong to no package.
    pub unowned: ByContent,
    /// Bytes of each name in `Attributions::names`.
    pub names: Vec<u64>,
}

struct FrameRange {
    file: Range<usize>,
    frame: Frame,
    /// The content of all its bytes; `None` if the attributions determine it.
    content: Option<Content>,
}

pub(crate) fn account(
    bytes: &[u8],
    container: &Container<'_>,
    attributions: &mut Attributions<'_>,
    n_packages: usize,
) -> Ledger {
    // The sort is stable because a stable sort exploits existing order: the attributions consist of a few sorted runs.
    attributions.list.sort_by(|a, b| {
        let place = |attribution: &Attribution| {
            u64::from(attribution.start) << 32 | u64::from(attribution.end)
        };
        let rest = |attribution: &Attribution| {
            (
                attribution.content(),
                attribution.name,
                attribution.package(),
            )
        };
        place(a).cmp(&place(b)).then_with(|| rest(a).cmp(&rest(b)))
    });
    let regions = disjoint(std::mem::take(&mut attributions.regions));
    let mut sweep = Sweep {
        bytes,
        attributions,
        regions: &regions,
        next: 0,
        frame: (Frame::None, [0; Content::ALL.len()]),
        ledger: Ledger {
            names: vec![0; attributions.names.len()],
            packages: vec![[0; Content::ALL.len()]; n_packages],
            ..Ledger::default()
        },
    };
    let segments: Vec<_> = container
        .parts
        .iter()
        .flat_map(|part| {
            part.image
                .segments
                .iter()
                .map(|segment| shift(&segment.file, part.offset))
        })
        .collect();
    let mut cursor = 0;
    let end_of_content = segments
        .iter()
        .map(|segment| segment.end)
        .max()
        .unwrap_or(0);
    for base in frame_ranges(container) {
        let start = base.file.start.max(cursor);
        let end = base.file.end.min(bytes.len());
        if start >= end {
            continue;
        }
        sweep.uncovered(cursor..start, container.wrapper, false);
        match base.content {
            Some(content) => sweep.fixed(start..end, base.frame, content),
            None => sweep.open(start..end, base.frame),
        }
        cursor = end;
    }
    let end = end_of_content.clamp(cursor, bytes.len());
    sweep.uncovered(cursor..end, container.wrapper, false);
    sweep.uncovered(end..bytes.len(), container.wrapper, true);
    sweep.close();
    sweep.ledger
}

fn shift(range: &Range<usize>, offset: usize) -> Range<usize> {
    range.start.saturating_add(offset)..range.end.saturating_add(offset)
}

/// The frames of the file, sorted. The sweep cuts overlaps.
fn frame_ranges(container: &Container<'_>) -> Vec<FrameRange> {
    let mut frame_ranges = Vec::new();
    let header = |file: Range<usize>, name| FrameRange {
        file,
        frame: Frame::Header(name),
        content: Some(Content::Header),
    };
    frame_ranges.extend(
        container
            .headers
            .iter()
            .map(|found| header(found.file.clone(), found.name)),
    );
    let mut section_number = 0;
    for part in &container.parts {
        frame_ranges.extend(
            part.image
                .headers
                .iter()
                .map(|found| header(shift(&found.file, part.offset), found.name)),
        );
        for section in &part.image.sections {
            let content = match section.class {
                SectionClass::Code
                | SectionClass::ReadOnly
                | SectionClass::Data
                | SectionClass::Other => None,
                SectionClass::Zero => Some(Content::Unattributed),
                SectionClass::Debug => Some(Content::Debug),
                SectionClass::Symbols => Some(Content::SymbolTable),
                SectionClass::Linking => Some(Content::Linking),
                SectionClass::Note => Some(Content::Note),
            };
            let frame = Frame::Section(section_number);
            section_number += 1;
            frame_ranges.push(FrameRange {
                file: shift(&section.file, part.offset),
                frame,
                content,
            });
        }
    }
    for (number, member) in (0u32..).zip(&container.members) {
        let opened = container
            .parts
            .iter()
            .any(|part| part.offset == member.file.start);
        if !opened {
            frame_ranges.push(FrameRange {
                file: member.file.clone(),
                frame: Frame::Member(number),
                content: Some(Content::Member),
            });
        }
    }
    frame_ranges.retain(|base| !base.file.is_empty());
    frame_ranges.sort_by_key(|base| (base.file.start, base.frame, base.file.end));
    frame_ranges
}

/// Sorts the regions, and cuts them where they overlap.
fn disjoint(mut regions: Vec<Region>) -> Vec<Region> {
    regions.sort_by_key(|region| (region.file.start, region.file.end));
    let mut cursor = 0;
    regions.retain_mut(|region| {
        region.file.start = region.file.start.max(cursor);
        cursor = cursor.max(region.file.end);
        !region.file.is_empty()
    });
    regions
}

struct Sweep<'s, 'i> {
    bytes: &'s [u8],
    attributions: &'s Attributions<'i>,
    /// The regions that end behind the cursor.
    regions: &'s [Region],
    next: usize,
    /// The current frame, whose bytes are not in the ledger yet.
    frame: (Frame, ByContent),
    ledger: Ledger,
}

/// Longer ranges of one byte are data, not padding between two items.
const LONGEST_PADDING: usize = 4096;

impl Sweep<'_, '_> {
    fn add(&mut self, len: usize, frame: Frame, content: Content, package: PackageId, name: u32) {
        let len = len as u64;
        if frame != self.frame.0 {
            self.close();
            self.frame.0 = frame;
        }
        if let Some(bytes) = self.frame.1.get_mut(content as usize) {
            *bytes += len;
        }
        let owner = crate::reader::index(package.0.into())
            .and_then(|package| self.ledger.packages.get_mut(package));
        if let Some(bytes) = owner
            .unwrap_or(&mut self.ledger.unowned)
            .get_mut(content as usize)
        {
            *bytes += len;
        }
        if name != NO_NAME
            && let Some(size) =
                crate::reader::index(name.into()).and_then(|name| self.ledger.names.get_mut(name))
        {
            *size += len;
        }
    }

    /// Enters the finished frame in the ledger.
    fn close(&mut self) {
        let (frame, bytes) = &mut self.frame;
        for (content, bytes) in Content::ALL.into_iter().zip(bytes) {
            let bytes = std::mem::take(bytes);
            if bytes > 0 {
                *self.ledger.buckets.entry((*frame, content)).or_default() += bytes;
            }
        }
    }

    fn fixed(&mut self, range: Range<usize>, frame: Frame, content: Content) {
        self.add(range.len(), frame, content, PackageId::NONE, NO_NAME);
    }

    fn open(&mut self, range: Range<usize>, frame: Frame) {
        let mut cursor = range.start;
        while let Some(attribution) = self.attributions.list.get(self.next) {
            let (Ok(attribution_start), Ok(attribution_end)) = (
                usize::try_from(attribution.start),
                usize::try_from(attribution.end),
            ) else {
                break;
            };
            if attribution_start >= range.end {
                break;
            }
            let (start, end) = (
                attribution_start.max(cursor),
                attribution_end.min(range.end),
            );
            if start < end {
                self.gap(cursor..start, frame);
                self.add(
                    end - start,
                    frame,
                    attribution.content(),
                    attribution.package(),
                    attribution.name,
                );
                cursor = end;
            }
            if attribution_end > range.end {
                // The attribution extends past this section, perhaps into the next one.
                break;
            }
            self.next += 1;
        }
        self.gap(cursor..range.end, frame);
    }

    /// Accounts bytes of a section without an attribution: they belong to a region, or are padding, or have no owner.
    fn gap(&mut self, range: Range<usize>, frame: Frame) {
        if range.is_empty() {
            return;
        }
        let mut cursor = range.start;
        let passed = self
            .regions
            .iter()
            .position(|region| region.file.end > range.start);
        self.regions = passed
            .and_then(|passed| self.regions.get(passed..))
            .unwrap_or_default();
        for region in self.regions {
            if cursor >= range.end || region.file.start >= range.end {
                break;
            }
            let (start, end) = (
                region.file.start.max(cursor),
                region.file.end.min(range.end),
            );
            self.unattributed(cursor..start, frame);
            self.add(end - start, frame, region.content, PackageId::NONE, NO_NAME);
            cursor = end;
        }
        self.unattributed(cursor..range.end, frame);
    }

    fn unattributed(&mut self, range: Range<usize>, frame: Frame) {
        if range.is_empty() {
            return;
        }
        let content = if self.is_padding(&range) {
            Content::Padding
        } else {
            Content::Unattributed
        };
        self.add(range.len(), frame, content, PackageId::NONE, NO_NAME);
    }

    /// True for zeros, or for the trap instruction that fills the gaps between functions on x86.
    fn is_padding(&self, range: &Range<usize>) -> bool {
        const TRAP: u8 = 0xcc;
        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
        bytes.len() <= LONGEST_PADDING
            && (bytes.iter().all(|&byte| byte == 0) || bytes.iter().all(|&byte| byte == TRAP))
    }

    /// Accounts bytes in no header and no section.
    fn uncovered(&mut self, range: Range<usize>, wrapper: Wrapper, at_end: bool) {
        if range.is_empty() {
            return;
        }
        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
        let content = if bytes.iter().all(|&byte| byte == 0)
            || (wrapper == Wrapper::Archive && bytes == b"\n")
        {
            Content::Padding
        } else if at_end {
            Content::Overlay
        } else {
            Content::Outside
        };
        self.add(range.len(), Frame::None, content, PackageId::NONE, NO_NAME);
    }
}
