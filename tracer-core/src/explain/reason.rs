//! The closed set of reasons why an action ran, for sums over many builds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, Explanation, InputKind, NotStored, RootCause};

/// The reason why an action ran.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The history has no earlier key.
    FirstBuild,
    /// `-a` was set.
    Forced,
    /// Another release of Go, another tool or GOROOT.
    Toolchain,
    /// Another platform or architecture level.
    Platform,
    /// Flags of the compiler, assembler, linker or `vet`, the build mode, `-trimpath`, coverage.
    Flags,
    /// GOEXPERIMENT, GODEBUG, or a variable that the compiler reads.
    GoEnvironment,
    /// The C compiler or its flags.
    CEnvironment,
    /// Another version of the package's module.
    Module,
    /// Another directory of the package.
    Directory,
    /// Files of the package.
    Sources,
    /// A value that `-ldflags=-X` sets.
    LinkValue,
    /// The build information of a program: its modules, flags or revision.
    BuildInfo,
    /// An import has a new content that came from the build cache.
    CachedImport,
    /// The same inputs as before, but not in the build cache.
    Cache,
    /// A link with the same inputs as before.
    Link,
    /// The same inputs as in a failed build.
    FailedBefore,
    /// Vetted before with the same inputs: not in the build cache, or a named package before Go 1.26.
    VettedBefore,
    /// A variable, flag or program of a test.
    TestInput,
    /// Files that a test used.
    TestFile,
    /// Only modification times of files that a test used.
    TestFileTime,
    /// A test run whose result Go neither uses nor stores, or a run after such a run.
    NotCacheable,
    /// The stored result of a test had expired or was deleted.
    Expired,
    Unknown,
}

impl Reason {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 23] = [
        Self::FirstBuild,
        Self::Forced,
        Self::Toolchain,
        Self::Platform,
        Self::Flags,
        Self::GoEnvironment,
        Self::CEnvironment,
        Self::Module,
        Self::Directory,
        Self::Sources,
        Self::LinkValue,
        Self::BuildInfo,
        Self::CachedImport,
        Self::Cache,
        Self::Link,
        Self::FailedBefore,
        Self::VettedBefore,
        Self::TestInput,
        Self::TestFile,
        Self::TestFileTime,
        Self::NotCacheable,
        Self::Expired,
        Self::Unknown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::FirstBuild => "first_build",
            Self::Forced => "forced",
            Self::Toolchain => "toolchain",
            Self::Platform => "platform",
            Self::Flags => "flags",
            Self::GoEnvironment => "go_environment",
            Self::CEnvironment => "c_environment",
            Self::Module => "module",
            Self::Directory => "directory",
            Self::Sources => "sources",
            Self::LinkValue => "link_value",
            Self::BuildInfo => "build_info",
            Self::CachedImport => "cached_import",
            Self::Cache => "cache",
            Self::Link => "link",
            Self::FailedBefore => "failed_before",
            Self::VettedBefore => "vetted_before",
            Self::TestInput => "test_input",
            Self::TestFile => "test_file",
            Self::TestFileTime => "test_file_time",
            Self::NotCacheable => "not_cacheable",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The reason of a root. Of several changed inputs, the one that changes most packages counts.
    pub fn of_root(cause: &RootCause) -> Self {
        match cause {
            RootCause::First => Self::FirstBuild,
            RootCause::Forced => Self::Forced,
            RootCause::SameInputs => Self::Cache,
            RootCause::SameLink => Self::Link,
            RootCause::FailedBefore
            | RootCause::NotStored {
                reason: NotStored::Failed,
            } => Self::FailedBefore,
            RootCause::VettedBefore => Self::VettedBefore,
            RootCause::NotCacheable { .. } | RootCause::NotStored { .. } => Self::NotCacheable,
            RootCause::Expired => Self::Expired,
            RootCause::Changed { changes, .. } => Self::of_changes(changes),
            RootCause::Elsewhere { .. } => Self::CachedImport,
            RootCause::Unresolved { .. } => Self::Unknown,
        }
    }

    fn of_changes(changes: &[Change]) -> Self {
        let reasons = changes.iter().map(|it| Self::of_input(it.input.kind));
        reasons.min().unwrap_or(Self::Unknown)
    }

    pub(crate) fn of_input(kind: InputKind) -> Self {
        use InputKind as Kind;
        match kind {
            Kind::Release
            | Kind::Compiler
            | Kind::Assembler
            | Kind::Linker
            | Kind::Cgo
            | Kind::Vet
            | Kind::Goroot => Self::Toolchain,
            Kind::Platform | Kind::ArchitectureLevel => Self::Platform,
            Kind::CompilerFlags
            | Kind::AssemblerFlags
            | Kind::LinkerFlags
            | Kind::VetFlags
            | Kind::BuildMode
            | Kind::Trimpath
            | Kind::Coverage
            | Kind::Fuzzing => Self::Flags,
            Kind::Experiment | Kind::Godebug | Kind::Variable => Self::GoEnvironment,
            Kind::CFlags | Kind::CCompiler => Self::CEnvironment,
            Kind::Module => Self::Module,
            Kind::Directory => Self::Directory,
            Kind::File | Kind::Profile | Kind::Language => Self::Sources,
            Kind::LinkVariable => Self::LinkValue,
            Kind::BuildInfo => Self::BuildInfo,
            Kind::Import | Kind::MainPackage => Self::CachedImport,
            Kind::TestProgram | Kind::TestFlag | Kind::TestVariable | Kind::TestTimeZone => {
                Self::TestInput
            }
            Kind::TestFile | Kind::TestFileSize | Kind::TestFileMode | Kind::TestFileError => {
                Self::TestFile
            }
            Kind::TestFileTime => Self::TestFileTime,
            Kind::Other => Self::Unknown,
        }
    }
}

impl Explanation {
    /// The reason of each explained action, in their order: that of its dearest root.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons: BTreeMap<u32, Reason> = BTreeMap::new();
        for root in &self.roots {
            let reason = Reason::of_root(&root.cause);
            for action in &root.actions {
                // A cause of its own comes first.
                reasons.insert(*action, reason);
            }
        }
        for root in &self.roots {
            let reason = Reason::of_root(&root.cause);
            for action in &root.behind {
                reasons.entry(*action).or_insert(reason);
            }
        }
        let n = u32::try_from(self.actions.len()).unwrap_or(u32::MAX);
        let reasons = (0..n).map(|it| reasons.get(&it).copied().unwrap_or(Reason::Unknown));
        reasons.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::explain;
    use super::super::tests::{build, key, past};
    use super::*;
    use crate::model::KeyKind;

    #[test]
    fn json_contains_the_names() {
        for reason in Reason::ALL {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.name());
        }
    }

    #[test]
    fn an_action_has_the_reason_of_its_own_cause_or_of_its_dearest_root() {
        let keys = |file: &str, flags: &str, content: &str| {
            let compile = format!("compile compile version go1.27.3 [] [{flags}]");
            vec![
                key(
                    KeyKind::Build,
                    0,
                    "low",
                    file,
                    &[&compile, &format!("file a.go {file}")],
                ),
                key(
                    KeyKind::Build,
                    1,
                    "high",
                    &format!("{file}{flags}{content}"),
                    &[&format!("import low {content}")],
                ),
                key(KeyKind::Link, 2, "high", "same", &["packagemain x"]),
            ]
        };
        let earlier = [keys("A", "", "c1")];
        let now = explain(&build(keys("B", "", "c2")), &past(&earlier));
        assert_eq!(
            now.reasons(),
            [Reason::Sources, Reason::Sources, Reason::Link]
        );
        // Flags concern more packages than a file.
        let now = explain(&build(keys("B", "\"-N\"", "c2")), &past(&earlier));
        assert_eq!(now.reasons(), [Reason::Flags, Reason::Flags, Reason::Link]);
        let now = explain(&build(keys("A", "", "c1")), &past(&earlier));
        assert_eq!(now.reasons(), [Reason::Cache, Reason::Cache, Reason::Link]);
    }
}
