//! Rows for symbols, the small ones folded.

use std::collections::BTreeMap;

use crate::analysis::{Fold, SymbolSize, Symbols};
use crate::claim::Claims;
use crate::ledger::Ledger;
use crate::package::PackageId;

/// Symbols with bytes in the file; names that several share are one row.
pub(super) fn symbols(
    claims: &Claims<'_>,
    ledger: &Ledger,
    packages: &[String],
    min_size: u64,
) -> Symbols {
    let mut rows: Vec<_> = claims
        .names
        .iter()
        .zip(&ledger.names)
        .filter(|(_, bytes)| **bytes > 0)
        .map(|(named, bytes)| (named.package, named.name, named.content, *bytes, 1u64))
        .collect();
    rows.sort_unstable();
    rows.dedup_by(|next, kept| {
        let same = (next.0, next.1, next.2) == (kept.0, kept.1, kept.2);
        if same {
            kept.3 += next.3;
            kept.4 += next.4;
        }
        same
    });
    let path = |id: PackageId| {
        crate::reader::index(id.0.into())
            .and_then(|at| packages.get(at))
            .cloned()
            .unwrap_or_default()
    };
    let mut symbols = Symbols {
        source: claims.source,
        count: rows.iter().map(|row| row.4).sum(),
        bytes: rows.iter().map(|row| row.3).sum(),
        min_size,
        ..Symbols::default()
    };
    let mut folded: BTreeMap<PackageId, (u64, u64)> = BTreeMap::new();
    for (package, name, content, bytes, count) in rows {
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
