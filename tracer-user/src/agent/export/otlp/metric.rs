//! The agent's metrics in the form of OTLP. Names, labels and numbers are those of `/metrics`, so one dashboard reads both.
//!
//! Counters and histograms are cumulative: those of builds since the first agent, the agent's own since its start.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::attribute::Attributes;

/// Suffixes of names that are units, with the units of the conventions.
const UNITS: [(&str, &str); 2] = [("seconds", "s"), ("bytes", "By")];

/// The period of a metric, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    /// The agent's own metrics.
    pub(super) start: u64,
    /// Metrics of builds, which continue across restarts.
    pub(super) start_of_builds: u64,
    pub(super) end: u64,
}

pub(super) fn metrics(families: &[MetricFamily], period: Period) -> Vec<Metric> {
    families
        .iter()
        .filter_map(|it| metric(it, period))
        .collect()
}

fn metric(family: &MetricFamily, period: Period) -> Option<Metric> {
    let is_of_builds = family.name().starts_with("go_build_");
    let period = Period {
        start: if is_of_builds {
            period.start_of_builds
        } else {
            period.start
        },
        ..period
    };
    let numbers = |value: fn(&proto::Metric) -> f64, start: u64| {
        let metrics = family.get_metric().iter();
        metrics
            .map(|it| number(it, value(it), Period { start, ..period }))
            .collect()
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: numbers(|it| it.get_counter().get_value(), period.start),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        // A gauge has no start time.
        MetricType::GAUGE => Data::Gauge(Gauge {
            data_points: numbers(|it| it.get_gauge().get_value(), 0),
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: family
                .get_metric()
                .iter()
                .map(|it| histogram(it, period))
                .collect(),
            aggregation_temporality: cumulative,
        }),
        // gotrace has no such family.
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let last = base.rsplit('_').next().unwrap_or_default();
    let found = UNITS.iter().find(|(it, _)| *it == last);
    found.map_or("", |(_, unit)| unit)
}

fn number(metric: &proto::Metric, value: f64, period: Period) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(metric.get_label()),
        start_time_unix_nano: period.start,
        time_unix_nano: period.end,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Converts buckets: those of Prometheus include the lower ones, those of OTLP do not. The last one, without a bound, is
/// only in the count.
fn histogram(metric: &proto::Metric, period: Period) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let bounded = buckets.filter(|it| it.upper_bound().is_finite());
    let (bounds, below): (Vec<f64>, Vec<u64>) = bounded
        .map(|it| (it.upper_bound(), it.cumulative_count()))
        .unzip();
    let mut before = 0;
    let counts = below.into_iter().chain([count]).map(|it| {
        let own = it.saturating_sub(before);
        before = it;
        own
    });
    HistogramDataPoint {
        attributes: labels(metric.get_label()),
        start_time_unix_nano: period.start,
        time_unix_nano: period.end,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts.collect(),
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn labels(labels: &[LabelPair]) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut attributes = Attributes::default();
    for label in labels {
        attributes.text(label.name(), label.value());
    }
    attributes.into_inner()
}
