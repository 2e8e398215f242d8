//! Exemplars: each bucket refers to the last trace in it. Their number is limited by the numbers of series and buckets.

use std::collections::BTreeMap;

use prometheus::proto::LabelPair;
use tracer_core::finished::FinishedBuild;
use tracer_core::origin::TraceId;

use crate::render::metrics::family::{BUILD_SECONDS, DURATION, Families};
use crate::render::metrics::{fold, label};

/// A build in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) seconds: f64,
    /// End of the build, in seconds since 1970.
    pub(super) at: f64,
}

/// Labels of a series, sorted by name.
pub(super) type SeriesLabels = Vec<(String, String)>;

pub(super) fn series_labels(labels: &[LabelPair]) -> SeriesLabels {
    let labels = labels.iter();
    let mut series: SeriesLabels = labels
        .map(|it| (it.name().to_owned(), it.value().to_owned()))
        .collect();
    series.sort();
    series
}

/// Exemplars of the durations of builds, by series and index of the bucket.
#[derive(Debug, Default)]
pub(super) struct Exemplars(BTreeMap<SeriesLabels, BTreeMap<usize, Exemplar>>);

impl Exemplars {
    pub(super) fn note(&mut self, families: &Families, finished: FinishedBuild<'_>, id: TraceId) {
        let build = finished.build;
        let (_, _, go_version) = label::platform(build);
        let values = families.duration.exposed(&[
            label::command(&build.command.name),
            finished.entry.state.name(),
            label::project(build),
            go_version,
        ]);
        let names = DURATION.labels.iter().map(|it| (*it).to_owned());
        let mut series: SeriesLabels = names.zip(values).collect();
        series.sort();
        let seconds = fold::seconds(finished.report.wall_ns);
        let exemplar = Exemplar {
            trace: id,
            seconds,
            at: fold::seconds(finished.ended_ns()),
        };
        let bucket = BUILD_SECONDS.partition_point(|it| *it < seconds);
        self.0.entry(series).or_default().insert(bucket, exemplar);
    }

    /// The exemplar of a bucket of a family, if there is one.
    pub(super) fn get(
        &self,
        family: &str,
        labels: &[LabelPair],
        bucket: usize,
    ) -> Option<Exemplar> {
        if family != DURATION.name || self.0.is_empty() {
            return None;
        }
        self.0.get(&series_labels(labels))?.get(&bucket).copied()
    }
}
