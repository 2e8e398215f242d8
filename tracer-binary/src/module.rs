//! The group and module of a package: the standard library, the main module, or a dependency.
//!
//! Modules come from the build information. If it contains none (a vendor directory built outside of module mode), they
//! are guessed from import paths, and each guess is marked.

mod guess;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Identity;
use crate::go::buildinfo::Module;

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
}

impl<'m> Modules<'m> {
    /// The modules of a file with these packages.
    pub(crate) fn of(identity: &'m Identity, packages: &[&'m str]) -> Self {
        let mut known = Vec::new();
        let mut main = |path, version, is_guess| {
            known.push(KnownModule {
                path,
                version,
                group: Group::Main,
                is_guess,
            });
        };
        // Go gives the version `(devel)` to modules that it builds from a work tree: the main one, or those of a
        // workspace. Files on the command line belong to no module; their tree's module is among the dependencies.
        let is_tree = |dep: &&Module| {
            identity.main.is_none() && dep.version == DEVEL && dep.replace.is_none()
        };
        let mut trees = identity.deps.iter().filter(is_tree).peekable();
        if let Some(module) = &identity.main {
            main(&module.path, &module.version, false);
        } else if trees.peek().is_some() {
            trees.for_each(|module| main(&module.path, &module.version, false));
        } else {
            let path = identity.path.as_deref();
            let path = path.filter(|path| !is_nameless(path));
            match path {
                // The toolchain's own commands are one module.
                Some(path) if path.starts_with("cmd/") => main("cmd", "", false),
                Some(path) => main(guess::root_of(path, packages), "", true),
                None => {
                    if let Some(root) = guess::only_root(packages) {
                        main(root, "", true);
                    }
                }
            }
        }
        let deps = identity.deps.iter().filter(|dep| !is_tree(dep));
        known.extend(deps.map(|dep| KnownModule {
            // Packages keep the path of the replaced module.
            path: &dep.path,
            version: &dep.replace.as_deref().unwrap_or(dep).version,
            group: Group::Dependencies,
            is_guess: false,
        }));
        known.sort_by_key(|module| std::cmp::Reverse(module.path.len()));
        Self { known }
    }

    pub(crate) fn module_of<'p>(&self, package: &'p str) -> PackageModule<'p>
    where
        'm: 'p,
    {
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
        if guess::is_std(package) {
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

/// True if a package's path does not contain its location.
fn is_nameless(package: &str) -> bool {
    matches!(package, "main" | "command-line-arguments")
}

/// True if a package, or a module, is in the tree below `root`.
fn holds(root: &str, package: &str) -> bool {
    package
        .strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::identify;

    fn module(path: &str) -> Module {
        Module {
            path: path.into(),
            version: "v1.0.0".into(),
            ..Module::default()
        }
    }

    #[test]
    fn the_longest_module_that_holds_a_package_is_its_module() {
        let mut identity = identify(b"nothing");
        identity.main = Some(module("shop.example/app"));
        identity.deps = vec![module("a.example/x"), module("a.example/x/y")];
        let modules = Modules::of(&identity, &[]);
        let check = |package: &str, group: Group, path: &str| {
            let found = modules.module_of(package);
            assert_eq!((found.group, found.module), (group, path), "{package}");
        };
        check("main", Group::Main, "shop.example/app");
        check(
            "shop.example/app/internal/db",
            Group::Main,
            "shop.example/app",
        );
        check(
            "shop.example/application",
            Group::Dependencies,
            "shop.example/application",
        );
        check("a.example/x/y/z", Group::Dependencies, "a.example/x/y");
        check("a.example/x", Group::Dependencies, "a.example/x");
        check("net/http", Group::Std, STD);
        check("vendor/golang.org/x/net/idna", Group::Std, STD);
        check(
            "gopkg.in/yaml.v3/sub",
            Group::Dependencies,
            "gopkg.in/yaml.v3",
        );
    }

    /// Each package of a file with its group and module. True if the module is a guess.
    fn module_rows<'p>(
        identity: &Identity,
        packages: &[&'p str],
    ) -> Vec<(&'p str, Group, String, bool)> {
        let modules = Modules::of(identity, packages);
        let found = packages.iter().map(|package| {
            let found = modules.module_of(package);
            (
                *package,
                found.group,
                found.module.to_owned(),
                found.is_guess,
            )
        });
        found.collect()
    }

    fn check(identity: &Identity, expected: &[(&str, Group, &str, bool)]) {
        let packages: Vec<_> = expected.iter().map(|(package, ..)| *package).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|&(package, group, module, is_guess)| {
                (package, group, module.to_owned(), is_guess)
            })
            .collect();
        assert_eq!(module_rows(identity, &packages), expected);
    }

    fn built_as(path: Option<&str>) -> Identity {
        Identity {
            path: path.map(str::to_owned),
            ..identify(b"nothing")
        }
    }

    #[test]
    fn files_on_the_command_line_are_of_the_module_in_the_work_tree() {
        let mut identity = built_as(Some("command-line-arguments"));
        let tree = Module {
            version: DEVEL.into(),
            ..module("example.com/acme/app")
        };
        identity.deps = vec![tree.clone(), module("a.example/x")];
        check(
            &identity,
            &[
                ("main", Group::Main, "example.com/acme/app", false),
                (
                    "example.com/acme/app/internal/q",
                    Group::Main,
                    "example.com/acme/app",
                    false,
                ),
                ("a.example/x", Group::Dependencies, "a.example/x", false),
            ],
        );
        // Two trees are a workspace, and the files may be in either. A directory that replaces a module is not a tree.
        identity.deps.push(Module {
            path: "example.com/acme/lib".into(),
            ..tree.clone()
        });
        identity.deps.push(Module {
            replace: Some(Box::new(tree)),
            ..module("b.example/y")
        });
        check(
            &identity,
            &[
                ("main", Group::Main, "main", true),
                (
                    "example.com/acme/app/q",
                    Group::Main,
                    "example.com/acme/app",
                    false,
                ),
                (
                    "example.com/acme/lib",
                    Group::Main,
                    "example.com/acme/lib",
                    false,
                ),
                ("b.example/y", Group::Dependencies, "b.example/y", false),
            ],
        );
    }

    #[test]
    fn without_a_module_line_internal_packages_prove_a_common_root() {
        check(
            &built_as(Some("example.com/acme/app/server")),
            &[
                ("main", Group::Main, "example.com/acme/app", true),
                (
                    "example.com/acme/app/internal/q",
                    Group::Main,
                    "example.com/acme/app",
                    true,
                ),
                (
                    "example.com/acme/app/api",
                    Group::Main,
                    "example.com/acme/app",
                    true,
                ),
                (
                    "example.com/acme/other",
                    Group::Dependencies,
                    "example.com/acme/other",
                    true,
                ),
                (
                    "a.example/x/internal/y",
                    Group::Dependencies,
                    "a.example/x/internal",
                    true,
                ),
                ("net/http", Group::Std, STD, false),
                ("internal/abi", Group::Std, STD, false),
            ],
        );
    }

    #[test]
    fn a_vendor_directory_is_of_others_and_shows_whose_tree_it_is() {
        check(
            &built_as(Some("acme/app/tool")),
            &[
                ("main", Group::Main, "acme/app", true),
                ("acme/app/lib", Group::Main, "acme/app", true),
                (
                    "acme/app/vendor/github.com/a/b/c",
                    Group::Dependencies,
                    "github.com/a/b",
                    true,
                ),
                ("vendor/golang.org/x/net/idna", Group::Std, STD, false),
            ],
        );
        check(
            &built_as(Some("command-line-arguments")),
            &[
                ("main", Group::Main, "example.com/acme/app", true),
                (
                    "example.com/acme/app/lib",
                    Group::Main,
                    "example.com/acme/app",
                    true,
                ),
                (
                    "example.com/acme/app/vendor/gopkg.in/yaml.v3/x",
                    Group::Dependencies,
                    "gopkg.in/yaml.v3",
                    true,
                ),
                (
                    "github.com/c/d",
                    Group::Dependencies,
                    "github.com/c/d",
                    true,
                ),
            ],
        );
    }

    #[test]
    fn the_host_defines_where_a_repository_begins() {
        check(
            &built_as(Some("github.com/acme/app/tools/cmd/x")),
            &[
                (
                    "github.com/acme/app/lib",
                    Group::Main,
                    "github.com/acme/app",
                    true,
                ),
                (
                    "github.com/acme/internal/y",
                    Group::Dependencies,
                    "github.com/acme/internal",
                    true,
                ),
            ],
        );
        check(
            &built_as(Some("k8s.io/kubernetes/cmd/kubelet")),
            &[
                (
                    "k8s.io/kubernetes/pkg/api",
                    Group::Main,
                    "k8s.io/kubernetes",
                    true,
                ),
                (
                    "k8s.io/client-go/rest",
                    Group::Dependencies,
                    "k8s.io/client-go/rest",
                    true,
                ),
            ],
        );
    }

    #[test]
    fn one_root_is_taken_for_the_main_module_and_several_are_not() {
        check(
            &built_as(None),
            &[
                ("main", Group::Main, "example.com/acme/app", true),
                (
                    "example.com/acme/app/internal/q",
                    Group::Main,
                    "example.com/acme/app",
                    true,
                ),
                (
                    "example.com/acme/app/lib",
                    Group::Main,
                    "example.com/acme/app",
                    true,
                ),
                ("os", Group::Std, STD, false),
            ],
        );
        check(
            &built_as(None),
            &[
                ("main", Group::Main, "main", true),
                (
                    "example.com/acme/app/lib",
                    Group::Dependencies,
                    "example.com/acme/app",
                    true,
                ),
                (
                    "github.com/a/b",
                    Group::Dependencies,
                    "github.com/a/b",
                    true,
                ),
            ],
        );
    }

    #[test]
    fn the_toolchain_is_one_module_with_what_it_vendors() {
        check(
            &built_as(Some("cmd/go")),
            &[
                ("main", Group::Main, "cmd", false),
                ("cmd/go/internal/work", Group::Main, "cmd", false),
                (
                    "cmd/vendor/golang.org/x/mod/module",
                    Group::Main,
                    "cmd",
                    false,
                ),
            ],
        );
    }
}
