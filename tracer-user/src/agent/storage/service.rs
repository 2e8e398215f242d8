//! Counts, stores, sends and serves builds. After `open`, no method waits for a disk or a network: the history and the
//! server have their own queues and threads.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use tracer_core::finished::{FinishedBuild, FinishedTrace};
use tracer_core::history::{self, BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use super::open::{self, Opened};
use crate::agent::export::outputs::Outputs;
use crate::agent::http::{AccessFiles, Readiness, Rules, Served, Server};
use crate::agent::metrics::Reload;
use crate::agent::startup::{forward, listen, output_context};
use crate::agent::{Config, IDLE_TIME, Load};
use crate::clock;
use crate::config::{File, SizeBudget};
use crate::driver::{ObserverStatus, SelfTestVerdict};
use crate::history::{Forwarder, ReadPool, Writer};
use crate::log::{self, Level, Log, LogConfig};
use crate::proc;

/// Interval between two runs of the retention.
const RETENTION_INTERVAL: Duration = Duration::from_mins(10);
/// Interval between two writes of the counters. After a crash, builds that were stored since the last write are counted
/// from the history.
const COUNTER_INTERVAL: Duration = Duration::from_secs(10);

/// The state of the storage process.
pub(super) struct StorageService<'a> {
    pub(super) config: Config,
    load: Load<'a>,
    pub(super) reload: Reload,
    pub(super) writer: Writer,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) served: Arc<Served>,
    pub(super) pages: Option<Server>,
    access: AccessFiles,
    pub(super) outputs: Outputs,
    retained: Option<Instant>,
    pub(super) tally: CounterState,
    /// Time of the last activity. `None` if memory was returned to the kernel since.
    busy: Option<Instant>,
    /// Number of the last trace that an earlier storage process received, if there was one.
    again: Option<u64>,
    traces: Traces,
    pub(super) log: Log,
    pub(super) n_set_aside: u64,
    /// Held so that no other agent writes the history.
    pub(super) lock: fs::File,
}

/// Numbers of the last trace in each stage.
#[derive(Default)]
struct Traces {
    /// Passed to the writer of the history.
    taken: u64,
    /// Acknowledged to the observer as stored or dropped.
    answered: u64,
}

/// The state of the counters relative to the history.
pub(super) struct CounterState {
    /// True if a build was counted since the last write.
    pub(super) is_news: bool,
    written: Option<Instant>,
}

impl<'a> StorageService<'a> {
    /// Opens the history and all configured outputs. Reports mistakes in the configuration now, not at the first build.
    pub(super) fn open(
        load: Load<'a>,
        file: &File,
        again: Option<u64>,
        log: &Log,
    ) -> anyhow::Result<Self> {
        let config = load(file)?;
        log::reconfigure(config.log);
        let Opened {
            lock,
            writer,
            metrics,
            n_set_aside,
        } = open::history(&config, again.is_some(), log)?;
        let served = Arc::new(Served {
            metrics: Arc::clone(&metrics),
            // The API serves the history of this machine, even with a central one: local users must not read a fleet's history.
            history: ReadPool::new(&config.store),
            readiness: Readiness::not_yet("the kernel programs are being loaded"),
        });
        let outputs = Outputs::start(&config.outputs, &output_context(&config, &metrics, log))
            .map_err(|error| file.locate(error))?;
        let access = AccessFiles::of(&config.http);
        let pages = listen(&config, &served, log).map_err(|error| file.locate(error))?;
        Ok(Self {
            config,
            load,
            reload: Reload::now(),
            writer,
            forwarder: None,
            served,
            pages,
            access,
            outputs,
            retained: None,
            // The restored counters are written at once.
            tally: CounterState {
                is_news: true,
                written: None,
            },
            busy: Some(Instant::now()),
            again,
            traces: Traces::default(),
            log: log.clone(),
            n_set_aside,
            lock,
        })
    }

    /// The configured level of detail.
    pub(super) fn detail(&self) -> Detail {
        self.config.detail
    }

    pub(super) fn log_config(&self) -> LogConfig {
        self.config.log
    }

    /// Starts the delivery to the central history, now that builds are traced.
    pub(super) fn follow(&mut self, n_probes: usize) -> anyhow::Result<()> {
        let central = self.config.central.as_ref();
        let forwarder = central.map(|it| forward(it, &self.config, &self.log));
        self.forwarder = forwarder.transpose()?;
        let pages = self.pages.as_ref();
        let pages = pages.map_or_else(String::new, |it| {
            format!(", metrics at {}", it.url("/metrics"))
        });
        let store = self.config.store.display();
        let message = if self.again.is_some() {
            format!("the storage process was restarted{pages}")
        } else {
            let central = central.map_or_else(String::new, |it| {
                format!(" and delivered to {}", it.address)
            });
            format!(
                "tracing every Go build on this machine: {n_probes} probes attached, history in {store}{central}{pages}"
            )
        };
        let fields = [
            ("probes", n_probes.into()),
            ("history", store.to_string().into()),
        ];
        self.log.with(Level::Info, message, &fields);
        self.set_readiness(&SelfTestVerdict::Pending, &[]);
        Ok(())
    }

    pub(super) fn begun(&self, entry: Entry) {
        let id = &entry.id;
        let fields = [("build", id.to_string().into())];
        let message = format_args!("build {id} began");
        self.log.with(Level::Debug, message, &fields);
        self.writer.begin(entry);
    }

    /// Counts and stores the trace with this number. Builds that are already stored are skipped. This is possible if
    /// `is_known` is true or if an earlier storage process received the trace.
    pub(super) fn ended(&mut self, n: u64, is_known: bool, trace: Trace) {
        let mut finished = FinishedTrace::of(trace);
        if is_known || self.again.is_some_and(|last_sent| n <= last_sent) {
            // The earlier process counted the stored builds, or they were counted from the history since.
            let stored = self.stored(&finished);
            finished.retain(|it| !stored.contains(&it.id));
        }
        if finished.builds().next().is_some() {
            self.count(&finished);
        }
        for build in history::builds(&finished) {
            let Entry { id, state, .. } = &build.entry;
            let state = state.name();
            let fields = [("build", id.to_string().into()), ("state", state.into())];
            let message = format_args!("build {id} ended: {state}");
            self.log.with(Level::Debug, message, &fields);
            self.writer.finish(build);
        }
        self.traces.taken = self.traces.taken.max(n);
    }

    fn count(&mut self, finished: &FinishedTrace) {
        let traces = self.outputs.traces(finished);
        let trace_id = |build: FinishedBuild<'_>| traces.get(&build.entry.id).copied();
        if let Err(error) = self.served.metrics.observe(finished, &trace_id) {
            self.log
                .error(format_args!("cannot count a build in the metrics: {error}"));
        }
        self.tally.is_news = true;
        self.outputs.ended(finished);
    }

    /// The builds that are completely stored in the history.
    fn stored(&self, finished: &FinishedTrace) -> BTreeSet<BuildId> {
        let stored = self.served.history.read(|history| {
            let mut stored = BTreeSet::new();
            for build in finished.builds() {
                if history.is_stored(&build.entry.id)? {
                    stored.insert(build.entry.id.clone());
                }
            }
            Ok(stored)
        });
        stored.unwrap_or_else(|error| {
            self.log.warn(format_args!(
                "cannot read the history, so builds may be counted twice: {error}"
            ));
            BTreeSet::new()
        })
    }

    /// Updates gotrace's own metrics. Returns the number of the last stored trace, if it has changed.
    /// Fails if the history is damaged: the next storage process moves it aside.
    pub(super) fn status(&mut self, status: &ObserverStatus) -> anyhow::Result<Option<u64>> {
        if self.writer.is_damaged() {
            bail!(
                "the history {} is damaged, as a write detected",
                self.config.store.display()
            );
        }
        self.set_readiness(&status.self_test, &status.limits);
        let metrics = &self.served.metrics;
        for causes in self.writer.take_causes() {
            self.tally.is_news = true;
            if let Err(error) = metrics.observe_causes(&causes) {
                self.log
                    .error(format_args!("cannot count causes in the metrics: {error}"));
            }
        }
        if let Err(error) = metrics.set_self(status, &self.storage()) {
            self.log
                .error(format_args!("cannot update gotrace's own metrics: {error}"));
        }
        if status.n_sessions > 0 {
            self.busy = Some(Instant::now());
        } else if self.busy.is_some_and(|it| it.elapsed() > IDLE_TIME) {
            self.busy = None;
            proc::give_back_memory();
        }
        self.refresh_access();
        let is_old = self
            .tally
            .written
            .is_none_or(|it| it.elapsed() > COUNTER_INTERVAL);
        if self.tally.is_news && is_old {
            self.write_tally();
        }
        let is_due = self
            .retained
            .is_none_or(|it| it.elapsed() > RETENTION_INTERVAL);
        if is_due {
            // Undelivered builds are deleted last. Only the forwarder can identify these builds.
            let is_heard = if let Some(forwarder) = &self.forwarder {
                forwarder.set_limits(self.config.limits)
            } else {
                self.writer.retain(self.config.limits, clock::wall_ns());
                true
            };
            self.retained = is_heard.then(Instant::now);
        }
        let of_spool = self.forwarder.as_ref();
        let of_spool = of_spool.and_then(Forwarder::retention_line);
        for line in self.writer.retention_line().into_iter().chain(of_spool) {
            self.log.info(&line);
        }
        Ok(self.reached())
    }

    /// Applies a new certificate or token.
    fn refresh_access(&mut self) {
        let (Some(pages), Some(rules)) = (&self.pages, self.access.changed()) else {
            return;
        };
        match rules {
            Ok(rules) => {
                pages.set_rules(rules);
                self.log.info("certificate and tokens of the pages reloaded");
            }
            Err(error) => self.log.error(format_args!(
                "cannot reload the certificate and tokens of the pages, the previous ones stay active: {error:#}"
            )),
        }
    }

    fn reached(&mut self) -> Option<u64> {
        let Traces { taken, answered } = &mut self.traces;
        let reached = self.writer.reached();
        if reached < *taken {
            self.writer.mark(*taken);
        }
        (reached > *answered).then(|| {
            *answered = reached;
            reached
        })
    }

    /// Applies a new configuration. Returns true if that succeeded.
    pub(super) fn reload(&mut self, file: Result<File, String>) -> bool {
        let wanted = file.map_err(anyhow::Error::msg);
        let taken = wanted.and_then(|file| {
            let wanted = (self.load)(&file)?;
            self.take_over(wanted).map_err(|error| file.locate(error))
        });
        match taken {
            Ok(()) => {
                self.reload = Reload::now();
                true
            }
            Err(error) => {
                self.reload.is_good = false;
                self.log.error(format_args!(
                    "cannot reload the configuration, the previous one stays active: {error:#}"
                ));
                false
            }
        }
    }

    /// Applies all of the configuration, or nothing if a part of it fails.
    fn take_over(&mut self, wanted: Config) -> anyhow::Result<()> {
        let (wanted, fixed) = wanted.taken_over(&self.config);
        let has_moved = wanted.listen != self.config.listen;
        let access = AccessFiles::of(&wanted.http);
        let rules = Rules::load(&wanted.http)?;
        let pages = if has_moved {
            listen(&wanted, &self.served, &self.log)?
        } else {
            None
        };
        self.outputs.change(
            (&self.config.outputs, self.config.target_ttl),
            &wanted.outputs,
            &output_context(&wanted, &self.served.metrics, &self.log),
        )?;
        // The old pages stay until no later step can fail.
        if has_moved {
            if let Some(pages) = &pages {
                self.log
                    .info(format_args!("pages are now at {}", pages.url("")));
            }
            self.pages = pages;
        } else if let Some(pages) = &self.pages {
            pages.set_rules(rules);
        }
        self.access = access;
        self.served.metrics.set_target_ttl(wanted.target_ttl);
        let budget = wanted.size_budget.map(|SizeBudget(limit)| limit);
        self.served.metrics.set_size_budget(budget);
        self.served.metrics.set_parts(wanted.metrics);
        if wanted.limits != self.config.limits {
            self.retained = None;
        }
        log::reconfigure(wanted.log);
        self.config = wanted;
        self.log.info("configuration reloaded");
        for key in fixed {
            self.log.warn(format_args!(
                "the new value of {key} needs a restart of the agent"
            ));
        }
        Ok(())
    }

    pub(super) fn write_tally(&mut self) {
        match self.served.metrics.counted() {
            Ok(counted) => {
                self.tally = CounterState {
                    is_news: !self.writer.store_counters(counted),
                    written: Some(Instant::now()),
                };
            }
            Err(error) => {
                self.log.warn(format_args!(
                    "cannot write the counters to the history: {error}"
                ));
                self.tally.written = Some(Instant::now());
            }
        }
    }

    /// Sets the answer of `/-/ready`.
    fn set_readiness(&self, verdict: &SelfTestVerdict, limits: &[String]) {
        self.served.readiness.set(match verdict {
            SelfTestVerdict::Pending => {
                Err("the self-test has not finished: retry in a few seconds".to_owned())
            }
            SelfTestVerdict::Seen => Ok(limits.to_vec()),
            SelfTestVerdict::Unseen(why) => Err(why.clone()),
        });
    }
}
