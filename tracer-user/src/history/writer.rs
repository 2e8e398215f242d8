//! The only writer of a running agent: a thread with a bounded queue.
//!
//! A caller never waits. A job that finds the queue full is counted and dropped. So a slow or broken disk costs at most the memory
//! of the queue and some jobs. No build waits for it.

pub(crate) mod retention;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracer_core::history::{Entry, Kept, Limits};

use super::causes::CauseSums;
use super::damage::mark_damaged;
use super::error::{Cause, Error};
use super::spool::Discarded;
use super::store::Store;
use crate::log::Log;
use crate::worker::{Jobs, Next, Worker};
use retention::{Deleted, Retention};

/// Largest number of attempts to store a build. After them the build is counted and dropped, so that it does not block later ones.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Interval at which a flush checks for space in the queue.
const POLL: Duration = Duration::from_millis(10);
/// Effectively unlimited.
const LONG: Duration = Duration::from_hours(24 * 365);

/// A job of the thread.
#[derive(Debug)]
enum Job {
    Begin(Box<Entry>),
    Finish(Box<Kept>),
    Retain(Limits, i64),
    /// Counters that contain every earlier build.
    StoredCounters(String),
    /// A number that becomes [`Writer::reached`] when all earlier jobs are done.
    Mark(u64),
    /// Notifies the sender when all earlier jobs are done.
    Flush(SyncSender<()>),
}

/// Writes a history in the background.
#[derive(Debug)]
pub struct Writer {
    /// `None` after the writer was abandoned or ended.
    worker: Option<Worker<Job>>,
    counts: Arc<WriteCounters>,
}

/// Counts of jobs, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Stored finished builds.
    pub stored: u64,
    /// Dropped beginnings and ends of builds: the queue was full.
    pub dropped: u64,
    /// Jobs that failed in every attempt.
    pub failed: u64,
    /// Jobs in the queue.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct WriteCounters {
    waiting: AtomicU64,
    stored: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    reached: AtomicU64,
    is_damaged: AtomicBool,
    retention: Retention,
    /// Causes of stored builds, until [`Writer::take_causes`].
    causes: Mutex<Vec<CauseSums>>,
}

impl Writer {
    /// Opens the history, marks the builds that the end of the last writer cut off, and starts the thread. `bound` is the length of the
    /// queue. The thread calls `log` once for a failure, and when the failure ends.
    pub fn start(path: &Path, bound: usize, log: Log) -> Result<(Self, usize), Error> {
        let n_cut_off = Store::open(path)?.recover()?;
        Ok((Self::resume(path, bound, log)?, n_cut_off))
    }

    /// Like [`Writer::start`], if the running builds of the last writer continue.
    pub fn resume(path: &Path, bound: usize, log: Log) -> Result<Self, Error> {
        let mut store = Store::open(path)?;
        let counts = Arc::new(WriteCounters::default());
        counts.retention.measure(&mut store)?;
        let of_thread = Arc::clone(&counts);
        let work = move |jobs: &Jobs<Job>| work(store, jobs, &of_thread, &log);
        let worker = Worker::start("history", bound, work);
        let worker = worker.map_err(|error| Cause::from(error).at(path.display()))?;
        Ok(Self {
            worker: Some(worker),
            counts,
        })
    }

    pub fn begin(&self, entry: Entry) {
        self.hand_over(Job::Begin(Box::new(entry)));
    }

    pub fn finish(&self, kept: Kept) {
        self.hand_over(Job::Finish(Box::new(kept)));
    }

    /// Stores counters that contain every build handed over before. Returns false if the queue is full; later counters contain these.
    pub fn store_counters(&self, counted: String) -> bool {
        self.offer(Job::StoredCounters(counted)).is_ok()
    }

    /// Sets [`Writer::reached`] to this number when all earlier jobs are done. If the queue is full, a later mark replaces this one.
    /// Numbers only grow.
    pub fn mark(&self, number: u64) {
        // The queue is full or the thread has ended: the mark is not reached.
        let _unsaid = self.offer(Job::Mark(number));
    }

    pub fn reached(&self) -> u64 {
        self.counts.reached.load(Ordering::Relaxed)
    }

    /// True if the history is damaged. Then the thread stores nothing more and reaches no mark. The next agent that opens the history
    /// checks it ([`super::set_aside`]).
    pub fn is_damaged(&self) -> bool {
        self.counts.is_damaged.load(Ordering::Relaxed)
    }

    pub fn retain(&self, limits: Limits, now_ns: i64) {
        self.hand_over(Job::Retain(limits, now_ns));
    }

    /// Waits until all earlier jobs are stored or counted. Returns false if the time limit ends first.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, is_done) = sync_channel(1);
        let deadline = Instant::now() + patience;
        let mut job = Job::Flush(done);
        while let Err(same) = self.offer(job) {
            if Instant::now() >= deadline {
                return false;
            }
            job = same;
            thread::sleep(POLL);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        is_done.recv_timeout(left).is_ok()
    }

    /// Ends without waiting. Queued jobs are lost if the process ends before they are stored.
    pub fn abandon(mut self) {
        drop(self.worker.take());
    }

    pub fn counts(&self) -> WriteCounts {
        let WriteCounters {
            stored,
            dropped,
            failed,
            waiting,
            reached: _,
            is_damaged: _,
            retention: _,
            causes: _,
        } = &*self.counts;
        WriteCounts {
            waiting: waiting.load(Ordering::Relaxed),
            stored: stored.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
        }
    }

    /// Builds deleted by [`Writer::retain`].
    pub(crate) fn deleted(&self) -> Deleted {
        self.counts.retention.deleted()
    }

    /// The log line about these builds, if there are new ones.
    pub(crate) fn retention_line(&self) -> Option<String> {
        self.counts.retention.line()
    }

    /// When the oldest build started, in nanoseconds since 1970.
    pub(crate) fn oldest_ns(&self) -> Option<i64> {
        self.counts.retention.oldest_ns()
    }

    /// The causes of the builds that were stored since the last call.
    pub(crate) fn take_causes(&self) -> Vec<CauseSums> {
        std::mem::take(&mut *lock(&self.counts.causes))
    }

    fn hand_over(&self, job: Job) {
        // Counted before the send, because the thread subtracts the job.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.offer(job).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn offer(&self, job: Job) -> Result<(), Job> {
        match &self.worker {
            Some(worker) => worker.offer(job),
            None => Err(job),
        }
    }
}

impl Drop for Writer {
    /// Stores the queued jobs first.
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.finish(Instant::now() + LONG);
        }
    }
}

fn work(mut store: Store, jobs: &Jobs<Job>, counts: &WriteCounters, log: &Log) {
    let mut failing = FailureLog::new(log);
    loop {
        let job = match jobs.next(LONG) {
            Next::Job(job) => job,
            Next::Idle => continue,
            Next::End(_) => return,
        };
        let is_damaged = counts.is_damaged.load(Ordering::Relaxed);
        match job {
            Job::Begin(_) | Job::Finish(_) | Job::Retain(..) if is_damaged => {}
            Job::StoredCounters(_) | Job::Mark(_) if is_damaged => continue,
            Job::Begin(entry) => {
                attempt(counts, &mut failing, || store.begin(&entry));
            }
            Job::Finish(kept) => {
                let mut sums = None;
                let is_stored = attempt(counts, &mut failing, || {
                    let explained = store.finish_uncounted(&kept)?;
                    sums = Some(CauseSums::of(&kept.entry, &explained));
                    Ok(())
                });
                if is_stored {
                    counts.stored.fetch_add(1, Ordering::Relaxed);
                    let known = sums.filter(|it| !it.by_reason.is_empty());
                    lock(&counts.causes).extend(known);
                }
            }
            Job::Retain(limits, now_ns) => {
                attempt(counts, &mut failing, || {
                    let retained = store.retain(limits, now_ns)?;
                    counts.retention.ran(retained, Discarded::default());
                    Ok(())
                });
            }
            Job::StoredCounters(counted) => {
                attempt(counts, &mut failing, || store.set_counters(&counted));
                continue; // This job, like the two below, is not in `waiting`.
            }
            Job::Mark(number) => {
                counts.reached.store(number, Ordering::Relaxed);
                continue;
            }
            Job::Flush(done) => {
                // The caller has stopped waiting.
                let _gone = done.send(());
                continue;
            }
        }
        let is_new = counts.is_damaged.load(Ordering::Relaxed) && !is_damaged;
        if is_new && let Err(error) = mark_damaged(store.path()) {
            log.error(format_args!(
                "cannot create the marker beside the damaged history: {error}"
            ));
        }
        // If the history cannot be read now, the next job reports it.
        let _stale = counts.retention.measure(&mut store);
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ignores poisoning: the list is always consistent.
fn lock(causes: &Mutex<Vec<CauseSums>>) -> MutexGuard<'_, Vec<CauseSums>> {
    causes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs each failure once. A full disk fails with every build.
struct FailureLog<'a> {
    log: &'a Log,
    /// The logged failure, and the number of failed jobs.
    now: Option<(String, u64)>,
}

impl<'a> FailureLog<'a> {
    fn new(log: &'a Log) -> Self {
        Self { log, now: None }
    }

    fn record(&mut self, error: &Error) {
        let cause = error.chain();
        let n = self.now.as_ref().map_or(0, |(_, n)| *n) + 1;
        if self.now.as_ref().is_none_or(|(logged, _)| *logged != cause) {
            self.log
                .error(format_args!("builds are not stored: {cause}"));
        }
        self.now = Some((cause, n));
    }

    fn clear(&mut self) {
        if let Some((_, n)) = self.now.take() {
            self.log.warn(format_args!(
                "builds are stored again; {n} beginnings or ends of builds are missing in the history"
            ));
        }
    }
}

/// Runs a job, with retries. Returns true if an attempt succeeded.
fn attempt(
    counts: &WriteCounters,
    failing: &mut FailureLog<'_>,
    mut job: impl FnMut() -> Result<(), Error>,
) -> bool {
    for n in 1..=TRIES {
        match job() {
            Ok(()) => {
                failing.clear();
                return true;
            }
            Err(error) if error.is_damaged() => {
                failing.record(&error);
                counts.is_damaged.store(true, Ordering::Relaxed);
                break;
            }
            Err(error) if n == TRIES => failing.record(&error),
            Err(_) => thread::sleep(PAUSE * n),
        }
    }
    counts.failed.fetch_add(1, Ordering::Relaxed);
    false
}
