//! When a counter or histogram of builds was 0, for the series `_created` of `OpenMetrics`: at the start of its first build.

use std::collections::BTreeMap;

use prometheus::proto::LabelPair;

use super::exemplar::{SeriesLabels, series_labels};
use crate::render::metrics::fold;
use crate::render::metrics::guard::NewSeries;

/// Creation times of the series that appeared since the start of the agent, in nanoseconds since 1970. The limits of the
/// families limit their number.
#[derive(Debug, Default)]
pub(super) struct Created(BTreeMap<&'static str, BTreeMap<SeriesLabels, i64>>);

/// Creation times with that of older series.
#[derive(Clone, Copy)]
pub(super) struct CreatedSince<'a> {
    created: &'a Created,
    /// Start of the counting.
    since_ns: i64,
}

impl Created {
    pub(super) fn note(&mut self, series: &NewSeries, started_ns: i64) {
        let NewSeries { family, labels } = series;
        let family = self.0.entry(family).or_default();
        family.entry(labels.clone()).or_insert(started_ns);
    }

    pub(super) fn since(&self, since_ns: i64) -> CreatedSince<'_> {
        CreatedSince {
            created: self,
            since_ns,
        }
    }
}

impl CreatedSince<'_> {
    /// Seconds since 1970. `None` for a family that is not one of builds, and if the start of the counting is unknown.
    pub(super) fn get(&self, family: &str, labels: &[LabelPair]) -> Option<f64> {
        if !family.starts_with("go_build_") {
            return None;
        }
        let family = self.created.0.get(family);
        let own = family.and_then(|it| it.get(&series_labels(labels)));
        let at_ns = own.copied().unwrap_or(self.since_ns);
        let at_ns = u64::try_from(at_ns).ok().filter(|it| *it > 0)?;
        Some(fold::seconds(at_ns))
    }
}
