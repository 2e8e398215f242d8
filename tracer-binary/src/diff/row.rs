//! Rows of each grain: matched by name, without equal ones, sorted by the size of the change.

use std::collections::BTreeMap;

use super::Row;
use crate::analysis::Symbols;
use crate::snapshot::Snapshot;

/// Identifies a row: its name and its container.
type Key = (String, String);

/// Bytes, and symbols if known.
type Value = (u64, Option<u64>);

pub(super) fn groups(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        sum(side.groups.iter().map(|group| {
            (
                (group.group.name().to_owned(), String::new()),
                (group.bytes, None),
            )
        }))
    };
    rows(side(before), side(after))
}

pub(super) fn contents(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        sum(side.contents.iter().map(|size| {
            (
                (size.content.name().to_owned(), String::new()),
                (size.bytes, None),
            )
        }))
    };
    rows(side(before), side(after))
}

pub(super) fn sections(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        sum(side.sections.iter().map(|section| {
            // A section without bytes on disk is compared by its memory, and its name states that.
            let (name, bytes) = if section.disk == 0 {
                (format!("{} in memory", section.name), section.memory)
            } else {
                (section.name.clone(), section.disk)
            };
            ((name, String::new()), (bytes, None))
        }))
    };
    rows(side(before), side(after))
}

pub(super) fn members(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        sum(side
            .members
            .iter()
            .map(|member| ((member.name.clone(), String::new()), (member.bytes, None))))
    };
    rows(side(before), side(after))
}

pub(super) fn modules(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        let counts = counts(&side.symbols);
        let mut symbols: BTreeMap<&str, u64> = BTreeMap::new();
        for package in &side.packages {
            *symbols.entry(&package.module).or_default() +=
                counts.get(package.path.as_str()).copied().unwrap_or(0);
        }
        let value = |module: &crate::analysis::ModuleSize| {
            (module.bytes, symbols.get(module.path.as_str()).copied())
        };
        sum(side
            .modules
            .iter()
            .map(|module| ((module.path.clone(), String::new()), value(module))))
    };
    rows(side(before), side(after))
}

pub(super) fn packages(before: &Snapshot, after: &Snapshot) -> Vec<Row> {
    let side = |side: &Snapshot| {
        let counts = counts(&side.symbols);
        sum(side.packages.iter().map(|package| {
            let symbols = counts.get(package.path.as_str()).copied();
            (
                (package.path.clone(), package.module.clone()),
                (package.bytes, symbols),
            )
        }))
    };
    rows(side(before), side(after))
}

pub(super) fn symbols(before: &Symbols, after: &Symbols) -> Vec<Row> {
    let side = |side: &Symbols| {
        let listed = side.list.iter().map(|symbol| {
            (
                (symbol.name.clone(), symbol.package.clone()),
                (symbol.bytes, Some(symbol.count)),
            )
        });
        let smaller = format!("(under {} bytes)", side.min_size);
        let folded = side.folded.iter().map(|fold| {
            (
                (smaller.clone(), fold.package.clone()),
                (fold.bytes, Some(fold.count)),
            )
        });
        sum(listed.chain(folded))
    };
    rows(side(before), side(after))
}

/// Symbols of each package, listed or folded.
fn counts(symbols: &Symbols) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for symbol in &symbols.list {
        *counts.entry(symbol.package.as_str()).or_default() += symbol.count;
    }
    for fold in &symbols.folded {
        *counts.entry(fold.package.as_str()).or_default() += fold.count;
    }
    counts
}

/// Sums equal keys. Names may repeat: two sections of an object, two members of an archive.
fn sum(values: impl Iterator<Item = (Key, Value)>) -> BTreeMap<Key, Value> {
    let mut sums: BTreeMap<Key, Value> = BTreeMap::new();
    for (key, (bytes, symbols)) in values {
        let sum = sums.entry(key).or_insert((0, None));
        sum.0 += bytes;
        sum.1 = sum.1.into_iter().chain(symbols).reduce(|a, b| a + b);
    }
    sums
}

fn rows(mut before: BTreeMap<Key, Value>, after: BTreeMap<Key, Value>) -> Vec<Row> {
    let row = |(name, within): Key, before: Option<Value>, after: Option<Value>| Row {
        name,
        within,
        before: before.map(|(bytes, _)| bytes),
        after: after.map(|(bytes, _)| bytes),
        symbols_before: before.and_then(|(_, symbols)| symbols),
        symbols_after: after.and_then(|(_, symbols)| symbols),
    };
    let mut rows = Vec::new();
    for (key, after) in after {
        let before = before.remove(&key);
        if before != Some(after) {
            rows.push(row(key, before, Some(after)));
        }
    }
    rows.extend(
        before
            .into_iter()
            .map(|(key, before)| row(key, Some(before), None)),
    );
    rows.sort_by(|a, b| {
        let by_change = b.change().unsigned_abs().cmp(&a.change().unsigned_abs());
        by_change.then_with(|| (&a.within, &a.name).cmp(&(&b.within, &b.name)))
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(values: &[(&str, u64)]) -> BTreeMap<Key, Value> {
        sum(values
            .iter()
            .map(|(name, bytes)| (((*name).to_owned(), String::new()), (*bytes, Some(1)))))
    }

    #[test]
    fn equal_rows_are_left_out_and_the_largest_change_comes_first() {
        let rows = rows(
            side(&[("same", 5), ("less", 90), ("gone", 7)]),
            side(&[("same", 5), ("less", 50), ("new", 30)]),
        );
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.before, row.after, row.change()))
            .collect();
        assert_eq!(
            seen,
            [
                ("less", Some(90), Some(50), -40),
                ("new", None, Some(30), 30),
                ("gone", Some(7), None, -7),
            ]
        );
    }

    #[test]
    fn rows_of_one_name_are_one() {
        let rows = rows(side(&[]), side(&[("x", 1), ("x", 2)]));
        assert_eq!(
            rows.first().map(|row| (row.after, row.symbols_after)),
            Some((Some(3), Some(2)))
        );
    }
}
