//! Advice over many builds: causes of repeated work ranked by their CPU time, with the change that would avoid each.
//!
//! The input is the stored causes of builds; the output is plain data. An action with several causes counts for each of them, so rows
//! overlap and are not to be added.

mod catalogue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::{Place, Reason, RootCause};
use crate::history::BuildId;

pub use catalogue::{KnownCause, Pattern};

use catalogue::files;

/// Rows with less CPU time than this part of all explained CPU time are left out, ...
const SHARE: u64 = 100;
/// ... and so are rows with less than this.
const LEAST_NS: u64 = 1_000_000_000;
/// Number of builds that a row names.
const BUILDS: usize = 3;
/// Largest number of causes of a build that are stored, the dearest ones.
pub const CAUSES_MAX: usize = 200;
/// Number of builds of one commit in which a file must differ, to be reported as such.
const VARYING: usize = 3;

/// A cause of a build, as the history has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCause {
    pub cause: RootCause,
    /// Number of all actions that ran because of it.
    pub n_actions: u64,
    /// Their CPU time.
    pub cpu_ns: u64,
}

/// The causes of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildCauses {
    pub build: BuildId,
    pub project: Option<String>,
    pub host: Option<String>,
    pub commit: Option<String>,
    pub causes: Vec<StoredCause>,
}

/// Work of a project that had been done before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatedWork {
    pub project: Option<String>,
    pub place: Place,
    /// Number of actions.
    pub n: u64,
    pub cpu_ns: u64,
    /// The last build that repeated some of it.
    pub build: BuildId,
}

/// Sums of the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Period {
    /// Start of the first build, in nanoseconds since 1970.
    pub started_ns: i64,
    /// End of the period.
    pub ended_ns: i64,
    /// Builds that ran an action and have cache keys.
    pub n_builds: u64,
    /// All builds of the period.
    pub n_all: u64,
    /// CPU time of all executed actions with keys.
    pub cpu_ns: u64,
}

/// The result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    pub period: Period,
    /// Builds with 200 stored causes, which is the limit. They may have had more, so the sums of rows may be too low.
    #[serde(default)]
    pub n_builds_cut: u64,
    /// Dearest first.
    pub rows: Vec<AdviceRow>,
    /// CPU time of the actions that had been done before, without links.
    pub done_before_cpu_ns: u64,
    /// Dearest first.
    pub done_before: Vec<RepeatedWork>,
}

/// A cause in a project, over all its builds and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdviceRow {
    #[serde(flatten)]
    pub known: KnownCause,
    pub project: Option<String>,
    /// Package, module, variables, flags or releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// CPU time of all actions that ran because of it.
    pub cpu_ns: u64,
    pub n_actions: u64,
    pub n_builds: u64,
    pub n_hosts: u64,
    /// The last builds that show it.
    pub builds: Vec<BuildId>,
}

/// A row while it is summed.
#[derive(Debug, Default)]
struct Sum<'a> {
    cpu_ns: u64,
    n_actions: u64,
    builds: Vec<&'a BuildId>,
    hosts: BTreeSet<Option<&'a str>>,
}

type Key<'a> = (KnownCause, Option<&'a str>, Vec<String>);

/// Ranks the causes of these builds, which are in the order of the history.
pub fn advise(
    period: Period,
    builds: &[BuildCauses],
    mut done_before: Vec<RepeatedWork>,
) -> Advice {
    let varying = varying_files(builds);
    let known = |build: &BuildCauses, cause: &RootCause| {
        let known = KnownCause::of(cause);
        let project = build.project.as_deref();
        let mut files = files(cause);
        let varies = known.reason == Reason::Sources
            && files.any(|(package, file)| varying.contains(&(project, package, file)));
        if varies {
            known.with(Pattern::VaryingFile)
        } else {
            known
        }
    };
    let mut steps: BTreeSet<Key<'_>> = BTreeSet::new();
    for (build, stored) in all(builds) {
        let known = known(build, &stored.cause);
        let subject = known.subject(&stored.cause);
        steps.insert((known, build.project.as_deref(), subject));
    }
    let mut sums: BTreeMap<Key<'_>, Sum<'_>> = BTreeMap::new();
    for (build, stored) in all(builds) {
        let project = build.project.as_deref();
        let mut known = known(build, &stored.cause);
        let mut subject = known.subject(&stored.cause);
        if known.may_alternate() {
            let back = known.reverse(&stored.cause);
            if !back.is_empty() && steps.contains(&(known, project, back.clone())) {
                known = known.with(Pattern::Alternates);
                // Both directions are one row.
                subject = subject.min(back);
            }
        }
        let sum = sums.entry((known, project, subject)).or_default();
        sum.cpu_ns = sum.cpu_ns.saturating_add(stored.cpu_ns);
        sum.n_actions = sum.n_actions.saturating_add(stored.n_actions);
        sum.hosts.insert(build.host.as_deref());
        if sum.builds.last() != Some(&&build.build) {
            sum.builds.push(&build.build);
        }
    }
    let least = (period.cpu_ns / SHARE).max(LEAST_NS);
    let rows = sums.into_iter().filter(|(_, sum)| sum.cpu_ns >= least);
    let mut rows: Vec<AdviceRow> = rows.map(row).collect();
    rows.sort_by_key(|it| std::cmp::Reverse(it.cpu_ns));
    done_before.sort_by_key(|it| std::cmp::Reverse(it.cpu_ns));
    let without_links = done_before.iter().filter(|it| it.place != Place::Link);
    let cut = builds.iter().filter(|it| it.causes.len() >= CAUSES_MAX);
    Advice {
        period,
        n_builds_cut: u64::try_from(cut.count()).unwrap_or(u64::MAX),
        rows,
        done_before_cpu_ns: without_links
            .map(|it| it.cpu_ns)
            .fold(0, u64::saturating_add),
        done_before,
    }
}

fn all(builds: &[BuildCauses]) -> impl Iterator<Item = (&BuildCauses, &StoredCause)> {
    builds
        .iter()
        .flat_map(|build| build.causes.iter().map(move |it| (build, it)))
}

fn row(((known, project, subject), sum): (Key<'_>, Sum<'_>)) -> AdviceRow {
    let last = sum.builds.iter().rev().take(BUILDS);
    AdviceRow {
        known,
        project: project.map(str::to_owned),
        subject,
        title: known.title().to_owned(),
        advice: known.advice().map(str::to_owned),
        cpu_ns: sum.cpu_ns,
        n_actions: sum.n_actions,
        n_builds: u64::try_from(sum.builds.len()).unwrap_or(u64::MAX),
        n_hosts: u64::try_from(sum.hosts.len()).unwrap_or(u64::MAX),
        builds: last.map(|it| (*it).clone()).collect(),
    }
}

/// Project, package and name of the files that differ between builds of one commit.
fn varying_files(builds: &[BuildCauses]) -> BTreeSet<(Option<&str>, &str, &str)> {
    let mut seen: BTreeMap<_, BTreeSet<&BuildId>> = BTreeMap::new();
    for (build, stored) in all(builds) {
        let Some(commit) = build.commit.as_deref() else {
            continue;
        };
        for (package, file) in files(&stored.cause) {
            let of_file = seen.entry((build.project.as_deref(), package, file, commit));
            of_file.or_default().insert(&build.build);
        }
    }
    let often = seen
        .into_iter()
        .filter(|(_, builds)| builds.len() >= VARYING);
    often
        .map(|((project, package, file, _), _)| (project, package, file))
        .collect()
}
