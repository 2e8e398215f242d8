//! The counts of earlier agents: the counters and histograms of builds, as text that is stored and restored.
//!
//! Prometheus handles a counter that restarts from zero. A counter that decreases to another value is wrong: `rate`
//! interprets each decrease as a restart from zero and counts the rest twice. Each number is therefore stored exactly.
//! This module has no clock and no database: the caller stores the text.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};
use serde::{Deserialize, Serialize};
use tracer_core::model::{FailureClass, State};

use crate::render::metrics::family::BUILDS;
use crate::render::metrics::label::NONE;

/// Prefix of the families of builds, which outlive the agent. The agent's own families start with it.
const PREFIX: &str = "go_build_";
/// Version of the text. Since version 2, builds are counted by state and failure class.
const FORM: u32 = 2;
/// Relative error bound: 2^-40, more than the error of adding ten thousand numbers in another order.
const ROUNDING: f64 = 9.1e-13;

/// Counters and histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedCounters {
    form: u32,
    /// Start of the counting, in nanoseconds since 1970.
    pub(super) since_ns: i64,
    families: BTreeMap<String, Vec<SavedSeries>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSeries {
    labels: BTreeMap<String, String>,
    number: SavedNumber,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SavedNumber {
    Counter(Bits),
    Histogram {
        sum: Bits,
        count: u64,
        /// Upper bounds with the cumulative number of observations.
        buckets: Vec<(Bits, u64)>,
    },
}

/// A double as its bits: the decimal form of some doubles is parsed as the next lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Bits(u64);

impl Bits {
    fn of(value: f64) -> Self {
        Self(value.to_bits())
    }

    fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// The reason why stored counts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedCountersError {
    #[error("the stored counters have a format that this version of gotrace cannot read")]
    Form,
    #[error("the stored counters are damaged")]
    Damaged(#[from] serde_json::Error),
}

impl SavedCounters {
    /// No earlier counts.
    pub(super) fn nothing(now_ns: i64) -> Self {
        Self {
            form: FORM,
            since_ns: now_ns,
            families: BTreeMap::new(),
        }
    }

    /// Takes the counts of these families, which include the earlier ones.
    pub(super) fn of(families: &[MetricFamily], since_ns: i64) -> Self {
        let families = families.iter().filter(|it| is_saved(it));
        let families = families
            .map(|family| {
                let kind = family.get_field_type();
                let series = family.get_metric().iter();
                let series = series.filter_map(|it| SavedSeries::of(it, kind)).collect();
                (family.name().to_owned(), series)
            })
            .collect();
        Self {
            form: FORM,
            since_ns,
            families,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, SavedCountersError> {
        let mut saved: Self = serde_json::from_str(text)?;
        if saved.form == 1 && saved.is_sane() {
            saved.count_by_state();
        }
        let is_known = saved.form == FORM && saved.is_sane();
        is_known.then_some(saved).ok_or(SavedCountersError::Form)
    }

    /// Converts version 1, which had one label for state and failure class.
    fn count_by_state(&mut self) {
        self.form = FORM;
        for (family, all) in &mut self.families {
            let mut merged: BTreeMap<BTreeMap<String, String>, SavedNumber> = BTreeMap::new();
            for mut series in std::mem::take(all) {
                let status = series.labels.get("status");
                if let Some((state, failure)) = status.and_then(|it| state(it)) {
                    series.labels.insert("status".to_owned(), state.to_owned());
                    if family == BUILDS.name {
                        series
                            .labels
                            .insert("failure".to_owned(), failure.to_owned());
                    }
                }
                match merged.entry(series.labels) {
                    Entry::Vacant(place) => {
                        place.insert(series.number);
                    }
                    Entry::Occupied(mut place) => place.get_mut().merge(&series.number),
                }
            }
            let merged = merged.into_iter();
            *all = merged
                .map(|(labels, number)| SavedSeries { labels, number })
                .collect();
        }
    }

    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// True if all values are possible for a counter.
    fn is_sane(&self) -> bool {
        let is_fine = |it: &Bits| it.value().is_finite() && it.value() >= 0.0;
        let mut all = self.families.values().flatten();
        all.all(|it| match &it.number {
            SavedNumber::Counter(value) => is_fine(value),
            SavedNumber::Histogram { sum, .. } => is_fine(sum),
        })
    }

    /// Labels of each series of a family, in the order of `names`. Series with other labels are omitted.
    pub(super) fn values(&self, family: &str, names: &[&str]) -> Vec<Vec<&str>> {
        let series = self.families.get(family).into_iter().flatten();
        series
            .filter(|it| it.labels.len() == names.len())
            .filter_map(|it| {
                let values = names.iter().map(|name| it.labels.get(*name));
                values.map(|it| it.map(String::as_str)).collect()
            })
            .collect()
    }

    /// Adds the earlier counts to existing series.
    pub(super) fn add_to(&self, families: &mut [MetricFamily]) {
        for family in families {
            let Some(before) = self.families.get(family.name()) else {
                continue;
            };
            let before: BTreeMap<_, _> = before.iter().map(|it| (&it.labels, it)).collect();
            for metric in family.mut_metric() {
                if let Some(it) = before.get(&labels(metric)) {
                    it.number.add_to(metric);
                }
            }
        }
    }

    /// Raises sums that were partly recomputed in another order, so that no sum is lower than before.
    #[must_use]
    pub(super) fn rounded_up(mut self) -> Self {
        let up = |it: &mut Bits| *it = Bits::of(it.value() * (1.0 + ROUNDING));
        for series in self.families.values_mut().flatten() {
            match &mut series.number {
                // Counts have no fraction and are exact.
                SavedNumber::Counter(value) if value.value().fract() == 0.0 => {}
                SavedNumber::Counter(value) | SavedNumber::Histogram { sum: value, .. } => {
                    up(value);
                }
            }
        }
        self
    }
}

impl SavedSeries {
    fn of(metric: &Metric, kind: MetricType) -> Option<Self> {
        let number = match kind {
            MetricType::COUNTER => SavedNumber::Counter(Bits::of(metric.get_counter().get_value())),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let buckets = histogram.get_bucket().iter();
                SavedNumber::Histogram {
                    sum: Bits::of(histogram.get_sample_sum()),
                    count: histogram.get_sample_count(),
                    buckets: buckets
                        .map(|it| (Bits::of(it.upper_bound()), it.cumulative_count()))
                        .collect(),
                }
            }
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => return None,
        };
        Some(Self {
            labels: labels(metric),
            number,
        })
    }
}

/// State and failure class of a value of version 1.
fn state(status: &str) -> Option<(&'static str, &'static str)> {
    let (state, failure) = match status {
        "success" => (State::Succeeded, NONE),
        "failure" => (State::Failed, FailureClass::Unknown.name()),
        "interrupted" => (State::Failed, FailureClass::Interrupted.name()),
        "killed" => (State::Failed, FailureClass::Killed.name()),
        "unknown" => (State::Unknown, NONE),
        _ => return None,
    };
    Some((state.name(), failure))
}

impl SavedNumber {
    /// Adds another series. Histograms with different buckets cannot be added.
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(all), Self::Counter(more)) => {
                *all = Bits::of(all.value() + more.value());
            }
            (
                Self::Histogram {
                    sum,
                    count,
                    buckets,
                },
                Self::Histogram {
                    sum: more_sum,
                    count: more_count,
                    buckets: more,
                },
            ) if buckets.iter().map(|it| it.0).eq(more.iter().map(|it| it.0)) => {
                *sum = Bits::of(sum.value() + more_sum.value());
                *count = count.saturating_add(*more_count);
                for ((_, all), (_, more)) in buckets.iter_mut().zip(more) {
                    *all = all.saturating_add(*more);
                }
            }
            (Self::Counter(_) | Self::Histogram { .. }, _) => {}
        }
    }

    fn add_to(&self, metric: &mut Metric) {
        match self {
            Self::Counter(before) => {
                let mut counter = metric.get_counter().clone();
                counter.set_value(before.value() + counter.get_value());
                metric.set_counter(counter);
            }
            Self::Histogram {
                sum,
                count,
                buckets,
            } => {
                let now = metric.get_histogram();
                let bounds = now.get_bucket().iter().map(|it| Bits::of(it.upper_bound()));
                // Another version of gotrace had other buckets. The histogram restarts.
                if bounds.eq(buckets.iter().map(|(bound, _)| *bound)) {
                    metric.set_histogram(added(now, *sum, *count, buckets));
                }
            }
        }
    }
}

fn added(now: &Histogram, sum: Bits, count: u64, buckets: &[(Bits, u64)]) -> Histogram {
    let mut all = now.clone();
    all.set_sample_sum(sum.value() + now.get_sample_sum());
    all.set_sample_count(count.saturating_add(now.get_sample_count()));
    let both = now.get_bucket().iter().zip(buckets);
    let both = both.map(|(now, (_, before))| {
        let mut bucket = now.clone();
        bucket.set_cumulative_count(before.saturating_add(now.cumulative_count()));
        bucket
    });
    all.set_bucket(both.collect());
    all
}

fn is_saved(family: &MetricFamily) -> bool {
    let adds_up = match family.get_field_type() {
        MetricType::COUNTER | MetricType::HISTOGRAM => true,
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => false,
    };
    adds_up && family.name().starts_with(PREFIX)
}

fn labels(metric: &Metric) -> BTreeMap<String, String> {
    let labels = metric.get_label().iter();
    labels
        .map(|it| (it.name().to_owned(), it.value().to_owned()))
        .collect()
}
