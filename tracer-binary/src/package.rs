//! The packages of a file, each by its import path.
//!
//! `go::name` finds the path in a symbol's name.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::go::name::{self, Spelling, SymbolOwner};

/// Index of a package in [`Packages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackageId(pub u32);

impl PackageId {
    /// Stands for no package.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Every package found so far.
#[derive(Debug, Default)]
pub(crate) struct Packages<'i> {
    /// Without escapes.
    paths: Vec<Cow<'i, [u8]>>,
    /// By the path, and by each of its escaped forms that was found.
    ids: HashMap<Cow<'i, [u8]>, PackageId>,
    /// True if the file names the package outside of symbols.
    declared: Vec<bool>,
    spelling: Spelling,
    /// The last package found: neighbours in a file are mostly of the same package.
    last: Option<(&'i [u8], PackageId)>,
}

impl<'i> Packages<'i> {
    pub(crate) fn new() -> Self {
        let mut packages = Self::default();
        packages.declare(b"main");
        packages
    }

    /// Sets the spelling of the following symbols.
    pub(crate) fn spell(&mut self, spelling: Spelling) {
        self.spelling = spelling;
        self.last = None;
    }

    /// Adds a package by its path, which is not a part of a longer name.
    pub(crate) fn declare(&mut self, path: &'i [u8]) -> PackageId {
        let id = self.intern(path);
        if let Some(declared) = at(id).and_then(|at| self.declared.get_mut(at)) {
            *declared = true;
        }
        id
    }

    fn intern(&mut self, path: &'i [u8]) -> PackageId {
        if let Some((last, id)) = self.last
            && last == path
        {
            return id;
        }
        let id = match self.ids.get(path) {
            Some(&id) => id,
            None => self.add(path),
        };
        self.last = Some((path, id));
        id
    }

    fn add(&mut self, path: &'i [u8]) -> PackageId {
        let plain = name::unescape(path);
        let next = PackageId(u32::try_from(self.paths.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry(plain.clone()).or_insert(next);
        if id == next {
            self.paths.push(plain);
            self.declared.push(false);
        }
        self.ids.insert(Cow::Borrowed(path), id);
        id
    }

    /// The package of a symbol, `NONE` for one that belongs to none.
    pub(crate) fn of_symbol(&mut self, symbol: &'i [u8]) -> PackageId {
        self.owner(symbol).unwrap_or(PackageId::NONE)
    }

    /// The package of a symbol, `NONE` if the toolchain made the symbol for no package, and nothing if the name does
    /// not state it.
    pub(crate) fn owner(&mut self, symbol: &'i [u8]) -> Option<PackageId> {
        if let Some((last, id)) = self.last
            && name::is_of(symbol, last)
        {
            return Some(id);
        }
        match name::owner(symbol, self.spelling) {
            SymbolOwner::Package(path) => Some(self.resolve(path)),
            SymbolOwner::Toolchain => Some(PackageId::NONE),
            SymbolOwner::Unnamed => None,
        }
    }

    /// The package of a path. The longest path is the right one, unless it consists of two: the receiver's, and that of
    /// a method which is not exported.
    fn resolve(&mut self, path: &'i [u8]) -> PackageId {
        if !self.ids.contains_key(path)
            && let Some(id) = self.receiver(path)
        {
            self.ids.insert(Cow::Borrowed(path), id);
        }
        self.intern(path)
    }

    fn receiver(&self, path: &[u8]) -> Option<PackageId> {
        let declared = |path: &[u8]| {
            let id = self.ids.get(&*name::unescape(path)).copied()?;
            self.is_declared(id).then_some(id)
        };
        let mut pairs = name::pairs(path);
        pairs.find_map(|(receiver, method)| {
            declared(receiver).filter(|_| declared(method).is_some())
        })
    }

    fn is_declared(&self, id: PackageId) -> bool {
        let declared = at(id).and_then(|at| self.declared.get(at));
        declared.copied().unwrap_or(false)
    }

    /// Searches only the packages already found. This is for data symbols, whose names C shares.
    pub(crate) fn known_of_symbol(&self, symbol: &[u8]) -> PackageId {
        name::owner(symbol, self.spelling)
            .package()
            .and_then(|path| self.ids.get(path).copied())
            .unwrap_or(PackageId::NONE)
    }

    pub(crate) fn name(&self, id: PackageId) -> Option<Cow<'_, str>> {
        let path = self.paths.get(at(id)?)?;
        Some(String::from_utf8_lossy(path))
    }

    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> + '_ {
        self.paths.iter().map(|path| String::from_utf8_lossy(path))
    }
}

fn at(id: PackageId) -> Option<usize> {
    crate::reader::index(id.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The package of each symbol, in order.
    fn paths(packages: &mut Packages<'static>, symbols: &[&'static str]) -> Vec<String> {
        let mut found = Vec::new();
        for symbol in symbols {
            let id = packages.of_symbol(symbol.as_bytes());
            found.push(packages.name(id).unwrap_or_default().into_owned());
        }
        found
    }

    #[test]
    fn each_form_of_a_path_is_the_same_package() {
        let mut packages = Packages::default();
        let symbols = [
            "gopkg.in/yaml%252ev3.F.func1",
            "gopkg.in/yaml%2ev3.F",
            "gopkg.in/yaml%2ev3.G",
        ];
        let first = packages.declare(b"gopkg.in/yaml.v3");
        for symbol in symbols {
            assert_eq!(packages.of_symbol(symbol.as_bytes()), first, "{symbol}");
        }
        assert_eq!(packages.len(), 1);
    }

    #[test]
    fn a_method_of_another_package_is_the_receivers() {
        let mut packages = Packages::new();
        for path in ["example.com/a/b", "example.com/api", "go.example/x.v2"] {
            packages.declare(path.as_bytes());
        }
        let symbols = [
            "main.server.example.com/api.mustEmbed",
            "example.com/a/b.T.example.com/api.m",
            "example.com/api.F",
            "main.T.go.example/x%2ev2.m",
            "main.example.com/x.F",
            "main.T.M",
        ];
        let expected = [
            "main",
            "example.com/a/b",
            "example.com/api",
            "main",
            "main.example.com/x",
            "main",
        ];
        assert_eq!(paths(&mut packages, &symbols), expected);
    }

    #[test]
    fn of_data_only_known_packages_count() {
        let mut packages = Packages::default();
        packages.declare(b"os");
        let known = packages.known_of_symbol(b"os.Args");
        assert_eq!(packages.name(known).as_deref(), Some("os"));
        assert_eq!(packages.known_of_symbol(b"completed.0"), PackageId::NONE);
    }

    #[test]
    fn names_of_the_toolchain_differ_from_names_without_a_package() {
        let mut packages = Packages::default();
        assert_eq!(packages.owner(b"type:.eq.SM10"), Some(PackageId::NONE));
        assert_eq!(packages.owner(b"cmpbody"), None);
    }
}
