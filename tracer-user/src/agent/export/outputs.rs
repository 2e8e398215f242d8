//! All configured outputs as one. The outputs are independent; their order has no meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracer_core::finished::FinishedTrace;
use tracer_core::history::BuildId;
use tracer_core::origin::TraceId;

use super::Counts;
use super::otlp::{self, Otlp};
use super::pushgateway::{self, Pushgateway};
use super::textfile::{self, Textfile};
use crate::agent::metrics::Metrics;
use crate::config::Exporters;
use crate::log::Log;

/// Time for a replaced output to send its queue.
const GRACE: Duration = Duration::from_secs(5);

/// The agent's values that outputs need.
#[derive(Clone)]
pub struct OutputContext {
    pub metrics: Arc<Metrics>,
    /// Path of the history. Outputs store their files next to it.
    pub store: PathBuf,
    /// Time without a build after which a target is removed.
    pub target_ttl: Duration,
    pub log: Log,
}

#[derive(Debug, Default)]
pub struct Outputs {
    otlp: Option<Otlp>,
    pushgateway: Option<Pushgateway>,
    textfile: Option<Textfile>,
}

impl Outputs {
    /// Checks everything that [`Self::start`] needs, without starting an output.
    pub fn check(wanted: &Exporters) -> anyhow::Result<()> {
        let Exporters {
            otlp,
            pushgateway,
            textfile,
        } = wanted;
        if let Some(settings) = otlp {
            otlp::prepare(settings)?;
        }
        if let Some(settings) = textfile {
            textfile::prepare(settings)?;
        }
        if let Some(settings) = pushgateway {
            pushgateway::prepare(settings)?;
        }
        Ok(())
    }

    /// Starts all outputs. Reports mistakes in the configuration now, not at the first build.
    pub fn start(wanted: &Exporters, context: &OutputContext) -> anyhow::Result<Self> {
        Ok(Self {
            otlp: start_otlp(wanted, context)?,
            textfile: start_textfile(wanted, context)?,
            pushgateway: start_pushgateway(wanted, context)?,
        })
    }

    /// Applies new settings. If any output fails to start, nothing changes.
    /// A replaced output ends by itself within seconds.
    pub fn change(
        &mut self,
        (before, before_ttl): (&Exporters, Duration),
        wanted: &Exporters,
        context: &OutputContext,
    ) -> anyhow::Result<()> {
        let has_ttl_changed = before_ttl != context.target_ttl;
        let send = (before.otlp != wanted.otlp).then(|| start_otlp(wanted, context));
        let send = send.transpose()?;
        let write = (before.textfile != wanted.textfile).then(|| start_textfile(wanted, context));
        let write = write.transpose()?;
        let push = (before.pushgateway != wanted.pushgateway || has_ttl_changed)
            .then(|| start_pushgateway(wanted, context));
        if let Some(pushgateway) = push.transpose()? {
            self.pushgateway = pushgateway;
        }
        if let Some(textfile) = write {
            self.textfile = textfile;
        }
        if let Some(otlp) = send {
            if let Some(old) = &self.otlp {
                old.ask_to_end(Instant::now() + GRACE);
            }
            self.otlp = otlp;
        }
        Ok(())
    }

    /// Passes ended builds to all outputs, without waiting.
    pub fn ended(&self, finished: &FinishedTrace) {
        let Self {
            otlp,
            pushgateway,
            textfile: _,
        } = self;
        if let Some(otlp) = otlp {
            otlp.ended(finished);
        }
        if let Some(pushgateway) = pushgateway {
            pushgateway.ended(finished);
        }
    }

    /// The trace of each build. Builds without a trace are absent.
    pub fn traces(&self, finished: &FinishedTrace) -> BTreeMap<BuildId, TraceId> {
        let otlp = self.otlp.as_ref();
        otlp.map(|it| it.traces(finished)).unwrap_or_default()
    }

    /// Counts of each output, by name.
    pub fn counts(&self) -> Vec<(&'static str, Counts)> {
        let Self {
            otlp,
            pushgateway,
            textfile,
        } = self;
        let otlp = otlp.as_ref().map(|it| ("otlp", it.counts()));
        let pushgateway = pushgateway.as_ref().map(|it| ("pushgateway", it.counts()));
        let textfile = textfile.as_ref().map(|it| ("textfile", it.counts()));
        otlp.into_iter()
            .chain(pushgateway)
            .chain(textfile)
            .collect()
    }

    /// Requests all outputs to send their queues and to end before the deadline. Does not wait.
    pub fn ask_to_end(&self, deadline: Instant) {
        let Self {
            otlp,
            pushgateway,
            textfile,
        } = self;
        if let Some(otlp) = otlp {
            otlp.ask_to_end(deadline);
        }
        if let Some(pushgateway) = pushgateway {
            pushgateway.ask_to_end(deadline);
        }
        if let Some(textfile) = textfile {
            textfile.ask_to_end(deadline);
        }
    }

    /// Waits for the outputs, at most until the deadline.
    pub fn finish(self, deadline: Instant) -> Vec<(&'static str, Counts)> {
        self.ask_to_end(deadline);
        let Self {
            otlp,
            pushgateway,
            textfile,
        } = self;
        let otlp = otlp.map(|it| ("otlp", it.finish(deadline)));
        let pushgateway = pushgateway.map(|it| ("pushgateway", it.finish(deadline)));
        let textfile = textfile.map(|it| ("textfile", it.finish(deadline)));
        otlp.into_iter()
            .chain(pushgateway)
            .chain(textfile)
            .collect()
    }
}

fn start_otlp(wanted: &Exporters, context: &OutputContext) -> anyhow::Result<Option<Otlp>> {
    let start = |it| Otlp::start(it, Arc::clone(&context.metrics), context.log.clone());
    wanted.otlp.as_ref().map(start).transpose()
}

fn start_textfile(wanted: &Exporters, context: &OutputContext) -> anyhow::Result<Option<Textfile>> {
    let start = |it| Textfile::start(it, Arc::clone(&context.metrics), context.log.clone());
    wanted.textfile.as_ref().map(start).transpose()
}

fn start_pushgateway(
    wanted: &Exporters,
    context: &OutputContext,
) -> anyhow::Result<Option<Pushgateway>> {
    let mut spool = context.store.clone().into_os_string();
    spool.push("-pushgateway");
    let spool = PathBuf::from(spool);
    let start = |it| Pushgateway::start(it, &spool, context.target_ttl, context.log.clone());
    wanted.pushgateway.as_ref().map(start).transpose()
}
