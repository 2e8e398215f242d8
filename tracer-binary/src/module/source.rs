//! Directories of packages, from the names of their source files.
//!
//! Go without modules, and builds of files on the command line, leave no module in the build information. The source
//! files still show which packages are from one tree. An import path and a directory end in the same elements; their
//! rest is the root of the tree. Directories are compared by their names only: no file is opened.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::{holds, is_nameless, states_main};
use crate::artifact::Identity;
use crate::attribution::spelling;
use crate::container::Container;
use crate::go::name;
use crate::go::pclntab::Pclntab;

/// The number of directories of a package that are compared. A package has several, because functions of other packages
/// bear its name (`go:linkname`).
const CANDIDATES: usize = 8;
/// Real programs have fewer packages and shorter paths. A hostile file lets names overlap, and copies of them would
/// take more memory than the file.
const MOST: usize = 65_536;
const LONGEST: usize = 512;
/// A package of the standard library in every program.
const RUNTIME: &str = "runtime";

/// The place of the main package's source files among those of the other packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum MainSource {
    /// The file does not state the directory of the main package.
    #[default]
    Unknown,
    /// No other package is from a tree around the main package.
    Alone,
    Tree {
        /// Import path of the main package.
        path: String,
        /// The longest path that contains the main package and all others of its tree. It is unknown in a tree of many
        /// modules (GOPATH).
        root: Option<String>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Sources<'i> {
    /// The directory of each package.
    by_package: BTreeMap<Cow<'i, str>, Cow<'i, str>>,
    pub(super) main: MainSource,
}

impl<'i> Sources<'i> {
    /// Reads the function tables, if the build information does not state the main module.
    pub(crate) fn of(
        identity: &Identity,
        container: &'i Container<'_>,
        minor: Option<u32>,
    ) -> Self {
        if states_main(identity) {
            return Self::default();
        }
        let path = identity.path.as_deref();
        let states_path = path.is_some_and(|path| !is_nameless(path));
        let mut found: HashMap<&'i [u8], Candidates<'i>> = HashMap::new();
        for part in &container.parts {
            let Some(table) = Pclntab::find(&part.image) else {
                continue;
            };
            let spelling = spelling(Some(&table), minor);
            for function in table.functions() {
                let Some(package) = name::owner(function.name, spelling).package() else {
                    continue;
                };
                // Only packages that may be of the standard library need a directory then.
                if states_path && package.contains(&b'.') || package.len() > LONGEST {
                    continue;
                }
                let file = table.source_file(function.record);
                let Some(directory) = file.and_then(directory) else {
                    continue;
                };
                // `-trimpath` makes all directories relative. Then they contain no more than the import paths.
                if states_path && !directory.is_empty() && !is_absolute(directory) {
                    return Self::default();
                }
                if found.len() < MOST || found.contains_key(package) {
                    found.entry(package).or_default().add(directory);
                }
            }
        }
        let directories = found.into_iter().filter_map(|(package, candidates)| {
            let package = match name::unescape(package) {
                Cow::Borrowed(path) => String::from_utf8_lossy(path),
                Cow::Owned(path) => Cow::Owned(String::from_utf8_lossy(&path).into_owned()),
            };
            let directory = candidates.best(&package)?;
            Some((package, directory))
        });
        Self::of_directories(directories.collect())
    }

    pub(super) fn of_directories(by_package: BTreeMap<Cow<'i, str>, Cow<'i, str>>) -> Self {
        let mut sources = Self {
            by_package,
            main: MainSource::Unknown,
        };
        sources.main = sources.find_main();
        sources
    }

    fn find_main(&self) -> MainSource {
        let mut nameless = self.by_package.iter();
        // With `-trimpath`, files on the command line have no other directory.
        let Some((_, main)) = nameless.find(|(package, directory)| {
            is_nameless(package) && !is_nameless(directory) && !directory.is_empty()
        }) else {
            return MainSource::Unknown;
        };
        let trees = self.by_package.iter().filter_map(|(package, directory)| {
            let tree = Tree::of(package, directory);
            let is_other = !is_nameless(package) && !self.is_std(package);
            (is_other && tree.below(main).is_some()).then_some(tree)
        });
        let Some(tree) = trees.max_by_key(|tree| tree.directory.len()) else {
            return MainSource::Alone;
        };
        let below = tree.below(main).unwrap_or_default();
        let path = [tree.path, below].join(if tree.path.is_empty() || below.is_empty() {
            ""
        } else {
            "/"
        });
        let root = (!tree.path.is_empty()).then(|| {
            let others = self.by_package.iter();
            let of_tree = others
                .filter(|(package, directory)| Tree::of(package, directory) == tree)
                .map(|(package, _)| package.as_ref());
            of_tree.fold(path.as_str(), common).to_owned()
        });
        MainSource::Tree { path, root }
    }

    /// True if the source files of a package are those of the standard library, or unknown, and its first path element
    /// has no dot.
    pub(super) fn is_std(&self, package: &str) -> bool {
        super::guess::is_std(package) && !self.is_elsewhere(package)
    }

    /// True if a package is outside of the runtime's tree. Paths of `-trimpath` are relative and show no tree.
    fn is_elsewhere(&self, package: &str) -> bool {
        let directory = |package: &str| {
            let directory = self.by_package.get(package)?;
            is_absolute(directory.as_bytes()).then_some(directory.as_ref())
        };
        matches!(
            (directory(package), directory(RUNTIME)),
            (Some(own), Some(std)) if Tree::of(RUNTIME, std).below(own).is_none()
        )
    }
}

/// Directories of functions of one package, each with the number of functions.
#[derive(Debug, Default)]
struct Candidates<'i>(Vec<(&'i [u8], usize)>);

impl<'i> Candidates<'i> {
    fn add(&mut self, directory: &'i [u8]) {
        let is_room = self.0.len() < CANDIDATES && directory.len() <= LONGEST;
        match self.0.iter_mut().find(|(known, _)| *known == directory) {
            Some((_, count)) => *count += 1,
            None if is_room => self.0.push((directory, 1)),
            None => {}
        }
    }

    /// The directory that ends most like the import path; of several, the one with the most functions.
    fn best(self, package: &str) -> Option<Cow<'i, str>> {
        let directories = self.0.into_iter();
        let directories =
            directories.map(|(directory, count)| (String::from_utf8_lossy(directory), count));
        let best = directories.max_by_key(|(directory, count)| {
            let rest = Tree::of(package, directory).path.len();
            (std::cmp::Reverse(rest), *count)
        });
        best.map(|(directory, _)| directory)
    }
}

/// The directories and import paths of a tree begin with these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tree<'s> {
    directory: &'s str,
    path: &'s str,
}

impl<'s> Tree<'s> {
    /// Removes the last elements that the path and the directory of a package share.
    fn of(mut path: &'s str, mut directory: &'s str) -> Self {
        let last = |path: &'s str| path.rsplit_once('/').unwrap_or(("", path));
        while !path.is_empty() && !directory.is_empty() {
            let ((path_rest, element), (rest, of_directory)) = (last(path), last(directory));
            if element != of_directory {
                break;
            }
            (path, directory) = (path_rest, rest);
        }
        Self { directory, path }
    }

    /// The rest of a directory in this tree.
    fn below(&self, directory: &'s str) -> Option<&'s str> {
        if self.directory.is_empty() {
            return (!is_absolute(directory.as_bytes())).then_some(directory);
        }
        holds(self.directory, directory).then_some(())?;
        let rest = directory.get(self.directory.len()..)?;
        Some(rest.strip_prefix('/').unwrap_or(rest))
    }
}

/// The elements at the start of both paths.
fn common<'p>(a: &'p str, b: &str) -> &'p str {
    let same = a.split('/').zip(b.split('/'));
    let len = same
        .take_while(|(a, b)| a == b)
        .map(|(element, _)| element.len() + 1)
        .sum::<usize>();
    a.get(..len.saturating_sub(1)).unwrap_or(a)
}

/// True for a path from a root: `/home/a`, `C:/a`.
fn is_absolute(path: &[u8]) -> bool {
    matches!(path, [b'/', ..] | [_, b':', ..])
}

/// The directory of a source file, except for files that the toolchain wrote (`<autogenerated>`, `_cgo_gotypes.go`,
/// `_testmain.go`).
fn directory(file: &[u8]) -> Option<&[u8]> {
    let slash = file.iter().rposition(|byte| matches!(byte, b'/' | b'\\'));
    let name = file.get(slash.map_or(0, |at| at + 1)..)?;
    (!matches!(name, [b'_' | b'<', ..])).then_some(())?;
    file.get(..slash.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_begins_where_path_and_directory_differ() {
        for (package, directory, root, path) in [
            ("acme/lib", "/go/src/acme/lib", "/go/src", ""),
            (
                "example.com/app/x/y",
                "/build/x/y",
                "/build",
                "example.com/app",
            ),
            (
                "github.com/a/b/c",
                "/go/pkg/mod/github.com/a/b@v1.2.3/c",
                "/go/pkg/mod/github.com/a/b@v1.2.3",
                "github.com/a/b",
            ),
            ("runtime", "runtime", "", ""),
            ("example.com/app", "", "", "example.com/app"),
        ] {
            let tree = Tree::of(package, directory);
            assert_eq!((tree.directory, tree.path), (root, path), "{package}");
        }
    }

    #[test]
    fn a_directory_is_in_a_tree_by_whole_elements() {
        let tree = Tree::of("a.example/x", "/build/a");
        assert_eq!(tree.below("/build/a"), Some(""));
        assert_eq!(tree.below("/build/a/b/c"), Some("b/c"));
        assert_eq!(tree.below("/build/ab"), None);
        let root = Tree::of("a.example/x", "");
        assert_eq!(root.below("cmd/x"), Some("cmd/x"));
        assert_eq!(root.below("/cmd/x"), None);
        assert_eq!(root.below("C:/cmd/x"), None);
    }

    #[test]
    fn files_of_the_toolchain_have_no_directory() {
        let of = |file: &'static str| directory(file.as_bytes());
        assert_eq!(of("/build/a/b.go"), Some(&b"/build/a"[..]));
        assert_eq!(of("C:\\work\\b.go"), Some(&b"C:\\work"[..]));
        assert_eq!(of("b.go"), Some(&b""[..]));
        for file in ["<autogenerated>", "_cgo_gotypes.go", "/w/_testmain.go"] {
            assert_eq!(of(file), None, "{file}");
        }
    }

    #[test]
    fn the_directory_of_a_package_ends_like_its_path() {
        let best = |package: &str, directories: &[&'static str]| {
            let mut candidates = Candidates::default();
            for directory in directories {
                candidates.add(directory.as_bytes());
            }
            candidates.best(package).unwrap_or_default().into_owned()
        };
        let directories = [
            "/go/src/runtime/maps",
            "/go/src/runtime/maps",
            "/go/src/runtime",
        ];
        assert_eq!(best("runtime", &directories), "/go/src/runtime");
        assert_eq!(best("main", &["/a", "/b", "/b", "/c"]), "/b");
        assert_eq!(best("main", &[]), "");
    }

    #[test]
    fn files_in_the_runtimes_tree_are_of_the_standard_library() {
        let directories = [
            ("runtime", "/go/src/runtime"),
            // All of its functions in this program are in files of the runtime.
            ("time", "/go/src/runtime"),
            ("acme/lib", "/home/acme/lib"),
            ("trimmed", "trimmed"),
        ];
        let directories = directories.map(|(package, it)| (package.into(), it.into()));
        let sources = Sources::of_directories(directories.into_iter().collect());
        assert!(
            ["runtime", "time", "trimmed", "os"]
                .iter()
                .all(|it| sources.is_std(it))
        );
        assert!(!sources.is_std("acme/lib"));
    }

    #[test]
    fn paths_share_whole_elements() {
        assert_eq!(common("a/b/c", "a/b/d"), "a/b");
        assert_eq!(common("a/b", "a/bc"), "a");
        assert_eq!(common("a/b", "a/b"), "a/b");
        assert_eq!(common("a", "b"), "");
    }
}
