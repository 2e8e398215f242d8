//! The import graph of a build: by which chain a package is imported, and what a program no longer needs without some packages.
//!
//! The input is [`Imports`]; nothing is read. Packages are numbers, the indices of [`Imports::packages`]. An answer that depends on the
//! unknown imports of a package is `None`. All walks are loops over a list, so a long chain exhausts no stack, and a damaged graph with a
//! cycle ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::byte_string::ByteString;
use crate::model::{Build, Imports};

/// The import graph of a build.
#[derive(Clone, Debug)]
pub struct ImportGraph<'a> {
    graph: &'a Imports,
}

impl<'a> ImportGraph<'a> {
    /// The graph of a build. `None` if the build has no cache keys.
    pub fn of(build: &'a Build) -> Option<Self> {
        build.imports.as_ref().map(Self::new)
    }

    pub fn new(graph: &'a Imports) -> Self {
        Self { graph }
    }

    /// The number of a package, by its import path with the test variant.
    pub fn number(&self, package: &[u8]) -> Option<u32> {
        let packages = &self.graph.packages;
        let found = packages.binary_search_by(|it| it.as_bytes().cmp(package));
        found.ok().and_then(|it| u32::try_from(it).ok())
    }

    pub fn package(&self, number: u32) -> Option<&'a ByteString> {
        self.graph.packages.get(number as usize)
    }

    /// The direct imports of a package. `None`: not known.
    pub fn imports(&self, number: u32) -> Option<&'a [u32]> {
        self.graph.imports.get(number as usize)?.as_deref()
    }

    /// A shortest chain of known imports from one of these packages to one that is wanted, both ends included. `None`: no chain is known.
    pub fn chain(&self, from: &[u32], is_wanted: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
        let mut came_from: BTreeMap<u32, u32> = BTreeMap::new();
        let mut seen: BTreeSet<u32> = from.iter().copied().collect();
        let mut left: VecDeque<u32> = seen.iter().copied().collect();
        while let Some(at) = left.pop_front() {
            if is_wanted(at) {
                let above = |it: &u32| came_from.get(it).copied();
                let mut chain: Vec<u32> = std::iter::successors(Some(at), above).collect();
                chain.reverse();
                return Some(chain);
            }
            for import in self.imports(at).unwrap_or_default() {
                if seen.insert(*import) {
                    came_from.insert(*import, at);
                    left.push_back(*import);
                }
            }
        }
        None
    }

    /// The packages that these packages need, themselves included. `None`: the imports of one of them are not known.
    pub fn reach(&self, from: &[u32]) -> Option<BTreeSet<u32>> {
        self.reach_without(from, |_| false)
    }

    /// The packages that these packages would need if nothing imported the removed ones. Those of [`Self::reach`] that are absent here
    /// are retained by the removed ones. `None`: the imports of a package that stays are not known.
    pub fn reach_without(
        &self,
        from: &[u32],
        is_removed: impl Fn(u32) -> bool,
    ) -> Option<BTreeSet<u32>> {
        let mut seen = BTreeSet::new();
        let mut left: Vec<u32> = from.to_vec();
        while let Some(at) = left.pop() {
            if !is_removed(at) && seen.insert(at) {
                left.extend(self.imports(at)?);
            }
        }
        Some(seen)
    }
}

#[cfg(test)]
mod tests;
