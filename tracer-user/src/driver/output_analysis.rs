//! Looks into outputs at leisure: two threads behind a short queue, and a memory of what they have seen.
//!
//! In goes an open file that was read and hashed before, out comes what its bytes are made of. One content is looked into once. What
//! finds the queue full is told so at once; whoever waits for the rest decides for how long.
//!
//! The threads only wait: each for a child that reads one file at the lowest priority. A file in the queue costs a descriptor. Of two
//! files of one neighbour the second waits for the first, so that who has a file that never ends keeps nobody else waiting.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracer_core::event::{Anatomy, Artifact};

use super::fair_queue::Workers;
use crate::inspect::{Analyser, Neighbour, Opened};

/// Files that wait at most.
const MAX_QUEUED: usize = 64;
const THREADS: usize = 2;
/// Contents that are remembered, the last seen; each is a few KiB.
const MAX_REMEMBERED: usize = 256;

/// What was found out: what a file is made of, or why that is not known. Neither, if it is no program.
pub(super) type AnalysisResult = Result<Option<Box<Anatomy>>, String>;

/// A file whose turn comes.
#[derive(Debug)]
struct AnalysisJob<T> {
    opened: Opened,
    sha256: String,
    /// Who asked.
    ticket: T,
}

/// What two files that are looked into at once must not have in common.
#[derive(Debug, PartialEq, Eq)]
enum ExclusiveResource {
    Neighbour(Neighbour),
    Content(String),
}

/// The threads and what they remember.
#[derive(Debug)]
pub(super) struct OutputAnalysis<T> {
    jobs: Workers<ExclusiveResource, AnalysisJob<T>>,
    shared: Arc<AnalysisState>,
}

#[derive(Debug)]
pub(super) struct AnalysisState {
    known: Mutex<RecentAnalyses>,
    counters: Counters,
    analyser: Arc<Analyser>,
}

#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicU64,
    analysed: AtomicU64,
    known: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// What became of outputs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalysisCounts {
    /// Files that wait, the one in hand included.
    pub waiting: u64,
    /// Looked into.
    pub analysed: u64,
    /// Of a content that had been looked into before.
    pub known: u64,
    /// Could not be looked into.
    pub failed: u64,
    /// AnalysisResult the queue full.
    pub dropped: u64,
    /// Of children that read outputs, those that ended without an answer.
    pub lost: u64,
    /// Processor time of these children in ns.
    pub cpu_ns: u64,
}

impl<T: Send + 'static> OutputAnalysis<T> {
    /// `tell` is given what was found out, on a thread.
    pub(super) fn start(
        analyser: Arc<Analyser>,
        notify: impl Fn(T, AnalysisResult) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(AnalysisState {
            known: Mutex::default(),
            counters: Counters::default(),
            analyser,
        });
        let of_threads = Arc::clone(&shared);
        let work = move |job| of_threads.analyse(job, &notify);
        let jobs = Workers::start("output-analysis", THREADS, MAX_QUEUED, work)?;
        Ok(Self { jobs, shared })
    }

    /// Asks about a file with this hash. RecentAnalyses already, or out of the question, is answered here; else it is told later.
    pub(super) fn ask(
        &self,
        neighbour: Neighbour,
        opened: Opened,
        artifact: &Artifact,
        ticket: T,
    ) -> Option<AnalysisResult> {
        let AnalysisState {
            known, counters, ..
        } = &*self.shared;
        if let Some(anatomy) = lock(known).get(&artifact.sha256) {
            counters.known.fetch_add(1, Ordering::Relaxed);
            return Some(Ok(Some(anatomy)));
        }
        counters.waiting.fetch_add(1, Ordering::Relaxed);
        let sha256 = artifact.sha256.clone();
        let shares = vec![
            ExclusiveResource::Neighbour(neighbour),
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

    /// For who wants to know how it goes.
    pub(super) fn shared(&self) -> Arc<AnalysisState> {
        Arc::clone(&self.shared)
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
            analyser,
        } = self;
        let AnalysisJob {
            opened,
            sha256,
            ticket,
        } = job;
        // Another file with this content may have come before it in the queue.
        let before = lock(known).get(&sha256);
        let (found, counter) = match before {
            Some(anatomy) => (Ok(Some(anatomy)), &counters.known),
            None => match opened.anatomy(&sha256, analyser) {
                Ok(Some(anatomy)) => {
                    let anatomy = Box::new(anatomy);
                    lock(known).put(sha256, anatomy.clone());
                    (Ok(Some(anatomy)), &counters.analysed)
                }
                Ok(None) => (Ok(None), &counters.analysed),
                Err(error) => (Err(error.to_string()), &counters.failed),
            },
        };
        // Before it is told: who is told may ask how it went.
        counter.fetch_add(1, Ordering::Relaxed);
        counters.waiting.fetch_sub(1, Ordering::Relaxed);
        notify(ticket, found);
    }
}

/// Contents that were looked into, the last seen.
#[derive(Debug, Default)]
struct RecentAnalyses {
    by_sha256: HashMap<String, (u64, Box<Anatomy>)>,
    /// AnalysisCounts what is seen.
    clock: u64,
}

impl RecentAnalyses {
    fn get(&mut self, sha256: &str) -> Option<Box<Anatomy>> {
        self.clock += 1;
        let (seen, anatomy) = self.by_sha256.get_mut(sha256)?;
        *seen = self.clock;
        Some(anatomy.clone())
    }

    fn put(&mut self, sha256: String, anatomy: Box<Anatomy>) {
        self.clock += 1;
        if self.by_sha256.len() >= MAX_REMEMBERED {
            let oldest = self.by_sha256.iter().min_by_key(|(_, (seen, _))| *seen);
            if let Some(oldest) = oldest.map(|(sha256, _)| sha256.clone()) {
                self.by_sha256.remove(&oldest);
            }
        }
        self.by_sha256.insert(sha256, (self.clock, anatomy));
    }
}

/// A panic elsewhere while it was held leaves a memory that is whole.
fn lock(known: &Mutex<RecentAnalyses>) -> std::sync::MutexGuard<'_, RecentAnalyses> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_last_is_remembered() {
        let mut known = RecentAnalyses::default();
        for n in 0..MAX_REMEMBERED {
            known.put(n.to_string(), Box::default());
        }
        assert!(known.get("0").is_some());
        known.put("new".to_owned(), Box::default());
        assert!(known.get("0").is_some() && known.get("new").is_some());
        assert!(known.get("1").is_none());
        assert_eq!(known.by_sha256.len(), MAX_REMEMBERED);
    }
}
