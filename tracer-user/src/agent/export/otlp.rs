//! OpenTelemetry: builds as traces and log records, the metrics as metrics, by OTLP over HTTP with protobuf.
//!
//! What is to be sent is packed at once, because packed it is small and its size is known; then it waits in a queue that is bounded in
//! requests and in bytes, and a thread sends it ([`exporter`]). Packing is pure: nothing but this module and the thread knows a clock
//! or a network. Nothing is kept for after the agent's end.

mod attribute;
mod build;
mod exporter;
mod id;
mod job;
mod limit;
mod log;
mod metric;
mod partial;
mod request;
mod resource;
mod span;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::BuildId;
use tracer_core::origin::TraceId;

use self::exporter::Exporter;
use self::job::{Job, Room};
use self::request::SpanContent;
use self::resource::Machine;
use super::Counts;
use super::client::{Authorization, Client};
use crate::agent::metrics::Metrics;
use crate::driver::host;
use crate::worker::Worker;

pub use crate::config::otlp::Settings;

/// Requests that wait at most.
const REQUESTS: usize = 1024;
/// Bytes of them.
const BYTES: usize = 16 << 20;

/// The output. Counts are requests: of a build its spans are one, or several if it has many, and its summary is another.
#[derive(Debug)]
pub struct Otlp {
    worker: Worker<Job>,
    room: Room,
    /// Requests that found no room for their bytes.
    dropped: AtomicU64,
    machine: Machine,
    wanted: SpanContent,
}

impl Otlp {
    /// Opens no connection yet. `metrics` are sent from time to time if the settings want it; `tell` is given sentences for the
    /// operator, on the thread.
    pub fn start(
        settings: &Settings,
        metrics: Arc<Metrics>,
        log: fn(&str),
    ) -> anyhow::Result<Self> {
        settings.check()?;
        let (endpoint, headers) = settings.target(&|name| std::env::var(name).ok())?;
        let client = Client::new(endpoint, Authorization::None, settings.ca_file.as_deref())
            .context("otlp cannot be used")?;
        let machine = Machine {
            service: settings.service_name.clone(),
            host: host(),
        };
        let exporter = Exporter::new(client, headers, settings, metrics, machine.clone(), log)?;
        let worker = Worker::start("otlp", REQUESTS, move |jobs| exporter.work(jobs))
            .context("cannot start the thread of otlp")?;
        Ok(Self {
            worker,
            room: Room::new(BYTES),
            dropped: AtomicU64::new(0),
            machine,
            wanted: SpanContent {
                spans: settings.traces,
                logs: settings.logs,
                spans_per_build: usize::try_from(settings.spans_per_build).unwrap_or(usize::MAX),
                cached_actions: settings.cached_actions,
                parent: settings.parent,
                argv: settings.command_lines,
            },
        })
    }

    /// Builds are over. Never waits: what has no room is counted.
    pub fn ended(&self, finished: &FinishedTrace) {
        for request in request::of_builds(finished, &self.machine, self.wanted) {
            match self.room.take(request) {
                Some(job) => self.worker.hand_over(job),
                None => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Which trace each build is sent in; those of which no span is sent are not there.
    pub fn traces(&self, finished: &FinishedTrace) -> BTreeMap<BuildId, TraceId> {
        let places = id::places(finished, self.wanted.parent).into_iter();
        places
            .filter(|(_, place)| self.wanted.spans && place.is_sampled)
            .map(|(build, place)| (build.entry.id.clone(), place.trace))
            .collect()
    }

    /// Does not wait.
    pub(super) fn ask_to_end(&self, deadline: Instant) {
        self.worker.ask_to_end(deadline);
    }

    pub fn counts(&self) -> Counts {
        all(self.worker.counts(), &self.dropped)
    }

    /// Sends what waits and the metrics as they are now, as far as that can be done by then.
    pub fn finish(self, deadline: Instant) -> Counts {
        let Self {
            worker, dropped, ..
        } = self;
        all(worker.finish(deadline), &dropped)
    }
}

fn all(counts: Counts, dropped: &AtomicU64) -> Counts {
    Counts {
        dropped: counts.dropped + dropped.load(Ordering::Relaxed),
        ..counts
    }
}
