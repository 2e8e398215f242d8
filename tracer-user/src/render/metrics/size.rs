//! Sizes that a target had, for each way that it is built: what the last one is compared with.

use std::collections::BTreeMap;

use prometheus::Error;
use tracer_binary::budget::Limit;
use tracer_core::history::{Baseline, BaselineId};
use tracer_core::model::Installed;

use super::family::{Families, TARGETS};
use super::fold;
use super::live::Key;

/// Ways to build one target that are told apart at once.
const WAYS: usize = 16;

/// The last size of every target, for each way.
#[derive(Debug, Default)]
pub(super) struct Sizes(BTreeMap<Key, Vec<(BaselineId, u64)>>);

/// What has to be the same of two builds of a target for their sizes to be compared. What is linked to be run at once is stripped by
/// the `go` command itself.
pub(crate) fn way(baseline: &Baseline, how: Installed) -> BaselineId {
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
    /// The size that was last seen of a target that is built this way; from now on it is `size`.
    fn replace(&mut self, key: &Key, way: &BaselineId, size: u64) -> Option<u64> {
        if self.0.len() >= TARGETS && !self.0.contains_key(key) {
            return None;
        }
        let ways = self.0.entry(key.clone()).or_default();
        let known = ways.iter().position(|(it, _)| it == way);
        let before = known.map(|at| ways.remove(at).1);
        if ways.len() >= WAYS {
            ways.remove(0);
        }
        ways.push((way.clone(), size));
        before
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

impl Families {
    /// A target had this size once. To be told in order, oldest first.
    pub(crate) fn note_size(
        &mut self,
        [project, target, goos, goarch]: [&str; 4],
        way: &BaselineId,
        size: u64,
    ) {
        let key = Key::new(project, target, goos, goarch);
        self.sizes.replace(&key, way, size);
    }

    /// How much a target may be larger than before, for the builds to come.
    pub(crate) fn set_size_budget(&mut self, budget: Option<Limit>) {
        self.size_budget = budget;
    }

    /// A target has another size, or is not known to have any.
    pub(super) fn compare_size(
        &mut self,
        key: &Key,
        now: Option<(&BaselineId, u64)>,
    ) -> Result<(), Error> {
        let before = now.and_then(|(way, size)| {
            let before = self.sizes.replace(key, way, size)?;
            Some((before, size))
        });
        let Some((before, size)) = before else {
            self.remove_comparison(key);
            return Ok(());
        };
        let (before, size) = (fold::bytes(before), fold::bytes(size));
        let most = self.size_budget.map(|it| match it {
            Limit::Bytes(bytes) => before + fold::bytes(bytes),
            Limit::Percent(percent) => (before * (1.0 + percent / 100.0)).floor(),
            // Of entropy; no size is measured by it.
            Limit::Bits(_) => f64::INFINITY,
        });
        let values = key.values();
        if let Some(gauge) = self.size_baseline.with_if_room(&values)? {
            gauge.set(before);
        }
        if let Some(gauge) = self.size_delta.with_if_room(&values)? {
            gauge.set(size - before);
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

    pub(super) fn remove_comparison(&mut self, key: &Key) {
        let values = key.values();
        self.size_baseline.remove(&values);
        self.size_delta.remove(&values);
        self.size_threshold.remove(&values);
    }
}
