//! The lines of a key as named inputs with values, so that two keys can be compared input by input.
//!
//! Source: `buildActionID`, `linkActionID` and `printLinkerConfig` of `cmd/go/internal/work/exec.go`, and `vet` there, of Go 1.19 to 1.27.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::golang::go_mod::{self, CachedModule};
use crate::golang::goflags::{self, Quoting};
use crate::golang::quoted;
use crate::model::{ActionKey, KeyKind};

/// An input of an action.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Input {
    pub kind: InputKind,
    /// The file, the package or the variable; absent if an action has only one input of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kind of an input.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// The release of the `go` command.
    Release,
    Compiler,
    CompilerFlags,
    Assembler,
    AssemblerFlags,
    Linker,
    /// Flags of the linker without `-X`.
    LinkerFlags,
    /// A variable that `-X` sets.
    LinkVariable,
    /// The tool `cgo`.
    Cgo,
    /// Commands and flags of a C, C++ or Fortran compiler.
    CFlags,
    /// A C, C++ or Fortran compiler.
    CCompiler,
    /// The tool `vet`.
    Vet,
    VetFlags,
    Platform,
    /// GOAMD64 and similar variables.
    ArchitectureLevel,
    Experiment,
    BuildMode,
    Trimpath,
    Coverage,
    Fuzzing,
    /// A line of the build information that the program contains: a module, a flag, the revision.
    BuildInfo,
    /// Default of GODEBUG.
    Godebug,
    /// The directory of the package.
    Directory,
    /// Version of the package's module: stated with `-trimpath`, else in the directory of a package in the module cache.
    Module,
    /// The `go` line of go.mod.
    Language,
    Goroot,
    /// A variable of the environment that the compiler reads.
    Variable,
    File,
    /// Profile of profile-guided optimisation.
    Profile,
    /// A package that this one imports, directly or not.
    Import,
    /// The package main of a program.
    MainPackage,
    /// The program of a test: the result of a link.
    TestProgram,
    /// A flag of a test: `-run`.
    TestFlag,
    /// A variable that a test read.
    TestVariable,
    /// A file that a test used: it was added or removed, or its size, mode or modification time changed.
    TestFile,
    TestFileSize,
    /// Mode of a file that a test used, in hexadecimal digits of Go's `fs.FileMode`.
    TestFileMode,
    /// Modification time of a file that a test used.
    TestFileTime,
    /// The error for a file that a test could not use.
    TestFileError,
    /// The time zone in which Go hashes the modification times.
    TestTimeZone,
    /// Another line of the key.
    Other,
}

impl InputKind {
    /// True if the input is the result of another action.
    pub fn is_import(self) -> bool {
        matches!(self, Self::Import | Self::MainPackage | Self::TestProgram)
    }
}

/// The value of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputValue {
    pub(super) text: String,
    /// The first word of its line.
    pub(super) word: String,
}

/// The inputs of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    pub(super) found: BTreeMap<Input, InputValue>,
    /// First words of lines that are not whole. Their inputs are not known.
    pub(super) cut: BTreeSet<String>,
    /// First word of the present line.
    word: String,
}

impl Inputs {
    pub(super) fn of(key: &ActionKey) -> Self {
        Self::of_lines(key, |_| true)
    }

    /// The inputs from these lines alone, and the cut lines.
    pub(super) fn of_lines(key: &ActionKey, is_wanted: impl Fn(&[u8]) -> bool) -> Self {
        let mut inputs = Self::default();
        let mut cut = key.cut.iter().copied().peekable();
        for (n, line) in (0u32..).zip(&key.lines) {
            if cut.peek() != Some(&n) && !is_wanted(line.as_bytes()) {
                continue;
            }
            let text = line.to_str();
            let word = text.split([' ', '\n']).next().unwrap_or_default();
            if cut.next_if_eq(&n).is_some() {
                inputs.cut.insert(word.to_owned());
                continue;
            }
            word.clone_into(&mut inputs.word);
            if n == 0 {
                inputs.add(InputKind::Release, "", &text);
            } else {
                inputs.line(key.kind, text.trim_end_matches('\n'));
            }
        }
        inputs
    }
}

impl Inputs {
    fn add(&mut self, kind: InputKind, name: &str, text: &str) {
        let value = self.found.entry(input(kind, name));
        // A second input with the same name must not hide the first.
        value
            .and_modify(|it| {
                it.text.push('\n');
                it.text.push_str(text);
            })
            .or_insert_with(|| InputValue {
                text: text.to_owned(),
                word: self.word.clone(),
            });
    }

    fn line(&mut self, key: KeyKind, line: &str) {
        use InputKind as Kind;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("compile" | "link" | "trimpath" | "forcelibrary", "") => {
                let kind = if word == "trimpath" {
                    Kind::Trimpath
                } else {
                    Kind::Other
                };
                self.add(kind, if kind == Kind::Other { word } else { "" }, "");
            }
            ("compile", _) => self.tool(Kind::Compiler, Kind::CompilerFlags, rest),
            ("asm", _) => self.asm(rest),
            ("link", _) => self.tool(Kind::Linker, Kind::Other, rest),
            ("linkflags", _) => self.link_flags(rest),
            ("vet", _) if key == KeyKind::Vet => self.add(Kind::Vet, "", rest),
            ("vetflags", _) => self.add(Kind::VetFlags, "", rest),
            ("pkg", _) if key == KeyKind::Vet => self.add(Kind::Import, "", rest),
            ("cgo", _) => self.add(Kind::Cgo, "", rest),
            ("CC" | "CXX" | "FC", _) => self.add(Kind::CCompiler, word, rest),
            ("cover", _) => self.add(Kind::Coverage, "", rest),
            ("fuzz", _) => self.add(Kind::Fuzzing, "", rest),
            ("modinfo", _) => self.build_info(rest),
            ("dir", _) => match in_module_cache(rest) {
                Some(CachedModule { path, version }) => self.add(Kind::Module, &path, &version),
                None => self.add(Kind::Directory, "", rest),
            },
            ("module", _) => match rest.rsplit_once('@') {
                Some((module, version)) => self.add(Kind::Module, module, version),
                None => self.add(Kind::Module, rest, ""),
            },
            ("go", _) => self.add(Kind::Language, "", rest),
            ("goos", _) => self.add(Kind::Platform, "", rest),
            ("buildmode", _) => {
                let (mode, platform) = rest.split_once(" goos ").unwrap_or((rest, ""));
                self.add(Kind::BuildMode, "", mode);
                self.add(Kind::Platform, "", platform);
            }
            ("defaultgodebug", _) => self.add(Kind::Godebug, "", rest),
            ("magic", _) => match rest.split_once('=') {
                Some((name, value)) => self.add(Kind::Variable, name, value),
                None => self.add(Kind::Other, word, rest),
            },
            ("file", _) => self.named(Kind::File, rest),
            ("pgofile", _) => self.add(Kind::Profile, "", rest),
            // The first import line names the package itself.
            ("import", _) if rest.starts_with('"') => self.add(Kind::Other, word, rest),
            ("import" | "vetout", _) => self.named(Kind::Import, rest),
            ("packagefile" | "packageshlib", _) => match rest.rsplit_once('=') {
                Some((path, id)) => self.add(Kind::Import, path, id),
                None => self.add(Kind::Import, rest, ""),
            },
            ("packagemain", _) => self.add(Kind::MainPackage, "", rest),
            _ => self.assignment(word, rest, line),
        }
    }

    /// `NAME=value` without blanks in the name.
    fn assignment(&mut self, word: &str, rest: &str, line: &str) {
        use InputKind as Kind;
        match line.split_once('=') {
            Some(("GOROOT", value)) => self.add(Kind::Goroot, "", value),
            Some(("GOEXPERIMENT", value)) => self.add(Kind::Experiment, "", value),
            Some((name @ ("CC" | "CXX" | "FC"), value)) => self.add(Kind::CFlags, name, value),
            Some((name @ "GO_EXTLINK_ENABLED", value)) => self.add(Kind::Variable, name, value),
            Some((name, value)) if name.starts_with("GO") && !name.contains(' ') => {
                self.add(Kind::ArchitectureLevel, name, value);
            }
            Some(_) | None => self.add(Kind::Other, word, rest),
        }
    }

    /// `path hash`: a path may contain blanks, a hash does not.
    fn named(&mut self, kind: InputKind, rest: &str) {
        let (name, hash) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        self.add(kind, name.trim_matches('"'), hash);
    }

    /// `compile version go1.27.3 [] []`: the identity of a tool, and flags or a mode.
    fn tool(&mut self, tool: InputKind, flags: InputKind, rest: &str) {
        let at = rest.find(" [").unwrap_or(rest.len());
        let (id, flags_text) = rest.split_at_checked(at).unwrap_or((rest, ""));
        self.add(tool, "", tool_version(id));
        self.add(flags, "", flags_text.trim_start());
    }

    /// `"asm version go1.27.3" [] []`.
    fn asm(&mut self, rest: &str) {
        let at = rest.find(" [").unwrap_or(rest.len());
        let (id, flags) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let id = quoted::string(id).unwrap_or_else(|| id.to_owned());
        self.add(InputKind::Assembler, "", tool_version(&id));
        self.add(InputKind::AssemblerFlags, "", flags.trim_start());
    }

    fn link_flags(&mut self, rest: &str) {
        match quoted::list(rest) {
            Some(flags) => self.flags_of_linker(flags),
            None => self.add(InputKind::LinkerFlags, "", rest),
        }
    }

    fn flags_of_linker(&mut self, flags: Vec<String>) {
        let mut kept: Vec<String> = Vec::new();
        let mut flags = flags.into_iter();
        while let Some(flag) = flags.next() {
            let symbol = match flag.as_str() {
                "-X" | "--X" => flags.next(),
                glued => {
                    let symbol = glued
                        .strip_prefix("-X=")
                        .or_else(|| glued.strip_prefix("--X="));
                    symbol.map(str::to_owned)
                }
            };
            match symbol.as_deref().and_then(|it| it.split_once('=')) {
                Some((name, value)) => self.add(InputKind::LinkVariable, name, value),
                None => kept.extend(symbol.or(Some(flag))),
            }
        }
        if !kept.is_empty() {
            self.add(InputKind::LinkerFlags, "", &kept.join(" "));
        }
    }

    /// The quoted build information: lines of a word, a tab, and values.
    fn build_info(&mut self, rest: &str) {
        let Some(text) = quoted::string(rest) else {
            return self.add(InputKind::BuildInfo, "", rest);
        };
        for line in text.lines() {
            let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
            let (name, value) = match word {
                "build" => rest.split_once('=').unwrap_or((rest, "")),
                "dep" | "=>" => rest.split_once('\t').unwrap_or((rest, "")),
                _ => (word, rest),
            };
            if name == "-ldflags" {
                // Quoted if it has a blank.
                let flags = quoted::string(value);
                let flags = flags.as_deref().unwrap_or(value);
                match goflags::split(flags.as_bytes(), Quoting::Shell) {
                    Ok(flags) => {
                        let flags = flags.iter().map(|it| it.to_str().into_owned());
                        self.flags_of_linker(flags.collect());
                    }
                    Err(_) => self.add(InputKind::LinkerFlags, "", flags),
                }
            } else {
                self.add(InputKind::BuildInfo, name, value);
            }
        }
    }
}

/// The module of a directory in the module cache, at its default place in GOPATH.
fn in_module_cache(dir: &str) -> Option<CachedModule> {
    const CACHE: &str = "/pkg/mod";
    let cache = dir.get(..dir.find(CACHE)? + CACHE.len())?;
    go_mod::cached_module(&dir.into(), &cache.into())
}

pub(super) fn input(kind: InputKind, name: &str) -> Input {
    Input {
        kind,
        name: (!name.is_empty()).then(|| name.to_owned()),
    }
}

/// `compile version go1.27.3` → `go1.27.3`. The identity of a development version is a hash.
fn tool_version(id: &str) -> &str {
    id.split_once(" version ")
        .map_or(id, |(_, version)| version)
}
