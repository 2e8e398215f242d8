//! The group and module of a package: the standard library, the main module, or a dependency.
//!
//! Modules come from the build information. If it contains none (a vendor directory built outside of module mode), they
//! are guessed from import paths and from the directories of source files, and each guess is marked.

mod guess;
mod source;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Identity;
use crate::go::buildinfo::Module;

use self::source::MainSource;
pub(crate) use self::source::Sources;

/// The coarsest grain. Together the groups are the whole file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The standard library and the runtime.
    Std,
    /// The main module: main package and its siblings.
    Main,
    Dependencies,
    /// Code of the system's compiler.
    Cgo,
    /// Types, tables and build information without a known package.
    RuntimeMetadata,
    /// String constants without a known package.
    Strings,
    Debug,
    Symbols,
    /// Headers, padding, notes, and tables for the dynamic linker.
    Structure,
    /// Members of an archive that are not objects.
    Members,
    /// Bytes about which the file contains no information.
    Unattributed,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Self::Std => "standard library",
            Self::Main => "main module",
            Self::Dependencies => "dependencies",
            Self::Cgo => "C code",
            Self::RuntimeMetadata => "runtime metadata",
            Self::Strings => "string constants",
            Self::Debug => "debug info",
            Self::Symbols => "symbol table",
            Self::Structure => "file structure",
            Self::Members => "archive members",
            Self::Unattributed => "unattributed",
        }
    }
}

/// The module and group of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageModule<'m> {
    pub group: Group,
    pub module: &'m str,
    pub version: &'m str,
    /// True if the module is not from the build information.
    pub is_guess: bool,
}

pub(crate) const STD: &str = "std";

/// A module with a known path.
#[derive(Clone, Copy, Debug)]
struct KnownModule<'m> {
    path: &'m str,
    version: &'m str,
    group: Group,
    is_guess: bool,
}

/// Module paths of one file, longest first, so that the first prefix is the right one.
#[derive(Debug)]
pub(crate) struct Modules<'m> {
    known: Vec<KnownModule<'m>>,
    /// The package that a test program tests.
    tested: Option<&'m str>,
    sources: &'m Sources<'m>,
}

impl<'m> Modules<'m> {
    /// The modules of a file with these packages. `sources` are those of the same file.
    pub(crate) fn of(
        identity: &'m Identity,
        packages: &[&'m str],
        sources: &'m Sources<'m>,
    ) -> Self {
        let mut known = Vec::new();
        let mut main = |path, version, is_guess| {
            known.push(KnownModule {
                path,
                version,
                group: Group::Main,
                is_guess,
            });
        };
        let path = identity.path.as_deref();
        let tested = path.and_then(|path| tested(path, packages));
        if let Some(module) = &identity.main {
            main(&module.path, &module.version, false);
        } else if states_main(identity) {
            trees(identity).for_each(|module| main(&module.path, &module.version, false));
        } else {
            let path = tested.or(path).filter(|path| !is_nameless(path));
            match path {
                // The toolchain's own commands are one module.
                Some(path) if path.starts_with("cmd/") => main("cmd", "", false),
                Some(path) => main(guess::root_of(path, packages), "", true),
                None => {
                    if let Some(root) = unnamed_root(identity, packages, sources) {
                        main(root, "", true);
                    }
                }
            }
        }
        let deps = identity.deps.iter().filter(|dep| !is_tree(identity, dep));
        known.extend(deps.map(|dep| KnownModule {
            // Packages keep the path of the replaced module.
            path: &dep.path,
            version: &dep.replace.as_deref().unwrap_or(dep).version,
            group: Group::Dependencies,
            is_guess: false,
        }));
        known.sort_by_key(|module| std::cmp::Reverse(module.path.len()));
        Self {
            known,
            tested,
            sources,
        }
    }

    pub(crate) fn module_of<'p>(&self, package: &'p str) -> PackageModule<'p>
    where
        'm: 'p,
    {
        // Tests outside of the tested package are in the same directory, and in a package with a longer name.
        let tested = self
            .tested
            .filter(|tested| package.strip_suffix(OUTER_TESTS) == Some(tested));
        let package = tested.unwrap_or(package);
        if is_nameless(package) {
            return self.module_of_main();
        }
        let stated = |module: &&KnownModule<'m>| !module.is_guess && holds(module.path, package);
        if let Some(module) = self.known.iter().find(stated) {
            return module.package_module();
        }
        // A vendor directory outside of module mode; the standard library's own is at the root of all paths.
        if let Some((_, path)) = package.rsplit_once(guess::VENDOR) {
            return guess::dependency(path);
        }
        if let Some(module) = self.known.iter().find(|it| holds(it.path, package)) {
            return module.package_module();
        }
        if self.sources.is_std(package) {
            return PackageModule {
                group: Group::Std,
                module: STD,
                version: "",
                is_guess: false,
            };
        }
        guess::dependency(package)
    }

    /// The module of the main package: the main module, if there is exactly one.
    fn module_of_main<'p>(&self) -> PackageModule<'p>
    where
        'm: 'p,
    {
        let mut mains = self.known.iter().filter(|it| it.group == Group::Main);
        match (mains.next(), mains.next()) {
            (Some(only), None) => only.package_module(),
            _ => PackageModule {
                group: Group::Main,
                module: "main",
                version: "",
                is_guess: true,
            },
        }
    }
}

impl<'m> KnownModule<'m> {
    fn package_module<'p>(&self) -> PackageModule<'p>
    where
        'm: 'p,
    {
        PackageModule {
            group: self.group,
            module: self.path,
            version: self.version,
            is_guess: self.is_guess,
        }
    }
}

const DEVEL: &str = "(devel)";
/// The import path of files on the command line.
const FILES: &str = "command-line-arguments";
/// The import path of a plugin of such files begins with this, and a hash follows.
const PLUGIN_OF_FILES: &str = "plugin/unnamed-";
const OUTER_TESTS: &str = "_test";

/// True if the build information states the main module, or the modules of a work tree.
fn states_main(identity: &Identity) -> bool {
    identity.main.is_some() || trees(identity).next().is_some()
}

/// Modules of the work tree, if the main package belongs to no module.
fn trees(identity: &Identity) -> impl Iterator<Item = &Module> {
    identity.deps.iter().filter(|dep| is_tree(identity, dep))
}

/// Go gives the version `(devel)` to modules that it builds from a work tree: the main one, or those of a workspace.
/// Files on the command line belong to no module; their tree's module is among the dependencies.
fn is_tree(identity: &Identity, dep: &Module) -> bool {
    identity.main.is_none() && dep.version == DEVEL && dep.replace.is_none()
}

/// The package that a test program tests, from the import path of the program.
fn tested<'p>(path: &'p str, packages: &[&str]) -> Option<&'p str> {
    let tested = path.strip_suffix(".test")?;
    let is_here =
        |package: &&str| *package == tested || package.strip_suffix(OUTER_TESTS) == Some(tested);
    packages.iter().any(is_here).then_some(tested)
}

/// The root of the tree of a main package whose import path is unknown.
fn unnamed_root<'m>(
    identity: &Identity,
    packages: &[&'m str],
    sources: &'m Sources<'m>,
) -> Option<&'m str> {
    match &sources.main {
        MainSource::Tree { path, root } => {
            let guessed = guess::root_of(path, packages);
            let root = root.as_deref().filter(|root| root.len() < guessed.len());
            Some(root.filter(|_| !guess::has_host(path)).unwrap_or(guessed))
        }
        MainSource::Alone => None,
        MainSource::Unknown => {
            let is_stated =
                |package: &str| identity.deps.iter().any(|dep| holds(&dep.path, package));
            let others = packages
                .iter()
                .copied()
                .filter(|package| !is_stated(package));
            guess::only_root(&others.collect::<Vec<_>>())
        }
    }
}

/// True if a package's path does not contain its location.
fn is_nameless(package: &str) -> bool {
    let files = package.strip_suffix(OUTER_TESTS).unwrap_or(package);
    package == "main" || files == FILES || package.starts_with(PLUGIN_OF_FILES)
}

/// True if a package, or a module, is in the tree below `root`.
fn holds(root: &str, package: &str) -> bool {
    package
        .strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
