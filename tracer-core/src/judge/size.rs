//! The last size of each target and build variant, for comparison with the next size. All builds of one commit have the same baseline: the
//! last size of another commit.

use std::collections::BTreeMap;

use super::TARGETS;
use crate::finished::{FinishedBuild, binaries, target};
use crate::history::{Baseline, BaselineId, Entry, Target};
use crate::model::Installed;

/// Largest number of build variants of one target.
const VARIANTS: usize = 32;

/// Allowed growth of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    Bytes(u64),
    Percent(f64),
}

/// A size and the previous size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeChange {
    pub before: u64,
    pub now: u64,
    /// Largest size that the budget allows, if there is a budget.
    pub most: Option<f64>,
}

/// Names a target: project, import path, GOOS, GOARCH.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TargetKey {
    project: Option<String>,
    package: String,
    goos: Option<String>,
    goarch: Option<String>,
}

/// The last size of every target, for each build variant.
#[derive(Debug, Default)]
pub struct Sizes {
    targets: BTreeMap<TargetKey, TargetState>,
    budget: Option<Budget>,
}

#[derive(Debug, Default)]
struct TargetState {
    /// End of the last build, in nanoseconds since 1970.
    at_ns: u64,
    variants: Vec<(BaselineId, VariantState)>,
}

#[derive(Clone, Debug)]
struct VariantState {
    /// The commit of the last build, if it is known.
    commit: Option<String>,
    size: u64,
    /// The last size before this commit.
    baseline: Option<u64>,
}

/// The facts of one build of a target.
struct Built<'a> {
    commit: Option<&'a str>,
    size: u64,
    /// Nanoseconds since 1970.
    at_ns: u64,
}

/// The build variant. Only sizes of one variant are comparable. A program that `go` runs at once is a variant of its own, because
/// the `go` command strips it.
fn variant(baseline: &Baseline, how: Installed) -> BaselineId {
    match how {
        Installed::Temporary | Installed::FromCache => {
            BaselineId::from(format!("{} temporary", baseline.id()))
        }
        Installed::Renamed
        | Installed::Copied
        | Installed::UpToDate
        | Installed::Direct
        | Installed::Announced => baseline.id(),
    }
}

impl Sizes {
    /// Sets the allowed growth for later builds.
    pub fn set_budget(&mut self, budget: Option<Budget>) {
        self.budget = budget;
    }

    /// Adds the size of a target from the history. The caller passes builds in order, oldest first.
    pub fn note(&mut self, entry: &Entry, target: &Target) {
        let (Some(package), Some(baseline), Some(size)) =
            (&target.package, &target.baseline, target.size)
        else {
            return;
        };
        let key = TargetKey {
            project: entry.project.clone(),
            package: package.clone(),
            goos: entry.goos.clone(),
            goarch: entry.goarch.clone(),
        };
        let at_ns = entry.ended_ns.unwrap_or(entry.started_ns);
        let at_ns = u64::try_from(at_ns).unwrap_or(0);
        let of_now = Built {
            commit: entry.commit(),
            size,
            at_ns,
        };
        self.replace(key, &variant(baseline, target.how), &of_now);
    }

    /// Removes targets that were last built before this time (nanoseconds since 1970).
    pub fn expire(&mut self, before_ns: u64) {
        self.targets.retain(|_, it| it.at_ns >= before_ns);
    }

    pub(super) fn judge(&mut self, finished: FinishedBuild<'_>) -> Vec<Option<SizeChange>> {
        let build = finished.build;
        let binaries = binaries(build);
        let outputs = build.outputs.iter().enumerate();
        let changes = outputs.map(|(at, output)| {
            let known = finished.entry.targets.get(at)?;
            let package = target(output).filter(|_| output.artifact.is_some())?;
            let now = binaries.get(package)?.size;
            let key = TargetKey {
                project: output.project(build).map(ToOwned::to_owned),
                package: package.to_owned(),
                goos: build.toolchain.goos.clone(),
                goarch: build.toolchain.goarch.clone(),
            };
            let variant = variant(known.baseline.as_ref()?, output.how);
            let of_now = Built {
                commit: finished.entry.commit(),
                size: now,
                at_ns: finished.ended_ns(),
            };
            let before = self.replace(key, &variant, &of_now)?;
            Some(self.change(before, now))
        });
        changes.collect()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a limit is a double, exact up to 9 PB"
    )]
    fn change(&self, before: u64, now: u64) -> SizeChange {
        let most = self.budget.map(|it| match it {
            Budget::Bytes(bytes) => before as f64 + bytes as f64,
            Budget::Percent(percent) => (before as f64 * (1.0 + percent / 100.0)).floor(),
        });
        SizeChange { before, now, most }
    }

    /// Replaces the size of a variant of a target, and returns its baseline.
    fn replace(&mut self, key: TargetKey, variant: &BaselineId, of_now: &Built<'_>) -> Option<u64> {
        if self.targets.len() >= TARGETS && !self.targets.contains_key(&key) {
            return None;
        }
        let TargetState { at_ns, variants } = self.targets.entry(key).or_default();
        *at_ns = of_now.at_ns.max(*at_ns);
        let known = variants.iter().position(|(it, _)| it == variant);
        let last = known.map(|at| variants.remove(at).1);
        let baseline = last.and_then(|last| {
            let is_same_commit = last.commit.is_some() && last.commit.as_deref() == of_now.commit;
            if is_same_commit {
                last.baseline
            } else {
                Some(last.size)
            }
        });
        if variants.len() >= VARIANTS {
            variants.remove(0);
        }
        let state = VariantState {
            commit: of_now.commit.map(ToOwned::to_owned),
            size: of_now.size,
            baseline,
        };
        variants.push((variant.clone(), state));
        baseline
    }
}
