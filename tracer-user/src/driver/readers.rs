//! Runs jobs that a builder's file system may delay on separate threads, and waits briefly for their results.
//!
//! Most results arrive within a fraction of a millisecond, before the next record is processed. The loop therefore waits
//! for them. A file system that does not respond delays the loop by at most [`WAIT_LIMIT`] per second. It delays other
//! jobs of its owner without limit, and no other jobs. Late results are returned by a later call.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::fair_queue::Workers;
use crate::inspect::FileOwner;
use crate::wakeup::{Notifier, Wakeup};

/// Maximum number of waiting jobs: those of some hundred builds at once.
const QUEUE: usize = 4096;
/// Number of threads. Each owner occupies at most one.
const THREADS: usize = 4;
/// Longest time that the loop waits for results in each [`WAIT_INTERVAL`].
const WAIT_LIMIT: Duration = Duration::from_millis(50);
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which a job counts as failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A job for a reader thread.
pub(super) trait ReadJob: Send + 'static {
    type Output: Send + 'static;

    /// The owner whose file systems may delay the job.
    fn file_owner(&self) -> FileOwner;
    /// The result of a job that did not run or timed out.
    fn failed(&self) -> Self::Output;
    fn run(self) -> Self::Output;
}

/// Identifies a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ReadTicket(u64);

/// A job without a result yet.
struct PendingRead<A> {
    owner: FileOwner,
    /// The result if the job times out.
    failed: A,
    until: Instant,
}

/// The remaining time for which the loop may wait.
#[derive(Debug)]
struct WaitBudget {
    since: Instant,
    left: Duration,
}

/// The threads and their jobs.
pub(super) struct Readers<J: ReadJob> {
    jobs: Workers<FileOwner, (ReadTicket, J)>,
    results: Receiver<(ReadTicket, J::Output)>,
    next: u64,
    n_dropped: u64,
    pending: BTreeMap<ReadTicket, PendingRead<J::Output>>,
    /// Results that arrived while the loop waited for another one.
    early: Vec<J::Output>,
    budget: WaitBudget,
}

impl<J: ReadJob> Readers<J> {
    /// Starts threads with this name.
    pub(super) fn start(name: &str, wakeup: &Wakeup) -> io::Result<Self> {
        let (sender, results) = channel();
        let notifier = Notifier::new(sender, wakeup);
        let work = move |(ticket, job): (ReadTicket, J)| notifier.notify((ticket, job.run()));
        Ok(Self {
            jobs: Workers::start(name, THREADS, QUEUE, work)?,
            results,
            next: 0,
            n_dropped: 0,
            pending: BTreeMap::new(),
            early: Vec::new(),
            budget: WaitBudget {
                since: Instant::now(),
                left: WAIT_LIMIT,
            },
        })
    }

    /// Returns the result if it arrives quickly. Otherwise [`Readers::answers`] returns the result later.
    pub(super) fn ask(&mut self, job: J) -> Option<J::Output> {
        let ticket = ReadTicket(self.next);
        self.next += 1;
        let owner = job.file_owner();
        let failed = job.failed();
        // The result will not arrive soon behind another job of the same owner.
        let is_behind = self.pending.values().any(|it| it.owner == owner);
        if self.jobs.push(vec![owner], (ticket, job)).is_err() {
            self.n_dropped += 1;
            return Some(failed);
        }
        let pending = PendingRead {
            owner,
            failed,
            until: Instant::now() + TIMEOUT,
        };
        self.pending.insert(ticket, pending);
        if is_behind { None } else { self.wait(ticket) }
    }

    fn wait(&mut self, wanted: ReadTicket) -> Option<J::Output> {
        let since = Instant::now();
        let left = self.budget.at(since);
        let mut answer = None;
        while answer.is_none()
            && let Some(left) = left.checked_sub(since.elapsed())
            && let Ok((ticket, result)) = self.results.recv_timeout(left)
        {
            let is_pending = self.pending.remove(&ticket).is_some();
            if ticket == wanted {
                answer = Some(result);
            } else if is_pending {
                self.early.push(result);
            }
        }
        self.budget.left = left.saturating_sub(since.elapsed());
        answer
    }

    /// Returns the results since the last call, including those of jobs that timed out.
    pub(super) fn answers(&mut self) -> Vec<J::Output> {
        let mut answers = std::mem::take(&mut self.early);
        let results: Vec<_> = self.results.try_iter().collect();
        for (ticket, result) in results {
            // A job that is no longer pending has timed out.
            answers.extend(self.pending.remove(&ticket).map(|_| result));
        }
        let now = Instant::now();
        let late = self
            .pending
            .extract_if(.., |_, pending| pending.until <= now);
        answers.extend(late.map(|(_, pending)| pending.failed));
        answers
    }

    pub(super) fn n_pending(&self) -> usize {
        self.pending.len() + self.early.len()
    }

    /// Number of jobs that did not run because the queue was full.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }
}

impl WaitBudget {
    fn at(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.since) >= WAIT_INTERVAL {
            self.since = now;
            self.left = WAIT_LIMIT;
        }
        self.left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;
    use crate::inspect::Root;

    /// Returns its number; a slow job only after its gate opens.
    struct Sum {
        uid: u32,
        number: u32,
        gate: Option<Arc<Barrier>>,
    }

    impl ReadJob for Sum {
        type Output = Option<u32>;

        fn file_owner(&self) -> FileOwner {
            Root::own().unwrap().file_owner(self.uid)
        }

        fn failed(&self) -> Option<u32> {
            None
        }

        fn run(self) -> Option<u32> {
            if let Some(gate) = self.gate {
                gate.wait();
            }
            Some(self.number)
        }
    }

    fn readers(left: Duration) -> Readers<Sum> {
        let mut readers = Readers::start("sums", &Wakeup::new().unwrap()).unwrap();
        readers.budget = WaitBudget {
            // The interval lies in the future and lasts for the whole test.
            since: Instant::now() + TIMEOUT,
            left,
        };
        readers
    }

    fn sum(uid: u32, number: u32) -> Sum {
        Sum {
            uid,
            number,
            gate: None,
        }
    }

    #[test]
    fn a_quick_result_is_returned_at_once() {
        // The limit suffices even on a busy machine.
        let mut readers = readers(TIMEOUT);
        assert_eq!(readers.ask(sum(1, 7)), Some(Some(7)));
        assert_eq!((readers.n_pending(), readers.answers()), (0, Vec::new()));
    }

    #[test]
    fn the_loop_does_not_wait_beyond_its_budget_or_behind_a_slow_job() {
        let mut readers = readers(Duration::ZERO);
        let gate = Arc::new(Barrier::new(2));
        let slow = Sum {
            gate: Some(Arc::clone(&gate)),
            ..sum(1, 7)
        };
        assert_eq!(readers.ask(slow), None);
        readers.budget.left = TIMEOUT;
        assert_eq!(readers.ask(sum(1, 8)), None, "behind the first");
        assert_eq!(readers.ask(sum(2, 9)), Some(Some(9)), "another's");
        assert_eq!(readers.n_pending(), 2);
        gate.wait();
        let since = Instant::now();
        let mut answers = Vec::new();
        while answers.len() < 2 {
            assert!(since.elapsed() < TIMEOUT, "{answers:?}");
            answers.extend(readers.answers());
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(answers, [Some(7), Some(8)]);
        assert_eq!(readers.n_pending(), 0);
    }

    #[test]
    fn a_blocked_job_fails_after_its_timeout() {
        let mut readers = readers(Duration::ZERO);
        let gate = Arc::new(Barrier::new(2));
        let stuck = Sum {
            gate: Some(Arc::clone(&gate)),
            ..sum(1, 7)
        };
        assert_eq!(readers.ask(stuck), None);
        for pending in readers.pending.values_mut() {
            pending.until = Instant::now();
        }
        assert_eq!(readers.answers(), [None]);
        gate.wait();
        // The late result is ignored.
        assert_eq!((readers.n_pending(), readers.answers()), (0, Vec::new()));
    }
}
