//! What the agent knows, as Prometheus metrics: the families of a run, filled by every build, and the agent's own state.
//!
//! One lock around all of it, held for as long as a page is made or a build is counted. No clock: callers say what time it is.
//! Nothing here serves or sends anything.

mod carried;
mod exemplar;
mod openmetrics;
pub(crate) mod own;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Error, Registry, TextEncoder};
use tracer_core::history::{self, Entry, State};
use tracer_core::model::{Build, Trace};
use tracer_core::origin::TraceId;
use tracer_core::report;

use crate::history::{Filter, Reader, Tally, Why};
use crate::render::metrics::family::Families;
use crate::render::metrics::{fold, label};
use carried::Carried;
use exemplar::Exemplars;
use own::Own;

pub use carried::Unusable;
pub use own::{Kind, Queue, Reload, SelfStats};

/// Builds that are read from the history at most to say how targets were last built.
const RESTORED: usize = 200;

/// How a page of metrics is written.
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
    own: Own,
    /// What was counted before.
    carried: Carried,
    exemplars: Exemplars,
    target_ttl: Duration,
}

/// The metrics could not be filled from the history.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("cannot read what was built before")]
    History(#[from] Why),
    #[error("cannot count what was built before")]
    Metrics(#[from] Error),
    #[error(transparent)]
    Counted(#[from] Unusable),
}

impl Metrics {
    /// Gauges of a target vanish when it was last built longer ago than `target_ttl`. An error is a mistake of ours.
    pub fn new(target_ttl: Duration) -> Result<Self, Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        let own = Own::register(&registry)?;
        let inner = Mutex::new(Inner {
            registry,
            families,
            own,
            carried: Carried::nothing(0),
            exemplars: Exemplars::default(),
            target_ttl,
        });
        Ok(Self { inner })
    }

    /// From now on it is that long.
    pub fn set_target_ttl(&self, target_ttl: Duration) {
        self.lock().target_ttl = target_ttl;
    }

    /// Counts the builds of a trace that is over, those the history keeps. `trace_id` says which trace was made of a build, if any.
    pub fn observe(
        &self,
        trace: &Trace,
        trace_id: &dyn Fn(&Build) -> Option<TraceId>,
    ) -> Result<(), Error> {
        let Inner {
            registry: _,
            families,
            own: _,
            carried: _,
            exemplars,
            target_ttl: _,
        } = &mut *self.lock();
        let report = report::analyze(trace);
        let builds = trace.builds.iter().zip(&report.builds);
        for (build, numbers) in builds.filter(|(it, _)| history::is_worth_keeping(it)) {
            fold::build(families, trace, build, numbers)?;
            if let Some(id) = trace_id(build) {
                exemplars.note(families, trace, build, numbers.wall_ns, id);
            }
        }
        Ok(())
    }

    /// Goes on where the last agent ended, however it ended: its counters, and those builds that it stored after they were written
    /// down. To be called once, before the first [`Metrics::observe`]. An error leaves them at zero. `now_ns`: nanoseconds since 1970,
    /// when counting begins if it did not before.
    pub fn carry(
        &self,
        tally: &Tally,
        reader: &Reader<'_>,
        now_ns: i64,
    ) -> Result<(), RestoreError> {
        self.lock().carried = Carried::nothing(now_ns);
        let Some(counted) = &tally.counted else {
            return Ok(());
        };
        let mut carried = Carried::parse(counted)?;
        if !tally.uncounted.is_empty() {
            carried = with_uncounted(&carried, tally, reader)?;
        }
        let inner = &mut *self.lock();
        inner
            .families
            .make(&|name, labels| carried.values(name, labels))?;
        inner.carried = carried;
        Ok(())
    }

    /// What [`Metrics::carry`] goes on from, to be kept.
    pub fn counted(&self) -> Result<String, RestoreError> {
        let inner = self.lock();
        let carried = Carried::of(&inner.families(), inner.carried.since_ns);
        Ok(carried.to_text().map_err(Unusable::from)?)
    }

    /// Since when builds are counted, in nanoseconds since 1970; 0 if nobody said.
    pub(crate) fn since_ns(&self) -> i64 {
        self.lock().carried.since_ns
    }

    /// Fills the gauges of the targets that the history knows, each from its last build. To be called once, before the first
    /// [`Metrics::observe`].
    pub fn restore(&self, reader: &Reader<'_>, now_ns: i64) -> Result<(), RestoreError> {
        let (entries, _) = reader.list(&Filter::default())?;
        let Inner {
            families,
            target_ttl,
            ..
        } = &mut *self.lock();
        let since_ns = now_ns.saturating_sub_unsigned(nanos(*target_ttl));
        let mut n_read = 0;
        for entry in &entries {
            match entry.state {
                State::Running | State::CutOff => continue,
                State::Succeeded | State::Failed | State::Unknown => {}
            }
            if entry.started_ns >= since_ns && n_read < RESTORED && is_news(families, entry) {
                n_read += 1;
                let Some(trace) = shown(reader, entry)? else {
                    continue;
                };
                for build in &trace.builds {
                    fold::outputs(families, &trace, build)?;
                }
            }
        }
        Ok(())
    }

    /// How the agent itself is doing.
    pub fn set_self(&self, stats: &SelfStats) -> Result<(), Error> {
        let Inner { families, own, .. } = &mut *self.lock();
        own.set(families, stats)
    }

    /// The page. `now_ns`: nanoseconds since 1970.
    pub fn page(&self, format: Format, now_ns: i64) -> Result<String, Error> {
        let inner = &mut *self.lock();
        let gathered = inner.gather(now_ns);
        match format {
            Format::Text => TextEncoder::new().encode_to_string(&gathered),
            Format::OpenMetrics => Ok(openmetrics::encode(&gathered, &inner.exemplars)),
        }
    }

    /// What is on the page, for those that write it in their own way.
    pub(crate) fn gather(&self, now_ns: i64) -> Vec<MetricFamily> {
        self.lock().gather(now_ns)
    }

    /// A panic elsewhere while it was held leaves numbers that are whole, each for itself.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Without the targets that are no longer built.
    fn gather(&mut self, now_ns: i64) -> Vec<MetricFamily> {
        let now = u64::try_from(now_ns).unwrap_or(0);
        let ttl = nanos(self.target_ttl);
        self.families.expire(now.saturating_sub(ttl));
        self.families()
    }

    fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        self.carried.add_to(&mut families);
        families
    }
}

/// With the builds that were stored after these numbers were written down.
fn with_uncounted(
    carried: &Carried,
    tally: &Tally,
    reader: &Reader<'_>,
) -> Result<Carried, RestoreError> {
    let registry = Registry::new();
    let mut families = Families::register(&registry)?;
    families.make(&|name, labels| carried.values(name, labels))?;
    for id in &tally.uncounted {
        let Some(trace) = reader.show(&id.as_str().parse().map_err(Why::from)?)?.trace else {
            continue;
        };
        let report = report::analyze(&trace);
        for (build, numbers) in trace.builds.iter().zip(&report.builds) {
            fold::build(&mut families, &trace, build, numbers)?;
        }
    }
    let mut all = registry.gather();
    carried.add_to(&mut all);
    Ok(Carried::of(&all, carried.since_ns).rounded_up())
}

fn nanos(it: Duration) -> u64 {
    u64::try_from(it.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether it built a target that a later build, which was met before, did not.
fn is_news(families: &Families, entry: &Entry) -> bool {
    let known = |it: &Option<String>| it.clone().unwrap_or_else(|| label::UNKNOWN.to_owned());
    let (project, goos, goarch) = (
        known(&entry.project),
        known(&entry.goos),
        known(&entry.goarch),
    );
    entry.targets.iter().any(|it| {
        let package = it.package.as_deref();
        package.is_some_and(|it| !families.has_target(&project, it, &goos, &goarch))
    })
}

fn shown(reader: &Reader<'_>, entry: &Entry) -> Result<Option<Trace>, Why> {
    let prefix = entry.id.as_str().parse()?;
    Ok(reader.show(&prefix)?.trace)
}

#[cfg(test)]
mod tests;
