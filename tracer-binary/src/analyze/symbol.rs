//! What has a name: in one order for all builds of the same code, as rows with the small ones folded, and as one hash.

use std::collections::BTreeMap;

use crate::analysis::{Fold, SymbolSize, Symbols};
use crate::claim::{Claims, Content};
use crate::ledger::Ledger;
use crate::package::PackageId;

/// One name with bytes in the file. Several things of one name are one.
#[derive(Clone, Copy, Debug)]
struct Entry<'i> {
    /// Place of its package among all, by path.
    rank: u32,
    /// Length and end of the name. They tell most names apart that share a package, without a look at the names themselves, which
    /// lie all over the file.
    len: u32,
    end: u64,
    name: &'i [u8],
    content: Content,
    package: PackageId,
    bytes: u64,
    count: u64,
}

/// Sorted: by package, then by length and end of the name.
#[derive(Debug)]
pub(super) struct Names<'i> {
    entries: Vec<Entry<'i>>,
}

impl<'i> Names<'i> {
    pub(super) fn of(claims: &Claims<'i>, ledger: &Ledger, packages: &[String]) -> Self {
        let ranks = ranks(packages);
        let rank = |id: PackageId| {
            let rank = crate::reader::index(id.0.into()).and_then(|at| ranks.get(at));
            rank.copied().unwrap_or(u32::MAX)
        };
        let mut entries: Vec<_> = claims
            .names
            .iter()
            .zip(&ledger.names)
            .filter(|(_, bytes)| **bytes > 0)
            .map(|(named, bytes)| Entry {
                rank: rank(named.package),
                len: u32::try_from(named.name.len()).unwrap_or(u32::MAX),
                end: end(named.name),
                name: named.name,
                content: named.content,
                package: named.package,
                bytes: *bytes,
                count: 1,
            })
            .collect();
        entries.sort_unstable_by(|a, b| {
            let short = |entry: &Entry<'_>| {
                let place = u64::from(entry.rank) << 32 | u64::from(entry.len);
                (place, entry.end)
            };
            let long = |entry: &Entry<'i>| (entry.name, entry.content, entry.bytes);
            short(a).cmp(&short(b)).then_with(|| long(a).cmp(&long(b)))
        });
        Self { entries }
    }

    /// Hash of the names and sizes of all functions.
    pub(super) fn outline(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = Vec::new();
        for entry in &self.entries {
            if !matches!(entry.content, Content::Code | Content::CCode) {
                continue;
            }
            text.extend_from_slice(entry.name);
            text.push(0);
            text.extend_from_slice(&entry.bytes.to_le_bytes());
            if text.len() >= 64 << 10 {
                hasher.update(&text);
                text.clear();
            }
        }
        hasher.update(&text);
        hasher.finalize().to_string()
    }

    pub(super) fn rows(
        mut self,
        claims: &Claims<'_>,
        packages: &[String],
        min_size: u64,
    ) -> Symbols {
        self.entries.dedup_by(|next, kept| {
            let same = (next.rank, next.len, next.end) == (kept.rank, kept.len, kept.end)
                && (next.name, next.content) == (kept.name, kept.content);
            if same {
                kept.bytes += next.bytes;
                kept.count += next.count;
            }
            same
        });
        rows(&self.entries, claims, packages, min_size)
    }
}

/// The last eight bytes of a name, or all of a shorter one.
fn end(name: &[u8]) -> u64 {
    let bytes = name.iter().rev().take(8).rev();
    bytes.fold(0, |end, &byte| end << 8 | u64::from(byte))
}

/// The place of each package among all, by its path. Two mangled names may be one path.
fn ranks(packages: &[String]) -> Vec<u32> {
    let mut order: Vec<_> = packages.iter().zip(0u32..).collect();
    order.sort_unstable();
    let mut ranks = vec![u32::MAX; packages.len()];
    let (mut rank, mut last) = (0, None);
    for (path, number) in order {
        if last.is_some_and(|last| last != path) {
            rank += 1;
        }
        last = Some(path);
        let place = crate::reader::index(number.into()).and_then(|at| ranks.get_mut(at));
        if let Some(place) = place {
            *place = rank;
        }
    }
    ranks
}

fn rows(entries: &[Entry<'_>], claims: &Claims<'_>, packages: &[String], min_size: u64) -> Symbols {
    let path = |id: PackageId| {
        crate::reader::index(id.0.into())
            .and_then(|at| packages.get(at))
            .cloned()
            .unwrap_or_default()
    };
    let mut symbols = Symbols {
        source: claims.source,
        count: entries.iter().map(|entry| entry.count).sum(),
        bytes: entries.iter().map(|entry| entry.bytes).sum(),
        min_size,
        ..Symbols::default()
    };
    let mut folded: BTreeMap<PackageId, (u64, u64)> = BTreeMap::new();
    for &Entry {
        rank: _,
        len: _,
        end: _,
        name,
        content,
        package,
        bytes,
        count,
    } in entries
    {
        if bytes < min_size {
            let fold = folded.entry(package).or_default();
            fold.0 += count;
            fold.1 += bytes;
        } else {
            let name = String::from_utf8_lossy(name).into_owned();
            symbols.list.push(SymbolSize {
                name,
                package: path(package),
                content,
                bytes,
                count,
            });
        }
    }
    symbols.list.sort_by(|a, b| {
        b.bytes
            .cmp(&a.bytes)
            .then_with(|| (&a.package, &a.name).cmp(&(&b.package, &b.name)))
    });
    symbols.folded = folded
        .into_iter()
        .map(|(package, (count, bytes))| Fold {
            package: path(package),
            count,
            bytes,
        })
        .collect();
    symbols.folded.sort_by(|a, b| a.package.cmp(&b.package));
    symbols
}
