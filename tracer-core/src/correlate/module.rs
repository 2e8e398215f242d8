//! The module of the sources that a tool read, by their place: the toolchain, the module cache, a vendor directory, the main module.
//!
//! The `go` command passes the paths of the sources, so no file is read here. A place that shows no module gives none.

use crate::byte_string::ByteString;
use crate::event::{Captured, Role, Settings, WorkspaceModule};
use crate::golang::go_mod::{self, CachedModule};
use crate::golang::tool::{self, ToolArgs, WorkDir};
use crate::model::{ModuleKind, SourceModule};

use super::name::{FILES, below};
use super::process::{Image, Process};
use super::setting;

/// The module of the sources of this tool run; `head` is the `go` command above it.
pub(super) fn of(process: &Process, args: &ToolArgs, head: &Process) -> Option<SourceModule> {
    if args.is_query || !reads_sources(args.role) {
        return None;
    }
    let image = process.image()?;
    let package = args.package.as_ref().map_or(&[][..], import_path);
    if args.is_std && package != b"main" {
        return Some(standard(package));
    }
    let place = Place {
        image,
        package,
        trimmed: &args.trimmed,
        settings: head
            .settings
            .as_ref()
            .filter(|_| !setting::is_gopath_mode(head)),
    };
    let response = process.response.as_ref().and_then(Captured::get);
    let lines = [Some(&image.argv), response].into_iter().flatten();
    let sources = lines
        .flat_map(|it| tool::sources(it))
        .map(|it| ByteString::from(parent(&tool::resolve(it, image.cwd.as_ref()))));
    // If all sources are generated, as with cgo, `-trimpath` may still name the directory of the package.
    let trimmed = args.trimmed.iter().map(|(from, _)| from.clone());
    // Generated sources themselves show nothing.
    let mut dirs = sources
        .chain(trimmed)
        .filter(|it| WorkDir::of(it.as_bytes()).is_none());
    dirs.find_map(|it| place.module(&it))
}

fn reads_sources(role: Role) -> bool {
    match role {
        Role::Compile | Role::Asm | Role::Cgo | Role::Cover => true,
        Role::Go
        | Role::Link
        | Role::Vet
        | Role::Pack
        | Role::Preprofile
        | Role::Fix
        | Role::BuildId => false,
    }
}

/// The import path of a package without its test variant: `p` for `p [q.test]` and `p_test [p.test]`.
fn import_path(package: &ByteString) -> &[u8] {
    match tool::split_variant(package.as_bytes()) {
        (path, Some(_)) => path.strip_suffix(b"_test").unwrap_or(path),
        (path, None) => path,
    }
}

/// A module of the toolchain's sources. `path`: an import path, or a path below `$GOROOT/src`.
fn standard(path: &[u8]) -> SourceModule {
    let name = below(path, b"cmd").map_or("std", |_| "cmd");
    SourceModule {
        kind: ModuleKind::Standard,
        path: Some(name.to_owned()),
        version: None,
    }
}

/// The facts that decide about a directory of sources.
struct Place<'a> {
    image: &'a Image,
    /// Import path of the package.
    package: &'a [u8],
    /// Directories and their names.
    trimmed: &'a [(ByteString, ByteString)],
    /// The modules that the `go` command started in; `None` also in GOPATH mode.
    settings: Option<&'a Settings>,
}

impl Place<'_> {
    fn module(&self, dir: &ByteString) -> Option<SourceModule> {
        // A toolchain may itself be in the module cache.
        if let Some(below) = self.below_goroot(dir) {
            return Some(standard(below));
        }
        let of_kind = |kind, path: Option<&str>, version: Option<&str>| SourceModule {
            kind,
            path: path.map(ToOwned::to_owned),
            version: version.map(ToOwned::to_owned),
        };
        let cache = self.image.set("GOMODCACHE");
        let cached = cache.and_then(|it| go_mod::cached_module(dir, it));
        if let Some(CachedModule { path, version }) = cached {
            return Some(of_kind(ModuleKind::Dependency, Some(&path), Some(&version)));
        }
        let named = self.trimmed.iter().find(|(from, _)| from == dir);
        let named = named.and_then(|(_, name)| self.named_module(name));
        let (path, version) = named.unzip();
        if dir
            .as_bytes()
            .ends_with(&[b"/vendor/", self.package].concat())
        {
            return Some(of_kind(ModuleKind::Vendored, path, version));
        }
        if named.is_some() {
            return Some(of_kind(ModuleKind::Replaced, path, version));
        }
        let (kind, path) = self.module_around(dir.as_bytes())?;
        Some(of_kind(kind, Some(path), None))
    }

    /// Path and version of the module in a name `path@version/directory`. The `go` command gives this name to a directory of a module with
    /// a version, and path and directory are the import path.
    fn named_module<'a>(&self, name: &'a ByteString) -> Option<(&'a str, &'a str)> {
        let name = std::str::from_utf8(name.as_bytes()).ok()?;
        let (path, rest) = name.split_once('@')?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (version, dir) = rest.split_at(end);
        let is_package = [path, dir].concat().as_bytes() == self.package;
        (is_package && !version.is_empty()).then_some((path, version))
    }

    fn below_goroot<'a>(&self, dir: &'a ByteString) -> Option<&'a [u8]> {
        let root = self.image.set("GOROOT")?;
        let sources = [root.as_bytes(), b"/src"].concat();
        below(dir.as_bytes(), &sources)?.strip_prefix(b"/")
    }

    /// The main module, a module of the workspace or a replaced module whose directory and path both match the package.
    fn module_around(&self, dir: &[u8]) -> Option<(ModuleKind, &str)> {
        let settings = self.settings?;
        let own = settings.module.as_deref();
        let own = own.map(|it| (ModuleKind::Main, it, settings.module_dir.as_ref()));
        let modules = listed(&settings.replaced, ModuleKind::Replaced)
            .chain(listed(&settings.workspace, ModuleKind::Main))
            .chain(own);
        let matching = modules.filter(|(_, path, top)| self.is_in(path, *top, dir));
        let nearest = matching.max_by_key(|(_, path, _)| path.len());
        nearest.map(|(kind, path, _)| (kind, path))
    }

    /// `top`: the directory of the module, if it is known.
    fn is_in(&self, module: &str, top: Option<&ByteString>, dir: &[u8]) -> bool {
        if self.package == FILES.as_bytes() {
            return top.is_some_and(|it| below(dir, it.as_bytes()).is_some());
        }
        let Some(rest) = below(self.package, module.as_bytes()) else {
            return false;
        };
        match top {
            Some(top) => dir.strip_prefix(top.as_bytes()) == Some(rest),
            None => dir.ends_with(rest),
        }
    }
}

fn listed(
    modules: &[WorkspaceModule],
    kind: ModuleKind,
) -> impl Iterator<Item = (ModuleKind, &str, Option<&ByteString>)> {
    let modules = modules.iter();
    modules.map(move |it| (kind, it.path.as_str(), Some(&it.dir)))
}

/// The directory of a file.
fn parent(file: &ByteString) -> &[u8] {
    let bytes = file.as_bytes();
    let slash = bytes.iter().rposition(|it| *it == b'/');
    slash.and_then(|it| bytes.get(..it)).unwrap_or_default()
}
