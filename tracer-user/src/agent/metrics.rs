//! The Prometheus metrics of the agent: the families of builds, and the agent's own state.
//!
//! One lock protects all of it, held while a page is rendered or a build is counted. This module has no clock: callers
//! pass the time. It serves and sends nothing.

mod created;
mod exemplar;
mod new_series;
mod openmetrics;
pub(crate) mod own;
pub(crate) mod process;
mod restore;
mod saved_counters;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Error, Registry, TextEncoder};
use tracer_binary::budget::Limit;
use tracer_core::finished::{FinishedBuild, FinishedTrace};
use tracer_core::judge::{Budget, Projects, Sizes, judge};
use tracer_core::origin::TraceId;

use crate::config::metrics::MetricsSettings;
use crate::driver::ObserverStatus;
use crate::history::CauseSums;
use crate::render::metrics::family::{Families, PHASE};
use crate::render::metrics::fold;
use crate::render::metrics::guard::NewSeries;
use created::Created;
use exemplar::Exemplars;
use new_series::NewCounters;
use own::Own;
use saved_counters::SavedCounters;

pub use new_series::{ClientId, Reader};
pub use own::{History, Reload, StorageStatus};
pub use restore::RestoreError;
pub use saved_counters::SavedCountersError;

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4.
    Text,
    /// `OpenMetrics` 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metrics of an agent.
pub struct Metrics {
    inner: Mutex<Inner>,
}

struct Inner {
    registry: Registry,
    families: Families,
    /// Earlier builds, for comparison.
    projects: Projects,
    sizes: Sizes,
    own: Own,
    /// Counts of earlier agents.
    saved: SavedCounters,
    /// Series since the last page.
    appeared: Vec<NewSeries>,
    new: NewCounters,
    created: Created,
    parts: MetricsSettings,
    exemplars: Exemplars,
    target_ttl: Duration,
}

impl Metrics {
    /// Creates the registry. Gauges of a target are removed `target_ttl` after its last build. An error is a bug in gotrace.
    pub fn new(target_ttl: Duration) -> Result<Self, Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        let own = Own::register(&registry)?;
        let inner = Mutex::new(Inner {
            registry,
            families,
            projects: Projects::default(),
            sizes: Sizes::default(),
            own,
            saved: SavedCounters::nothing(0),
            appeared: Vec::new(),
            new: NewCounters::default(),
            created: Created::default(),
            parts: MetricsSettings::default(),
            exemplars: Exemplars::default(),
            target_ttl,
        });
        Ok(Self { inner })
    }

    /// Changes the time after which the gauges of a target are removed.
    pub fn set_target_ttl(&self, target_ttl: Duration) {
        self.lock().target_ttl = target_ttl;
    }

    /// Selects the optional parts of the page.
    pub fn set_parts(&self, parts: MetricsSettings) {
        self.lock().parts = parts;
    }

    /// Sets the allowed growth of a target. `None` if no budget is configured.
    pub fn set_size_budget(&self, budget: Option<Limit>) {
        let budget = budget.and_then(|it| match it {
            Limit::Bytes(bytes) => Some(Budget::Bytes(bytes)),
            Limit::Percent(percent) => Some(Budget::Percent(percent)),
            // The bounds are those of the entropy, which does not measure a size.
            Limit::Bits(_) => None,
        });
        self.lock().sizes.set_budget(budget);
    }

    /// Counts the builds of an ended trace. `trace_id` returns the exported trace of a build, if any.
    pub fn observe(
        &self,
        finished: &FinishedTrace,
        trace_id: &dyn Fn(FinishedBuild<'_>) -> Option<TraceId>,
    ) -> Result<(), Error> {
        let Inner {
            registry: _,
            families,
            projects,
            sizes,
            own: _,
            saved: _,
            appeared,
            new: _,
            created,
            parts: _,
            exemplars,
            target_ttl: _,
        } = &mut *self.lock();
        for build in finished.builds() {
            let judgement = judge(build, Some(projects), sizes);
            fold::build(families, build, &judgement)?;
            let new = families.take_new();
            for it in &new {
                created.note(it, build.entry.started_ns);
            }
            appeared.extend(new);
            if let Some(id) = trace_id(build) {
                exemplars.note(families, build, id);
            }
        }
        Ok(())
    }

    /// Counts the causes of a stored build.
    pub(crate) fn observe_causes(&self, sums: &CauseSums) -> Result<(), Error> {
        let Inner {
            families,
            appeared,
            created,
            ..
        } = &mut *self.lock();
        fold::causes(families, sums)?;
        let new = families.take_new();
        for it in &new {
            created.note(it, sums.started_ns);
        }
        appeared.extend(new);
        Ok(())
    }

    /// The counters for [`Metrics::restore`], to be stored.
    pub fn counted(&self) -> Result<String, RestoreError> {
        let inner = self.lock();
        let saved = SavedCounters::of(&inner.families(), inner.saved.since_ns);
        Ok(saved.to_text().map_err(SavedCountersError::from)?)
    }

    /// Start of the counting of builds, in nanoseconds since 1970. 0 if unknown.
    pub(crate) fn since_ns(&self) -> i64 {
        self.lock().saved.since_ns
    }

    /// Sets the agent's own metrics.
    pub fn set_self(&self, status: &ObserverStatus, storage: &StorageStatus) -> Result<(), Error> {
        let Inner { families, own, .. } = &mut *self.lock();
        own.set(families, status, storage)
    }

    /// Renders the page for this reader. `now_ns` is in nanoseconds since 1970.
    pub fn page(&self, format: Format, now_ns: i64, reader: Reader) -> Result<String, Error> {
        let inner = &mut *self.lock();
        let gathered = inner.gather(now_ns, reader);
        match format {
            Format::Text => TextEncoder::new().encode_to_string(&gathered),
            Format::OpenMetrics => {
                let created = inner.parts.created.then_some(&inner.created);
                let since_ns = inner.saved.since_ns;
                let created = created.map(|it| it.since(since_ns));
                Ok(openmetrics::encode(&gathered, &inner.exemplars, created))
            }
        }
    }

    /// The families of the page, for other formats.
    pub(crate) fn gather(&self, now_ns: i64, reader: Reader) -> Vec<MetricFamily> {
        self.lock().gather(now_ns, reader)
    }

    /// Ignores poisoning: a panic while the lock was held leaves each number consistent.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Removes targets that are no longer built.
    fn gather(&mut self, now_ns: i64, reader: Reader) -> Vec<MetricFamily> {
        let now = u64::try_from(now_ns).unwrap_or(0);
        let before = now.saturating_sub(nanos(self.target_ttl));
        self.families.expire(before);
        self.sizes.expire(before);
        for project in self.projects.expire(before) {
            self.families.remove_project(project.as_deref());
        }
        self.own.expire();
        let mut families = self.families();
        let MetricsSettings { phases, created: _ } = self.parts;
        families.retain(|it| {
            let is_wanted = phases || it.name() != PHASE.name;
            is_wanted && reader.may_read(it.name())
        });
        let appeared = std::mem::take(&mut self.appeared);
        self.new.hide(&mut families, appeared, reader);
        families
    }

    fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        self.saved.add_to(&mut families);
        families
    }
}

fn nanos(it: Duration) -> u64 {
    u64::try_from(it.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
