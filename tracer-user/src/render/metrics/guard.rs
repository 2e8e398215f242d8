//! The only filter of label values: it limits their length, characters and number.
//!
//! A build chooses names of modules, packages and, with its own toolchain, versions. Every family has a limit of series. Beyond the
//! limit, sums go to one series whose labels are all [`OTHER`], and other values are omitted. Both cases are counted.

use std::collections::HashSet;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Error, IntCounterVec, Registry};

use super::family::Spec;
use crate::render::style::escape;

/// Value of all labels in the series for values over the limit.
const OTHER: &str = "_other";
/// Value of an unknown label.
const UNKNOWN: &str = "unknown";
/// Longest value of a label, in bytes.
const LENGTH: usize = 128;
const ELLIPSIS: &str = "…";

/// Returns the label values of every earlier series of a family, by the names of the family and its labels.
pub(crate) type PreviousSeries<'a> = dyn Fn(&str, &[&str]) -> Vec<Vec<&'a str>> + 'a;

/// A series that did not exist before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSeries {
    pub(crate) family: &'static str,
    /// Names and values, sorted by name.
    pub(crate) labels: Vec<(String, String)>,
}

/// A family with guarded labels and a limited number of series.
pub(crate) struct BoundedFamily<V> {
    family: V,
    name: &'static str,
    labels: &'static [&'static str],
    limit: usize,
    seen: HashSet<Vec<String>>,
    /// True if the series for all others exists.
    has_other: bool,
    /// Values of sums that are new since the last [`BoundedFamily::take_new`].
    new: Vec<Vec<String>>,
    dropped: IntCounterVec,
}

impl<V: Collector + Clone + 'static> BoundedFamily<V> {
    pub(crate) fn register(
        family: V,
        spec: &Spec,
        dropped: &IntCounterVec,
        registry: &Registry,
    ) -> Result<Self, Error> {
        registry.register(Box::new(family.clone()))?;
        // The series exists from the start, so that an alert rule never meets an absent one.
        dropped.get_metric_with_label_values(&[spec.name])?;
        let Spec {
            name,
            labels,
            limit,
            ..
        } = spec;
        Ok(Self {
            family,
            name,
            labels,
            limit: *limit,
            seen: HashSet::new(),
            has_other: false,
            new: Vec::new(),
            dropped: dropped.clone(),
        })
    }
}

impl<T: MetricVecBuilder> BoundedFamily<MetricVec<T>> {
    /// The series with these values, or the one for all others.
    pub(crate) fn with(&mut self, values: &[&str]) -> Result<T::M, Error> {
        let n_before = self.seen.len();
        let (values, is_new) = if let Some(values) = self.admit(values)? {
            (values, self.seen.len() > n_before)
        } else {
            let is_new = !std::mem::replace(&mut self.has_other, true);
            (vec![OTHER.to_owned(); self.labels.len()], is_new)
        };
        let series = self.family.get_metric_with_label_values(&values)?;
        if is_new {
            self.new.push(values);
        }
        Ok(series)
    }

    /// The sums that are new since the last call.
    pub(crate) fn take_new(&mut self) -> impl Iterator<Item = NewSeries> {
        let Self {
            new, name, labels, ..
        } = self;
        std::mem::take(new).into_iter().map(|values| {
            let names = labels.iter().map(|it| (*it).to_owned());
            let mut labels: Vec<(String, String)> = names.zip(values).collect();
            labels.sort();
            NewSeries {
                family: name,
                labels,
            }
        })
    }

    /// The series with these values, if the limit allows it. For gauges, whose sums are meaningless.
    pub(crate) fn with_if_room(&mut self, values: &[&str]) -> Result<Option<T::M>, Error> {
        let values = self.admit(values)?;
        values
            .map(|values| self.family.get_metric_with_label_values(&values))
            .transpose()
    }

    /// Creates the earlier series of this family.
    pub(crate) fn make(&mut self, before: &PreviousSeries<'_>) -> Result<(), Error> {
        for values in before(self.name, self.labels) {
            self.with(&values)?;
        }
        Ok(())
    }

    /// Removes a series, which frees space for another.
    pub(crate) fn remove(&mut self, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|it| guarded(it)).collect();
        if self.seen.remove(&values) {
            // An admitted series that was never used does not exist.
            let _absent = self.family.remove_label_values(&values);
        }
    }

    /// The values of the series that counts these values.
    pub(crate) fn exposed(&self, values: &[&str]) -> Vec<String> {
        let values: Vec<String> = values.iter().map(|it| guarded(it)).collect();
        if self.seen.contains(&values) {
            values
        } else {
            vec![OTHER.to_owned(); self.labels.len()]
        }
    }

    fn admit(&mut self, values: &[&str]) -> Result<Option<Vec<String>>, Error> {
        let values: Vec<String> = values.iter().map(|it| guarded(it)).collect();
        if self.seen.contains(&values) {
            return Ok(Some(values));
        }
        if self.seen.len() >= self.limit {
            self.dropped
                .get_metric_with_label_values(&[self.name])?
                .inc();
            return Ok(None);
        }
        self.seen.insert(values.clone());
        Ok(Some(values))
    }
}

/// A value that is safe to expose.
pub(crate) fn guarded(value: &str) -> String {
    let safe = escape(value);
    if safe.is_empty() {
        return UNKNOWN.to_owned();
    }
    if safe.len() <= LENGTH {
        return safe.into_owned();
    }
    let mut end = LENGTH - ELLIPSIS.len();
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", safe.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use prometheus::Opts;

    use super::*;

    #[test]
    fn values_are_short_and_safe() {
        assert_eq!(guarded(""), "unknown");
        assert_eq!(guarded("a\nb\u{202e}"), r"a\u{a}b\u{202e}");
        assert_eq!(guarded("example.com/größe"), "example.com/größe");
        let long = guarded(&"ü".repeat(500));
        assert!(long.len() <= LENGTH && long.ends_with("ü…"), "{long}");
        assert_eq!(guarded(&"x".repeat(LENGTH)), "x".repeat(LENGTH));
    }

    #[test]
    fn a_family_has_at_most_its_limit_of_series() {
        let registry = Registry::new();
        let dropped = IntCounterVec::new(Opts::new("dropped_total", "d"), &["family"]).unwrap();
        let family = IntCounterVec::new(Opts::new("n_total", "n"), &["a", "b"]).unwrap();
        let spec = Spec {
            name: "n_total",
            help: "n",
            labels: &["a", "b"],
            limit: 3,
        };
        let mut family = BoundedFamily::register(family, &spec, &dropped, &registry).unwrap();
        for n in 0..10 {
            family.with(&[&n.to_string(), "b"]).unwrap().inc();
        }
        family.with(&["1", "b"]).unwrap().inc();
        assert_eq!(family.with(&["1", "b"]).unwrap().get(), 2);
        assert_eq!(family.with(&["new", "b"]).unwrap().get(), 7);
        assert!(family.with_if_room(&["newer", "b"]).unwrap().is_none());
        assert_eq!(dropped.with_label_values(&["n_total"]).get(), 9);
        let series: usize = registry
            .gather()
            .iter()
            .map(|it| it.get_metric().len())
            .sum();
        assert_eq!(series, 4);
    }
}
