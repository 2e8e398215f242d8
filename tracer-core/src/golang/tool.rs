//! The command line of a Go tool (`compile`, `link`, ...) as it is meant, with the additions of its environment.
//!
//! The parser never fails: a missing part is absent. The correlator finds the build of a tool; it uses the work directory and the package
//! from here.

use std::collections::BTreeMap;

use crate::byte_string::ByteString;
use crate::environment;
use crate::event::Role;

/// One run of a Go tool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the line, independent of the others"
)]
pub struct ToolArgs {
    pub role: Role,
    /// Import path, with the test variant (`p [p.test]`): from the `go` command (`TOOLEXEC_IMPORTPATH`), else from `-p` or `-importpath`.
    /// In the latter two, every main package is just `main`.
    pub package: Option<ByteString>,
    /// True if the tool is queried for its version (`-V`) or its flags (`vet -flags`); it then does no work.
    pub is_query: bool,
    /// `-o`; absolute if the working directory is known.
    pub output: Option<ByteString>,
    pub work: Option<WorkDir>,
    /// A package of the standard library, according to the compiler's flags.
    pub is_std: bool,
    /// The assembler's first pass, which only lists symbols.
    pub is_symabis: bool,
    pub goos: Option<String>,
    pub goarch: Option<String>,
    /// `-buildmode` of `link`.
    pub buildmode: Option<String>,
    pub is_race: bool,
    /// `link -s`: no symbol table.
    pub strips_symbols: bool,
    /// `link -w`, or `-s`, which implies it: no debug information.
    pub strips_dwarf: bool,
    /// Number of Go and assembler sources on the line.
    pub n_sources: u32,
    /// `-importcfg`; absolute if the working directory is known.
    pub importcfg: Option<ByteString>,
    /// `@file`, the file that contains the arguments; absolute if the working directory is known.
    pub response_file: Option<ByteString>,
    /// `-goversion`, else `GOVERSION`.
    pub go_version: Option<String>,
    /// Directories of sources, and the names that replace them in the output (`-trimpath`). The work directory has an empty name.
    pub trimmed: Vec<(ByteString, ByteString)>,
}

/// The `go` command's directory for intermediate files: `/tmp/go-build123456/b001`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkDir {
    /// `$WORK`; one for each `go` process.
    pub root: ByteString,
    /// The action's own directory in it; the build and the link of a main package share one.
    pub action: Option<ByteString>,
}

/// Flags of the tools that take a value, from their usage texts in Go 1.19 and 1.27. Any other flag takes none.
const VALUED: &[&str] = &[
    "B",
    "D",
    "E",
    "H",
    "I",
    "L",
    "R",
    "T",
    "X",
    "asmhdr",
    "bench",
    "benchmark",
    "benchmarkprofile",
    "blockprofile",
    "buildid",
    "buildmode",
    "c",
    "capturehostobjs",
    "coveragecfg",
    "cpuprofile",
    "d",
    "debugtextsize",
    "debugtramp",
    "dynimport",
    "dynout",
    "dynpackage",
    "embedcfg",
    "env",
    "exportheader",
    "extar",
    "extld",
    "extldflags",
    "fipso",
    "func",
    "funcalign",
    "gccgopkgpath",
    "gccgoprefix",
    "gendwarfinl",
    "go",
    "goversion",
    "html",
    "i",
    "importcfg",
    "importpath",
    "installsuffix",
    "json",
    "k",
    "lang",
    "ldflags",
    "libgcc",
    "linkmode",
    "linkobj",
    "macos",
    "macsdk",
    "memprofile",
    "memprofilerate",
    "mode",
    "mutexprofile",
    "o",
    "objdir",
    "outfilelist",
    "p",
    "pgoprofile",
    "pkgcfg",
    "pluginpath",
    "r",
    "randlayout",
    "spectre",
    "srcdir",
    "strictdups",
    "symabis",
    "tmpdir",
    "traceprofile",
    "trimpath",
    "var",
];

impl ToolArgs {
    /// Parses a tool's arguments. Those of a response file must already be in place, if they are known; see [`ToolArgs::expand`].
    pub fn parse(
        role: Role,
        argv: &[ByteString],
        env: &[(ByteString, ByteString)],
        cwd: Option<&ByteString>,
    ) -> Self {
        let rest = argv.get(1..).unwrap_or_default();
        let flags = flags(role, rest);
        let text = |name: &str| {
            flags
                .get(name)
                .copied()
                .flatten()
                .map(|it| String::from_utf8_lossy(it).into_owned())
        };
        let path = |name: &str| {
            flags
                .get(name)
                .copied()
                .flatten()
                .map(|it| resolve(&it.into(), cwd))
        };
        let is_on = |name: &str| {
            flags
                .get(name)
                .is_some_and(|it| !matches!(it, Some(b"0" | b"false" | b"f" | b"F")))
        };
        let var = |name: &str| environment::get(env, name).filter(|it| !it.is_empty());

        let output = flags.get("o").copied().flatten();
        let output = output.map(|it| locate(&it.into(), cwd));
        let importcfg = path("importcfg");
        // The last argument of vet is `$WORK/bNNN/vet.cfg`.
        let work = [
            output.as_ref(),
            path("objdir").as_ref(),
            importcfg.as_ref(),
            path("pkgcfg").as_ref(),
            rest.last(),
        ]
        .into_iter()
        .flatten()
        .find_map(|it| WorkDir::of(it.as_bytes()));
        let strips_symbols = role == Role::Link && is_on("s");
        Self {
            role,
            package: var("TOOLEXEC_IMPORTPATH").cloned().or_else(|| {
                flags
                    .get("p")
                    .or_else(|| flags.get("importpath"))
                    .copied()
                    .flatten()
                    .map(ByteString::from)
            }),
            is_query: rest
                .iter()
                .any(|it| it.as_bytes() == b"-V" || it.as_bytes().starts_with(b"-V="))
                || (matches!(role, Role::Vet | Role::Fix) && rest.iter().any(|it| it == "-flags")),
            output,
            work,
            is_std: is_on("std"),
            is_symabis: is_on("gensymabis"),
            goos: var("GOOS").map(|it| it.to_str().into_owned()),
            goarch: var("GOARCH").map(|it| it.to_str().into_owned()),
            buildmode: text("buildmode"),
            is_race: is_on("race"),
            strips_symbols,
            strips_dwarf: role == Role::Link
                && if flags.contains_key("w") {
                    is_on("w")
                } else {
                    strips_symbols
                },
            n_sources: u32::try_from(sources(rest).count()).unwrap_or(u32::MAX),
            importcfg,
            response_file: response_file(rest).map(|it| locate(&it.into(), cwd)),
            go_version: text("goversion")
                .or_else(|| var("GOVERSION").map(|it| it.to_str().into_owned())),
            trimmed: flags
                .get("trimpath")
                .copied()
                .flatten()
                .map(trimmed)
                .unwrap_or_default(),
        }
    }

    /// The line with the arguments of its response file in place of the file.
    pub fn expand(argv: &[ByteString], from_file: &[ByteString]) -> Vec<ByteString> {
        let mut line = Vec::with_capacity(argv.len() + from_file.len());
        for (i, arg) in argv.iter().enumerate() {
            if i > 0 && arg.as_bytes().starts_with(b"@") {
                line.extend_from_slice(from_file);
            } else {
                line.push(arg.clone());
            }
        }
        line
    }
}

/// Flags up to the first argument that is not a flag; of a repeated flag the last counts. `None`: the flag has no value.
fn flags(role: Role, mut args: &[ByteString]) -> BTreeMap<&str, Option<&[u8]>> {
    let mut found = BTreeMap::new();
    while let [arg, rest @ ..] = args {
        let bytes = arg.as_bytes();
        let Some(body) = bytes
            .strip_prefix(b"--")
            .or_else(|| bytes.strip_prefix(b"-"))
            .filter(|it| !it.is_empty())
        else {
            break;
        };
        let mut parts = body.splitn(2, |it| *it == b'=');
        let name = std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
        let mut value = parts.next();
        args = rest;
        // vet's `-c` and `-json` belong to its analyzers, and the flags before `vet.cfg` take no separate value.
        if value.is_none()
            && !matches!(role, Role::Vet | Role::Fix | Role::Pack)
            && VALUED.contains(&name)
            && let [next, rest @ ..] = args
        {
            value = Some(next.as_bytes());
            args = rest;
        }
        found.insert(name, value);
    }
    found
}

/// `from=>to;from=>to`.
fn trimmed(list: &[u8]) -> Vec<(ByteString, ByteString)> {
    let entry = |entry: &[u8]| {
        let at = entry.windows(2).position(|it| it == b"=>")?;
        let (from, to) = entry.split_at_checked(at)?;
        Some((from.into(), to.get(2..)?.into()))
    };
    list.split(|it| *it == b';').filter_map(entry).collect()
}

/// Go and assembler sources: the last arguments of every line. The last one comes first.
pub fn sources(args: &[ByteString]) -> impl Iterator<Item = &ByteString> {
    let is_source = |it: &&ByteString| {
        let bytes = it.as_bytes();
        !bytes.starts_with(b"-") && (bytes.ends_with(b".go") || bytes.ends_with(b".s"))
    };
    args.iter().rev().take_while(is_source)
}

/// The `go` command puts all arguments of a long line into one file and passes only that.
fn response_file(args: &[ByteString]) -> Option<&[u8]> {
    args.iter()
        .find_map(|it| it.as_bytes().strip_prefix(b"@"))
        .filter(|it| !it.is_empty())
}

impl WorkDir {
    /// The work directory that contains a path; the innermost if there are several.
    pub fn of(path: &[u8]) -> Option<Self> {
        let mut start = path.len();
        while let Some(slash) = path.get(..start)?.iter().rposition(|it| *it == b'/') {
            let rest = path.get(slash + 1..)?;
            let name = first_element(rest);
            if is_numbered(name, b"go-build") {
                let root = path.get(..slash + 1 + name.len())?;
                let action = rest
                    .get(name.len() + 1..)
                    .map(first_element)
                    .filter(|it| is_numbered(it, b"b"));
                return Some(Self {
                    root: root.into(),
                    action: action.map(ByteString::from),
                });
            }
            start = slash;
        }
        None
    }
}

fn first_element(path: &[u8]) -> &[u8] {
    path.split(|it| *it == b'/').next().unwrap_or_default()
}

fn is_numbered(name: &[u8], prefix: &[u8]) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|it| !it.is_empty() && it.iter().all(u8::is_ascii_digit))
}

/// The role of a program by its base name, until its file has been read.
pub fn role_of(path: &[u8]) -> Option<Role> {
    match path.rsplit(|it| *it == b'/').next().unwrap_or_default() {
        b"go" => Some(Role::Go),
        b"compile" => Some(Role::Compile),
        b"asm" => Some(Role::Asm),
        b"link" => Some(Role::Link),
        b"cgo" => Some(Role::Cgo),
        b"vet" => Some(Role::Vet),
        b"cover" => Some(Role::Cover),
        b"pack" => Some(Role::Pack),
        b"preprofile" => Some(Role::Preprofile),
        b"fix" => Some(Role::Fix),
        b"buildid" => Some(Role::BuildId),
        _ => None,
    }
}

/// Import path and test variant: `p [p.test]` is `p` for the test binary `p.test`.
pub fn split_variant(package: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = package.strip_suffix(b"]").and_then(|it| {
        let at = it.windows(2).position(|it| it == b" [")?;
        Some((it.get(..at)?, it.get(at + 2..)?))
    });
    match split {
        Some((path, variant)) => (path, Some(variant)),
        None => (package, None),
    }
}

/// Resolves a path from a directory, without `.`, `..` and doubled slashes. It works by text alone, as Go's `filepath.Join` does. A `..`
/// after a symbolic link really leads elsewhere, see [`locate`]. The path stays relative if the directory is unknown.
pub fn resolve(path: &ByteString, cwd: Option<&ByteString>) -> ByteString {
    join(path, cwd, |_| true)
}

/// Resolves a path that was passed to the kernel, from a working directory that the kernel reported. A `..` after a name in `path` stays,
/// because the name may be that of a symbolic link.
pub fn locate(path: &ByteString, cwd: Option<&ByteString>) -> ByteString {
    join(path, cwd, |part| part == Part::Cwd)
}

/// The origin of an element of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Cwd,
    Path,
}

/// Joins both. A `..` removes the element before it, if `goes` permits that.
fn join(path: &ByteString, cwd: Option<&ByteString>, goes: impl Fn(Part) -> bool) -> ByteString {
    let cwd = cwd.filter(|_| !path.as_bytes().starts_with(b"/"));
    let base = cwd.map(ByteString::as_bytes).unwrap_or_default();
    let is_absolute = base.starts_with(b"/") || path.as_bytes().starts_with(b"/");
    let of_cwd = base.split(|it| *it == b'/').map(|it| (it, Part::Cwd));
    let of_path = path.as_bytes().split(|it| *it == b'/');
    let of_path = of_path.map(|it| (it, Part::Path));
    let mut elements: Vec<(&[u8], Part)> = Vec::new();
    for (element, part) in of_cwd.chain(of_path) {
        match (element, elements.last()) {
            (b"" | b".", _) => {}
            (b"..", Some((last, of))) if *last != b".." && goes(*of) => {
                elements.pop();
            }
            (b"..", None) if is_absolute => {}
            _ => elements.push((element, part)),
        }
    }
    let elements: Vec<&[u8]> = elements.into_iter().map(|(it, _)| it).collect();
    let mut clean = if is_absolute {
        b"/".to_vec()
    } else {
        Vec::new()
    };
    clean.extend_from_slice(&elements.join(&b'/'));
    if clean.is_empty() {
        ".".into()
    } else {
        clean.into()
    }
}

/// True if a program is run from the build cache, as `go run` and `go tool` do since Go 1.24: `$GOCACHE/05/0562...-d/name`.
pub fn is_cached_program(path: &[u8], gocache: &[u8]) -> bool {
    let Some(rest) = path
        .strip_prefix(gocache)
        .and_then(|it| it.strip_prefix(b"/"))
    else {
        return false;
    };
    let mut elements = rest.split(|it| *it == b'/');
    let (Some(shard), Some(entry), Some(name), None) = (
        elements.next(),
        elements.next(),
        elements.next(),
        elements.next(),
    ) else {
        return false;
    };
    let is_hex = |it: &[u8]| it.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    shard.len() == 2
        && entry
            .strip_suffix(b"-d")
            .is_some_and(|it| it.len() == 64 && is_hex(it) && it.starts_with(shard))
        && !name.is_empty()
}

#[cfg(test)]
mod tests;
