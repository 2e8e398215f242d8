//! All outputs that are configured, as one. What each does with a build is its own; the order here means nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracer_core::finished::FinishedTrace;
use tracer_core::history::BuildId;
use tracer_core::origin::TraceId;

use super::Counts;
use super::otlp::Otlp;
use super::pushgateway::Pushgateway;
use super::textfile::Textfile;
use crate::agent::metrics::Metrics;
use crate::config::Exporters;

/// How long an output that is replaced may send what it has.
const GRACE: Duration = Duration::from_secs(5);

/// What they are given by the agent.
#[derive(Clone)]
pub struct Surroundings {
    pub metrics: Arc<Metrics>,
    /// The history; what outputs keep on disk is beside it.
    pub store: PathBuf,
    /// After which time a target is forgotten.
    pub target_ttl: Duration,
    pub log: fn(&str),
}

#[derive(Debug, Default)]
pub struct Outputs {
    otlp: Option<Otlp>,
    pushgateway: Option<Pushgateway>,
    textfile: Option<Textfile>,
}

impl Outputs {
    /// Fails where an operator's mistake would otherwise be found when the first build is over.
    pub fn start(wanted: &Exporters, surroundings: &Surroundings) -> anyhow::Result<Self> {
        Ok(Self {
            otlp: otlp(wanted, surroundings)?,
            textfile: textfile(wanted, surroundings)?,
            pushgateway: pushgateway(wanted, surroundings)?,
        })
    }

    /// Goes on with other settings. Nothing changes if anything in them does not work.
    /// What they take the place of ends by itself, within seconds.
    pub fn change(
        &mut self,
        (before, before_ttl): (&Exporters, Duration),
        wanted: &Exporters,
        surroundings: &Surroundings,
    ) -> anyhow::Result<()> {
        let has_ttl_changed = before_ttl != surroundings.target_ttl;
        let send = (before.otlp != wanted.otlp).then(|| otlp(wanted, surroundings));
        let send = send.transpose()?;
        let write = (before.textfile != wanted.textfile).then(|| textfile(wanted, surroundings));
        let write = write.transpose()?;
        let push = (before.pushgateway != wanted.pushgateway || has_ttl_changed)
            .then(|| pushgateway(wanted, surroundings));
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

    /// Builds are over. Never waits.
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

    /// Which trace is made of each build; those of which none is are not there.
    pub fn traces(&self, finished: &FinishedTrace) -> BTreeMap<BuildId, TraceId> {
        let otlp = self.otlp.as_ref();
        otlp.map(|it| it.traces(finished)).unwrap_or_default()
    }

    /// By name.
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

    /// Asks them to send what waits, all at the same time, and to end by then. Does not wait.
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

    /// Sends what waits, as far as that can be done by then.
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

fn otlp(wanted: &Exporters, surroundings: &Surroundings) -> anyhow::Result<Option<Otlp>> {
    let start = |it| Otlp::start(it, Arc::clone(&surroundings.metrics), surroundings.log);
    wanted.otlp.as_ref().map(start).transpose()
}

fn textfile(wanted: &Exporters, surroundings: &Surroundings) -> anyhow::Result<Option<Textfile>> {
    let start = |it| Textfile::start(it, Arc::clone(&surroundings.metrics), surroundings.log);
    wanted.textfile.as_ref().map(start).transpose()
}

fn pushgateway(
    wanted: &Exporters,
    surroundings: &Surroundings,
) -> anyhow::Result<Option<Pushgateway>> {
    let mut spool = surroundings.store.clone().into_os_string();
    spool.push("-pushgateway");
    let spool = PathBuf::from(spool);
    let start = |it| Pushgateway::start(it, &spool, surroundings.target_ttl, surroundings.log);
    wanted.pushgateway.as_ref().map(start).transpose()
}
