//! The import graph of a `go` process, from the keys of all packages that it considered.
//!
//! The `go` command writes a line for each import to the key of a package, before it consults the build cache. The graph therefore contains
//! the packages of cache hits. A package whose lines may be incomplete has no imports here, rather than some of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::byte_string::ByteString;
use crate::event::Captured;
use crate::golang::tool::split_variant;
use crate::model::{ActionKey, Imports, KeyKind};
use crate::redact;

use super::Correlator;
use super::key::{self, Key};
use super::process::Process;

/// The package without sources. It has no key.
const BUILT_IN: &str = "unsafe";

/// The imports of all packages. `keys` are those of the executed actions.
pub(super) fn imports(
    correlator: &Correlator,
    process: &Process,
    keys: &[ActionKey],
) -> Option<Imports> {
    let mut latest: BTreeMap<ByteString, &Key> = BTreeMap::new();
    for key in process.keys.all() {
        if let Some((KeyKind::Build, package)) = key::unit(process, key) {
            latest.insert(package, key);
        }
    }
    if latest.is_empty() {
        return None;
    }
    let has_losses = key::may_lack_records(correlator, process);
    let own = keys.iter().filter(|it| it.kind == KeyKind::Build);
    let executed: BTreeMap<&ByteString, bool> = own.map(|it| (&it.package, !it.has_gaps)).collect();
    let of_packages = latest.iter().map(|(package, key)| {
        let of_hit = key.is_closed && !has_losses;
        let is_whole = executed.get(package).copied().unwrap_or(of_hit);
        let variant = variant(package);
        // The key of an imported variant may be lost too. Then its name is that of the ordinary package.
        let is_named = variant.is_none() || !has_losses;
        let known = Some(*key).filter(|_| is_whole && is_named);
        let imports = known.and_then(|it| paths(it, package)).map(|paths| {
            let resolved = paths.into_iter().map(|path| {
                let in_variant = variant.as_ref().map(|it| format!("{path} [{it}]").into());
                in_variant
                    .filter(|it| latest.contains_key(it))
                    .unwrap_or(path)
            });
            // The action that runs cgo belongs to the package itself.
            resolved.filter(|it| it != package).collect()
        });
        (package, imports)
    });
    Some(numbered(&of_packages.collect()))
}

/// The imported paths in the lines of the key of a package. `None` if a line that may name one is not whole, or the lines are those of
/// another package.
fn paths(key: &Key, package: &ByteString) -> Option<Vec<ByteString>> {
    const IMPORT: &[u8] = b"import ";
    let mut paths = Vec::new();
    let mut has_own = false;
    for line in &key.lines {
        let bytes = line.get()?.as_bytes();
        let Some(rest) = bytes.strip_prefix(IMPORT) else {
            continue;
        };
        // One line names the package itself, quoted.
        if let Some(own) = rest.strip_prefix(b"\"") {
            let (path, _) = split_variant(package.as_bytes());
            has_own = own.strip_suffix(b"\"\n") == Some(path);
            continue;
        }
        let is_whole = matches!(line, Captured::Whole(_)) && !redact::has_mark(bytes);
        let end = rest.iter().rposition(|it| *it == b' ')?;
        paths.push(ByteString::from(rest.get(..end).filter(|_| is_whole)?));
    }
    has_own.then_some(paths)
}

/// The test program that a package belongs to: `p.test` for `p.test` itself and for `q [p.test]`.
fn variant(package: &ByteString) -> Option<String> {
    let (path, variant) = split_variant(package.as_bytes());
    let variant = variant.or(path.ends_with(b".test").then_some(path))?;
    Some(String::from_utf8_lossy(variant).into_owned())
}

fn numbered(of_packages: &BTreeMap<&ByteString, Option<BTreeSet<ByteString>>>) -> Imports {
    let imported = of_packages.values().flatten().flatten();
    let packages: BTreeSet<&ByteString> = of_packages.keys().copied().chain(imported).collect();
    let numbers: BTreeMap<&ByteString, u32> = packages.iter().copied().zip(0u32..).collect();
    let imports = packages
        .iter()
        .map(|package| match of_packages.get(package) {
            Some(Some(imports)) => imports.iter().map(|it| numbers.get(it).copied()).collect(),
            None if **package == BUILT_IN => Some(Vec::new()),
            Some(None) | None => None,
        });
    Imports {
        imports: imports.collect(),
        packages: packages.iter().map(|it| (*it).clone()).collect(),
    }
}
