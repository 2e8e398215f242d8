//! Bytes that look compressed, encrypted or random, and have no reason to.
//!
//! Entropy alone raises an alarm in every program that speaks TLS. So what is known to be dense by nature goes first: hash tables and
//! signatures, what belongs to the standard library by its symbol, points of P-256, and numbers in ascending order.

use std::ops::Range;

use super::{curve, size};
use crate::analysis::{Analysis, Finding, FindingKind};
use crate::claim::{Claims, Content, NO_NAME};
use crate::container::Container;
use crate::entropy::{self, DENSE, WINDOW};
use crate::image::SectionClass;
use crate::module::{Group, Modules};
use crate::package::Packages;
use crate::reader::index;

/// Fewer are not worth a sentence.
const MIN_DENSE: usize = 64 << 10;

/// Who has a stretch of the file by a name.
#[derive(Clone, Debug)]
pub(crate) struct Owner<'i> {
    file: Range<usize>,
    name: &'i [u8],
    is_std: bool,
}

/// Owners of at least a window, by place. The claims are sorted.
pub(crate) fn owners<'i>(
    claims: &Claims<'i>,
    packages: &Packages<'i>,
    modules: &Modules<'_>,
) -> Vec<Owner<'i>> {
    let (mut owners, mut cursor) = (Vec::new(), 0);
    for claim in &claims.list {
        let (Some(start), Some(end)) = (index(claim.start.into()), index(claim.end.into())) else {
            continue;
        };
        let start = start.max(cursor);
        cursor = cursor.max(end);
        let is_large = start.saturating_add(WINDOW) <= end;
        let is_data = matches!(
            claim.content(),
            Content::Data | Content::Strings | Content::Embed
        );
        if !is_large || !is_data || claim.name == NO_NAME {
            continue;
        }
        let named = index(claim.name.into()).and_then(|name| claims.names.get(name));
        owners.extend(named.map(|named| {
            Owner {
                file: start..end,
                name: named.name,
                is_std: packages
                    .name(named.package)
                    .is_some_and(|package| modules.home(&package).group == Group::Std),
            }
        }));
    }
    owners
}

pub(super) fn find(
    bytes: &[u8],
    container: &Container<'_>,
    analysis: &Analysis,
    owners: &[Owner<'_>],
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

/// The entropy of windows, as runs have it.
fn mean(bytes: &[u8]) -> f64 {
    let (sum, n) = bytes
        .chunks(WINDOW)
        .map(entropy::of)
        .fold((0.0, 0.0), |(sum, n), entropy| (sum + entropy, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// Hash tables of the dynamic linker, and a signature, which is hashes of the pages.
fn has_hashes(section: &str) -> bool {
    let name = section.rsplit_once(':').map_or(section, |(_, name)| name);
    matches!(name, ".gnu.hash" | ".hash" | "code signature")
}

/// What is left of a dense run without that which is dense by nature, in pieces that are worth a sentence.
fn unexplained(bytes: &[u8], run: Range<usize>, owners: &[Owner<'_>]) -> Vec<Range<usize>> {
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

/// The windows of a stretch that are no tables of ascending numbers, in pieces.
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

/// Offsets in ascending order have nearly random low bytes, but small differences. Those of random bytes are random.
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

/// The name of the one that has most of a stretch, if it has more than half.
fn owner<'o>(stretch: &Range<usize>, owners: &'o [Owner<'_>]) -> Option<std::borrow::Cow<'o, str>> {
    let share = |owner: &&Owner<'_>| {
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
    owners: &'o [Owner<'i>],
) -> impl Iterator<Item = &'o Owner<'i>> {
    let first = owners.partition_point(|owner| owner.file.end <= stretch.start);
    let rest = owners.get(first..).unwrap_or_default();
    let end = stretch.end;
    rest.iter().take_while(move |owner| owner.file.start < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes like random ones, by the generator of Numerical Recipes.
    fn random(len: usize) -> Vec<u8> {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(1u32), next);
        states
            .map(|state| state.to_be_bytes()[0])
            .take(len)
            .collect()
    }

    fn owner_of(file: Range<usize>, is_std: bool) -> Owner<'static> {
        Owner {
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
    fn what_the_standard_library_has_is_taken_out_of_a_run() {
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
