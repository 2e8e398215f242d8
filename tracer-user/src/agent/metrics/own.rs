//! The agent's own state as metrics. Each update sets all values; this module measures nothing.

use std::time::{Duration, Instant};

use prometheus::{
    Counter, CounterVec, Error, Gauge, GaugeVec, IntCounter, IntCounterVec, Registry,
};
use tracer_abi::Kind;

use super::process::OfProcess;
use crate::agent::OBSERVER_TIMEOUT;
use crate::agent::export::Counts;
use crate::clock;
use crate::driver::{Analyses, Events, ObserverStatus, SelfTestVerdict};
use crate::proc::ProcessUsage;
use crate::render::metrics::family::{Families, Spec};
use crate::render::metrics::fold;
use crate::render::metrics::guard::guarded;

const RUNNING: Spec = Spec {
    name: "gotrace_builds_running",
    help: "Running builds.",
    labels: &[],
    limit: 1,
};
const QUEUE: Spec = Spec {
    name: "gotrace_queue_length",
    help: "Items that wait in a queue of gotrace.",
    labels: &["queue"],
    limit: 20,
};
const QUEUE_DROPPED: Spec = Spec {
    name: "gotrace_queue_dropped_total",
    help: "Items that a full queue of gotrace dropped, or that finally failed.",
    labels: &["queue"],
    limit: 20,
};
const DELAY: Spec = Spec {
    name: "gotrace_event_delay_seconds",
    help: "Longest delay between an exec or exit and its processing, in the last one to two minutes.",
    labels: &[],
    limit: 1,
};
const ANALYSES: Spec = Spec {
    name: "gotrace_analyses_total",
    help: "Output analyses, by result.",
    labels: &["outcome"],
    limit: 4,
};
const READERS_LOST: Spec = Spec {
    name: "gotrace_output_readers_lost_total",
    help: "Processes that read outputs for gotrace and ended without a result.",
    labels: &[],
    limit: 1,
};
const EXPORT_FAILURES: Spec = Spec {
    name: "gotrace_export_failures_total",
    help: "Failed deliveries of an output: refused, or given up after retries.",
    labels: &["sink"],
    limit: 20,
};
const CPU: Spec = Spec {
    name: "gotrace_cpu_seconds_total",
    help: "CPU time that gotrace itself used.",
    labels: &[],
    limit: 1,
};
const LOOP_CPU: Spec = Spec {
    name: "gotrace_loop_cpu_seconds_total",
    help: "CPU time of the thread that reads the kernel's records, by part.",
    labels: &["part"],
    limit: 2,
};
const RESIDENT: Spec = Spec {
    name: "gotrace_resident_memory_bytes",
    help: "Resident memory of gotrace itself.",
    labels: &[],
    limit: 1,
};
const SELF_TEST: Spec = Spec {
    name: "gotrace_self_test_success",
    help: "1 if the last self-test passed; 0 if it failed or the tracing process hangs.",
    labels: &[],
    limit: 1,
};
const RELOAD: Spec = Spec {
    name: "gotrace_config_last_reload_successful",
    help: "1 if the last load of the configuration succeeded.",
    labels: &[],
    limit: 1,
};
const RELOADED: Spec = Spec {
    name: "gotrace_config_last_reload_success_timestamp_seconds",
    help: "Time when the active configuration was loaded, in seconds since 1970.",
    labels: &[],
    limit: 1,
};
const HISTORY_DELETED: Spec = Spec {
    name: "gotrace_history_builds_deleted_total",
    help: "Builds that retention deleted from this machine's history, by reason.",
    labels: &["reason"],
    limit: 2,
};
const HISTORY_SET_ASIDE: Spec = Spec {
    name: "gotrace_history_set_aside_total",
    help: "Damaged histories that were moved aside since the start of this storage process.",
    labels: &[],
    limit: 1,
};
const HISTORY_SIZE: Spec = Spec {
    name: "gotrace_history_size_bytes",
    help: "Size of this machine's history: the database and its write-ahead log.",
    labels: &[],
    limit: 1,
};
const HISTORY_FREE: Spec = Spec {
    name: "gotrace_history_free_bytes",
    help: "Free space of the file system that holds this machine's history.",
    labels: &[],
    limit: 1,
};
const HISTORY_OLDEST: Spec = Spec {
    name: "gotrace_history_oldest_build_timestamp_seconds",
    help: "Start time of the oldest build in this machine's history, in seconds since 1970.",
    labels: &[],
    limit: 1,
};
const AGE: &str = "age";
const SIZE: &str = "size";

/// All families, for the test of the documentation.
#[cfg(test)]
pub(crate) const ALL: &[&Spec] = &[
    &RUNNING,
    &DELAY,
    &QUEUE,
    &QUEUE_DROPPED,
    &EXPORT_FAILURES,
    &ANALYSES,
    &READERS_LOST,
    &CPU,
    &RESIDENT,
    &SELF_TEST,
    &RELOAD,
    &RELOADED,
    &HISTORY_DELETED,
    &HISTORY_SET_ASIDE,
    &HISTORY_SIZE,
    &HISTORY_FREE,
    &HISTORY_OLDEST,
    &LOOP_CPU,
];

/// The status of the storage process. Counts are since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageStatus {
    /// Builds that wait for the database.
    pub n_waiting: u64,
    /// Builds that were dropped or could not be stored.
    pub n_dropped: u64,
    /// Counts of each output, by name.
    pub exports: Vec<(&'static str, Counts)>,
    pub cpu_ns: u64,
    pub resident_bytes: u64,
    pub process: ProcessUsage,
    pub reload: Reload,
    pub history: History,
}

/// The status of this machine's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub deleted_by_age: u64,
    pub deleted_by_size: u64,
    /// Damaged histories that were moved aside.
    pub n_set_aside: u64,
    /// Size of the database and its write-ahead log.
    pub bytes: u64,
    /// `None` if the file system does not report it.
    pub free_bytes: Option<u64>,
    /// Start of the oldest build in nanoseconds since 1970. `None` if there is no build.
    pub oldest_ns: Option<i64>,
}

/// The result of the last load of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reload {
    pub is_good: bool,
    /// Time of the load of the active configuration, since 1970.
    pub at_seconds: f64,
}

impl Reload {
    /// A successful load at the current time.
    pub fn now() -> Self {
        let since = Duration::from_nanos(clock::wall_ns().unsigned_abs());
        Self {
            is_good: true,
            at_seconds: since.as_secs_f64(),
        }
    }
}

pub(super) struct Own {
    running: Gauge,
    delay: Gauge,
    queue: GaugeVec,
    queue_dropped: IntCounterVec,
    export_failures: IntCounterVec,
    analyses: IntCounterVec,
    readers_lost: IntCounter,
    cpu: Counter,
    loop_cpu: CounterVec,
    resident: Gauge,
    self_test: Gauge,
    /// Time of the last report of the observer.
    reported: Option<Instant>,
    reload: Gauge,
    reloaded: Gauge,
    history: OfHistory,
    process: OfProcess,
}

impl Own {
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        let own = Self {
            running: Gauge::with_opts(RUNNING.opts())?,
            delay: Gauge::with_opts(DELAY.opts())?,
            queue: GaugeVec::new(QUEUE.opts(), QUEUE.labels)?,
            queue_dropped: IntCounterVec::new(QUEUE_DROPPED.opts(), QUEUE_DROPPED.labels)?,
            export_failures: IntCounterVec::new(EXPORT_FAILURES.opts(), EXPORT_FAILURES.labels)?,
            analyses: IntCounterVec::new(ANALYSES.opts(), ANALYSES.labels)?,
            readers_lost: IntCounter::with_opts(READERS_LOST.opts())?,
            cpu: Counter::with_opts(CPU.opts())?,
            loop_cpu: CounterVec::new(LOOP_CPU.opts(), LOOP_CPU.labels)?,
            resident: Gauge::with_opts(RESIDENT.opts())?,
            self_test: Gauge::with_opts(SELF_TEST.opts())?,
            reported: None,
            reload: Gauge::with_opts(RELOAD.opts())?,
            reloaded: Gauge::with_opts(RELOADED.opts())?,
            history: OfHistory::register(registry)?,
            process: OfProcess::register(registry)?,
        };
        registry.register(Box::new(own.running.clone()))?;
        registry.register(Box::new(own.delay.clone()))?;
        registry.register(Box::new(own.queue.clone()))?;
        registry.register(Box::new(own.queue_dropped.clone()))?;
        registry.register(Box::new(own.export_failures.clone()))?;
        registry.register(Box::new(own.analyses.clone()))?;
        registry.register(Box::new(own.readers_lost.clone()))?;
        registry.register(Box::new(own.cpu.clone()))?;
        registry.register(Box::new(own.loop_cpu.clone()))?;
        registry.register(Box::new(own.resident.clone()))?;
        registry.register(Box::new(own.self_test.clone()))?;
        registry.register(Box::new(own.reload.clone()))?;
        registry.register(Box::new(own.reloaded.clone()))?;
        Ok(own)
    }

    /// Sets the values of both processes. Counters are reset to zero first; the caller's lock hides this.
    pub(super) fn set(
        &mut self,
        families: &mut Families,
        status: &ObserverStatus,
        storage: &StorageStatus,
    ) -> Result<(), Error> {
        for &Events { kind, seen, lost } in &status.events {
            for (family, n) in [(&mut families.events, seen), (&mut families.lost, lost)] {
                reset(&family.with(&[Kind(kind).name()])?, n);
            }
        }
        reset(&families.unreadable, status.n_unreadable);
        families.probes.set(count(status.n_probes));
        self.running.set(count(status.n_sessions));
        self.delay.set(fold::seconds(status.delay_ns));
        self.queues(status, storage)?;
        for (name, counts) in &storage.exports {
            let labels = [guarded(name)];
            let counter = self.export_failures.get_metric_with_label_values(&labels)?;
            reset(&counter, counts.failed);
        }
        let Analyses {
            waiting: _,
            analysed,
            known,
            failed,
            dropped,
            lost,
            cpu_ns: _,
        } = &status.analyses;
        for (outcome, n) in [
            ("analysed", analysed),
            ("known", known),
            ("failed", failed),
            ("dropped", dropped),
        ] {
            let counter = self.analyses.get_metric_with_label_values(&[outcome])?;
            reset(&counter, *n);
        }
        reset(&self.readers_lost, *lost);
        let cpu_ns = storage.cpu_ns.saturating_add(status.cpu_ns);
        self.cpu.reset();
        self.cpu.inc_by(fold::seconds(cpu_ns));
        if let Some(cpu) = status.loop_cpu {
            for (part, ns) in [("decode", cpu.decode_ns), ("correlate", cpu.apply_ns)] {
                let counter = self.loop_cpu.get_metric_with_label_values(&[part])?;
                counter.reset();
                counter.inc_by(fold::seconds(ns));
            }
        }
        let resident = storage.resident_bytes.saturating_add(status.resident_bytes);
        self.resident.set(fold::bytes(resident));
        self.process
            .set(cpu_ns, resident, status.process, storage.process);
        self.reported = Some(Instant::now());
        let sees_itself = status.self_test == SelfTestVerdict::Seen;
        self.self_test.set(f64::from(u8::from(sees_itself)));
        let reload = &storage.reload;
        self.reload.set(f64::from(u8::from(reload.is_good)));
        self.reloaded.set(reload.at_seconds);
        self.history.set(&storage.history)
    }

    /// Withdraws the result of the last self-test if the observer hangs.
    pub(super) fn expire(&self) {
        if self
            .reported
            .is_some_and(|it| it.elapsed() > OBSERVER_TIMEOUT)
        {
            self.self_test.set(0.0);
        }
    }

    /// Sets the queues of outputs, like all other queues.
    fn queues(&self, status: &ObserverStatus, storage: &StorageStatus) -> Result<(), Error> {
        let n = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        let analyses = &status.analyses;
        let own = [
            ("outputs", n(status.n_unread), status.n_never_read),
            ("analysis", analyses.waiting, analyses.dropped),
            ("storage", n(status.n_waiting), status.n_dropped),
            ("history", storage.n_waiting, storage.n_dropped),
            ("sessions", n(status.n_sessions), status.n_refused),
        ];
        let exports = storage.exports.iter();
        let exports = exports.map(|(name, it)| (*name, it.waiting, it.dropped));
        for (name, length, dropped) in own.into_iter().chain(exports) {
            let labels = [guarded(name)];
            let gauge = self.queue.get_metric_with_label_values(&labels)?;
            gauge.set(fold::bytes(length));
            let counter = self.queue_dropped.get_metric_with_label_values(&labels)?;
            reset(&counter, dropped);
        }
        Ok(())
    }
}

fn reset(counter: &IntCounter, n: u64) {
    counter.reset();
    counter.inc_by(n);
}

/// Gauges that may be absent are families with at most one series.
struct OfHistory {
    deleted: IntCounterVec,
    set_aside: IntCounter,
    size: Gauge,
    free: GaugeVec,
    oldest: GaugeVec,
}

impl OfHistory {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let it = Self {
            deleted: IntCounterVec::new(HISTORY_DELETED.opts(), HISTORY_DELETED.labels)?,
            set_aside: IntCounter::with_opts(HISTORY_SET_ASIDE.opts())?,
            size: Gauge::with_opts(HISTORY_SIZE.opts())?,
            free: GaugeVec::new(HISTORY_FREE.opts(), HISTORY_FREE.labels)?,
            oldest: GaugeVec::new(HISTORY_OLDEST.opts(), HISTORY_OLDEST.labels)?,
        };
        registry.register(Box::new(it.deleted.clone()))?;
        registry.register(Box::new(it.set_aside.clone()))?;
        registry.register(Box::new(it.size.clone()))?;
        registry.register(Box::new(it.free.clone()))?;
        registry.register(Box::new(it.oldest.clone()))?;
        for reason in [AGE, SIZE] {
            it.deleted.get_metric_with_label_values(&[reason])?;
        }
        Ok(it)
    }

    fn set(&self, history: &History) -> Result<(), Error> {
        let History {
            deleted_by_age,
            deleted_by_size,
            n_set_aside,
            bytes,
            free_bytes,
            oldest_ns,
        } = history;
        for (reason, n) in [(AGE, deleted_by_age), (SIZE, deleted_by_size)] {
            let counter = self.deleted.get_metric_with_label_values(&[reason])?;
            reset(&counter, *n);
        }
        reset(&self.set_aside, *n_set_aside);
        self.size.set(fold::bytes(*bytes));
        let free = free_bytes.map(fold::bytes);
        let oldest = oldest_ns.map(|it| fold::seconds(u64::try_from(it).unwrap_or(0)));
        for (gauge, value) in [(&self.free, free), (&self.oldest, oldest)] {
            gauge.reset();
            if let Some(value) = value {
                gauge.get_metric_with_label_values::<&str>(&[])?.set(value);
            }
        }
        Ok(())
    }
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
