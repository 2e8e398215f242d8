//! Chained pointers of Mach-O files (`LC_DYLD_CHAINED_FIXUPS`, Apple's `mach-o/fixup-chains.h`).
//!
//! Apple's linker stores no address in a pointer that the dynamic loader sets. The word contains a target and the
//! distance to the next such word of the page. A table contains the first word of each page. This module follows the
//! chains once, and then decodes single words. A word outside of all chains is plain.
//!
//! The formats of 64-bit programs are supported, except those with signed pointers (`arm64e`). No Go program has these.

use std::ops::Range;

use crate::bits::Bits;
use crate::image::{Image, Segment};
use crate::reader::{Reader, index};

/// Offset of the table of starts in the header.
const STARTS: usize = 4;
/// Fields of the table for one segment.
const PAGE_SIZE: usize = 4;
const FORMAT: usize = 6;
const N_PAGES: usize = 20;
const PAGES: usize = 22;
/// Start of a page without chained pointers.
const NO_START: u16 = u16::MAX;
/// Unit of distances and positions.
const UNIT: usize = 4;
const WORD: usize = 8;

/// The meaning of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Address,
    /// Relative to the Mach-O header.
    Offset,
}

impl Target {
    fn of_format(format: u16) -> Option<Self> {
        match format {
            2 => Some(Self::Address),
            6 => Some(Self::Offset),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
struct ChainedSegment {
    file: Range<usize>,
    /// `None` for a format that is not supported.
    target: Option<Target>,
}

#[derive(Clone, Debug)]
pub(crate) struct ChainedPointers {
    segments: Vec<ChainedSegment>,
    /// Positions of the words in chains, in units of four bytes.
    words: Bits,
    /// Address of the Mach-O header.
    base: u64,
}

impl ChainedPointers {
    /// Follows the chains of an image, and adds a note if some cannot be read. `table` is the range of the tables in
    /// the file.
    pub(crate) fn read(image: &mut Image<'_>, table: Range<usize>) -> Self {
        let base = image
            .segments
            .iter()
            .find(|segment| segment.file.start == 0 && !segment.file.is_empty())
            .map_or(0, |segment| segment.address);
        let mut pointers = Self {
            segments: Vec::new(),
            words: Bits::new(image.bytes.len().div_ceil(UNIT)),
            base,
        };
        let file = image.reader();
        let table = image.bytes.get(table).unwrap_or_default();
        let table = Reader::new(table, image.endian);
        // In a hostile file all segments may share one long table.
        let mut pages_left = image.bytes.len();
        let mut are_read = true;
        for (number, segment) in image.segments.iter().enumerate() {
            let Some(info) = segment_table(table, number) else {
                continue;
            };
            let format = table.u16(info.saturating_add(FORMAT));
            let target = format.and_then(Target::of_format).filter(|_| {
                let followed = pointers.follow(file, table, info, segment, &mut pages_left);
                followed.is_some()
            });
            are_read &= target.is_some();
            pointers.segments.push(ChainedSegment {
                file: segment.file.clone(),
                target,
            });
        }
        if !are_read {
            image.notes.push(
                "chained pointers have a format that gotrace does not read; types and embedded files are not known".to_owned(),
            );
        }
        pointers
    }

    /// Follows the chains of one segment; `None` if they are damaged.
    fn follow(
        &mut self,
        file: Reader<'_>,
        table: Reader<'_>,
        info: usize,
        segment: &Segment<'_>,
        pages_left: &mut usize,
    ) -> Option<()> {
        let page_size = usize::from(table.u16(info.checked_add(PAGE_SIZE)?)?);
        let n_pages = usize::from(table.u16(info.checked_add(N_PAGES)?)?);
        for number in 0..n_pages {
            *pages_left = pages_left.checked_sub(1)?;
            let start = table.u16(info.checked_add(PAGES + 2 * number)?)?;
            if start == NO_START {
                continue;
            }
            let page = segment.file.start.checked_add(number * page_size)?;
            let end = page.checked_add(page_size)?.min(segment.file.end);
            let mut at = page.checked_add(start.into())?;
            loop {
                if !at.is_multiple_of(UNIT) || at.checked_add(WORD)? > end {
                    return None;
                }
                // In a hostile file the ranges of segments overlap.
                self.words.insert(at / UNIT).then_some(())?;
                let next = index(file.u64(at)? >> 51 & 0xfff)?;
                if next == 0 {
                    break;
                }
                at = at.checked_add(next * UNIT)?;
            }
        }
        Some(())
    }

    /// The pointer in the word `stored` at a position in the file. `None` if another library contains the target, or
    /// the format is not supported.
    pub(crate) fn decode(&self, at: usize, stored: u64) -> Option<u64> {
        let mut segments = self.segments.iter();
        let Some(segment) = segments.find(|segment| segment.file.contains(&at)) else {
            return Some(stored);
        };
        let target = segment.target?;
        if !at.is_multiple_of(UNIT) || !self.words.contains(at / UNIT) {
            return Some(stored);
        }
        let is_import = stored >> 63 != 0;
        let (low, high) = (stored & 0xf_ffff_ffff, stored >> 36 & 0xff);
        let address = match target {
            Target::Address => low,
            Target::Offset => self.base.wrapping_add(low),
        };
        (!is_import).then_some(address | high << 56)
    }
}

/// The offset of a segment's table; `None` if the segment has none.
fn segment_table(table: Reader<'_>, number: usize) -> Option<usize> {
    let starts = index(table.u32(STARTS)?.into())?;
    let n_segments = index(table.u32(starts)?.into())?;
    (number < n_segments).then_some(())?;
    let entry = starts.checked_add(UNIT)?.checked_add(UNIT * number)?;
    let offset = index(table.u32(entry)?.into())?;
    (offset != 0).then(|| starts.checked_add(offset))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container;

    /// Position of the data segment, and its address.
    const DATA: usize = 0x1000;
    const ADDRESS: u64 = 0x1_0000_1000;

    /// A Mach-O file with these words in its data segment, which is one page. The chain begins at `start`.
    fn file(format: u16, page_size: u16, start: u16, words: &[u64]) -> Vec<u8> {
        let mut file = Vec::new();
        let table = DATA + 8 * words.len();
        // The header for arm64, with three commands.
        for word in [0xfeed_facf, 0x0100_000c, 0, 2, 3, 160, 0, 0] {
            file.extend(u32::to_le_bytes(word));
        }
        let segments = [
            (b"__TEXT\0\0", 0x1_0000_0000, 0, DATA),
            (b"__DATA\0\0", ADDRESS, DATA, 8 * words.len()),
        ];
        for (name, address, at, len) in segments {
            for word in [0x19u32, 72] {
                file.extend(word.to_le_bytes());
            }
            file.extend(name);
            file.extend([0; 8]);
            for word in [address, len as u64, at as u64, len as u64] {
                file.extend(word.to_le_bytes());
            }
            file.extend([0; 16]);
        }
        for word in [0x8000_0034, 16, table, 64] {
            file.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        file.resize(DATA, 0);
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        // The header of the table, two segments of which the second has chains, and the table of its page.
        for word in [0, 28, 0, 0, 0, 0, 0, 2, 0, 12] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(24u32.to_le_bytes());
        for half in [page_size, format] {
            file.extend(half.to_le_bytes());
        }
        file.extend([0; 12]);
        for half in [1, start] {
            file.extend(half.to_le_bytes());
        }
        file
    }

    /// The pointers in the words of a file, and the number of notes.
    fn pointers(file: &[u8]) -> (Vec<Option<u64>>, usize) {
        let container = container::open(file).unwrap();
        let image = &container.parts.first().unwrap().image;
        let words = (0..3).map(|word| image.pointer(ADDRESS + 8 * word));
        (words.collect(), image.notes.len())
    }

    const IMPORT: u64 = 1 << 63;
    const NEXT: u64 = 2 << 51;

    #[test]
    fn a_target_is_an_address_or_an_offset() {
        let words = [0x7_0000_1008 | NEXT, 0xab << 36 | 0x20, 0x30];
        assert_eq!(
            pointers(&file(2, 4096, 0, &words)),
            (
                vec![Some(0x7_0000_1008), Some(0xab << 56 | 0x20), Some(0x30)],
                0
            )
        );
        let words = [0x10 | NEXT, 0x20, 0x30];
        assert_eq!(
            pointers(&file(6, 4096, 0, &words)),
            (
                vec![
                    Some(0x1_0000_0010),
                    Some(0x1_0000_0020),
                    // Outside of the chain.
                    Some(0x30)
                ],
                0
            )
        );
    }

    #[test]
    fn a_pointer_into_another_library_is_not_known() {
        let words = [7, 1 | NEXT | IMPORT, 0x10];
        assert_eq!(
            pointers(&file(6, 4096, 8, &words)),
            (vec![Some(7), None, Some(0x1_0000_0010)], 0)
        );
    }

    #[test]
    fn damaged_chains_and_other_formats_are_not_known() {
        let words = [0x10 | NEXT, 0x20, 0x30];
        for (format, page_size, start, words) in [
            (1, 4096, 0, words),
            (3, 4096, 0, words),
            // Several starts, a start behind the segment, a page that ends before the word does.
            (6, 4096, 0x8000, words),
            (6, 4096, 24, words),
            (6, 4, 0, words),
            (6, 4096, 2, words),
            // A chain that leaves the segment.
            (6, 4096, 0, [9 << 51, 0, 0]),
        ] {
            let file = file(format, page_size, start, &words);
            assert_eq!(pointers(&file), (vec![None; 3], 1), "{format} {start}");
        }
        let none = file(6, 4096, NO_START, &words);
        assert_eq!(pointers(&none), (words.map(Some).to_vec(), 0));
    }

    /// Every byte is counted, or the file is refused.
    fn analyze(file: &[u8]) {
        let options = crate::Options {
            single_threaded: true,
            ..crate::Options::default()
        };
        if let Ok(analysis) = crate::analyze(file, options) {
            let sum = analysis.buckets.iter().map(|it| it.bytes).sum::<u64>();
            assert_eq!(sum, file.len() as u64);
        }
    }

    #[test]
    fn damaged_files_are_no_error() {
        let whole = file(6, 4096, 0, &[NEXT, 0, 0]);
        for len in DATA..whole.len() {
            analyze(whole.get(..len).unwrap_or_default());
        }
        for at in (0..0x100).chain(DATA..whole.len()) {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                analyze(&damaged);
            }
        }
    }
}
