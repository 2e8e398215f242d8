//! Known causes of repeated work, as data: how each is recognised, and the change that would avoid it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::{Change, InputKind, Reason, RootCause};

/// A reason, and the pattern behind it if it is a known one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct KnownCause {
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
}

/// A pattern in the changes of one build or of several.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The change and the change back both occur.
    Alternates,
    /// `-trimpath` was added or removed.
    Trimpath,
    /// `-race`, `-msan`, coverage, fuzzing or another build mode was added or removed.
    Variant,
    /// Only the revision of the repository changed, and facts that follow from it.
    Revision,
    /// A file differs in several builds of one commit.
    VaryingFile,
}

impl KnownCause {
    /// The known cause of a root, as far as one build shows it.
    pub(super) fn of(cause: &RootCause) -> Self {
        let reason = Reason::of_root(cause);
        let changes = cause.changes();
        let patterns = [
            (
                Reason::Flags,
                Pattern::Trimpath,
                changes.iter().any(is_trimpath),
            ),
            (
                Reason::Flags,
                Pattern::Variant,
                changes.iter().any(is_variant),
            ),
            (Reason::BuildInfo, Pattern::Revision, is_revision(changes)),
        ];
        let mut patterns = patterns.into_iter();
        let pattern = patterns.find(|(of, _, is_there)| *of == reason && *is_there);
        let pattern = pattern.map(|(_, pattern, _)| pattern);
        Self { reason, pattern }
    }

    pub(super) fn with(self, pattern: Pattern) -> Self {
        let pattern = Some(pattern);
        Self { pattern, ..self }
    }

    /// True if both directions of its change belong together.
    pub(super) fn may_alternate(self) -> bool {
        matches!(self.reason, Reason::Toolchain | Reason::Flags) && self.pattern.is_none()
    }

    /// A title of a few words.
    pub fn title(self) -> &'static str {
        use Pattern as P;
        use Reason as R;
        match (self.reason, self.pattern) {
            (R::Toolchain, Some(P::Alternates)) => "releases of Go alternate",
            (R::Flags, Some(P::Alternates)) => "builds with different flags alternate",
            (R::Flags, Some(P::Trimpath)) => "with and without -trimpath",
            (R::Flags, Some(P::Variant)) => "variants with -race, -cover or another build mode",
            (R::BuildInfo, Some(P::Revision)) => {
                "the state of the repository is part of the program"
            }
            (R::Sources, Some(P::VaryingFile)) => "a file differs between builds of one commit",
            (R::FirstBuild, _) => "no earlier key",
            (R::Forced, _) => "-a was set",
            (R::Toolchain, _) => "another release of Go",
            (R::Platform, _) => "another platform or architecture level",
            (R::Flags, _) => "other flags",
            (R::GoEnvironment, _) => "other variables of Go",
            (R::CEnvironment, _) => "another C compiler or other flags for it",
            (R::Module, _) => "another version of a module",
            (R::Directory, _) => "the same packages in another directory",
            (R::Sources, _) => "files changed",
            (R::LinkValue, _) => "-ldflags=-X sets a new value",
            (R::BuildInfo, _) => "other build information",
            (R::CachedImport, _) => "an import changed, and came from the build cache",
            (R::Cache, _) => "same inputs as before, but not in the build cache",
            (R::Link, _) => "linked again with the same inputs",
            (R::FailedBefore, _) => "failed before with the same inputs",
            (R::VettedBefore, _) => "vetted again with the same inputs",
            (R::TestInput, _) => "tests with other flags or variables",
            (R::TestFile, _) => "files that tests read changed",
            (R::TestFileTime, _) => "only the times of files changed that tests read",
            (R::NotCacheable, _) => "test runs that go does not cache",
            (R::Expired, _) => "results of tests had expired",
            (R::Unknown, _) => "not known",
        }
    }

    /// The change that helps. `None` if nothing needs to change, or the cause is not known.
    pub fn advice(self) -> Option<&'static str> {
        use Pattern as P;
        use Reason as R;
        Some(match (self.reason, self.pattern) {
            (R::Toolchain, Some(P::Alternates)) => {
                "Use one release in all steps: a `toolchain` line in go.mod, or GOTOOLCHAIN."
            }
            (R::Flags, Some(P::Alternates)) => {
                "Use the same flags in all steps, for example in GOFLAGS. Each set of flags has its own entries in the build cache."
            }
            (R::Flags, Some(P::Trimpath)) => {
                "Use -trimpath in all steps or in none. It changes the key of every package."
            }
            (R::Flags, Some(P::Variant)) => {
                "Each variant is compiled apart. Run it only where its result is used."
            }
            (R::BuildInfo, Some(P::Revision)) => {
                "Use -buildvcs=false where programs are built only to test them."
            }
            (R::Sources, Some(P::VaryingFile)) => {
                "If a generator writes the file, make its output depend only on its input."
            }
            (R::Forced, _) => {
                "Remove -a from the command and from GOFLAGS. The build cache detects all changes that go can detect."
            }
            (R::GoEnvironment, _) => "Set the same values in all steps.",
            (R::CEnvironment, _) => "Set the same CC and CGO_* variables in all steps.",
            (R::Directory, _) => {
                "Build with -trimpath, or always in the same directory. Without it, the directory is part of the key."
            }
            (R::LinkValue, _) => {
                "Set it in releases only. Programs can read commit and time with debug.ReadBuildInfo."
            }
            (R::Cache, _) => {
                "Keep GOCACHE between jobs, or use GOCACHEPROG. go deletes entries that it did not use for five days."
            }
            (R::Link, _) => {
                "Keep the output between builds. go does not link a program whose output is up to date."
            }
            (R::FailedBefore, _) => "go caches no failure, so each retry compiles again.",
            (R::VettedBefore, _) => {
                "Vet once in a pipeline. Before Go 1.26, go vets named packages each time."
            }
            (R::TestFileTime, _) => {
                "A new checkout sets new times, and go runs such tests again. Restore the times, for example from the commits."
            }
            (R::NotCacheable, _) => {
                "Name the packages, and use only flags that go can cache: `go help test` lists them."
            }
            (R::Expired, _) => "Remove `go clean -testcache`.",
            (
                R::FirstBuild
                | R::Toolchain
                | R::Platform
                | R::Flags
                | R::Module
                | R::Sources
                | R::BuildInfo
                | R::CachedImport
                | R::TestInput
                | R::TestFile
                | R::Unknown,
                _,
            ) => return None,
        })
    }

    /// The part of a root that distinguishes rows with this cause.
    pub(super) fn subject(self, cause: &RootCause) -> Vec<String> {
        let changes = cause.changes();
        if self.pattern == Some(Pattern::VaryingFile) {
            let files = files(cause).map(|(package, file)| format!("{package}: {file}"));
            return files.collect();
        }
        match self.reason {
            Reason::Sources => cause.package().map(str::to_owned).into_iter().collect(),
            Reason::LinkValue => names(changes, |it| it == InputKind::LinkVariable),
            Reason::Module => names(changes, |it| it == InputKind::Module),
            Reason::GoEnvironment | Reason::CEnvironment | Reason::TestInput | Reason::TestFile => {
                names(changes, |_| true)
            }
            Reason::Toolchain => changes.iter().take(1).map(step).collect(),
            Reason::Flags if self.pattern != Some(Pattern::Trimpath) => {
                changes.iter().filter(|it| is_flag(it)).map(step).collect()
            }
            Reason::Flags
            | Reason::FirstBuild
            | Reason::Forced
            | Reason::Platform
            | Reason::Directory
            | Reason::BuildInfo
            | Reason::CachedImport
            | Reason::Cache
            | Reason::Link
            | Reason::FailedBefore
            | Reason::VettedBefore
            | Reason::TestFileTime
            | Reason::NotCacheable
            | Reason::Expired
            | Reason::Unknown => Vec::new(),
        }
    }

    /// The subject of the change back.
    pub(super) fn reverse(self, cause: &RootCause) -> Vec<String> {
        let back = cause.changes().iter().map(|it| Change {
            input: it.input.clone(),
            before: it.after.clone(),
            after: it.before.clone(),
        });
        self.subject(&RootCause::Changed {
            package: cause.package().map(str::to_owned),
            changes: back.collect(),
        })
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
    let files = cause.changes().iter();
    let files = files.filter(|it| it.input.kind == InputKind::File);
    files.filter_map(|it| Some((cause.package()?, it.input.name.as_deref()?)))
}

fn names(changes: &[Change], of: impl Fn(InputKind) -> bool) -> Vec<String> {
    let chosen = changes.iter().filter(|it| of(it.input.kind));
    let names: BTreeSet<String> = chosen.filter_map(|it| it.input.name.clone()).collect();
    names.into_iter().collect()
}

fn is_trimpath(change: &Change) -> bool {
    change.input.kind == InputKind::Trimpath
}

fn is_variant(change: &Change) -> bool {
    let kind = change.input.kind;
    let is_mode = matches!(
        kind,
        InputKind::Coverage | InputKind::Fuzzing | InputKind::BuildMode
    );
    let mut values = [&change.before, &change.after].into_iter().flatten();
    let is_instrumented = values.any(|it| it.contains("\"-race\"") || it.contains("\"-msan\""));
    is_mode || kind == InputKind::CompilerFlags && is_instrumented
}

fn is_revision(changes: &[Change]) -> bool {
    let name = |it: &Change| it.input.name.clone().unwrap_or_default();
    let is_stamp = |it: &Change| name(it).starts_with("vcs.");
    // The version of the main module contains the revision since Go 1.24.
    let follows = |it: &Change| is_stamp(it) || name(it) == "mod";
    changes.iter().any(is_stamp)
        && changes
            .iter()
            .all(|it| it.input.kind == InputKind::BuildInfo && follows(it))
}
