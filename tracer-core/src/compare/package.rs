//! The packages of both builds: how each was obtained, and its CPU time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::CountChange;
use super::change::{difference, join};
use crate::byte_string::ByteString;
use crate::finished::FinishedBuild;
use crate::model::{Build, KeyKind, Outcome};

/// The outcome of a package in one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    Compiled,
    Failed,
    /// It came from the build cache.
    Cached,
    /// The build has no action for it: it does not contain the package, or did not need it.
    Absent,
    /// The build was traced without the probes that show cached packages.
    NotKnown,
}

/// A package that at least one of the builds compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageChange {
    /// Import path, with the test variant.
    pub package: ByteString,
    pub before: PackageState,
    pub after: PackageState,
    /// CPU time of the tools that worked on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_cpu_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_cpu_ns: Option<u64>,
}

/// The packages that both builds compiled. Their CPU times are comparable even if the caches differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SharedPackages {
    pub packages: u64,
    pub before_cpu_ns: u64,
    pub after_cpu_ns: u64,
}

impl SharedPackages {
    pub(super) fn of(packages: &[PackageChange]) -> Self {
        let is_shared = |it: &&PackageChange| {
            it.before == PackageState::Compiled && it.after == PackageState::Compiled
        };
        let mut shared = Self::default();
        for it in packages.iter().filter(is_shared) {
            let (before, after) = (it.before_cpu_ns, it.after_cpu_ns);
            shared.packages += 1;
            shared.before_cpu_ns = shared.before_cpu_ns.saturating_add(before.unwrap_or(0));
            shared.after_cpu_ns = shared.after_cpu_ns.saturating_add(after.unwrap_or(0));
        }
        shared
    }
}

/// The packages of one build.
struct Packages<'a> {
    /// With the CPU time, and true if a tool failed.
    compiled: BTreeMap<&'a ByteString, (u64, bool)>,
    /// The packages with an action that ran no tool. Absent without the span probes.
    cached: Option<BTreeSet<&'a ByteString>>,
}

impl<'a> Packages<'a> {
    fn of(finished: FinishedBuild<'a>) -> Self {
        let compiled = finished.report.packages.iter();
        let actions = &finished.build.actions;
        let builds = actions.iter().filter(|it| {
            it.outcome == Outcome::Cached && KeyKind::of_mode(&it.mode) == Some(KeyKind::Build)
        });
        Self {
            compiled: compiled
                .map(|it| (&it.package, (it.cpu_ns, it.failed)))
                .collect(),
            cached: (!actions.is_empty())
                .then(|| builds.filter_map(|it| it.package.as_ref()).collect()),
        }
    }

    fn state(&self, package: &ByteString) -> PackageState {
        match (self.compiled.get(package), &self.cached) {
            (Some((_, true)), _) => PackageState::Failed,
            (Some((_, false)), _) => PackageState::Compiled,
            (None, Some(cached)) if cached.contains(package) => PackageState::Cached,
            (None, Some(_)) => PackageState::Absent,
            (None, None) => PackageState::NotKnown,
        }
    }
}

/// The packages that at least one build compiled, the largest difference of CPU time first.
pub(super) fn packages(before: FinishedBuild<'_>, after: FinishedBuild<'_>) -> Vec<PackageChange> {
    let (before, after) = (Packages::of(before), Packages::of(after));
    let cpu = |it: &Packages<'_>, package: &ByteString| it.compiled.get(package).map(|it| it.0);
    let names: BTreeSet<&ByteString> = before
        .compiled
        .keys()
        .chain(after.compiled.keys())
        .copied()
        .collect();
    let mut packages: Vec<PackageChange> = names
        .into_iter()
        .map(|it| PackageChange {
            package: it.clone(),
            before: before.state(it),
            after: after.state(it),
            before_cpu_ns: cpu(&before, it),
            after_cpu_ns: cpu(&after, it),
        })
        .collect();
    packages.sort_by_key(|it| Reverse(difference(it.before_cpu_ns, it.after_cpu_ns)));
    packages
}

/// Packages by outcome.
pub(super) fn counts(before: &Build, after: &Build) -> Vec<CountChange> {
    let of = |build: &Build| {
        let packages = &build.packages;
        [
            ("compiled", Some(packages.compiled)),
            ("cached", packages.cached),
            ("failed", Some(packages.failed)),
        ]
    };
    let joined = join(of(before), of(after)).into_iter();
    let counts = joined.map(|(name, (before, after))| CountChange {
        name: name.to_owned(),
        before: before.flatten().map(u64::from),
        after: after.flatten().map(u64::from),
    });
    let mut counts: Vec<CountChange> = counts.collect();
    counts.sort_by_key(|it| Reverse(difference(it.before, it.after)));
    counts
}
