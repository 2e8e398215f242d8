//! Sizes of symbols where the format states none: Mach-O and PE.
//!
//! The function table bounds Go's functions, regardless of which symbols are left. Any other symbol extends to the next
//! one, but only a complete symbol table makes this a size. `strip -x` and Apple's linker leave the exported symbols,
//! with all the items that lost their names between them. A symbol whose end is not known keeps the size zero, and no
//! bytes are attributed to it.

use std::ops::Range;

use super::{Attribution, Attributions, Content, Facts};
use crate::bits::Bits;
use crate::go::pclntab::{Ends, Pclntab};
use crate::image::{Image, Shape};
use crate::reader::index;
use crate::symbol::Symbol;

/// Sets the sizes of `symbols`, which are sorted by address. Returns a note if some have none. The function table's
/// offsets are relative to `base`.
pub(super) fn derive(
    image: &Image<'_>,
    table: Option<&Pclntab<'_>>,
    base: Option<u64>,
    symbols: &mut [Symbol<'_>],
) -> Option<String> {
    if image.symbols.as_ref()?.layout.has_sizes() {
        return None;
    }
    let functions = table.zip(base).map(|(table, base)| {
        let mut ends = Ends::new(table);
        let functions = table.functions();
        functions.map(move |it| (base.wrapping_add(it.start), base.wrapping_add(ends.of(&it))))
    });
    let mut bounded = Bits::new(symbols.len());
    let is_whole = match functions {
        Some(functions) => by_table(functions, symbols, &mut bounded),
        // A linker needs all symbols of an object. `strip -x` leaves no local one.
        None => image.shape == Shape::Relocatable || symbols.iter().any(|symbol| symbol.is_local),
    };
    if is_whole {
        to_the_next(image, symbols, &bounded);
        return None;
    }
    let unknown = (0..symbols.len()).filter(|&number| !bounded.contains(number));
    let unknown = unknown.count();
    (unknown > 0).then(|| {
        format!("symbols were removed from the symbol table, which states no sizes; the sizes of {unknown} of the rest are not known")
    })
}

/// Bounds the symbols inside the function table's functions. True if each of these functions has a symbol.
fn by_table(
    functions: impl Iterator<Item = (u64, u64)>,
    symbols: &mut [Symbol<'_>],
    bounded: &mut Bits,
) -> bool {
    let (mut all_have_symbols, mut next) = (true, 0);
    for (start, end) in functions {
        // The table is sorted. Entries of a damaged table that are out of order are behind `next` and bound nothing.
        while symbols.get(next).is_some_and(|it| it.address < start) {
            next += 1;
        }
        let first = next;
        while symbols.get(next).is_some_and(|it| it.address < end) {
            bounded.insert(next);
            next += 1;
        }
        let inside = symbols.get_mut(first..next).unwrap_or_default();
        // The last of several names for one place keeps it. A place inside a function is not a function.
        let at_start = |symbol: &&mut Symbol<'_>| {
            symbol.address == start && symbol.is_function && symbol.mark.is_none()
        };
        match inside.iter_mut().rev().find(at_start) {
            Some(symbol) => symbol.size = end.saturating_sub(start),
            None => all_have_symbols &= start >= end,
        }
    }
    all_have_symbols
}

/// Ends each of the other symbols at the next greater address, or at the end of its section.
fn to_the_next(image: &Image<'_>, symbols: &mut [Symbol<'_>], bounded: &Bits) {
    let (mut next, mut current, mut is_taken) = (u64::MAX, u64::MAX, false);
    for (number, symbol) in symbols.iter_mut().enumerate().rev() {
        if symbol.address != current {
            (next, current, is_taken) = (current, symbol.address, false);
        }
        if bounded.contains(number) || is_taken || symbol.mark.is_some() {
            continue;
        }
        is_taken = true;
        let section = symbol
            .section
            .and_then(|section| image.sections.get(index(section.into())?));
        let end = section.map_or(next, |section| {
            // Objects have no sizes in memory yet.
            let len = match section.memory {
                0 => section.file.len() as u64,
                memory => memory,
            };
            next.min(section.address.saturating_add(len))
        });
        symbol.size = end.saturating_sub(symbol.address);
    }
}

/// The starts of types and embedded files, which limit derived sizes. The linker puts these behind variables without a
/// symbol.
pub(super) struct Bounds {
    /// Positions in the part, sorted; empty if sizes are stated.
    starts: Vec<usize>,
}

impl Bounds {
    pub(super) fn of(facts: &Facts<'_, '_>, attributions: &Attributions<'_>) -> Self {
        let symbols = facts.image.symbols.as_ref();
        let is_derived = symbols.is_some_and(|table| !table.layout.has_sizes());
        let is_bound = |attribution: &&Attribution| {
            is_derived
                && matches!(
                    attribution.content(),
                    Content::Types | Content::Itabs | Content::Embed
                )
        };
        let starts = attributions.list.iter().filter(is_bound);
        let mut starts: Vec<_> = starts
            .filter_map(|attribution| index(attribution.start.into())?.checked_sub(facts.offset))
            .collect();
        starts.sort_unstable();
        Self { starts }
    }

    pub(super) fn clip(&self, file: Range<usize>) -> Range<usize> {
        let next = self.starts.partition_point(|&start| start <= file.start);
        let end = self.starts.get(next).copied().unwrap_or(file.end);
        file.start..end.min(file.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::Mark;

    fn symbol(name: &'static str, address: u64) -> Symbol<'static> {
        Symbol {
            name: name.as_bytes(),
            address,
            size: 0,
            section: None,
            is_function: true,
            is_local: true,
            mark: Mark::of(name.as_bytes()),
        }
    }

    fn sizes(symbols: &[Symbol<'_>]) -> Vec<u64> {
        symbols.iter().map(|symbol| symbol.size).collect()
    }

    #[test]
    fn the_function_table_bounds_what_is_left_of_the_symbols() {
        let mut symbols = [
            symbol("before", 1),
            symbol("main.a", 10),
            symbol("inside", 12),
            symbol("main.c", 30),
            symbol("behind", 99),
        ];
        let mut bounded = Bits::new(symbols.len());
        let functions = [(10, 20), (20, 30), (30, 40)];
        let is_whole = by_table(functions.into_iter(), &mut symbols, &mut bounded);
        assert!(!is_whole, "the function at 20 has no symbol");
        assert_eq!(sizes(&symbols), [0, 10, 0, 10, 0]);
    }

    #[test]
    fn a_mark_and_another_name_take_nothing_from_a_function() {
        let mut symbols = [
            symbol("main.a", 10),
            symbol("main.b", 10),
            symbol("runtime.text", 10),
        ];
        let mut bounded = Bits::new(symbols.len());
        let is_whole = by_table([(10, 20)].into_iter(), &mut symbols, &mut bounded);
        assert!(is_whole);
        assert_eq!(sizes(&symbols), [0, 10, 0]);
    }

    #[test]
    fn a_derived_size_ends_where_another_thing_begins() {
        let bounds = Bounds {
            starts: vec![10, 20],
        };
        let clipped = [5..30, 10..30, 20..30, 0..8].map(|it| bounds.clip(it));
        assert_eq!(clipped, [5..10, 10..20, 20..30, 0..8]);
    }

    #[test]
    fn functions_out_of_order_bound_nothing() {
        let mut symbols = [symbol("main.a", 10), symbol("main.b", 20)];
        let mut bounded = Bits::new(symbols.len());
        let functions = [(20, 30), (10, 20)];
        let is_whole = by_table(functions.into_iter(), &mut symbols, &mut bounded);
        assert!(!is_whole);
        assert_eq!(sizes(&symbols), [0, 10]);
    }
}
