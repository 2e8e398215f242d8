//! The graph of a build's actions: which actions each of them waited for.

use std::collections::{HashMap, HashSet};

use crate::byte_string::ByteString;
use crate::event::Ktime;
use crate::golang::tool::split_variant;
use crate::import_graph::ImportGraph;
use crate::model::{Action, Build};

const BUILD: &str = "build";
/// Before Go 1.26, this is a part of `build`, and tests have no barriers.
const CHECK_CACHE: &str = "build check cache";
const CGO_RUN: &str = "cgo run";
const CGO_COMPILE: &str = "cgo compile";
const LINK: &str = "link";
const VET: &str = "vet";
const TEST_RUN: &str = "test run";
/// Suffix of the import path of a test program.
const PROGRAM: &[u8] = b".test";
const TEST_CLEAN: &str = "test clean";
const TEST_PRINT: &str = "test print";
/// Prefix of the modes of a test's actions.
const TEST: &str = "test ";
/// Prefix of the modes of actions for the whole command: `go test`.
const GO: &str = "go ";
/// Suffix of the mode of an action that installs the result of another.
const INSTALL: &str = "-install";

/// The actions of a build, and the order in which they had to run.
///
/// Every edge leads to an action that started earlier, so there is no cycle, whatever the keys contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionGraph {
    /// For each action of the build, the actions that it waits for, in the order of the `go` command.
    below: Vec<Vec<u32>>,
    spans: Vec<(Ktime, Ktime)>,
    /// The actions whose imports are not known.
    n_unknown: u32,
}

impl ActionGraph {
    /// `None` if the build has no cache keys. `end` is the end of the build, or its last event.
    pub fn of(build: &Build, end: Ktime) -> Option<Self> {
        let imports = ImportGraph::of(build)?;
        let mut graph = Self {
            spans: spans(build, end),
            ..Self::default()
        };
        let mut tops: Vec<u32> = Vec::new();
        let mut last_run: Vec<u32> = Vec::new();
        let mut last_print: Vec<u32> = Vec::new();
        let imported = imported_by_tested(build, &imports);
        let has_barriers = build.actions.iter().any(|it| it.mode == CHECK_CACHE);
        let mut started: HashMap<(&str, &[u8]), u32> = HashMap::new();
        for (index, action) in (0u32..).zip(&build.actions) {
            let mut below = Below {
                started: &started,
                graph: &imports,
                tops: &tops,
                last_run: &last_run,
                last_print: &last_print,
                has_barriers,
                imported: &imported,
                found: Vec::new(),
                seen: HashSet::new(),
            };
            if !below.add(action) {
                graph.n_unknown = graph.n_unknown.saturating_add(1);
            }
            let Below { found, seen, .. } = below;
            tops.retain(|it| !seen.contains(it));
            tops.push(index);
            match action.mode.as_str() {
                TEST_RUN => last_run.clone_from(&found),
                TEST_PRINT => last_print = vec![index],
                _ => {}
            }
            graph.below.push(found);
            if let Some(package) = &action.package {
                started.insert((&action.mode, package.as_bytes()), index);
            }
        }
        Some(graph)
    }

    /// A graph of actions with these times. An edge to an action that is not earlier is left out.
    #[cfg(test)]
    pub(super) fn from_parts(parts: Vec<((u64, u64), Vec<u32>)>) -> Self {
        let mut graph = Self::default();
        for (index, ((start, end), mut below)) in (0u32..).zip(parts) {
            below.retain(|it| *it < index);
            graph.below.push(below);
            graph.spans.push((Ktime(start), Ktime(end)));
        }
        graph
    }

    /// The actions that this one waits for.
    pub fn below(&self, index: usize) -> &[u32] {
        self.below.get(index).map_or(&[], Vec::as_slice)
    }

    /// Start and end of each action.
    pub fn spans(&self) -> &[(Ktime, Ktime)] {
        &self.spans
    }

    /// The number of actions that may have waited for others than the graph shows.
    pub fn n_unknown(&self) -> u32 {
        self.n_unknown
    }
}

/// The packages that a tested package imports, without test variants.
fn imported_by_tested<'a>(build: &Build, graph: &ImportGraph<'a>) -> HashSet<&'a [u8]> {
    // A package without a test has only some of the actions.
    let of_tests = build.actions.iter().filter(|it| it.mode.starts_with(TEST));
    let tested = of_tests.filter_map(|it| it.package.as_ref());
    let names = tested.flat_map(|it| {
        let plain = it.as_bytes();
        let variant = [plain, b" [", plain, PROGRAM, b"]"].concat();
        [plain.to_vec(), variant]
    });
    let numbers = names.filter_map(|it| graph.number(&it));
    let imports = numbers.filter_map(|it| graph.imports(it)).flatten();
    let packages = imports.filter_map(|it| graph.package(*it));
    packages.map(|it| split_variant(it.as_bytes()).0).collect()
}

/// Start and end of each action. An action whose end was not seen lasts until the end of the build.
fn spans(build: &Build, end: Ktime) -> Vec<(Ktime, Ktime)> {
    let span = |it: &Action| (it.start, it.end.unwrap_or(end).max(it.start));
    build.actions.iter().map(span).collect()
}

/// The actions that one action waits for.
struct Below<'a> {
    /// The latest action of each mode and package.
    started: &'a HashMap<(&'a str, &'a [u8]), u32>,
    graph: &'a ImportGraph<'a>,
    /// The earlier actions that no other waits for.
    tops: &'a [u32],
    /// The actions that the last started test waits for.
    last_run: &'a [u32],
    last_print: &'a [u32],
    has_barriers: bool,
    /// The packages that a tested package imports.
    imported: &'a HashSet<&'a [u8]>,
    found: Vec<u32>,
    seen: HashSet<u32>,
}

impl Below<'_> {
    /// Adds the actions below an action. Returns false if its imports are not known.
    fn add(&mut self, action: &Action) -> bool {
        let Some(package) = action.package.as_ref().map(ByteString::as_bytes) else {
            // The action at the end waits for all others.
            if action.mode.starts_with(GO) {
                self.all(self.tops);
            }
            return true;
        };
        let number = self.graph.number(package);
        let imports = number.and_then(|it| self.graph.imports(it));
        match action.mode.as_str() {
            BUILD => {
                self.imports(BUILD, imports);
                for mode in [CHECK_CACHE, CGO_RUN, CGO_COMPILE] {
                    self.one(mode, package);
                }
                // The variant for a test waits for the package itself if another tested package imports it (`builderTest` in
                // `cmd/go/internal/test/test.go`).
                let (path, variant) = split_variant(package);
                let is_own = variant.and_then(|it| it.strip_suffix(PROGRAM)) == Some(path);
                if is_own && self.imported.contains(path) {
                    self.one(BUILD, path);
                }
                imports.is_some()
            }
            CHECK_CACHE => {
                self.imports(BUILD, imports);
                imports.is_some()
            }
            CGO_RUN => self.only(CHECK_CACHE, package),
            CGO_COMPILE => self.only(CGO_RUN, package),
            VET => {
                self.one(BUILD, package);
                self.imports(VET, imports);
                // Until Go 1.25, vet needs this package, whatever is imported (`vetAction` in `cmd/go/internal/work/action.go`).
                if !self.has_barriers {
                    self.one(BUILD, b"fmt");
                }
                imports.is_some()
            }
            // A program waits for all its packages, and its main package waits for all others.
            LINK => self.only(BUILD, package),
            TEST_CLEAN => self.only(TEST_RUN, package),
            TEST_PRINT => {
                // The results are printed in order.
                self.all(self.last_print);
                self.one(TEST_CLEAN, package);
                self.only(TEST_RUN, package)
            }
            TEST_RUN => {
                let program = [package, PROGRAM].concat();
                self.one(BUILD, package);
                self.one(LINK, &program);
                let variant = [b" [", program.as_slice(), b"]"].concat();
                let own = [package, &variant].concat();
                let external = [package, b"_test", &variant].concat();
                let is_vetted = self.one(VET, &own) | self.one(VET, &external);
                if !is_vetted {
                    self.one(VET, package);
                }
                // Since Go 1.26, a test also waits for what the tests before it wait for ("test barrier").
                if self.has_barriers {
                    self.all(self.last_run);
                }
                true
            }
            mode => match mode.strip_suffix(INSTALL) {
                Some(mode) => self.only(mode, package),
                None => true,
            },
        }
    }

    fn imports(&mut self, mode: &'static str, imports: Option<&[u32]>) {
        for import in imports.into_iter().flatten() {
            if let Some(package) = self.graph.package(*import) {
                self.one(mode, package.as_bytes());
            }
        }
    }

    fn all(&mut self, actions: &[u32]) {
        for it in actions {
            if self.seen.insert(*it) {
                self.found.push(*it);
            }
        }
    }

    /// Adds the latest action of a mode and a package. Returns false without such an action.
    fn one(&mut self, mode: &str, package: &[u8]) -> bool {
        let found = self.started.get(&(mode, package)).copied();
        self.all(found.as_slice());
        found.is_some()
    }

    /// The same, for an action that waits for no other.
    fn only(&mut self, mode: &str, package: &[u8]) -> bool {
        self.one(mode, package);
        true
    }
}
