//! Gauges of comparisons: size changes of targets, differences between the builds of a project, and their memory.

use prometheus::Error;
use tracer_core::history::SettingGroup;
use tracer_core::judge::{Drift, SizeChange};

use super::family::Families;
use super::target::TargetKey;
use super::{fold, label};

impl Families {
    /// Sets the gauges of a size change, or removes them if it is unknown.
    pub(super) fn size_change(
        &mut self,
        key: &TargetKey,
        change: Option<SizeChange>,
    ) -> Result<(), Error> {
        let Some(SizeChange { before, now, most }) = change else {
            self.remove_size_change(key);
            return Ok(());
        };
        let (before, now) = (fold::bytes(before), fold::bytes(now));
        let values = key.values();
        if let Some(gauge) = self.size_baseline.with_if_room(&values)? {
            gauge.set(before);
        }
        if let Some(gauge) = self.size_delta.with_if_room(&values)? {
            gauge.set(now - before);
        }
        match most {
            None => self.size_threshold.remove(&values),
            Some(most) => {
                if let Some(gauge) = self.size_threshold.with_if_room(&values)? {
                    gauge.set(most);
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove_size_change(&mut self, key: &TargetKey) {
        let values = key.values();
        self.size_baseline.remove(&values);
        self.size_delta.remove(&values);
        self.size_threshold.remove(&values);
    }

    pub(crate) fn drift(&mut self, project: Option<&str>, drift: &Drift) -> Result<(), Error> {
        for (kind, n) in drift {
            let values = [label::known(project), kind.as_str()];
            if let Some(gauge) = self.env_drift.with_if_room(&values)? {
                gauge.set(fold::bytes(*n));
            }
        }
        Ok(())
    }

    /// Sets the memory of the last build of a project, or removes it if it is unknown.
    pub(super) fn project_memory(
        &mut self,
        project: &str,
        bytes: Option<u64>,
    ) -> Result<(), Error> {
        let Some(bytes) = bytes else {
            self.project_max_rss.remove(&[project]);
            return Ok(());
        };
        if let Some(gauge) = self.project_max_rss.with_if_room(&[project])? {
            gauge.set(fold::bytes(bytes));
        }
        Ok(())
    }

    /// Removes the gauges of a project that has not been built for long.
    pub(crate) fn remove_project(&mut self, project: Option<&str>) {
        self.project_max_rss.remove(&[label::known(project)]);
        for kind in SettingGroup::ALL {
            let values = [label::known(project), kind.as_str()];
            self.env_drift.remove(&values);
        }
    }
}
