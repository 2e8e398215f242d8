//! Modules guessed from import paths, for files whose build information contains none.
//!
//! Two rules are facts: only the tree around a directory `internal` may import it, and only the tree around a directory
//! `vendor` builds with it. The other rules are conventions: hosts of repositories, and commands below `cmd`. Every
//! result is therefore marked as a guess.

use super::{Group, PackageModule, holds, is_nameless};

pub(super) const VENDOR: &str = "/vendor/";
const INTERNAL: &str = "/internal";
/// Hosts of repositories, and the number of path elements that name a repository.
const HOSTS: [(&str, usize); 6] = [
    ("github.com", 3),
    ("gitlab.com", 3),
    ("bitbucket.org", 3),
    ("codeberg.org", 3),
    ("golang.org", 3),
    ("gopkg.in", 2),
];
/// Number of path elements for other hosts.
const ELSEWHERE: usize = 3;

/// The first element of a package outside of GOPATH, which Go names after its directory.
const LOCAL: &str = "_";

/// True for the standard library: its packages have no dot in the first path element.
pub(super) fn is_std(package: &str) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    // `go.shape` is the compiler's, for the shapes of type arguments.
    !first.contains('.') && first != LOCAL || package == "go.shape"
}

/// The module of a package without other known facts.
pub(super) fn dependency(package: &str) -> PackageModule<'_> {
    let module = if holds(LOCAL, package) {
        package
    } else {
        cut(package, by_host(package).unwrap_or(ELSEWHERE))
    };
    PackageModule {
        group: Group::Dependencies,
        module,
        version: "",
        is_guess: true,
    }
}

/// The root of the tree that contains the main package at `path`.
pub(super) fn root_of<'p>(path: &'p str, packages: &[&str]) -> &'p str {
    if let Some(elements) = by_host(path) {
        return cut(path, elements);
    }
    let proven = packages.iter().filter_map(|package| {
        let root = proven_root(package)?;
        holds(root, path).then_some(root.len())
    });
    let by_convention = path.find("/cmd/");
    let shortest = proven.chain(by_convention).min();
    shortest.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// The single root of all packages outside of the standard library, if there is just one.
pub(super) fn only_root<'p>(packages: &[&'p str]) -> Option<&'p str> {
    let vendors = packages
        .iter()
        .filter_map(|package| Some(package.split_once(VENDOR)?.0));
    if let Some(root) = vendors.min_by_key(|root| root.len()) {
        return Some(root);
    }
    let own = || {
        let named = packages.iter().filter(|package| !is_nameless(package));
        named.copied().filter(|package| !is_std(package))
    };
    let roots = own().map(|package| match proven_root(package) {
        Some(root) if by_host(package).is_none() => root,
        _ => dependency(package).module,
    });
    let root = roots.min_by_key(|root| root.len())?;
    own().all(|package| holds(root, package)).then_some(root)
}

/// The tree of a package, proven by a directory `vendor` or `internal`.
fn proven_root(package: &str) -> Option<&str> {
    if let Some((root, _)) = package.split_once(VENDOR) {
        return Some(root);
    }
    let mut internal = package.match_indices(INTERNAL);
    let (at, _) = internal.find(|(at, found)| {
        let rest = package.get(at + found.len()..).unwrap_or_default();
        rest.is_empty() || rest.starts_with('/')
    })?;
    package.get(..at)
}

/// True if the host of a path defines where the repository begins.
pub(super) fn has_host(path: &str) -> bool {
    by_host(path).is_some()
}

fn by_host(path: &str) -> Option<usize> {
    let hosts = HOSTS.iter().find(|(host, _)| holds(host, path));
    hosts.map(|(_, elements)| *elements)
}

/// The first elements of a path.
fn cut(path: &str, elements: usize) -> &str {
    let end = path.match_indices('/').nth(elements - 1);
    end.and_then(|(at, _)| path.get(..at)).unwrap_or(path)
}
