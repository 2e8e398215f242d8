//! The graph of a build's actions: which actions each of them waited for.

use std::collections::{BTreeMap, HashMap};

use crate::byte_string::ByteString;
use crate::event::Ktime;
use crate::golang::tool::split_variant;
use crate::model::{Action, Build, KeyKind};

const BUILD: &str = "build";
/// Before Go 1.26, this is a part of `build`.
const CHECK_CACHE: &str = "build check cache";
const CGO_RUN: &str = "cgo run";
const CGO_COMPILE: &str = "cgo compile";
const LINK: &str = "link";
const VET: &str = "vet";
const TEST_RUN: &str = "test run";
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
    /// `None` if no key of the build shows an import. `end` is the end of the build, or its last event.
    pub fn of(build: &Build, end: Ktime) -> Option<Self> {
        let keys = Keys::of(build);
        if keys.is_empty() {
            return None;
        }
        let mut graph = Self {
            spans: spans(build, end),
            ..Self::default()
        };
        let mut started: HashMap<(&str, &[u8]), u32> = HashMap::new();
        for (index, action) in (0u32..).zip(&build.actions) {
            let mut below = Below::new(&started);
            if !below.add(action, &keys) {
                graph.n_unknown = graph.n_unknown.saturating_add(1);
            }
            let below = below.found;
            graph.below.push(below);
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

    pub fn len(&self) -> usize {
        self.below.len()
    }

    pub fn is_empty(&self) -> bool {
        self.below.is_empty()
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

    /// The actions that wait for each action.
    pub fn above(&self) -> Vec<Vec<u32>> {
        let mut above = vec![Vec::new(); self.below.len()];
        for (index, below) in (0u32..).zip(&self.below) {
            for it in below {
                if let Some(above) = above.get_mut(*it as usize) {
                    above.push(index);
                }
            }
        }
        above
    }
}

/// Start and end of each action. An action whose end was not seen lasts until the end of the build.
fn spans(build: &Build, end: Ktime) -> Vec<(Ktime, Ktime)> {
    let span = |it: &Action| (it.start, it.end.unwrap_or(end).max(it.start));
    build.actions.iter().map(span).collect()
}

/// The imports of packages and the packages of programs, from the cache keys.
struct Keys<'a> {
    imports: BTreeMap<&'a [u8], Vec<&'a [u8]>>,
    programs: BTreeMap<&'a [u8], Vec<&'a [u8]>>,
}

impl<'a> Keys<'a> {
    fn of(build: &'a Build) -> Self {
        let mut keys = Self {
            imports: BTreeMap::new(),
            programs: BTreeMap::new(),
        };
        for key in build.keys.iter().filter(|it| !it.has_gaps) {
            let lines = key.lines.iter().map(ByteString::as_bytes);
            let package = key.package.as_bytes();
            match key.kind {
                KeyKind::Build => keys
                    .imports
                    .insert(package, lines.filter_map(import).collect()),
                KeyKind::Link => keys
                    .programs
                    .insert(package, lines.filter_map(package_file).collect()),
                KeyKind::Vet | KeyKind::Test => None,
            };
        }
        keys
    }

    fn is_empty(&self) -> bool {
        self.imports.is_empty() && self.programs.is_empty()
    }
}

/// The import path of a line `import P CONTENT`. The line with the package's own path has it in quotes. A path with a test variant contains
/// a space.
fn import(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"import ")?;
    let end = rest.iter().rposition(|it| *it == b' ')?;
    rest.get(..end).filter(|it| !it.starts_with(b"\""))
}

/// The import path of a line `packagefile P=CONTENT`.
fn package_file(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"packagefile ")?;
    let end = rest.iter().rposition(|it| *it == b'=')?;
    rest.get(..end)
}

/// The actions that one action waits for.
struct Below<'a> {
    /// The latest action of each mode and package.
    started: &'a HashMap<(&'a str, &'a [u8]), u32>,
    found: Vec<u32>,
}

impl<'a> Below<'a> {
    fn new(started: &'a HashMap<(&'a str, &'a [u8]), u32>) -> Self {
        Self {
            started,
            found: Vec::new(),
        }
    }

    /// Adds the actions below an action. Returns false if some of them may be missing.
    fn add(&mut self, action: &Action, keys: &Keys<'_>) -> bool {
        let Some(package) = action.package.as_ref().map(ByteString::as_bytes) else {
            return true;
        };
        let imports = keys.imports.get(package);
        match action.mode.as_str() {
            BUILD => {
                self.imports(BUILD, package, imports);
                for mode in [CHECK_CACHE, CGO_RUN, CGO_COMPILE] {
                    self.one(mode, package);
                }
                imports.is_some()
            }
            CHECK_CACHE => {
                self.imports(BUILD, package, imports);
                imports.is_some()
            }
            CGO_RUN => self.one(CHECK_CACHE, package),
            CGO_COMPILE => self.one(CGO_RUN, package),
            VET => {
                self.one(BUILD, package);
                self.imports(VET, package, imports);
                imports.is_some()
            }
            LINK => {
                let program = keys.programs.get(package);
                self.one(BUILD, package);
                self.imports(BUILD, package, program);
                program.is_some()
            }
            TEST_RUN => {
                let program = [package, b".test"].concat();
                self.one(BUILD, package);
                self.one(VET, package);
                self.one(LINK, &program)
            }
            mode => match mode.strip_suffix(INSTALL) {
                Some(mode) => self.one(mode, package),
                None => true,
            },
        }
    }

    fn imports(&mut self, mode: &'static str, package: &[u8], imports: Option<&Vec<&[u8]>>) {
        // A test program contains its own variants of some packages.
        let (path, variant) = split_variant(package);
        let variant = variant.or_else(|| path.ends_with(b".test").then_some(path));
        for import in imports.into_iter().flatten() {
            let is_found = variant.is_some_and(|it| {
                let name = [import, b" [".as_slice(), it, b"]"].concat();
                self.one(mode, &name)
            });
            if !is_found {
                self.one(mode, import);
            }
        }
    }

    /// Adds the latest action of a mode and a package. Returns false if there is none.
    fn one(&mut self, mode: &str, package: &[u8]) -> bool {
        let found = self.started.get(&(mode, package));
        if let Some(found) = found
            && !self.found.contains(found)
        {
            self.found.push(*found);
        }
        found.is_some()
    }
}
