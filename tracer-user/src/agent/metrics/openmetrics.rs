//! `OpenMetrics` 1.0 as text, which the `prometheus` crate does not support. Counter families have no `_total`, `_info`
//! families have the type info, buckets may have an exemplar, and the page ends with `# EOF`.

use std::fmt::{self, Display, Write as _};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::created::CreatedSince;
use super::exemplar::{Exemplar, Exemplars};

/// Units that are suffixes of names.
const UNITS: [&str; 2] = ["seconds", "bytes"];

pub(super) fn encode(
    families: &[MetricFamily],
    exemplars: &Exemplars,
    created: Option<CreatedSince<'_>>,
) -> String {
    let mut page = String::new();
    for family in families {
        // Writing to a string cannot fail.
        let _written = write_family(&mut page, family, exemplars, created);
    }
    page.push_str("# EOF\n");
    page
}

fn write_family(
    page: &mut String,
    family: &MetricFamily,
    exemplars: &Exemplars,
    created: Option<CreatedSince<'_>>,
) -> fmt::Result {
    let name = family.name();
    let (base, kind) = match family.get_field_type() {
        MetricType::COUNTER => (name.strip_suffix("_total").unwrap_or(name), "counter"),
        MetricType::GAUGE => match name.strip_suffix("_info") {
            Some(base) => (base, "info"),
            None => (name, "gauge"),
        },
        MetricType::HISTOGRAM => (name, "histogram"),
        // gotrace has no such family.
        MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
    };
    writeln!(page, "# TYPE {base} {kind}")?;
    let unit = UNITS.iter().find(|it| {
        let before = base.strip_suffix(**it);
        before.is_some_and(|it| it.ends_with('_'))
    });
    if let Some(unit) = unit {
        writeln!(page, "# UNIT {base} {unit}")?;
    }
    writeln!(page, "# HELP {base} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        let created = created.and_then(|it| it.get(name, labels));
        match family.get_field_type() {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                sample(page, &format!("{base}_total"), labels, None, value)?;
                page.push('\n');
                write_created(page, base, labels, created)?;
            }
            MetricType::GAUGE => {
                sample(page, name, labels, None, metric.get_gauge().get_value())?;
                page.push('\n');
            }
            MetricType::HISTOGRAM => {
                histogram(page, name, metric, exemplars)?;
                write_created(page, name, labels, created)?;
            }
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
    Ok(())
}

fn write_created(
    page: &mut String,
    base: &str,
    labels: &[LabelPair],
    created: Option<f64>,
) -> fmt::Result {
    if let Some(at) = created {
        sample(page, &format!("{base}_created"), labels, None, at)?;
        page.push('\n');
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "values of Prometheus are doubles"
)]
fn histogram(page: &mut String, name: &str, metric: &Metric, exemplars: &Exemplars) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let n = histogram.get_sample_count() as f64;
    let bounds = histogram.get_bucket().iter();
    let bounds = bounds.map(|it| (it.upper_bound(), it.cumulative_count() as f64));
    let bounds = bounds.filter(|(bound, _)| bound.is_finite());
    let bucket = format!("{name}_bucket");
    for (at, (bound, n)) in bounds.chain([(f64::INFINITY, n)]).enumerate() {
        sample(page, &bucket, labels, Some(bound), n)?;
        if let Some(exemplar) = exemplars.get(name, labels, at) {
            let Exemplar { trace, seconds, at } = exemplar;
            write!(page, " # {{trace_id=\"{trace}\"}} {seconds} {at:.3}")?;
        }
        page.push('\n');
    }
    sample(page, &format!("{name}_count"), labels, None, n)?;
    page.push('\n');
    let sum = histogram.get_sample_sum();
    sample(page, &format!("{name}_sum"), labels, None, sum)?;
    page.push('\n');
    Ok(())
}

fn sample(
    page: &mut String,
    name: &str,
    labels: &[LabelPair],
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    page.push_str(name);
    let mut before = '{';
    for label in labels {
        write!(
            page,
            "{before}{}=\"{}\"",
            label.name(),
            Escaped(label.value())
        )?;
        before = ',';
    }
    if let Some(bound) = bound {
        write!(page, "{before}le=\"{}\"", FormattedNumber(bound))?;
        before = ',';
    }
    if before == ',' {
        page.push('}');
    }
    write!(page, " {}", FormattedNumber(value))
}

struct FormattedNumber(f64);

impl Display for FormattedNumber {
    /// A bound is a canonical number: `1.0`, not `1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(it) = self;
        if *it == f64::INFINITY {
            f.write_str("+Inf")
        } else {
            write!(f, "{it:?}")
        }
    }
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}
