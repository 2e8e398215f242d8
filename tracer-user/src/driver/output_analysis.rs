//! Analyses outputs in the background: two threads, a short queue, and a cache of recent results.
//!
//! The input is an open file that was already hashed; the result is the composition of its bytes. Equal contents are
//! analysed once. A request that finds the queue full fails at once. The caller decides how long to wait.
//!
//! Each thread waits for a child that reads one file at the lowest priority. Each queued file costs a descriptor. Two
//! files of the same neighbour are analysed one after the other, so an endless file delays only its owner.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tracer_core::event::{Anatomy, Artifact};

use super::fair_queue::Workers;
use super::recent::Recent;
use crate::inspect::{FileOwner, Opened, ReaderSpawner, Unanalysed};

/// Maximum number of waiting files.
const MAX_QUEUED: usize = 64;
const THREADS: usize = 2;

/// The composition of a file, or the reason why it is unknown. `None` if the file is no program.
pub(super) type AnalysisResult = Result<Option<Box<Anatomy>>, String>;

/// A queued file.
#[derive(Debug)]
struct AnalysisJob<T> {
    opened: Opened,
    sha256: String,
    /// Identifies the request.
    ticket: T,
}

/// Two analyses that share one of these never run at the same time.
#[derive(Debug, PartialEq, Eq)]
enum ExclusiveResource {
    FileOwner(FileOwner),
    Content(String),
}

/// The threads and their cache.
#[derive(Debug)]
pub(super) struct OutputAnalysis<T> {
    jobs: Workers<ExclusiveResource, AnalysisJob<T>>,
    shared: Arc<AnalysisState>,
}

#[derive(Debug)]
pub(super) struct AnalysisState {
    /// Results by the SHA-256 of the content. That of a program of 200 packages has about 20 KiB.
    known: Mutex<Recent<String, AnalysisResult>>,
    counters: Counters,
    spawner: Arc<ReaderSpawner>,
}

#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicU64,
    analysed: AtomicU64,
    known: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Counts of outputs by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisCounts {
    /// Files that wait or are being analysed.
    pub waiting: u64,
    /// Completed analyses.
    pub analysed: u64,
    /// Files with a content that was already analysed.
    pub known: u64,
    /// Failed analyses.
    pub failed: u64,
    /// Files that found the queue full.
    pub dropped: u64,
    /// Children that read outputs and ended without a result.
    pub lost: u64,
    /// CPU time of these children in nanoseconds.
    pub cpu_ns: u64,
}

impl<T: Send + 'static> OutputAnalysis<T> {
    /// Starts the threads. They call `notify` with each result.
    pub(super) fn start(
        spawner: Arc<ReaderSpawner>,
        notify: impl Fn(T, AnalysisResult) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(AnalysisState {
            known: Mutex::default(),
            counters: Counters::default(),
            spawner,
        });
        let of_threads = Arc::clone(&shared);
        let work = move |job| of_threads.analyse(job, &notify);
        let jobs = Workers::start("output-analysis", THREADS, MAX_QUEUED, work)?;
        Ok(Self { jobs, shared })
    }

    /// Requests an analysis. Returns the result if it is cached or if the queue is full; otherwise it follows later.
    pub(super) fn ask(
        &self,
        neighbour: FileOwner,
        opened: Opened,
        artifact: &Artifact,
        ticket: T,
    ) -> Option<AnalysisResult> {
        let AnalysisState {
            known, counters, ..
        } = &*self.shared;
        if let Some(found) = lock(known).get(&artifact.sha256) {
            counters.of_known(&found).fetch_add(1, Ordering::Relaxed);
            return Some(found);
        }
        counters.waiting.fetch_add(1, Ordering::Relaxed);
        let sha256 = artifact.sha256.clone();
        let shares = vec![
            ExclusiveResource::FileOwner(neighbour),
            ExclusiveResource::Content(sha256.clone()),
        ];
        let job = AnalysisJob {
            opened,
            sha256,
            ticket,
        };
        match self.jobs.push(shares, job) {
            Ok(()) => None,
            Err(_full) => {
                counters.waiting.fetch_sub(1, Ordering::Relaxed);
                counters.dropped.fetch_add(1, Ordering::Relaxed);
                Some(Err(format!(
                    "{MAX_QUEUED} other files waited to be analysed"
                )))
            }
        }
    }

    /// The state from which the counts are read.
    pub(super) fn shared(&self) -> Arc<AnalysisState> {
        Arc::clone(&self.shared)
    }
}

impl Counters {
    /// The counter of a content that was analysed before.
    fn of_known(&self, found: &AnalysisResult) -> &AtomicU64 {
        match found {
            Ok(_) => &self.known,
            Err(_) => &self.failed,
        }
    }
}

impl AnalysisState {
    pub(super) fn counts(&self) -> AnalysisCounts {
        let Counters {
            waiting,
            analysed,
            known,
            failed,
            dropped,
        } = &self.counters;
        AnalysisCounts {
            waiting: waiting.load(Ordering::Relaxed),
            analysed: analysed.load(Ordering::Relaxed),
            known: known.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            ..AnalysisCounts::default()
        }
    }

    fn analyse<T>(&self, job: AnalysisJob<T>, notify: &dyn Fn(T, AnalysisResult)) {
        let Self {
            known,
            counters,
            spawner,
        } = self;
        let AnalysisJob {
            opened,
            sha256,
            ticket,
        } = job;
        // An earlier file in the queue may have had the same content.
        let before = lock(known).get(&sha256);
        let (found, counter) = if let Some(found) = before {
            let counter = counters.of_known(&found);
            (found, counter)
        } else {
            let (found, is_of_content) = match opened.anatomy(&sha256, spawner) {
                Ok(anatomy) => (Ok(anatomy.map(Box::new)), true),
                Err(error) => (
                    Err(error.to_string()),
                    matches!(error, Unanalysed::Unreadable(_)),
                ),
            };
            if is_of_content {
                lock(known).put(sha256, size_of_result(&found), found.clone());
            }
            let counter = match found {
                Ok(_) => &counters.analysed,
                Err(_) => &counters.failed,
            };
            (found, counter)
        };
        // The counters change first: the receiver of the notification may read them.
        counter.fetch_add(1, Ordering::Relaxed);
        counters.waiting.fetch_sub(1, Ordering::Relaxed);
        notify(ticket, found);
    }
}

/// Ignores poisoning: a panic while the lock was held leaves a consistent cache.
/// The approximate size in memory.
fn size_of_result(result: &AnalysisResult) -> usize {
    /// A name and its numbers.
    const ENTRY: usize = 64;
    let Ok(Some(anatomy)) = result else {
        return ENTRY;
    };
    let sections = anatomy.sections.iter().map(|it| it.name.len() + ENTRY);
    let packages = anatomy.packages.iter().flat_map(|it| &it.list);
    let packages = packages.map(|it| it.path.len() + ENTRY);
    ENTRY + sections.chain(packages).sum::<usize>()
}

fn lock(
    known: &Mutex<Recent<String, AnalysisResult>>,
) -> MutexGuard<'_, Recent<String, AnalysisResult>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
