//! Whose code a package is: the standard library's, the main module's, a dependency's.
//!
//! Modules come from the build information. Without it (a vendor built outside of module mode) the
//! module is guessed from the import path, and the guess is marked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Identity;

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
    /// Types, tables and build information that no package can be told for.
    RuntimeMetadata,
    /// String constants that no package can be told for.
    Strings,
    Debug,
    Symbols,
    /// Headers, padding, notes, what the dynamic linker reads.
    Structure,
    /// Members of an archive that are no objects.
    Members,
    /// What nothing in the file tells about.
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

/// A package's module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home<'m> {
    pub group: Group,
    pub module: &'m str,
    pub version: &'m str,
    /// Not from the build information.
    pub is_guess: bool,
}

pub(crate) const STD: &str = "std";

/// Module paths of one file, longest first, so that the first prefix is the right one.
#[derive(Debug)]
pub(crate) struct Modules<'m> {
    known: Vec<(&'m str, &'m str, Group)>,
}

impl<'m> Modules<'m> {
    pub(crate) fn of(identity: &'m Identity) -> Self {
        let mut known = Vec::new();
        if let Some(main) = &identity.main {
            known.push((main.path.as_str(), main.version.as_str(), Group::Main));
        }
        if let Some(path) = identity.path.as_deref().filter(|_| identity.main.is_none()) {
            // The toolchain's own commands are one module.
            let path = if path.starts_with("cmd/") {
                "cmd"
            } else {
                path
            };
            known.push((path, "", Group::Main));
        }
        for dep in &identity.deps {
            let used = dep.replace.as_deref().unwrap_or(dep);
            // Packages keep the path of what was replaced.
            known.push((
                dep.path.as_str(),
                used.version.as_str(),
                Group::Dependencies,
            ));
        }
        known.sort_by_key(|(path, ..)| std::cmp::Reverse(path.len()));
        Self { known }
    }

    pub(crate) fn home<'p>(&self, package: &'p str) -> Home<'p>
    where
        'm: 'p,
    {
        let main = self.known.iter().find(|(.., group)| *group == Group::Main);
        if package == "main" || package == "command-line-arguments" {
            let (module, version) =
                main.map_or(("main", ""), |(path, version, _)| (*path, *version));
            return Home {
                group: Group::Main,
                module,
                version,
                is_guess: main.is_none(),
            };
        }
        let holds = |path: &str| {
            package
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some((module, version, group)) = self.known.iter().find(|(path, ..)| holds(path)) {
            return Home {
                group: *group,
                module,
                version,
                is_guess: false,
            };
        }
        let first = package.split('/').next().unwrap_or_default();
        // `go.shape` is the compiler's, for the shapes of type arguments.
        if !first.contains('.') || package == "go.shape" {
            return Home {
                group: Group::Std,
                module: STD,
                version: "",
                is_guess: false,
            };
        }
        // A vendor directory outside of module mode.
        let path = package
            .rsplit_once("/vendor/")
            .map_or(package, |(_, path)| path);
        let elements = if first == "gopkg.in" { 2 } else { 3 };
        let end = path
            .match_indices('/')
            .nth(elements - 1)
            .map_or(path.len(), |(at, _)| at);
        Home {
            group: Group::Dependencies,
            module: path.get(..end).unwrap_or(path),
            version: "",
            is_guess: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::identify;
    use crate::go::buildinfo::Module;

    fn module(path: &str) -> Module {
        Module {
            path: path.into(),
            version: "v1.0.0".into(),
            ..Module::default()
        }
    }

    #[test]
    fn the_longest_module_that_holds_a_package_is_its_home() {
        let mut identity = identify(b"nothing");
        identity.main = Some(module("shop.example/app"));
        identity.deps = vec![module("a.example/x"), module("a.example/x/y")];
        let modules = Modules::of(&identity);
        let check = |package: &str, group: Group, path: &str| {
            let home = modules.home(package);
            assert_eq!((home.group, home.module), (group, path), "{package}");
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
}
