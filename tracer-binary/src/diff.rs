//! `diff`: two files compared at every grain.
//!
//! The rows are the changes, the largest first. Rows that are equal on both sides are not listed.

mod fact;
mod row;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entropy::WINDOW;
use crate::snapshot::{self, Snapshot, SnapshotSection};
use crate::{container, hashing, hex};

pub const SCHEMA: &str = "gotrace.diff.v1";

/// The similarity of two files, from the most to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Every byte is equal.
    SameFile,
    /// Everything is equal except build IDs, build information, source paths and parts that are not loaded.
    SameContent,
    /// The same functions with the same sizes: most likely the same code at other addresses.
    SameOutline,
    Different,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// Always `gotrace.diff.v1`.
    pub schema: String,
    pub likeness: Likeness,
    pub total: Row,
    pub groups: Vec<Row>,
    pub contents: Vec<Row>,
    pub sections: Vec<Row>,
    pub modules: Vec<Row>,
    pub packages: Vec<Row>,
    pub symbols: Vec<Row>,
    /// Members of archives.
    pub members: Vec<Row>,
    /// Identity, properties and settings that changed.
    pub facts: Vec<Fact>,
    pub dependencies: Vec<Fact>,
    pub entropy: Vec<EntropyChange>,
    /// Smaller symbols are compared by package only. A symbol that crosses this size appears as new or gone.
    pub min_symbol: u64,
    pub notes: Vec<String>,
}

/// One item before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    pub name: String,
    /// For a symbol, its package; for a package, its module.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub within: String,
    /// Bytes; absent if the item did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Symbols in the item, if their number is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols_after: Option<u64>,
}

impl Row {
    pub fn change(&self) -> i64 {
        let signed = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX);
        signed(self.after).saturating_sub(signed(self.before))
    }

    /// Change in per cent of the size before; `None` for a new item.
    #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^52")]
    pub fn percent(&self) -> Option<f64> {
        let before = self.before.filter(|&before| before > 0)?;
        Some(self.change() as f64 * 100.0 / before as f64)
    }
}

/// A value that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntropyChange {
    pub section: String,
    pub before: f64,
    pub after: f64,
}

/// One side of a comparison, not read yet.
#[derive(Clone, Copy, Debug)]
pub enum Side<'s> {
    File(&'s [u8]),
    Snapshot(&'s Snapshot),
}

/// The comparison of two sides that are the same file; neither side needs to be read. `None` if they differ, or if the
/// file's format is not supported.
pub fn unchanged(before: Side<'_>, after: Side<'_>) -> Option<Diff> {
    let (size, symbols, min_symbol) = match (before, after) {
        (Side::File(before), Side::File(after)) => {
            let is_same = before == after && container::is_read(before);
            is_same.then_some((before.len() as u64, None, 0))?
        }
        (Side::Snapshot(snapshot), Side::File(bytes))
        | (Side::File(bytes), Side::Snapshot(snapshot)) => {
            let is_same = snapshot.size == bytes.len() as u64
                && snapshot.sha256 == hex::encode(&hashing::sha256(bytes));
            let symbols = &snapshot.symbols;
            is_same.then_some((snapshot.size, Some(symbols.count), symbols.min_size))?
        }
        // Two snapshots contain everything for a full comparison.
        (Side::Snapshot(_), Side::Snapshot(_)) => return None,
    };
    Some(Diff {
        schema: SCHEMA.to_owned(),
        likeness: Likeness::SameFile,
        total: Row {
            name: "total".to_owned(),
            within: String::new(),
            before: Some(size),
            after: Some(size),
            symbols_before: symbols,
            symbols_after: symbols,
        },
        groups: Vec::new(),
        contents: Vec::new(),
        sections: Vec::new(),
        modules: Vec::new(),
        packages: Vec::new(),
        symbols: Vec::new(),
        members: Vec::new(),
        facts: Vec::new(),
        dependencies: Vec::new(),
        entropy: Vec::new(),
        min_symbol,
        notes: Vec::new(),
    })
}

/// Smaller changes of entropy are rounding of a link, not news.
const MIN_ENTROPY_CHANGE: f64 = 0.01;

pub fn diff(before: &Snapshot, after: &Snapshot) -> Diff {
    let min_symbol = before.symbols.min_size.max(after.symbols.min_size);
    let symbols = (
        snapshot::fold(&before.symbols, min_symbol),
        snapshot::fold(&after.symbols, min_symbol),
    );
    let mut notes = Vec::new();
    if before.symbols.source != after.symbols.source {
        notes.push(
            "one side lists functions by its symbol table, the other by its function table: \
             padding and type arguments differ"
                .to_owned(),
        );
    }
    Diff {
        schema: SCHEMA.to_owned(),
        likeness: likeness(before, after),
        total: Row {
            name: "total".to_owned(),
            before: Some(before.size),
            after: Some(after.size),
            symbols_before: Some(before.symbols.count),
            symbols_after: Some(after.symbols.count),
            ..Row::default()
        },
        groups: row::groups(before, after),
        contents: row::contents(before, after),
        sections: row::sections(before, after),
        modules: row::modules(before, after),
        packages: row::packages(before, after),
        symbols: row::symbols(&symbols.0, &symbols.1),
        members: row::members(before, after),
        facts: fact::facts(before, after),
        dependencies: fact::dependencies(before, after),
        entropy: entropy(before, after),
        min_symbol,
        notes,
    }
}

fn likeness(before: &Snapshot, after: &Snapshot) -> Likeness {
    if before.sha256 == after.sha256 {
        Likeness::SameFile
    } else if before.content.loaded == after.content.loaded {
        Likeness::SameContent
    } else if before.content.outline == after.content.outline {
        Likeness::SameOutline
    } else {
        Likeness::Different
    }
}

fn entropy(before: &Snapshot, after: &Snapshot) -> Vec<EntropyChange> {
    // The entropy of a few bytes depends on their number, and that of a build ID on chance.
    let comparable = |section: &&SnapshotSection| section.disk >= WINDOW as u64;
    let mut old = BTreeMap::new();
    for section in before.sections.iter().filter(comparable) {
        old.entry(&section.name).or_insert(section.entropy);
    }
    let new = after.sections.iter().filter(comparable);
    let changes = new.filter_map(|section| {
        let (before, after) = ((*old.get(&section.name)?)?, section.entropy?);
        let is_news = (after - before).abs() >= MIN_ENTROPY_CHANGE;
        is_news.then(|| EntropyChange {
            section: section.name.clone(),
            before,
            after,
        })
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by(|a, b| {
        (b.after - b.before)
            .abs()
            .total_cmp(&(a.after - a.before).abs())
    });
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, analyze};

    /// The smallest supported file: the header of a wasm module.
    const PROGRAM: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn the_same_bytes_compare_as_if_they_had_been_read() {
        let snapshot = Snapshot::of(&analyze(PROGRAM, Options::default()).unwrap(), 0);
        let read = diff(&snapshot, &snapshot);
        assert_eq!(read.likeness, Likeness::SameFile);
        let sides = [Side::File(PROGRAM), Side::Snapshot(&snapshot)];
        for (before, after) in [(0, 1), (1, 0)] {
            let found = unchanged(sides[before], sides[after]).unwrap();
            assert_eq!(
                (found.total, found.min_symbol),
                (read.total.clone(), read.min_symbol)
            );
        }
        let found = unchanged(sides[0], sides[0]).unwrap();
        assert_eq!(
            (found.total.before, found.total.after),
            (read.total.before, read.total.after)
        );
        assert_eq!(unchanged(sides[1], sides[1]), None);
    }

    #[test]
    fn other_bytes_need_to_be_read() {
        let other = b"\0asm\x01\0\0\x01";
        let snapshot = Snapshot::of(&analyze(PROGRAM, Options::default()).unwrap(), 0);
        let check = |before, after| assert_eq!(unchanged(before, after), None);
        check(Side::File(PROGRAM), Side::File(other));
        check(Side::Snapshot(&snapshot), Side::File(other));
        // Files that are not programs are refused, equal or not.
        check(Side::File(b"text"), Side::File(b"text"));
        check(Side::File(b""), Side::File(b""));
    }
}
