//! The one writer of a running agent: a thread with a queue of bounded length before it.
//!
//! Nothing here makes a caller wait: what finds the queue full is counted and dropped. So a slow disk costs the memory of the queue
//! and a number, and a broken one the same; no build waits for either.

pub(crate) mod retention;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracer_core::history::{Entry, Kept, Limits};

use super::damage::mark_damaged;
use super::error::{Cause, Error};
use super::spool::Discarded;
use super::store::Store;
use crate::worker::{Jobs, Next, Worker};
use retention::{Deleted, Retention};

/// A build that cannot be stored at once is tried again so often; then it is counted and dropped, or nothing after it would be
/// stored either.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a flush looks whether there is room in the queue.
const POLL: Duration = Duration::from_millis(10);
/// As good as for ever.
const LONG: Duration = Duration::from_hours(24 * 365);

/// What there is to do.
#[derive(Debug)]
enum Job {
    Begin(Box<Entry>),
    Finish(Box<Kept>),
    Retain(Limits, i64),
    /// What is counted, every build before it in it.
    StoredCounters(String),
    /// A number that is reached when everything before it is done.
    Mark(u64),
    /// Says when everything before it is done.
    Flush(SyncSender<()>),
}

/// A history that is written in the background.
#[derive(Debug)]
pub struct Writer {
    /// Absent once it is abandoned or ended.
    worker: Option<Worker<Job>>,
    counts: Arc<WriteCounters>,
}

/// What became of what was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Builds that were stored, whole.
    pub stored: u64,
    /// Beginnings and ends of builds that found the queue full.
    pub dropped: u64,
    /// Jobs that the database refused, again and again.
    pub failed: u64,
    /// Jobs that wait.
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
}

impl Writer {
    /// Opens the history, marks what was cut off when its last writer ended, and starts the thread. `bound`: how many builds wait
    /// at most. `log` hears of a failure once, and when it is over; on the thread.
    pub fn start(
        path: &Path,
        bound: usize,
        log: impl Fn(&str) + Send + 'static,
    ) -> Result<(Self, usize), Error> {
        let n_cut_off = Store::open(path)?.recover()?;
        Ok((Self::resume(path, bound, log)?, n_cut_off))
    }

    /// The same where builds go on that the last writer noted.
    pub fn resume(
        path: &Path,
        bound: usize,
        log: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, Error> {
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

    /// `counted` has every build in it that was handed over before. Where there is no room now, a later one says the same and more;
    /// returns whether there was.
    pub fn tally(&self, counted: String) -> bool {
        self.offer(Job::StoredCounters(counted)).is_ok()
    }

    /// When everything that was handed over before is done, [`Writer::reached`] is this number. Where there is no room now, that is
    /// for a later one to say. Numbers only grow.
    pub fn mark(&self, number: u64) {
        // Full or gone: then it is not reached.
        let _unsaid = self.offer(Job::Mark(number));
    }

    pub fn reached(&self) -> u64 {
        self.counts.reached.load(Ordering::Relaxed)
    }

    /// Whether the history turned out to be damaged. Then nothing more is stored and no mark reached, and the next agent that opens the
    /// history checks it ([`super::set_aside`]).
    pub fn is_damaged(&self) -> bool {
        self.counts.is_damaged.load(Ordering::Relaxed)
    }

    pub fn retain(&self, limits: Limits, now_ns: i64) {
        self.hand_over(Job::Retain(limits, now_ns));
    }

    /// Waits until all that was handed over before is stored or counted, at most so long; whether that was enough.
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

    /// Waits for nothing more. What is in the queue is lost if this process ends before it is stored.
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
        } = &*self.counts;
        WriteCounts {
            waiting: waiting.load(Ordering::Relaxed),
            stored: stored.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
        }
    }

    /// Builds that [`Writer::retain`] deleted.
    pub(crate) fn deleted(&self) -> Deleted {
        self.counts.retention.deleted()
    }

    /// What to log about them, if there is something new.
    pub(crate) fn line_of_retention(&self) -> Option<String> {
        self.counts.retention.line()
    }

    /// When the oldest build started, in nanoseconds since 1970.
    pub(crate) fn oldest_ns(&self) -> Option<i64> {
        self.counts.retention.oldest_ns()
    }

    fn hand_over(&self, job: Job) {
        // Before it is sent: the thread takes it off again.
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
    /// What is in the queue is still stored.
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.finish(Instant::now() + LONG);
        }
    }
}

fn work(mut store: Store, jobs: &Jobs<Job>, counts: &WriteCounters, log: &dyn Fn(&str)) {
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
                if attempt(counts, &mut failing, || store.finish_uncounted(&kept)) {
                    counts.stored.fetch_add(1, Ordering::Relaxed);
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
                attempt(counts, &mut failing, || store.set_tally(&counted));
                continue; // As is what follows, it was handed over on another way.
            }
            Job::Mark(number) => {
                counts.reached.store(number, Ordering::Relaxed);
                continue;
            }
            Job::Flush(done) => {
                // Whoever waited has given up.
                let _gone = done.send(());
                continue;
            }
        }
        let is_new = counts.is_damaged.load(Ordering::Relaxed) && !is_damaged;
        if is_new && let Err(error) = mark_damaged(store.path()) {
            log(&format!(
                "cannot create the marker beside the damaged history: {error}"
            ));
        }
        // Of a history that cannot be read now the next job tells.
        let _stale = counts.retention.measure(&mut store);
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What keeps the history from being written. A full disk would say so with every build.
struct FailureLog<'a> {
    log: &'a dyn Fn(&str),
    /// As it was told, and how many jobs it has cost.
    now: Option<(String, u64)>,
}

impl<'a> FailureLog<'a> {
    fn new(log: &'a dyn Fn(&str)) -> Self {
        Self { log, now: None }
    }

    fn record(&mut self, error: &Error) {
        let cause = error.chain();
        let n = self.now.as_ref().map_or(0, |(_, n)| *n) + 1;
        if self.now.as_ref().is_none_or(|(logged, _)| *logged != cause) {
            (self.log)(&format!("builds are not stored: {cause}"));
        }
        self.now = Some((cause, n));
    }

    fn clear(&mut self) {
        if let Some((_, n)) = self.now.take() {
            (self.log)(&format!(
                "builds are stored again; {n} beginnings or ends of builds are missing in the history"
            ));
        }
    }
}

/// Whether it was done in the end.
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
