//! OpenTelemetry: builds as traces and log records, the metrics as metrics, by OTLP over HTTP with protobuf.
//!
//! Builds are encoded at once, because the encoded form is small and has a known size. The requests wait in a queue that
//! is limited in requests and bytes, and a thread sends them ([`exporter`]). Encoding is pure: only this module and the
//! thread use a clock or a network. No request survives the agent.

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
use self::job::{Job, QueueSpace};
use self::request::SpanContent;
use self::resource::Machine;
use super::Counts;
use super::client::{Authorization, Client};
use crate::agent::metrics::Metrics;
use crate::config::Key;
use crate::config::otlp::Headers;
use crate::driver::host;
use crate::log::Log;
use crate::worker::Worker;

pub use crate::config::otlp::OtlpSettings;

/// Maximum number of waiting requests.
const REQUESTS: usize = 1024;
/// Maximum size of the waiting requests in bytes.
const BYTES: usize = 16 << 20;

/// The output. It counts requests: the spans of a build are one or several requests, and its summary is another one.
#[derive(Debug)]
pub struct Otlp {
    worker: Worker<Job>,
    space: QueueSpace,
    /// Requests that were dropped because the queue was full.
    dropped: AtomicU64,
    machine: Machine,
    wanted: SpanContent,
}

impl Otlp {
    /// Starts the thread, without a connection. `metrics` are sent periodically if the configuration requires it. The
    /// thread passes messages for the operator to `log`.
    pub fn start(settings: &OtlpSettings, metrics: Arc<Metrics>, log: Log) -> anyhow::Result<Self> {
        let (client, headers) = prepare(settings)?;
        let machine = Machine {
            service: settings.service_name.clone(),
            host: host(),
        };
        let exporter = Exporter::new(client, headers, settings, metrics, machine.clone(), log);
        let worker = Worker::start("otlp", REQUESTS, move |jobs| exporter.work(jobs))
            .context("cannot start the thread of otlp")?;
        Ok(Self {
            worker,
            space: QueueSpace::new(BYTES),
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

    /// Queues ended builds, without waiting. Requests that do not fit are counted.
    pub fn ended(&self, finished: &FinishedTrace) {
        for request in request::of_builds(finished, &self.machine, self.wanted) {
            match self.space.take(request) {
                Some(job) => self.worker.hand_over(job),
                None => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// The trace of each build. Builds without spans are absent.
    pub fn traces(&self, finished: &FinishedTrace) -> BTreeMap<BuildId, TraceId> {
        let places = id::places(finished, self.wanted.parent).into_iter();
        places
            .filter(|(_, place)| self.wanted.spans && place.is_sampled)
            .map(|(build, place)| (build.entry.id.clone(), place.trace))
            .collect()
    }

    /// Requests the end, without waiting.
    pub(super) fn ask_to_end(&self, deadline: Instant) {
        self.worker.ask_to_end(deadline);
    }

    pub fn counts(&self) -> Counts {
        all(self.worker.counts(), &self.dropped)
    }

    /// Sends the waiting requests and the current metrics, as far as possible before the deadline.
    pub fn finish(self, deadline: Instant) -> Counts {
        let Self {
            worker, dropped, ..
        } = self;
        all(worker.finish(deadline), &dropped)
    }
}

/// Checks everything that a start needs, without a thread and without a connection.
pub(super) fn prepare(settings: &OtlpSettings) -> anyhow::Result<(Client, Headers)> {
    settings.check().context(Key("otlp"))?;
    let (endpoint, headers) = settings
        .target(&|name| std::env::var(name).ok())
        .context(Key("otlp.endpoint"))?;
    let client = Client::new(endpoint, Authorization::None, settings.ca_file.as_deref());
    let client = client.context(Key(match settings.ca_file {
        Some(_) => "otlp.ca_file",
        None => "otlp.endpoint",
    }))?;
    if let Some(file) = &settings.headers_file {
        exporter::headers_of(file).context(Key("otlp.headers_file"))?;
    }
    Ok((client, headers))
}

fn all(counts: Counts, dropped: &AtomicU64) -> Counts {
    Counts {
        dropped: counts.dropped + dropped.load(Ordering::Relaxed),
        ..counts
    }
}
