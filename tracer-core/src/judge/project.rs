//! The recent builds of every project, for the reason for cache misses and for the drift of settings.

use std::collections::BTreeMap;

use super::{Drift, PROJECTS};
use crate::finished::FinishedBuild;
use crate::history::{Reason, SettingGroup, Setup, SetupHistory};

/// Path of the main module, if it is known.
type Project = Option<String>;

/// The recent builds of every project.
#[derive(Debug, Default)]
pub struct Projects(BTreeMap<Project, ProjectState>);

#[derive(Debug, Default)]
struct ProjectState {
    /// End of the last build, in nanoseconds since 1970.
    at_ns: u64,
    past: SetupHistory,
}

impl Projects {
    /// Adds a build to the state.
    pub fn note(&mut self, finished: FinishedBuild<'_>) {
        let project = &finished.build.module;
        let Some(setup) = Setup::of(finished.build) else {
            return;
        };
        if self.0.len() < PROJECTS || self.0.contains_key(project) {
            let remembered = self.0.entry(project.clone()).or_default();
            remembered.at_ns = remembered.at_ns.max(finished.ended_ns());
            remembered.past.note(setup);
        }
    }

    /// Projects and their drift.
    pub fn drifts(&self) -> impl Iterator<Item = (Option<&str>, Drift)> {
        let all = self.0.iter();
        all.map(|(project, it)| (project.as_deref(), drift(&it.past)))
    }

    /// Removes and returns projects that were last built before this time (nanoseconds since 1970).
    pub fn expire(&mut self, before_ns: u64) -> Vec<Project> {
        let old = self.0.extract_if(.., |_, it| it.at_ns < before_ns);
        old.map(|(project, _)| project).collect()
    }

    pub(super) fn judge(&mut self, finished: FinishedBuild<'_>) -> (Option<Reason>, Option<Drift>) {
        let build = finished.build;
        let miss = (build.packages.compiled > 0).then(|| {
            let first = SetupHistory::default();
            let past = self.0.get(&build.module).map_or(&first, |it| &it.past);
            past.reason(Setup::of(build).as_ref())
        });
        self.note(finished);
        let drift = self.0.get(&build.module).map(|it| drift(&it.past));
        (miss, drift)
    }
}

fn drift(past: &SetupHistory) -> Drift {
    SettingGroup::ALL.map(|kind| (kind, u64::try_from(past.drift(kind)).unwrap_or(u64::MAX)))
}
