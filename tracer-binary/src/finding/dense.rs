//! Bytes that look compressed, encrypted or random without a known reason.
//!
//! Entropy alone raises an alarm in every program that contains TLS. Known dense content is therefore excluded first.
//! This content is hash tables and signatures, symbols of the standard library, points of P-256, and numbers in
//! ascending order.

use std::ops::Range;

use super::{curve, size};
use crate::analysis::{Analysis, Finding, FindingKind};
use crate::attribution::{Attributions, Content, NO_NAME};
use crate::container::Container;
use crate::entropy::{self, DENSE, WINDOW};
use crate::image::SectionClass;
use crate::module::{Group, Modules};
use crate::package::Packages;
use crate::reader::index;

/// Fewer bytes are not reported.
const MIN_DENSE: usize = 64 << 10;

/// A named item that owns a range of the file.
#[derive(Clone, Debug)]
pub(crate) struct RangeOwner<'i> {
    file: Range<usize>,
    name: &'i [u8],
    is_std: bool,
}

/// Owners of at least a window, by position. The attributions are sorted.
pub(crate) fn owners<'i>(
    attributions: &Attributions<'i>,
    packages: &Packages<'i>,
    modules: &Modules<'_>,
) -> Vec<RangeOwner<'i>> {
    let (mut owners, mut cursor) = (Vec::new(), 0);
    for attribution in &attributions.list {
        let (Some(start), Some(end)) = (
            index(attribution.start.into()),
            index(attribution.end.into()),
        ) else {
            continue;
        };
        let start = start.max(cursor);
        cursor = cursor.max(end);
        let is_large = start.saturating_add(WINDOW) <= end;
        let is_data = matches!(
            attribution.content(),
            Content::Data | Content::Strings | Content::Embed
        );
        if !is_large || !is_data || attribution.name == NO_NAME {
            continue;
        }
        let named = index(attribution.name.into()).and_then(|name| attributions.names.get(name));
        owners.extend(named.map(|named| {
            RangeOwner {
                file: start..end,
                name: named.name,
                is_std: packages
                    .name(named.package)
                    .is_some_and(|package| modules.module_of(&package).group == Group::Std),
            }
        }));
    }
    owners
}

pub(super) fn find(
    bytes: &[u8],
    container: &Container<'_>,
    analysis: &Analysis,
    owners: &[RangeOwner<'_>],
) -> Vec<Finding> {
    let places = container.parts.iter().flat_map(|part| {
        let sections = part.image.sections.iter();
        sections.map(move |section| part.offset + section.file.start)
    });
    let mut findings = Vec::new();
    for (section, place) in analysis.sections.iter().zip(places) {
        let is_dense_by_nature = section.compression.is_some()
            || matches!(section.class, SectionClass::Debug | SectionClass::Symbols)
            || section.class == SectionClass::Linking && has_hashes(&section.name);
        if is_dense_by_nature {
            continue;
        }
        let runs = section.dense.iter().filter_map(|run| {
            let (offset, len) = (index(run.offset)?, index(run.len)?);
            Some(place + offset..place + offset + len)
        });
        let pieces = runs.flat_map(|run| unexplained(bytes, run, owners));
        let Some(longest) = pieces.max_by_key(Range::len) else {
            continue;
        };
        let content = bytes.get(longest.clone()).unwrap_or_default();
        let owner = owner(&longest, owners).map_or_else(String::new, |name| format!(", in {name}"));
        let text = format!(
            "{} of {} look compressed, encrypted or random ({:.2} of 8 bits per byte), from its offset {:#x} on{owner}",
            size(longest.len() as u64),
            section.name,
            mean(content),
            longest.start - place,
        );
        findings.push(Finding {
            kind: FindingKind::Dense,
            text,
        });
    }
    findings
}

/// The mean entropy of the windows, as in runs.
fn mean(bytes: &[u8]) -> f64 {
    let (sum, n) = bytes
        .chunks(WINDOW)
        .map(entropy::of)
        .fold((0.0, 0.0), |(sum, n), entropy| (sum + entropy, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// True for hash tables of the dynamic linker, and for a signature, which consists of hashes of the pages.
fn has_hashes(section: &str) -> bool {
    let name = section.rsplit_once(':').map_or(section, |(_, name)| name);
    matches!(name, ".gnu.hash" | ".hash" | "code signature")
}

/// The parts of a dense run that no known dense content covers, if large enough to report.
fn unexplained(bytes: &[u8], run: Range<usize>, owners: &[RangeOwner<'_>]) -> Vec<Range<usize>> {
    let mut known: Vec<_> = overlapping(&run, owners)
        .filter(|owner| owner.is_std)
        .map(|owner| owner.file.clone())
        .collect();
    // The window with the first points may not be dense as a whole.
    let from = run.start.saturating_sub(WINDOW);
    let content = bytes.get(from..run.end).unwrap_or_default();
    known.extend(curve::table(content).map(|table| from + table.start..from + table.end));
    known.sort_by_key(|range| range.start);
    let mut pieces = Vec::new();
    let mut cursor = run.start;
    for range in known.into_iter().chain(std::iter::once(run.end..run.end)) {
        if range.start.saturating_sub(cursor) >= MIN_DENSE {
            pieces.extend(unordered(bytes, cursor..range.start));
        }
        cursor = cursor.max(range.end);
    }
    pieces
}

/// The parts of a range that are not tables of ascending numbers, by window.
fn unordered(bytes: &[u8], stretch: Range<usize>) -> Vec<Range<usize>> {
    let content = bytes.get(stretch.clone()).unwrap_or_default();
    let ordered: Vec<_> = content.chunks(WINDOW).map(is_ordered).collect();
    let mut pieces = Vec::new();
    let mut start = stretch.start;
    for group in ordered.chunk_by(|a, b| a == b) {
        let end = (start + group.len() * WINDOW).min(stretch.end);
        if group.first() == Some(&false) && end - start >= MIN_DENSE {
            pieces.push(start..end);
        }
        start = end;
    }
    pieces
}

/// True for a table of ascending numbers. Offsets in ascending order have nearly random low bytes, but small
/// differences. The differences of random bytes are random.
fn is_ordered(window: &[u8]) -> bool {
    [2, 4, 8].into_iter().any(|width| {
        let next = window.get(width..).unwrap_or_default();
        let differences: Vec<_> = next
            .iter()
            .zip(window)
            .map(|(next, byte)| next.wrapping_sub(*byte))
            .collect();
        entropy::of(&differences) < DENSE
    })
}

/// The name of the owner of more than half of a range, if any.
fn owner<'o>(
    stretch: &Range<usize>,
    owners: &'o [RangeOwner<'_>],
) -> Option<std::borrow::Cow<'o, str>> {
    let share = |owner: &&RangeOwner<'_>| {
        let end = owner.file.end.min(stretch.end);
        end.saturating_sub(owner.file.start.max(stretch.start))
    };
    overlapping(stretch, owners)
        .max_by_key(share)
        .filter(|owner| share(owner) * 2 > stretch.len())
        .map(|owner| String::from_utf8_lossy(owner.name))
}

fn overlapping<'o, 'i>(
    stretch: &Range<usize>,
    owners: &'o [RangeOwner<'i>],
) -> impl Iterator<Item = &'o RangeOwner<'i>> {
    let first = owners.partition_point(|owner| owner.file.end <= stretch.start);
    let rest = owners.get(first..).unwrap_or_default();
    let end = stretch.end;
    rest.iter().take_while(move |owner| owner.file.start < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom bytes, by the generator of Numerical Recipes.
    fn random(len: usize) -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(1u32), next);
        states
            .map(|state| state.to_be_bytes()[0])
            .take(len)
            .collect()
    }

    fn owner_of(file: Range<usize>, is_std: bool) -> RangeOwner<'static> {
        RangeOwner {
            file,
            name: b"example.com/a.Blob",
            is_std,
        }
    }

    #[test]
    fn random_bytes_are_not_ordered_and_offsets_are() {
        let offsets: Vec<u8> = (0u16..)
            .scan(0u16, |sum, number| {
                *sum = sum.wrapping_add(number % 29);
                Some(sum.to_le_bytes())
            })
            .take(MIN_DENSE / 2)
            .flatten()
            .collect();
        assert_eq!(unordered(&offsets, 0..MIN_DENSE), []);
        let random = random(MIN_DENSE);
        let whole = 0..MIN_DENSE;
        assert_eq!(
            unordered(&random, whole.clone()),
            std::slice::from_ref(&whole)
        );
    }

    #[test]
    fn ranges_of_the_standard_library_are_excluded_from_a_run() {
        let bytes = random(4 * MIN_DENSE);
        let run = 0..bytes.len();
        let table = MIN_DENSE..2 * MIN_DENSE;
        let whole = std::slice::from_ref(&run);
        assert_eq!(unexplained(&bytes, run.clone(), &[]), whole);
        let others = [owner_of(table.clone(), false)];
        assert_eq!(unexplained(&bytes, run.clone(), &others), whole);
        let std = [owner_of(table, true)];
        assert_eq!(
            unexplained(&bytes, run.clone(), &std),
            [0..MIN_DENSE, 2 * MIN_DENSE..4 * MIN_DENSE]
        );
    }

    #[test]
    fn the_owner_of_most_of_a_stretch_is_named() {
        let owners = [owner_of(0..60, false)];
        assert_eq!(
            owner(&(0..100), &owners).as_deref(),
            Some("example.com/a.Blob")
        );
        assert_eq!(owner(&(20..100), &owners), None);
    }
}
