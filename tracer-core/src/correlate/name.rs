//! Names a build and its outputs: by the outputs, else as Go itself names them, and only then by the working directory.

use std::collections::BTreeSet;

use crate::byte_string::ByteString;
use crate::event::Settings;
use crate::golang::tool;
use crate::model::{Command, ModuleKind, Output};

use super::setting::{self, Resolved};
use super::subtree::Subtree;
use super::{Correlator, args, module};

/// Go's name for the package of files on the command line.
pub(super) const FILES: &str = "command-line-arguments";

/// The facts that name a build.
pub(super) struct Names<'a> {
    pub(super) correlator: &'a Correlator,
    pub(super) subtree: &'a Subtree<'a>,
    pub(super) command: &'a Command,
    pub(super) resolved: &'a Resolved,
}

impl Names<'_> {
    /// Path of the main module.
    pub(super) fn module(&self, outputs: &[Output]) -> Option<String> {
        let stamped = outputs.iter().filter_map(|it| {
            let artifact = it.artifact.as_ref()?;
            artifact.main_module.as_deref()
        });
        let ran = self.subtree.members.iter().filter_map(|it| {
            let main = it.build_info.as_ref()?;
            main.module.as_deref()
        });
        let made: BTreeSet<&str> = stamped.chain(ran).collect();
        if !made.is_empty() {
            return only(made).map(ToOwned::to_owned);
        }
        // The module of the directory is not involved.
        if self.is_versioned() {
            return only(self.sources()?);
        }
        if is_of_toolchain(outputs) {
            return None;
        }
        if setting::is_gopath_mode(self.subtree.head.process) {
            return None;
        }
        let settings = self.settings()?;
        let named = self.named(settings);
        if !named.is_empty() {
            return only(named).map(ToOwned::to_owned);
        }
        let module = settings.module.as_ref()?;
        let mut packages = self.command.packages.iter();
        let has_none = packages.len() > 0 && !packages.any(|it| is_in_module(it, module));
        (!has_none).then(|| module.clone())
    }

    /// Sets the package of each output: as recorded in the file, else as the `go` command reported it. Files on the command line are named
    /// by their path, because all such packages have one name.
    pub(super) fn outputs(&self, outputs: &mut [Output]) {
        for output in outputs {
            let artifact = output.artifact.as_ref();
            let own = artifact.and_then(|it| it.main_package.as_deref());
            if let Some(own) = own {
                output.package = Some(own.into());
            }
            output.package = output.package.take().map(|it| self.package(it));
        }
    }

    /// Replaces Go's name for files on the command line.
    pub(super) fn package(&self, package: ByteString) -> ByteString {
        if package == FILES {
            self.files().unwrap_or(package)
        } else {
            package
        }
    }

    fn settings(&self) -> Option<&Settings> {
        self.subtree.head.process.settings.as_ref()
    }

    /// True if packages are given with a version: `go install example.com/tool@latest`.
    fn is_versioned(&self) -> bool {
        let mut packages = self.command.packages.iter();
        matches!(self.command.name.as_str(), "install" | "run")
            && packages.any(|it| it.as_bytes().contains(&b'@'))
    }

    /// Modules of the packages that the command line gives with a version, by the place in the module cache that they were compiled from.
    /// `None`: no such package was compiled.
    fn sources(&self) -> Option<BTreeSet<String>> {
        let given = |package: &ByteString| {
            let mut patterns = self.command.packages.iter();
            patterns.any(|it| {
                let path = it.as_bytes().split(|it| *it == b'@').next();
                is_match(path.unwrap_or_default(), package.as_bytes())
            })
        };
        let modules = self.subtree.members.iter().filter_map(|it| {
            let args = args::parsed(self.correlator.role(it)?, it)?;
            given(args.package.as_ref()?).then_some(())?;
            let module = module::of(it, &args, self.subtree.head.process)?;
            (module.kind == ModuleKind::Dependency).then_some(module.path?)
        });
        let modules: BTreeSet<String> = modules.collect();
        (!modules.is_empty()).then_some(modules)
    }

    /// Modules of the workspace that contain the packages on the command line, as `modload` finds them. A directory belongs to the nearest
    /// module around it. An import path belongs to the module with the longest matching prefix.
    fn named<'a>(&self, settings: &'a Settings) -> BTreeSet<&'a str> {
        let here = [ByteString::from(".")];
        let patterns = match self.command.packages.as_slice() {
            [] => &here,
            some => some,
        };
        let dir = setting::dir(self.subtree.head.process);
        let module = |pattern: &ByteString| {
            let fixed = fixed_part(pattern.as_bytes());
            if is_local(pattern) {
                let path = tool::resolve(&fixed.into(), dir.as_ref());
                return around(settings, &path).map(|(module, _)| module);
            }
            let modules = settings.workspace.iter();
            let modules = modules.filter(|it| below(fixed, it.path.as_bytes()).is_some());
            let longest = modules.max_by_key(|it| it.path.len());
            longest.map(|it| it.path.as_str())
        };
        patterns.iter().filter_map(module).collect()
    }

    /// `example.com/m/cmd/one` for `cmd/one/main.go` and others beside it, and `example.com/m/tools/two.go` for a file of another name.
    /// Outside of a module, or if the module's directory is unknown, the path of the file.
    fn files(&self) -> Option<ByteString> {
        let mut files = self.command.packages.iter();
        let mut files = files
            .by_ref()
            .take_while(|it| it.as_bytes().ends_with(b".go"));
        let first = files.next()?;
        let is_main = |it: &&ByteString| {
            let name = it.as_bytes().rsplit(|it| *it == b'/').next();
            name == Some(b"main.go")
        };
        let chosen = [first].into_iter().chain(files).find(is_main);
        let dir = setting::dir(self.subtree.head.process);
        let path = tool::resolve(chosen.unwrap_or(first), dir.as_ref());
        let name = self.import_path(&path).unwrap_or_else(|| path.clone());
        let bytes = name.as_bytes();
        let dir = bytes.strip_suffix(b"/main.go").filter(|it| !it.is_empty());
        Some(dir.unwrap_or(bytes).into())
    }

    /// The import path of a path on disk.
    fn import_path(&self, path: &ByteString) -> Option<ByteString> {
        if setting::is_gopath_mode(self.subtree.head.process) {
            let list = self.resolved.variables.get("GOPATH")?;
            let mut roots = list.as_bytes().split(|it| *it == b':');
            return roots.find_map(|root| {
                let below = below(path.as_bytes(), &[root, b"/src"].concat())?;
                Some(below.strip_prefix(b"/")?.into())
            });
        }
        let settings = self.settings()?;
        let (module, dir) = around(settings, path).or_else(|| {
            let dir = settings.module_dir.as_ref()?;
            Some((settings.module.as_deref()?, dir))
        })?;
        let below = below(path.as_bytes(), dir.as_bytes())?;
        Some([module.as_bytes(), below].concat().into())
    }
}

/// True if every output is one of the Go project's own programs, which belong to no module: `go build cmd/gofmt`.
fn is_of_toolchain(outputs: &[Output]) -> bool {
    let of_toolchain = |it: &Output| {
        let package = it.package.as_ref();
        package.is_some_and(|it| it.as_bytes().starts_with(b"cmd/"))
    };
    !outputs.is_empty() && outputs.iter().all(of_toolchain)
}

/// The element of a set with one element.
fn only<T>(all: BTreeSet<T>) -> Option<T> {
    let mut all = all.into_iter();
    all.next().filter(|_| all.next().is_none())
}

/// The nearest module of the workspace around a path, and its directory.
fn around<'a>(settings: &'a Settings, path: &ByteString) -> Option<(&'a str, &'a ByteString)> {
    let modules = settings.workspace.iter();
    let modules = modules.filter(|it| below(path.as_bytes(), it.dir.as_bytes()).is_some());
    let nearest = modules.max_by_key(|it| it.dir.as_bytes().len())?;
    Some((&nearest.path, &nearest.dir))
}

/// The part after `top` in a path at or below it: empty, or with a leading slash.
pub(super) fn below<'a>(path: &'a [u8], top: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(top)?;
    (rest.is_empty() || rest.starts_with(b"/") || top.ends_with(b"/")).then_some(rest)
}

/// `./a` of `./a/...` and of `./a/b...`.
fn fixed_part(pattern: &[u8]) -> &[u8] {
    let Some(at) = pattern.windows(3).position(|it| it == b"...") else {
        return pattern;
    };
    let before = pattern.get(..at).unwrap_or_default();
    let slash = before.iter().rposition(|it| *it == b'/');
    slash.and_then(|it| before.get(..it)).unwrap_or_default()
}

/// True if a pattern on the command line may match packages of this main module. An import path outside of it belongs to a dependency or to
/// the standard library. `all` and similar patterns begin at the main module.
fn is_in_module(pattern: &ByteString, module: &str) -> bool {
    let fixed = fixed_part(pattern.as_bytes());
    is_local(pattern)
        || fixed.is_empty()
        || matches!(pattern.as_bytes(), b"all" | b"work" | b"tool")
        || below(fixed, module.as_bytes()).is_some()
        || below(module.as_bytes(), fixed).is_some()
}

/// True if an import path equals or matches a pattern.
fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    match pattern.windows(3).position(|it| it == b"...") {
        Some(_) => below(path, fixed_part(pattern)).is_some(),
        None => pattern == path,
    }
}

fn is_local(pattern: &ByteString) -> bool {
    let bytes = pattern.as_bytes();
    let begins = |it: &[u8]| bytes.starts_with(it);
    matches!(bytes, b"." | b"..")
        || begins(b"./")
        || begins(b"../")
        || begins(b"/")
        || bytes.ends_with(b".go")
}
