//! Delivers builds from this machine's history to the central one: a thread that sends undelivered builds in order, and retries.
//!
//! A build is in the file before it is sent, and is marked as delivered after it has arrived. So an outage on either side only costs
//! time, and a build that is sent twice is stored once. The file is the spool of an outage; this thread keeps it within its limits.
//! No other thread waits for this one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracer_core::history::Limits;

use super::central::{Address, CentralSettings, CentralWriter};
use super::error::{Cause, Error};
use super::spool::{Discarded, Undelivered};
use super::store::Store;
use super::writer::retention::{Deleted, Retention};

use crate::backoff::Backoff;
use crate::clock;
use crate::log::Log;
use crate::worker::{Jobs, Next, Worker};

/// Interval between two checks for undelivered builds.
const POLL: Duration = Duration::from_secs(1);
/// Length of the queue of new limits.
const QUEUE: usize = 8;
/// Pause after a failure. It doubles each time, up to `MAX_PAUSE`.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// A connection is closed after this idle time: a fleet is large, and a database allows a limited number of connections.
const IDLE: Duration = Duration::from_secs(30);
/// Largest number of builds in one batch, and of bytes of their details.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1_000_000;
/// Interval between two deletions of old builds, in the spool and in the central history.
const RETENTION: Duration = Duration::from_mins(10);
const DAY_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Source, destination and limits of a delivery.
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// The history of this machine.
    pub spool: PathBuf,
    /// Limits of the spool.
    pub limits: Limits,
    pub address: Address,
    pub settings: CentralSettings,
}

/// Delivers a history in the background.
#[derive(Debug)]
pub struct Forwarder {
    /// The thread. Its jobs are new limits of the spool.
    worker: Worker<Limits>,
    counts: Arc<DeliveryCounters>,
}

/// Counts of deliveries, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Delivered changes of builds: the end of each build, and its beginning if that was sent before the end.
    pub sent: u64,
    /// Failed attempts. Their builds still wait.
    pub failed: u64,
    /// Builds that the database rejects permanently.
    pub refused: u64,
    /// Undelivered builds and details that were deleted from the spool.
    pub discarded: Discarded,
    /// Builds that wait for delivery.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct DeliveryCounters {
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    details: AtomicU64,
    builds: AtomicU64,
    waiting: AtomicU64,
    retention: Retention,
}

impl DeliveryCounters {
    fn delivered(&self) -> DeliveryCounts {
        let DeliveryCounters {
            sent,
            failed,
            refused,
            details,
            builds,
            waiting,
            retention: _,
        } = self;
        DeliveryCounts {
            sent: sent.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            discarded: Discarded {
                details: details.load(Ordering::Relaxed),
                builds: builds.load(Ordering::Relaxed),
            },
            waiting: waiting.load(Ordering::Relaxed),
        }
    }
}

impl Forwarder {
    /// Starts the thread. It calls `log` when the database fails, with the cause, and when it answers again.
    pub fn start(config: ForwardConfig, log: Log) -> Result<Self, Error> {
        let spool = Store::open(&config.spool)?;
        let counts = Arc::new(DeliveryCounters::default());
        let mut thread = ForwardThread {
            counts: Arc::clone(&counts),
            spool,
            delivery: None,
            used: Instant::now(),
            retained: None,
            deleted: None,
            backoff: Backoff::new(PAUSE, MAX_PAUSE),
            pause: None,
            log,
            config,
        };
        let path = thread.config.spool.clone();
        let worker = Worker::start("forward", QUEUE, move |jobs| thread.run(jobs));
        let worker = worker.map_err(|error| Cause::from(error).at(path.display()))?;
        Ok(Self { worker, counts })
    }

    /// Changes the limits of the spool. Returns true if the thread has room for the change.
    pub fn set_limits(&self, limits: Limits) -> bool {
        self.worker.offer(limits).is_ok()
    }

    pub fn counts(&self) -> DeliveryCounts {
        self.counts.delivered()
    }

    /// Builds that were deleted to keep the spool within its limits.
    pub(crate) fn deleted(&self) -> Deleted {
        self.counts.retention.deleted()
    }

    /// The log line about these builds, if there are new ones and a minute has passed.
    pub(crate) fn retention_line(&self) -> Option<String> {
        self.counts.retention.line()
    }

    /// When the oldest build of the spool started, in nanoseconds since 1970.
    pub(crate) fn oldest_ns(&self) -> Option<i64> {
        self.counts.retention.oldest_ns()
    }

    /// Delivers builds until the deadline. The rest waits in the file for the next start.
    pub fn finish(self, deadline: Instant) -> DeliveryCounts {
        let Self { worker, counts } = self;
        // A thread that waits for a silent server is abandoned: all its builds are in the file.
        worker.finish(deadline);
        counts.delivered()
    }
}

/// State of the thread.
struct ForwardThread {
    config: ForwardConfig,
    spool: Store,
    delivery: Option<CentralWriter>,
    /// Time of the last send.
    used: Instant,
    /// Time of the last deletion in the spool.
    retained: Option<Instant>,
    /// Time of the last deletion in the central history.
    deleted: Option<Instant>,
    backoff: Backoff,
    /// Present while the database does not answer.
    pause: Option<Duration>,
    counts: Arc<DeliveryCounters>,
    log: Log,
}

impl ForwardThread {
    fn run(&mut self, jobs: &Jobs<Limits>) {
        loop {
            if let Err(error) = self.tend() {
                self.log.error(error.chain());
            }
            let is_well = self.deliver_all();
            match jobs.next(self.pause.unwrap_or(POLL)) {
                Next::Job(limits) => self.config.limits = limits,
                Next::Idle => {}
                Next::End(_) => {
                    if is_well {
                        self.deliver_all();
                    }
                    // The final counts are read after this.
                    if let Err(error) = self.count() {
                        self.log.error(error.chain());
                    }
                    return;
                }
            }
        }
    }

    /// Keeps the spool within its limits: by age at intervals, by size at once.
    fn tend(&mut self) -> Result<(), Error> {
        let is_due = self.retained.is_none_or(|it| it.elapsed() > RETENTION);
        let is_over = match self.config.limits.max_bytes {
            Some(max_bytes) => self.spool.is_over(max_bytes)?,
            None => false,
        };
        if is_due || is_over {
            let (retained, discarded) = self
                .spool
                .retain_spool(self.config.limits, clock::wall_ns())?;
            self.counts.retention.ran(retained, discarded);
            let Discarded { details, builds } = discarded;
            self.counts.details.fetch_add(details, Ordering::Relaxed);
            self.counts.builds.fetch_add(builds, Ordering::Relaxed);
        }
        self.counts.retention.measure(&mut self.spool)
    }

    /// Delivers until no build waits. Returns false after a failure.
    fn deliver_all(&mut self) -> bool {
        loop {
            match self.deliver_some() {
                Ok(0) => {
                    self.clean_up();
                    return true;
                }
                Ok(_) => {}
                Err(error) => {
                    self.fail(&error);
                    return false;
                }
            }
        }
    }

    /// Delivers one batch. Returns the number of builds that it took from the spool.
    fn deliver_some(&mut self) -> Result<usize, Error> {
        self.count()?;
        let rows = self.spool.undelivered(BATCH, BATCH_BYTES)?;
        if rows.is_empty() {
            return Ok(0);
        }
        match self.send(&rows) {
            Ok(()) => self.arrived(&rows)?,
            Err(Cause::Central(trouble)) if trouble.is_about_a_build() => {
                self.one_by_one(&rows)?;
            }
            Err(cause) => return Err(cause.at(&self.config.address)),
        }
        Ok(rows.len())
    }

    /// Sends each build of a rejected batch alone, so that the rejected one does not block the others.
    fn one_by_one(&mut self, rows: &[Undelivered]) -> Result<(), Error> {
        for one in rows {
            let alone = std::slice::from_ref(one);
            match self.send(alone) {
                Ok(()) => self.arrived(alone)?,
                Err(Cause::Central(trouble)) if trouble.is_about_a_build() => {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    let error = Cause::Central(trouble).at(&self.config.address);
                    self.log.warn(format_args!(
                        "build {} stays on this machine: {}",
                        one.build_row.id,
                        error.chain()
                    ));
                    self.spool.delivered(alone)?;
                }
                Err(cause) => return Err(cause.at(&self.config.address)),
            }
        }
        Ok(())
    }

    fn send(&mut self, rows: &[Undelivered]) -> Result<(), Cause> {
        self.used = Instant::now();
        let delivery = match self.delivery.take() {
            Some(delivery) => delivery,
            None => CentralWriter::open(&self.config.address, &self.config.settings)?,
        };
        delivery.deliver(rows.iter().map(|it| &it.build_row))?;
        // A connection is reused only after a success.
        self.delivery = Some(delivery);
        Ok(())
    }

    fn arrived(&mut self, rows: &[Undelivered]) -> Result<(), Error> {
        self.spool.delivered(rows)?;
        let n = u64::try_from(rows.len()).unwrap_or(0);
        self.counts.sent.fetch_add(n, Ordering::Relaxed);
        let n = self.count()?;
        self.backoff.succeeded();
        if self.pause.take().is_some() {
            self.log.info(format_args!(
                "the history {} answers again: {n} builds wait to be delivered",
                self.config.address
            ));
        }
        Ok(())
    }

    fn count(&mut self) -> Result<u64, Error> {
        let n = self.spool.n_undelivered()?;
        self.counts.waiting.store(n, Ordering::Relaxed);
        Ok(n)
    }

    fn fail(&mut self, error: &Error) {
        self.delivery = None;
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        if self.pause.is_none() {
            self.log.warn(format_args!(
                "builds wait on this machine and are delivered later: {}",
                error.chain()
            ));
        }
        self.pause = Some(self.backoff.failed(None));
    }

    /// Deletes old builds and closes an idle connection. Called when no build waits.
    fn clean_up(&mut self) {
        let Some(delivery) = &self.delivery else {
            return;
        };
        let is_due = self.config.settings.keep_days.is_some()
            && self.deleted.is_none_or(|it| it.elapsed() > RETENTION);
        if is_due && let Some(days) = self.config.settings.keep_days {
            self.deleted = Some(Instant::now());
            let since_ns = clock::wall_ns().saturating_sub(i64::from(days).saturating_mul(DAY_NS));
            match delivery.retain(since_ns) {
                Ok(0) => {}
                Ok(n) => self.log.info(format_args!(
                    "retention deleted {n} builds older than {days} days from the history {}",
                    self.config.address
                )),
                Err(cause) => {
                    let error = cause.at(&self.config.address);
                    self.log.warn(format_args!(
                        "old builds are not deleted: {}",
                        error.chain()
                    ));
                    self.delivery = None;
                }
            }
        }
        if self.used.elapsed() > IDLE {
            self.delivery = None;
        }
    }
}
