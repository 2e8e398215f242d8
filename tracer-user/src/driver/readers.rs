//! Has things done on threads of their own that a builder's file system may keep waiting, and waits a little for what comes of it.
//!
//! An answer is there as a rule within a fraction of a millisecond, before the next record is looked at. So the loop waits for it; but
//! a file system that does not answer keeps the loop for [`WAIT_LIMIT`] in a second, and its owner's other jobs for as long as it likes,
//! and nobody else. What comes later is among the answers of later.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::fair_queue::Workers;
use crate::inspect::Neighbour;
use crate::wakeup::{Notifier, Wakeup};

/// Jobs that wait at most: of some hundred builds at once.
const QUEUE: usize = 4096;
/// Of which one neighbour gets one at a time.
const THREADS: usize = 4;
/// How long the loop waits for answers in [`WAIT_INTERVAL`].
const WAIT_LIMIT: Duration = Duration::from_millis(50);
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
/// After which a job is said not to be done.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Something to do, and what comes of it.
pub(super) trait ReadJob: Send + 'static {
    type Output: Send + 'static;

    /// Whose file systems it may wait for.
    fn neighbour(&self) -> Neighbour;
    /// What is said if it is not done.
    fn failed(&self) -> Self::Output;
    fn run(self) -> Self::Output;
}

/// Names a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ReadTicket(u64);

/// A job without an answer yet.
struct PendingRead<A> {
    neighbour: Neighbour,
    /// What is said if it gets none.
    failed: A,
    until: Instant,
}

/// How long the loop may still wait.
#[derive(Debug)]
struct WaitBudget {
    since: Instant,
    left: Duration,
}

/// The threads, and what was asked of them.
pub(super) struct Readers<J: ReadJob> {
    jobs: Workers<Neighbour, (ReadTicket, J)>,
    results: Receiver<(ReadTicket, J::Output)>,
    next: u64,
    n_dropped: u64,
    pending: BTreeMap<ReadTicket, PendingRead<J::Output>>,
    /// Came while another was waited for.
    early: Vec<J::Output>,
    budget: WaitBudget,
}

impl<J: ReadJob> Readers<J> {
    /// Whose threads have that name.
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

    /// The answer, unless it takes longer: then it is among [`Readers::answers`] later.
    pub(super) fn ask(&mut self, job: J) -> Option<J::Output> {
        let ticket = ReadTicket(self.next);
        self.next += 1;
        let neighbour = job.neighbour();
        let failed = job.failed();
        // Behind another that takes its time it will not be there soon.
        let is_behind = self.pending.values().any(|it| it.neighbour == neighbour);
        if self.jobs.push(vec![neighbour], (ticket, job)).is_err() {
            self.n_dropped += 1;
            return Some(failed);
        }
        let pending = PendingRead {
            neighbour,
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

    /// What has been done since the last call, and what waited long enough.
    pub(super) fn answers(&mut self) -> Vec<J::Output> {
        let mut answers = std::mem::take(&mut self.early);
        let results: Vec<_> = self.results.try_iter().collect();
        for (ticket, result) in results {
            // What is not asked any more waited too long.
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

    /// Jobs that were not done because too many waited.
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

    /// Answers its number; a slow one when it is let go.
    struct Sum {
        uid: u32,
        number: u32,
        gate: Option<Arc<Barrier>>,
    }

    impl ReadJob for Sum {
        type Output = Option<u32>;

        fn neighbour(&self) -> Neighbour {
            Root::own().unwrap().neighbour(self.uid)
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
            // In the future: it lasts for this test.
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
    fn what_is_there_is_answered_at_once() {
        // Time enough, however busy the machine is.
        let mut readers = readers(TIMEOUT);
        assert_eq!(readers.ask(sum(1, 7)), Some(Some(7)));
        assert_eq!((readers.n_pending(), readers.answers()), (0, Vec::new()));
    }

    #[test]
    fn the_loop_waits_for_so_long_and_not_behind_another() {
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
    fn what_never_comes_is_said_not_to_be_done() {
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
        // Nobody asks any more.
        assert_eq!((readers.n_pending(), readers.answers()), (0, Vec::new()));
    }
}
