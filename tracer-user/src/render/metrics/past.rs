//! Projects and what is remembered of their builds: why packages were compiled, and what of the environment drifts. No clock here:
//! whoever exposes them says what is too old. A single run remembers nothing, and says nothing of this.

use std::collections::BTreeMap;

use prometheus::Error;
use tracer_core::history::{SettingGroup, Setup, SetupHistory};
use tracer_core::model::Build;

use super::family::{Families, PROJECTS};
use super::guard::guarded;
use super::{fold, label};

/// The builds of every project that were last seen.
#[derive(Debug, Default)]
pub(crate) struct Pasts(BTreeMap<String, Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// Nanoseconds since 1970, of the last one.
    at_ns: u64,
    past: SetupHistory,
}

impl Pasts {
    /// Remembers a build that ended then.
    pub(crate) fn note(&mut self, project: &str, at_ns: u64, setup: Setup) {
        let project = guarded(project);
        if self.0.len() < PROJECTS || self.0.contains_key(&project) {
            let remembered = self.0.entry(project).or_default();
            remembered.at_ns = remembered.at_ns.max(at_ns);
            remembered.past.note(setup);
        }
    }

    fn past(&self, project: &str) -> Option<&SetupHistory> {
        self.0.get(&guarded(project)).map(|it| &it.past)
    }
}

impl Families {
    /// From now on builds are compared with those of before, the first ones with these.
    pub(crate) fn remember(&mut self, pasts: Pasts) -> Result<(), Error> {
        let projects: Vec<String> = pasts.0.keys().cloned().collect();
        self.pasts = Some(pasts);
        projects.iter().try_for_each(|it| self.show_drift(it))
    }

    /// What is remembered, for other families.
    pub(crate) fn forget(self) -> Pasts {
        self.pasts.unwrap_or_default()
    }

    /// Says what was new about a build, and remembers it.
    pub(super) fn compare(&mut self, build: &Build, at_ns: u64) -> Result<(), Error> {
        let Some(pasts) = &mut self.pasts else {
            return Ok(());
        };
        let project = label::project(build);
        let setup = Setup::of(build);
        if build.packages.compiled > 0 {
            let first = SetupHistory::default();
            let past = pasts.past(project).unwrap_or(&first);
            let reason = past.reason(setup.as_ref()).as_str();
            let counter = self.cache_misses.with(&[reason, project])?;
            counter.inc_by(u64::from(build.packages.compiled));
        }
        if let Some(setup) = setup {
            pasts.note(project, at_ns, setup);
        }
        self.show_drift(project)
    }

    fn show_drift(&mut self, project: &str) -> Result<(), Error> {
        let Some(past) = self.pasts.as_ref().and_then(|it| it.past(project)) else {
            return Ok(());
        };
        for kind in SettingGroup::ALL {
            if let Some(gauge) = self.env_drift.with_if_room(&[project, kind.as_str()])? {
                gauge.set(fold::bytes(
                    u64::try_from(past.drift(kind)).unwrap_or(u64::MAX),
                ));
            }
        }
        Ok(())
    }

    /// Projects that were last built before then (nanoseconds since 1970).
    pub(super) fn expire_projects(&mut self, before_ns: u64) {
        let Some(pasts) = &mut self.pasts else {
            return;
        };
        let old = pasts.0.extract_if(.., |_, it| it.at_ns < before_ns);
        for (project, _) in old.collect::<Vec<_>>() {
            for kind in SettingGroup::ALL {
                self.env_drift.remove(&[&project, kind.as_str()]);
            }
        }
    }
}
