//! Known causes of repeated work, as data: how each is recognised, and the change that would avoid it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::{Change, InputKind, Reason, RootCause};

/// A known cause.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KnownCause {
    Forced,
    Toolchain,
    ToolchainAlternates,
    Platform,
    Flags,
    FlagsAlternate,
    Trimpath,
    Variants,
    GoEnvironment,
    CEnvironment,
    Module,
    Directory,
    LinkValue,
    VcsStamp,
    BuildInfo,
    Sources,
    GeneratedFile,
    CachedImport,
    Cache,
    Link,
    FailedBefore,
    VettedBefore,
    TestInput,
    TestFile,
    TestFileTime,
    TestNotCacheable,
    TestExpired,
    FirstBuild,
    Unknown,
}

impl KnownCause {
    pub const ALL: [Self; 29] = [
        Self::Forced,
        Self::Toolchain,
        Self::ToolchainAlternates,
        Self::Platform,
        Self::Flags,
        Self::FlagsAlternate,
        Self::Trimpath,
        Self::Variants,
        Self::GoEnvironment,
        Self::CEnvironment,
        Self::Module,
        Self::Directory,
        Self::LinkValue,
        Self::VcsStamp,
        Self::BuildInfo,
        Self::Sources,
        Self::GeneratedFile,
        Self::CachedImport,
        Self::Cache,
        Self::Link,
        Self::FailedBefore,
        Self::VettedBefore,
        Self::TestInput,
        Self::TestFile,
        Self::TestFileTime,
        Self::TestNotCacheable,
        Self::TestExpired,
        Self::FirstBuild,
        Self::Unknown,
    ];

    /// The known cause of a root, as far as one build shows it.
    pub(super) fn of(cause: &RootCause) -> Self {
        match Reason::of_root(cause) {
            Reason::FirstBuild => Self::FirstBuild,
            Reason::Forced => Self::Forced,
            Reason::Toolchain => Self::Toolchain,
            Reason::Platform => Self::Platform,
            Reason::Flags if has(cause, |it| it == InputKind::Trimpath) => Self::Trimpath,
            Reason::Flags if is_variant(cause) => Self::Variants,
            Reason::Flags => Self::Flags,
            Reason::GoEnvironment => Self::GoEnvironment,
            Reason::CEnvironment => Self::CEnvironment,
            Reason::Module => Self::Module,
            Reason::Directory => Self::Directory,
            Reason::Sources => Self::Sources,
            Reason::LinkValue => Self::LinkValue,
            Reason::BuildInfo if is_vcs(cause) => Self::VcsStamp,
            Reason::BuildInfo => Self::BuildInfo,
            Reason::CachedImport => Self::CachedImport,
            Reason::Cache => Self::Cache,
            Reason::Link => Self::Link,
            Reason::FailedBefore => Self::FailedBefore,
            Reason::VettedBefore => Self::VettedBefore,
            Reason::TestInput => Self::TestInput,
            Reason::TestFile => Self::TestFile,
            Reason::TestFileTime => Self::TestFileTime,
            Reason::NotCacheable => Self::TestNotCacheable,
            Reason::Expired => Self::TestExpired,
            Reason::Unknown => Self::Unknown,
        }
    }

    /// The same cause, if its changes also occur in the other direction.
    pub(super) fn alternating(self) -> Option<Self> {
        let pairs = [
            (Self::Toolchain, Self::ToolchainAlternates),
            (Self::Flags, Self::FlagsAlternate),
        ];
        let pair = pairs.into_iter().find(|(once, _)| *once == self);
        pair.map(|(_, alternating)| alternating)
    }

    /// A title of a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Forced => "-a was set",
            Self::Toolchain => "another release of Go",
            Self::ToolchainAlternates => "releases of Go alternate",
            Self::Platform => "another platform or architecture level",
            Self::Flags => "other flags",
            Self::FlagsAlternate => "builds with different flags alternate",
            Self::Trimpath => "with and without -trimpath",
            Self::Variants => "variants with -race, -cover or another build mode",
            Self::GoEnvironment => "other variables of Go",
            Self::CEnvironment => "another C compiler or other flags for it",
            Self::Module => "another version of a module",
            Self::Directory => "the same packages in another directory",
            Self::LinkValue => "-ldflags=-X sets a new value",
            Self::VcsStamp => "the state of the repository is part of the program",
            Self::BuildInfo => "other build information",
            Self::Sources => "files changed",
            Self::GeneratedFile => "a file differs between builds of one commit",
            Self::CachedImport => "an import changed, and came from the build cache",
            Self::Cache => "same inputs as before, but not in the build cache",
            Self::Link => "linked again with the same inputs",
            Self::FailedBefore => "failed before with the same inputs",
            Self::VettedBefore => "vetted again with the same inputs",
            Self::TestInput => "tests with other flags or variables",
            Self::TestFile => "files that tests read changed",
            Self::TestFileTime => "only the times of files changed that tests read",
            Self::TestNotCacheable => "test runs that go does not cache",
            Self::TestExpired => "results of tests had expired",
            Self::FirstBuild => "no earlier key",
            Self::Unknown => "not known",
        }
    }

    /// The change that helps. `None` if nothing needs to change, or the cause is not known.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Forced => {
                "Remove -a from the command and from GOFLAGS. The build cache detects all changes that go can detect."
            }
            Self::ToolchainAlternates => {
                "Use one release in all steps: a `toolchain` line in go.mod, or GOTOOLCHAIN."
            }
            Self::FlagsAlternate => {
                "Use the same flags in all steps, for example in GOFLAGS. Each set of flags has its own entries in the build cache."
            }
            Self::Trimpath => {
                "Use -trimpath in all steps or in none. It changes the key of every package."
            }
            Self::Variants => {
                "Each variant is compiled apart. Run it only where its result is used."
            }
            Self::GoEnvironment => "Set the same values in all steps.",
            Self::CEnvironment => "Set the same CC and CGO_* variables in all steps.",
            Self::Directory => {
                "Build with -trimpath, or always in the same directory. Without it, the directory is part of the key."
            }
            Self::LinkValue => {
                "Set it in releases only. Programs can read commit and time with debug.ReadBuildInfo."
            }
            Self::VcsStamp => "Use -buildvcs=false where programs are built only to test them.",
            Self::GeneratedFile => {
                "If a generator writes the file, make its output depend only on its input."
            }
            Self::Cache => {
                "Keep GOCACHE between jobs, or use GOCACHEPROG. go deletes entries that it did not use for five days."
            }
            Self::Link => {
                "Keep the output between builds. go does not link a program whose output is up to date."
            }
            Self::FailedBefore => "go caches no failure, so each retry compiles again.",
            Self::VettedBefore => {
                "Vet once in a pipeline. Before Go 1.26, go vets named packages each time."
            }
            Self::TestFileTime => {
                "A new checkout sets new times, and go runs such tests again. Restore the times, for example from the commits."
            }
            Self::TestNotCacheable => {
                "Name the packages, and use only flags that go can cache: `go help test` lists them."
            }
            Self::TestExpired => "Remove `go clean -testcache`.",
            Self::Toolchain
            | Self::Platform
            | Self::Flags
            | Self::Module
            | Self::BuildInfo
            | Self::Sources
            | Self::CachedImport
            | Self::TestInput
            | Self::TestFile
            | Self::FirstBuild
            | Self::Unknown => return None,
        })
    }

    /// The part of a root that distinguishes rows with this cause.
    pub(super) fn subject(self, cause: &RootCause) -> Vec<String> {
        let RootCause::Changed { package, changes } = cause else {
            return Vec::new();
        };
        match self {
            Self::Sources => package.iter().cloned().collect(),
            Self::GeneratedFile => {
                let files = files(cause).map(|(package, file)| format!("{package}: {file}"));
                files.collect()
            }
            Self::LinkValue => names(changes, |it| it == InputKind::LinkVariable),
            Self::Module => names(changes, |it| it == InputKind::Module),
            Self::GoEnvironment | Self::CEnvironment | Self::TestInput | Self::TestFile => {
                names(changes, |_| true)
            }
            Self::Toolchain | Self::ToolchainAlternates => {
                changes.iter().take(1).map(step).collect()
            }
            Self::Flags | Self::FlagsAlternate | Self::Variants => {
                changes.iter().filter(|it| is_flag(it)).map(step).collect()
            }
            Self::Forced
            | Self::Platform
            | Self::Trimpath
            | Self::Directory
            | Self::VcsStamp
            | Self::BuildInfo
            | Self::CachedImport
            | Self::Cache
            | Self::Link
            | Self::FailedBefore
            | Self::VettedBefore
            | Self::TestFileTime
            | Self::TestNotCacheable
            | Self::TestExpired
            | Self::FirstBuild
            | Self::Unknown => Vec::new(),
        }
    }

    /// The subject of the change back, to find causes that alternate.
    pub(super) fn reverse(self, cause: &RootCause) -> Vec<String> {
        let RootCause::Changed { package, changes } = cause else {
            return Vec::new();
        };
        let back = changes.iter().map(|it| Change {
            input: it.input.clone(),
            before: it.after.clone(),
            after: it.before.clone(),
        });
        let back = RootCause::Changed {
            package: package.clone(),
            changes: back.collect(),
        };
        self.subject(&back)
    }
}

/// `go1.26.6 → go1.27.3`.
fn step(change: &Change) -> String {
    let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".to_owned());
    format!("{} → {}", text(&change.before), text(&change.after))
}

fn is_flag(change: &Change) -> bool {
    Reason::of_input(change.input.kind) == Reason::Flags
}

/// Package and name of each file that changed.
pub(super) fn files(cause: &RootCause) -> impl Iterator<Item = (&str, &str)> {
    let of_package = match cause {
        RootCause::Changed {
            package: Some(package),
            changes,
        } => Some((package.as_str(), changes)),
        RootCause::Changed { package: None, .. }
        | RootCause::First
        | RootCause::Forced
        | RootCause::SameInputs
        | RootCause::SameLink
        | RootCause::FailedBefore
        | RootCause::VettedBefore
        | RootCause::NotCacheable { .. }
        | RootCause::NotStored { .. }
        | RootCause::Expired
        | RootCause::Elsewhere { .. }
        | RootCause::Unresolved { .. } => None,
    };
    let changes = of_package
        .into_iter()
        .flat_map(|(package, changes)| changes.iter().map(move |it| (package, it)));
    let files = changes.filter(|(_, it)| it.input.kind == InputKind::File);
    files.filter_map(|(package, it)| Some((package, it.input.name.as_deref()?)))
}

fn names(changes: &[Change], of: impl Fn(InputKind) -> bool) -> Vec<String> {
    let chosen = changes.iter().filter(|it| of(it.input.kind));
    let names: BTreeSet<String> = chosen.filter_map(|it| it.input.name.clone()).collect();
    names.into_iter().collect()
}

fn has(cause: &RootCause, of: impl Fn(InputKind) -> bool) -> bool {
    let RootCause::Changed { changes, .. } = cause else {
        return false;
    };
    changes.iter().any(|it| of(it.input.kind))
}

fn is_variant(cause: &RootCause) -> bool {
    let RootCause::Changed { changes, .. } = cause else {
        return false;
    };
    changes.iter().any(|it| {
        let is_mode = matches!(
            it.input.kind,
            InputKind::Coverage | InputKind::Fuzzing | InputKind::BuildMode
        );
        let mut values = [&it.before, &it.after].into_iter().flatten();
        let is_instrumented = values.any(|it| it.contains("\"-race\"") || it.contains("\"-msan\""));
        is_mode || it.input.kind == InputKind::CompilerFlags && is_instrumented
    })
}

fn is_vcs(cause: &RootCause) -> bool {
    let RootCause::Changed { changes, .. } = cause else {
        return false;
    };
    let mut info = changes
        .iter()
        .filter(|it| it.input.kind == InputKind::BuildInfo);
    let is_stamp = |it: &str| it.starts_with("vcs.") || it == "mod";
    info.any(|it| {
        it.input
            .name
            .as_deref()
            .is_some_and(|it| it.starts_with("vcs."))
    }) && changes.iter().all(|it| {
        it.input.kind == InputKind::BuildInfo && it.input.name.as_deref().is_some_and(is_stamp)
    })
}
