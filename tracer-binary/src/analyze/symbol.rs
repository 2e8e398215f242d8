//! Named items: sorted the same for all builds of the same code, as rows with the small ones folded, and as one hash.

use std::collections::BTreeMap;

use crate::analysis::{Fold, SymbolSize, Symbols};
use crate::attribution::{Attributions, Content, FunctionSource, NamedItem};
use crate::ledger::Ledger;
use crate::package::PackageId;
use crate::reader::index;

/// One name with bytes in the file. Compact, because there may be millions.
#[derive(Clone, Copy, Debug)]
struct NameEntry {
    /// The last bytes of the name. Together with the length they distinguish most names of a package. The comparison
    /// then needs no access to the names themselves, which are scattered over the file.
    end: u64,
    len: u32,
    /// Rank of its package among all, by path.
    rank: u32,
    /// Index into [`Attributions::names`].
    number: u32,
}

const _: () = assert!(size_of::<NameEntry>() == 24);

/// All names with bytes, sorted by package, then by length and end of the name.
#[derive(Debug)]
pub(super) struct Names<'c, 'i> {
    entries: Vec<NameEntry>,
    all: &'c [NamedItem<'i>],
    /// Bytes of each name.
    bytes: &'c [u64],
}

impl<'c, 'i> Names<'c, 'i> {
    pub(super) fn of(
        attributions: &'c Attributions<'i>,
        ledger: &'c Ledger,
        packages: &[String],
    ) -> Self {
        let ranks = ranks(packages);
        let rank = |id: PackageId| {
            let rank = index(id.0.into()).and_then(|at| ranks.get(at));
            rank.copied().unwrap_or(u32::MAX)
        };
        let (all, bytes) = (&attributions.names, &ledger.names);
        let mut entries = Vec::with_capacity(bytes.iter().filter(|bytes| **bytes > 0).count());
        let with_bytes = (0u32..).zip(all.iter().zip(bytes));
        let with_bytes = with_bytes.filter(|(_, (_, bytes))| **bytes > 0);
        entries.extend(with_bytes.map(|(number, (named, _))| NameEntry {
            end: end(named.name),
            len: u32::try_from(named.name.len()).unwrap_or(u32::MAX),
            rank: rank(named.package),
            number,
        }));
        let mut names = Self {
            entries: Vec::new(),
            all,
            bytes,
        };
        entries.sort_unstable_by(|a, b| {
            let short = |entry: &NameEntry| {
                let place = u64::from(entry.rank) << 32 | u64::from(entry.len);
                (place, entry.end)
            };
            let long = |entry: &NameEntry| {
                let (it, bytes) = names.get(*entry);
                (it.name, it.content, bytes)
            };
            short(a).cmp(&short(b)).then_with(|| long(a).cmp(&long(b)))
        });
        names.entries = entries;
        names
    }

    /// The item of an entry, and its bytes.
    fn get(&self, entry: NameEntry) -> (NamedItem<'i>, u64) {
        const NOTHING: NamedItem<'_> = NamedItem {
            name: &[],
            package: PackageId::NONE,
            content: Content::Unattributed,
        };
        let at = index(entry.number.into()).unwrap_or(usize::MAX);
        let named = self.all.get(at).copied().unwrap_or(NOTHING);
        (named, self.bytes.get(at).copied().unwrap_or(0))
    }

    /// Hash of the names and sizes of all functions.
    pub(super) fn outline(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = Vec::new();
        for entry in &self.entries {
            let (named, bytes) = self.get(*entry);
            if !matches!(named.content, Content::Code | Content::CCode) {
                continue;
            }
            text.extend_from_slice(named.name);
            text.push(0);
            text.extend_from_slice(&bytes.to_le_bytes());
            if text.len() >= 64 << 10 {
                hasher.update(&text);
                text.clear();
            }
        }
        hasher.update(&text);
        hasher.finalize().to_string()
    }

    /// Rows of the symbols. Several items with one name are one row.
    pub(super) fn rows(
        &self,
        source: FunctionSource,
        packages: &[String],
        min_size: u64,
    ) -> Symbols {
        let same = |a: &NameEntry, b: &NameEntry| {
            let name = |entry: &NameEntry| {
                let (named, _) = self.get(*entry);
                (named.name, named.content)
            };
            (a.rank, a.len, a.end) == (b.rank, b.len, b.end) && name(a) == name(b)
        };
        let rows = self.entries.chunk_by(same).filter_map(|group| {
            let (named, _) = self.get(*group.first()?);
            let bytes = group.iter().map(|entry| self.get(*entry).1).sum();
            Some((named, bytes, group.len() as u64))
        });
        rows_of(rows, source, packages, min_size)
    }
}

/// The number of init functions in each package. The linker keeps none without code.
pub(super) fn init_functions(
    attributions: &Attributions<'_>,
    ledger: &Ledger,
    n_packages: usize,
) -> Vec<u64> {
    let mut counts = vec![0; n_packages];
    let functions = attributions.names.iter().zip(&ledger.names);
    for (it, bytes) in functions {
        if *bytes == 0 || it.content != Content::Code || !is_init(it.name) {
            continue;
        }
        if let Some(n) = index(it.package.0.into()).and_then(|at| counts.get_mut(at)) {
            *n += 1;
        }
    }
    counts
}

/// True for `example.com/a.init` and `example.com/a.init.0`. Dots in the last element of an import path are escaped in symbols.
fn is_init(name: &[u8]) -> bool {
    let element = name.rsplit(|it| *it == b'/').next().unwrap_or_default();
    let mut words = element.splitn(2, |it| *it == b'.');
    let (Some(package), Some(function)) = (words.next(), words.next()) else {
        return false;
    };
    let number = match function.strip_prefix(b"init") {
        Some([]) => return !package.is_empty(),
        Some(rest) => rest.strip_prefix(b"."),
        None => None,
    };
    number.is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
}

/// The last eight bytes of a name, or all of a shorter one.
fn end(name: &[u8]) -> u64 {
    let bytes = name.iter().rev().take(8).rev();
    bytes.fold(0, |end, &byte| end << 8 | u64::from(byte))
}

/// The rank of each package among all, by its path. Two mangled names may be one path.
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
        let place = index(number.into()).and_then(|at| ranks.get_mut(at));
        if let Some(place) = place {
            *place = rank;
        }
    }
    ranks
}

fn rows_of<'i>(
    rows: impl Iterator<Item = (NamedItem<'i>, u64, u64)>,
    source: FunctionSource,
    packages: &[String],
    min_size: u64,
) -> Symbols {
    let path = |id: PackageId| {
        index(id.0.into())
            .and_then(|at| packages.get(at))
            .cloned()
            .unwrap_or_default()
    };
    let mut symbols = Symbols {
        source,
        min_size,
        ..Symbols::default()
    };
    let mut folded: BTreeMap<PackageId, (u64, u64)> = BTreeMap::new();
    for (named, bytes, count) in rows {
        let NamedItem {
            name,
            package,
            content,
        } = named;
        symbols.count += count;
        symbols.bytes += bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_functions_have_no_other_name() {
        for name in [
            "main.init",
            "example.com/a.init.0",
            "gopkg.in/yaml%2ev3.init.12",
        ] {
            assert!(is_init(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "init",
            ".init",
            "main.initial",
            "main.init.",
            "main.init.func1",
            "main.init.0.func1",
            "main.T.init",
            "main.(*T).init",
            "example.com/init.f",
        ] {
            assert!(!is_init(name.as_bytes()), "{name}");
        }
    }
}
