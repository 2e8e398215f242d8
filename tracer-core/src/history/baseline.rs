//! Decides which outputs are comparable: the same program for the same platform, built in the same way. The minor version of Go and the
//! class of the branch are also the same.
//!
//! The machine is not compared. Flags that only change printed text or the number of parallel tools are not compared either.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::byte_string::ByteString;
use crate::golang::version::GoVersion;
use crate::hex;
use crate::model::{Build, Installed, Output};

/// Variables that choose among instruction sets of an architecture.
const LEVELS: &[(&str, &str)] = &[
    ("386", "GO386"),
    ("amd64", "GOAMD64"),
    ("arm", "GOARM"),
    ("arm64", "GOARM64"),
    ("mips", "GOMIPS"),
    ("mips64", "GOMIPS64"),
    ("mips64le", "GOMIPS64"),
    ("mipsle", "GOMIPS"),
    ("ppc64", "GOPPC64"),
    ("ppc64le", "GOPPC64"),
    ("riscv64", "GORISCV64"),
    ("wasm", "GOWASM"),
];

/// Identifies comparable outputs: two outputs are compared if their baselines are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Path of the main module.
    pub project: Option<String>,
    /// Import path of the package that it was made from.
    pub package: String,
    pub goos: Option<String>,
    pub goarch: Option<String>,
    /// Value of GOAMD64 or the corresponding variable of another architecture.
    pub level: Option<String>,
    /// Value of `-buildmode`, if it was given.
    pub buildmode: Option<String>,
    /// Build tags, sorted and without duplicates.
    pub tags: BTreeSet<String>,
    /// Flags that decide the size of the output: `strip`, `no-dwarf`, `no-optimize`, `trimpath`, `cover`, `asan`, `msan`, `pgo`.
    pub flags: BTreeSet<String>,
    pub cgo: Option<bool>,
    pub race: bool,
    /// Minor version of Go: `go1.27`.
    #[serde(default)]
    pub go: Option<String>,
    #[serde(default)]
    pub branch: Option<BranchClass>,
}

/// The class of the built branch, by its name. Absent if the branch is unknown, as for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchClass {
    /// `main`, `master`, `trunk`, `develop` and similar.
    Default,
    /// `release/1.2`, `stable`, `v1.2` and similar.
    Release,
    /// A pull or merge request, or any other branch.
    Change,
}

impl BranchClass {
    fn of(branch: Option<&str>, is_change: bool) -> Option<Self> {
        if is_change {
            return Some(Self::Change);
        }
        let branch = branch?.trim_start_matches("refs/heads/");
        Some(match branch {
            "main" | "master" | "trunk" | "default" | "mainline" | "dev" | "devel" | "develop"
            | "development" => Self::Default,
            _ if is_release(branch) => Self::Release,
            _ => Self::Change,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Release => "release",
            Self::Change => "change",
        }
    }
}

/// True for `release/1.2`, `release-1.2`, `go-release`, `stable`, `v1.2`, `1.2.x`.
fn is_release(branch: &str) -> bool {
    let mut words = branch.split(['/', '-', '_', '.']);
    let is_named = words.any(|it| ["release", "releases", "rel", "stable", "lts"].contains(&it));
    let number = branch.strip_prefix('v').unwrap_or(branch);
    let parts: Vec<&str> = number.split('.').collect();
    let is_part =
        |it: &&str| *it == "x" || (!it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()));
    is_named || (parts.len() > 1 && parts.iter().all(is_part))
}

/// A hash of a [`Baseline`], of fixed length: equal baselines have equal ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct BaselineId(String);

impl BaselineId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for BaselineId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for BaselineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// True if the package is another output, and this one is not a program, library or archive.
fn is_beside_a_library(build: &Build, output: &Output) -> bool {
    let format = |it: &Output| it.artifact.as_ref().map(|it| it.format.is_some());
    let mut others = build.outputs.iter();
    format(output) == Some(false)
        && others.any(|it| it.package == output.package && format(it) == Some(true))
}

impl Baseline {
    /// Absent if the package of the output is unknown, and for a C library's header.
    pub fn of(build: &Build, output: &Output) -> Option<Self> {
        if is_beside_a_library(build, output) {
            return None;
        }
        let package = output.package.as_ref()?.to_string();
        let flags = Flags(build);
        let goarch = build.toolchain.goarch.clone();
        let level = LEVELS
            .iter()
            .find(|(arch, _)| Some(*arch) == goarch.as_deref())
            .and_then(|(_, name)| variable(build, name));
        Some(Self {
            project: output.project(build).map(ToOwned::to_owned),
            package,
            goos: build.toolchain.goos.clone(),
            goarch,
            level,
            buildmode: flags.value("buildmode"),
            tags: tags(&flags),
            flags: classes(&flags, is_stripped(&flags, output)),
            cgo: variable(build, "CGO_ENABLED").map(|it| it == "1"),
            race: flags.is_on("race"),
            go: go(build, output),
            branch: branch(build),
        })
    }

    /// A hash of the baseline; no two baselines in a history share one.
    pub fn id(&self) -> BaselineId {
        // Each part is preceded by its length, so that one name cannot be mistaken for two.
        let mut digest = Sha256::new();
        let mut part = |text: Option<&str>| {
            let length = text.map_or(u64::MAX, |it| u64::try_from(it.len()).unwrap_or(u64::MAX));
            digest.update(length.to_le_bytes());
            digest.update(text.unwrap_or_default());
        };
        let Self {
            project,
            package,
            goos,
            goarch,
            level,
            buildmode,
            tags,
            flags,
            cgo,
            race,
            go,
            branch,
        } = self;
        for text in [project, goos, goarch, level, buildmode, go] {
            part(text.as_deref());
        }
        part(Some(package));
        part(cgo.map(|it| if it { "1" } else { "0" }));
        part(Some(if *race { "1" } else { "0" }));
        part(branch.map(BranchClass::as_str));
        for set in [tags, flags] {
            for it in set {
                part(Some(it));
            }
            part(None);
        }
        let digest = digest.finalize();
        let (first, _) = digest.split_at(16);
        BaselineId(hex::hex(first))
    }
}

/// Flags in force; of a repeated flag the last counts.
struct Flags<'a>(&'a Build);

impl Flags<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let flag = self.0.command.flags.iter().rev().find(|it| it.name == name);
        flag.and_then(|it| it.value.as_ref())
            .map(ToString::to_string)
    }

    fn is_on(&self, name: &str) -> bool {
        let flag = self.0.command.flags.iter().rev().find(|it| it.name == name);
        let is_false =
            |it: &ByteString| ["0", "f", "F", "false", "FALSE", "False"].contains(&&*it.to_str());
        flag.is_some_and(|it| !it.value.as_ref().is_some_and(is_false))
    }

    fn has_word(&self, flag: &str, words: &[&str]) -> bool {
        let value = self.value(flag).unwrap_or_default();
        // A pattern may precede the first word: `all=-N -l`.
        let mut found = value
            .split_whitespace()
            .map(|it| it.split_once("=-").map_or(it, |(_, it)| it))
            .map(|it| it.trim_start_matches('-'));
        found.any(|it| words.contains(&it))
    }
}

fn tags(flags: &Flags<'_>) -> BTreeSet<String> {
    let value = flags.value("tags").unwrap_or_default();
    let tags = value.split([',', ' ']).filter(|it| !it.is_empty());
    tags.map(ToOwned::to_owned).collect()
}

/// True if the file has no symbol table. If it was not analysed, the flags and the `go` command decide, which strips the programs that it
/// runs itself.
fn is_stripped(flags: &Flags<'_>, output: &Output) -> bool {
    let artifact = output.artifact.as_ref();
    let anatomy = artifact.and_then(|it| it.anatomy.as_deref());
    let was_to_be_stripped = match output.how {
        Installed::Temporary => true,
        Installed::FromCache
        | Installed::Renamed
        | Installed::Copied
        | Installed::UpToDate
        | Installed::Direct
        | Installed::Announced => flags.has_word("ldflags", &["s"]),
    };
    anatomy.map_or(was_to_be_stripped, |it| it.stripped)
}

/// The minor version of Go that linked the output.
fn go(build: &Build, output: &Output) -> Option<String> {
    let artifact = output.artifact.as_ref();
    let stamped = artifact.and_then(|it| it.go_version.as_deref());
    let version = stamped.or(build.toolchain.version.as_deref())?;
    GoVersion::parse(version).map(GoVersion::language)
}

/// The pipeline names the branch, otherwise the checkout does.
fn branch(build: &Build) -> Option<BranchClass> {
    let ci = build.ci.as_ref();
    let checkout = build.checkout.as_ref();
    let branch = ci.and_then(|it| it.branch.as_deref());
    let branch = branch.or_else(|| checkout?.branch.as_deref());
    BranchClass::of(branch, ci.is_some_and(|it| it.change.is_some()))
}

fn classes(flags: &Flags<'_>, is_stripped: bool) -> BTreeSet<String> {
    let is_profiled = flags
        .value("pgo")
        .is_some_and(|it| it != "off" && it != "auto");
    let all = [
        ("strip", is_stripped),
        ("no-dwarf", flags.has_word("ldflags", &["w", "s"])),
        ("no-optimize", flags.has_word("gcflags", &["N"])),
        ("trimpath", flags.is_on("trimpath")),
        ("cover", flags.is_on("cover")),
        ("asan", flags.is_on("asan")),
        ("msan", flags.is_on("msan")),
        ("pgo", is_profiled),
    ];
    all.into_iter()
        .filter(|(_, is_on)| *is_on)
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn variable(build: &Build, name: &str) -> Option<String> {
    build.env.get(name).map(ToString::to_string)
}
