//! The owner of each symbol by Go's own tools: `go tool nm -size` of the program, `go list -deps -export` for its packages, and
//! `go tool nm` of the archive of each of these packages.
//!
//! No rule of gotrace's is used. A name belongs to the package with the longest path that it begins with, out of those that were built.
//! Other names (assembly, `type:.eq.*`) belong to the package whose archive defines them, if only one does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::Build;
use crate::shell;

/// One line of the output of `nm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol<'t> {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) is_code: bool,
    pub(super) name: &'t str,
}

/// Symbols with bytes of their own. `nm` prints C's undefined ones without an address.
pub(super) fn symbols(text: &str) -> impl Iterator<Item = Symbol<'_>> {
    text.lines().filter_map(symbol)
}

fn symbol(line: &str) -> Option<Symbol<'_>> {
    let (address, rest) = line.trim_start().split_once(' ')?;
    let (size, rest) = rest.trim_start().split_once(' ')?;
    let (kind, name) = rest.trim_start().split_once(' ')?;
    let is_code = match kind {
        "T" | "t" => true,
        "D" | "d" | "R" | "r" => false,
        _ => return None,
    };
    Some(Symbol {
        address: u64::from_str_radix(address, 16).ok()?,
        size: size.parse().ok().filter(|size| *size > 0)?,
        is_code,
        name,
    })
}

pub(super) fn nm(go: &Path, build: &Build<'_>, files: &[&Path]) -> Result<String> {
    let mut command = build.go(go);
    // The tool runs here, whatever it reads.
    for name in ["GOOS", "GOARCH"] {
        command.env_remove(name);
    }
    shell::read(command.args(["tool", "nm", "-size"]).args(files))
}

/// The packages of a program.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// Each by how its symbols begin, without the dot.
    paths: HashMap<String, String>,
    /// The packages whose archives define a symbol, for names with no path.
    definers: HashMap<String, Vec<String>>,
    /// Bytes of each function in its archive. In PE and Mach-O files symbols have no sizes, and `nm` prints the distance to the next one.
    sizes: HashMap<String, u64>,
}

/// The owner of a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'p> {
    Nobody,
    Package(&'p str),
    /// The linker takes the symbol from the archive of one of these.
    OneOf(&'p [String]),
}

impl<'p> Owner<'p> {
    /// The path, or an empty one. If several paths are right, gotrace's path is used if it is one of these.
    pub(super) fn path(self, said: Option<&'p str>) -> &'p str {
        match self {
            Self::Nobody => "",
            Self::Package(path) => path,
            Self::OneOf([path]) => path,
            Self::OneOf(paths) => said
                .filter(|said| paths.iter().any(|path| path == said))
                .unwrap_or_default(),
        }
    }
}

impl Packages {
    pub(super) fn of(go: &Path, build: &Build<'_>) -> Result<Self> {
        let format = "{{.ImportPath}}\t{{.Name}}\t{{.Export}}";
        let mut list = build.go(go);
        list.args(["list", "-deps", "-export", "-f", format]);
        let list = shell::read(list.arg(build.program.package))?;
        let mut packages = Self::default();
        let mut archives = HashMap::new();
        for line in list.lines() {
            let mut words = line.split('\t');
            let (Some(path), Some(name), Some(archive)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let path = if name == "main" { "main" } else { path };
            packages.add(path);
            if !archive.is_empty() {
                archives.insert(archive.to_owned(), path.to_owned());
            }
        }
        let files: Vec<_> = archives.keys().map(Path::new).collect();
        let text = nm(go, build, &files)?;
        for line in text.lines() {
            packages.define(line, &archives);
        }
        Ok(packages)
    }

    fn add(&mut self, path: &str) {
        let once = prefix(path);
        self.paths.insert(prefix(&once), path.to_owned());
        self.paths.insert(once, path.to_owned());
    }

    /// A line of `nm` for several files begins with `ARCHIVE:` or `ARCHIVE(MEMBER):`, and a tab.
    fn define(&mut self, line: &str, archives: &HashMap<String, String>) {
        let Some((place, line)) = line.split_once(":\t") else {
            return;
        };
        let (archive, member) = place.rsplit_once('(').unwrap_or((place, ""));
        // Members of this name are what the system's compiler made, which no package owns.
        let is_c = member.starts_with("_x") || member.starts_with("_cgo");
        let (Some(symbol), Some(path)) = (symbol(line), archives.get(archive)) else {
            return;
        };
        if symbol.is_code {
            let size = self.sizes.entry(symbol.name.to_owned()).or_default();
            *size = symbol.size.max(*size);
        }
        if is_c || self.of_path(symbol.name).is_some() {
            return;
        }
        let definers = self.definers.entry(symbol.name.to_owned()).or_default();
        if !definers.contains(path) {
            definers.push(path.clone());
        }
    }

    /// The size without the padding behind a function, if the archives state it.
    pub(super) fn size(&self, symbol: &Symbol<'_>) -> u64 {
        let size = self.sizes.get(symbol.name).copied();
        size.map_or(symbol.size, |size| size.min(symbol.size))
    }

    fn of_path(&self, name: &str) -> Option<&str> {
        let dots = name.rmatch_indices('.');
        let mut prefixes = dots.filter_map(|(at, _)| name.get(..at));
        prefixes.find_map(|prefix| self.paths.get(prefix).map(String::as_str))
    }

    pub(super) fn owner(&self, name: &str) -> Owner<'_> {
        let behind = |starts: &[&str]| starts.iter().find_map(|start| name.strip_prefix(start));
        let path = if let Some(types) = behind(&["go:itab.", "go.itab."]) {
            let (concrete, _) = types.split_once(',').unwrap_or((types, ""));
            self.of_path(concrete.trim_start_matches('*'))
        } else if let Some(compared) =
            behind(&["type:.eq.", "type..eq.", "type:.hash.", "type..hash."])
        {
            self.of_path(compared)
        } else {
            self.of_path(name)
        };
        if let Some(path) = path {
            return Owner::Package(path);
        }
        self.definers
            .get(name)
            .map_or(Owner::Nobody, |paths| Owner::OneOf(paths))
    }
}

/// `cmd/internal/objabi.PathToPrefix`: dots behind the last slash, and bytes that a symbol cannot have.
fn prefix(path: &str) -> String {
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    let mut prefix = String::with_capacity(path.len());
    for (at, byte) in path.bytes().enumerate() {
        if byte <= b' '
            || byte >= 0x7f
            || matches!(byte, b'%' | b'"')
            || (byte == b'.' && at >= last)
        {
            // Writing to a string does not fail.
            let _ok = write!(prefix, "%{byte:02x}");
        } else {
            prefix.push(byte.into());
        }
    }
    prefix
}

/// True if a name marks a place, or a part of the file that every package has a share of.
pub(super) fn is_mark(symbol: &Symbol<'_>) -> bool {
    const PLACES: [&str; 29] = [
        "bss",
        "covctrs",
        "data",
        "ebss",
        "ecovctrs",
        "edata",
        "end",
        "enoptrbss",
        "enoptrdata",
        "epclntab",
        "erodata",
        "esymtab",
        "etext",
        "etypes",
        "findfunctab",
        "gcbits",
        "gcbss",
        "gcdata",
        "itablink",
        "noptrbss",
        "noptrdata",
        "pclntab",
        "rodata",
        "symtab",
        "text",
        "typelink",
        "types",
        "itabs",
        "eitabs",
    ];
    // Mach-O has an underscore before some.
    let name = symbol.name.strip_prefix('_').unwrap_or(symbol.name);
    if let Some(name) = name.strip_prefix("runtime.") {
        let (name, _) = name.split_once('.').unwrap_or((name, ""));
        return PLACES.contains(&name);
    }
    // Functions that compare and hash are no marks, and interface tables belong to somebody.
    let reserved = ["go:", "type:", "typerel:", "type.", "typerel."];
    let is_reserved = reserved.iter().any(|start| name.starts_with(start))
        || matches!(name, "go.string.*" | "go.func.*" | "go.funcrel.*");
    let is_itab = name.starts_with("go:itab.") || name.starts_with("go.itab.");
    is_reserved && !symbol.is_code && !is_itab
}

/// Bytes in the file of each data symbol: nothing of what has no bytes there.
pub(super) fn on_disk(symbol: &Symbol<'_>, sections: &[(u64, u64)]) -> u64 {
    let end = symbol.address.saturating_add(symbol.size);
    let within = sections.iter().filter_map(|&(address, disk)| {
        let end = end.min(address.saturating_add(disk));
        end.checked_sub(symbol.address.max(address))
            .filter(|_| symbol.address >= address)
    });
    within.max().unwrap_or(0)
}
