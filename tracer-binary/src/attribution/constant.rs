//! Owners of string constants that a variable holds.
//!
//! The linker puts the text of all constants in one place, without names. The owner of a text that only code refers to
//! cannot be determined without decoding instructions, so such text is not attributed. However, a package variable that
//! holds a string, a slice of bytes, or a table of strings has a symbol. Its value contains address and length of the
//! text. A file embedded as `string` or `[]byte` is such a constant. The program does not contain its path, so the
//! variable's name replaces the path.

use std::collections::HashSet;
use std::ops::Range;

use memchr::memmem::Finder;

use super::embed::{Embed, ScanBudget, compressed};
use super::{Attributions, Content, Facts, file_of, region};
use crate::image::SectionClass;
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::reader::{Reader, index};

/// Shorter texts are attributed to their package, and have no row of their own.
const MIN_NAMED: u64 = 1024;

pub(super) fn attribute<'i>(
    facts: &Facts<'_, 'i>,
    packages: &Packages<'i>,
    attributions: &mut Attributions<'i>,
) {
    let text_ranges = TextRanges::of(facts);
    let Some(bounds) = text_ranges.bounds() else {
        return;
    };
    // Files of an `embed.FS` may be among the constants. They are already attributed, with their paths.
    let embedded: HashSet<_> = attributions
        .list
        .iter()
        .filter(|attribution| attribution.content() == Content::Embed)
        .map(|attribution| attribution.start)
        .collect();
    let is_embedded = |address| {
        let (at, _) = facts.image.file_offset(address)?;
        let start = u32::try_from(facts.offset + at).ok()?;
        embedded.contains(&start).then_some(())
    };
    let mut budget = ScanBudget::of(facts.image);
    let holders = facts
        .symbols
        .iter()
        .filter(|symbol| !symbol.is_function && symbol.mark.is_none());
    for holder in holders {
        let Some((file, SectionClass::Data | SectionClass::ReadOnly)) =
            file_of(facts.image, holder)
        else {
            continue;
        };
        let bytes = facts.image.bytes.get(file).unwrap_or_default();
        let reader = Reader::new(bytes, facts.image.endian);
        let word = usize::from(facts.image.word);
        let mut owner = None;
        for at in (0..bytes.len().saturating_sub(word)).step_by(word) {
            let (Some(stored), Some(len)) = (
                reader.word(at, facts.image.word),
                reader.word(at + word, facts.image.word),
            ) else {
                break;
            };
            let place = holder.address.saturating_add(at as u64);
            let Some(address) = facts.image.resolve(place, stored) else {
                continue;
            };
            if !bounds.contains(&address) || len == 0 || !text_ranges.hold(address, len) {
                continue;
            }
            if is_embedded(address).is_some() {
                continue;
            }
            let owner = *owner.get_or_insert_with(|| packages.known_of_symbol(holder.name));
            if owner == PackageId::NONE || budget.spend(index(len).unwrap_or(usize::MAX)).is_none()
            {
                break;
            }
            text(facts, holder.name, owner, address, len, attributions);
        }
    }
}

/// The ranges of texts: the linker's one place for constants, and writable copies.
struct TextRanges {
    constants: Vec<Range<u64>>,
    /// Sorted. Each is one whole text.
    copies: Vec<Range<u64>>,
}

impl TextRanges {
    fn of(facts: &Facts<'_, '_>) -> Self {
        let constants = region::marked(facts)
            .filter(|(_, content)| *content == Content::Strings)
            .map(|(addresses, _)| addresses);
        let copy = Finder::new(b"..gobytes.");
        let copies = facts
            .symbols
            .iter()
            .filter(|symbol| !symbol.is_function && copy.find(symbol.name).is_some())
            .map(|symbol| symbol.address..symbol.address.saturating_add(symbol.size));
        Self {
            constants: constants.take(limit::SECTIONS).collect(),
            copies: copies.collect(),
        }
    }

    fn bounds(&self) -> Option<Range<u64>> {
        let all = || self.constants.iter().chain(&self.copies);
        Some(all().map(|it| it.start).min()?..all().map(|it| it.end).max()?)
    }

    fn hold(&self, address: u64, len: u64) -> bool {
        let Some(end) = address.checked_add(len) else {
            return false;
        };
        let is_copy = self
            .copies
            .binary_search_by_key(&address, |copy| copy.start)
            .is_ok_and(|at| self.copies.get(at).is_some_and(|copy| copy.end == end));
        let inside = |place: &Range<u64>| place.start <= address && end <= place.end;
        is_copy || self.constants.iter().any(inside)
    }
}

fn text<'i>(
    facts: &Facts<'_, 'i>,
    holder: &'i [u8],
    owner: PackageId,
    address: u64,
    len: u64,
    attributions: &mut Attributions<'i>,
) {
    let name = if len < MIN_NAMED {
        super::NO_NAME
    } else {
        attributions.name(holder, owner, Content::Strings)
    };
    facts.image.file_ranges(address, len, |file| {
        attributions.push(facts.offset, &file, owner, name, Content::Strings);
    });
    let content = facts.image.bytes_at(address, len).unwrap_or_default();
    // Prose held by a variable is not a finding. Compressed content was a file once.
    let Some(format) = compressed(content).filter(|_| len >= MIN_NAMED) else {
        return;
    };
    if attributions.embeds.len() < limit::EMBEDS {
        attributions.embeds.push(Embed {
            path: String::from_utf8_lossy(holder).into_owned(),
            size: len,
            package: None,
            compressed: Some(format.to_owned()),
            entropy: crate::entropy::of(content),
        });
    }
}
