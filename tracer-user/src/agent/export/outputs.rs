//! All outputs that are configured, as one. What each does with a build is its own; the order here means nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tracer_core::event::ProcKey;
use tracer_core::model::Trace;
use tracer_core::origin::TraceId;

use super::Counts;
use super::otlp::{self, Otlp};
use crate::agent::metrics::Metrics;

/// Which there are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub otlp: Option<otlp::Settings>,
}

#[derive(Debug, Default)]
pub struct Outputs {
    otlp: Option<Otlp>,
}

impl Outputs {
    /// Fails where an operator's mistake would otherwise be found when the first build is over.
    pub fn start(wanted: &Wanted, metrics: &Arc<Metrics>, tell: fn(&str)) -> anyhow::Result<Self> {
        let Wanted { otlp } = wanted;
        let otlp = otlp.as_ref();
        Ok(Self {
            otlp: otlp
                .map(|it| Otlp::start(it, Arc::clone(metrics), tell))
                .transpose()?,
        })
    }

    /// Builds are over. Never waits.
    pub fn ended(&self, trace: &Trace) {
        let Self { otlp } = self;
        if let Some(otlp) = otlp {
            otlp.ended(trace);
        }
    }

    /// Which trace is made of each build; those of which none is are not there.
    pub fn traces(&self, trace: &Trace) -> BTreeMap<ProcKey, TraceId> {
        let otlp = self.otlp.as_ref();
        otlp.map(|it| it.traces(trace)).unwrap_or_default()
    }

    /// By name.
    pub fn counts(&self) -> Vec<(&'static str, Counts)> {
        let Self { otlp } = self;
        let otlp = otlp.as_ref().map(|it| ("otlp", it.counts()));
        otlp.into_iter().collect()
    }

    /// Sends what waits, as far as that can be done by then.
    pub fn finish(self, deadline: Instant) -> Vec<(&'static str, Counts)> {
        let Self { otlp } = self;
        let otlp = otlp.map(|it| ("otlp", it.finish(deadline)));
        otlp.into_iter().collect()
    }
}
