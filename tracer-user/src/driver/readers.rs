//! Has things done on threads of their own that a builder's file system may keep waiting, and waits a little for what comes of it.
//!
//! An answer is there as a rule within a fraction of a millisecond, before the next record is looked at. So the loop waits for it; but
//! a file system that does not answer keeps the loop for [`WAITING`] in a second, and its owner's other jobs for as long as it likes,
//! and nobody else. What comes later is among the answers of later.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::line::Workers;
use crate::inspect::FileOwner;
use crate::wakeup::{Notifier, Wakeup};

/// Jobs that wait at most: of some hundred builds at once.
const QUEUE: usize = 4096;
/// Of which one neighbour gets one at a time.
const THREADS: usize = 4;
/// How long the loop waits for answers in [`SPAN`].
const WAITING: Duration = Duration::from_millis(50);
const SPAN: Duration = Duration::from_secs(1);
/// After which a job is said not to be done.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something to do, and what comes of it.
pub(super) trait Job: Send + 'static {
    type Answer: Send + 'static;

    /// Whose file systems it may wait for.
    fn neighbour(&self) -> FileOwner;
    /// What is said if it is not done.
    fn undone(&self) -> Self::Answer;
    fn done(self) -> Self::Answer;
}

/// Names a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

/// A job without an answer yet.
struct Asked<A> {
    neighbour: FileOwner,
    /// What is said if it gets none.
    undone: A,
    until: Instant,
}

/// How long the loop may still wait.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    left: Duration,
}

/// The threads, and what was asked of them.
pub(super) struct Readers<J: Job> {
    jobs: Workers<FileOwner, (Ticket, J)>,
    words: Receiver<(Ticket, J::Answer)>,
    next: u64,
    n_dropped: u64,
    asked: BTreeMap<Ticket, Asked<J::Answer>>,
    /// Came while another was waited for.
    heard: Vec<J::Answer>,
    allowance: Allowance,
}

impl<J: Job> Readers<J> {
    /// Whose threads have that name.
    pub(super) fn start(name: &str, wakeup: &Wakeup) -> io::Result<Self> {
        let (sender, words) = channel();
        let notifier = Notifier::new(sender, wakeup);
        let work = move |(ticket, job): (Ticket, J)| notifier.notify((ticket, job.done()));
        Ok(Self {
            jobs: Workers::start(name, THREADS, QUEUE, work)?,
            words,
            next: 0,
            n_dropped: 0,
            asked: BTreeMap::new(),
            heard: Vec::new(),
            allowance: Allowance {
                since: Instant::now(),
                left: WAITING,
            },
        })
    }

    /// The answer, unless it takes longer: then it is among [`Readers::answers`] later.
    pub(super) fn ask(&mut self, job: J) -> Option<J::Answer> {
        let ticket = Ticket(self.next);
        self.next += 1;
        let neighbour = job.neighbour();
        let undone = job.undone();
        // Behind another that takes its time it will not be there soon.
        let is_behind = self.asked.values().any(|it| it.neighbour == neighbour);
        if self.jobs.push(vec![neighbour], (ticket, job)).is_err() {
            self.n_dropped += 1;
            return Some(undone);
        }
        let asked = Asked {
            neighbour,
            undone,
            until: Instant::now() + PATIENCE,
        };
        self.asked.insert(ticket, asked);
        if is_behind { None } else { self.wait(ticket) }
    }

    fn wait(&mut self, wanted: Ticket) -> Option<J::Answer> {
        let since = Instant::now();
        let left = self.allowance.at(since);
        let mut answer = None;
        while answer.is_none()
            && let Some(left) = left.checked_sub(since.elapsed())
            && let Ok((ticket, word)) = self.words.recv_timeout(left)
        {
            let is_asked = self.asked.remove(&ticket).is_some();
            if ticket == wanted {
                answer = Some(word);
            } else if is_asked {
                self.heard.push(word);
            }
        }
        self.allowance.left = left.saturating_sub(since.elapsed());
        answer
    }

    /// What has been done since the last call, and what waited long enough.
    pub(super) fn answers(&mut self) -> Vec<J::Answer> {
        let mut answers = std::mem::take(&mut self.heard);
        let words: Vec<_> = self.words.try_iter().collect();
        for (ticket, word) in words {
            // What is not asked any more waited too long.
            answers.extend(self.asked.remove(&ticket).map(|_| word));
        }
        let now = Instant::now();
        let late = self.asked.extract_if(.., |_, asked| asked.until <= now);
        answers.extend(late.map(|(_, asked)| asked.undone));
        answers
    }

    pub(super) fn n_pending(&self) -> usize {
        self.asked.len() + self.heard.len()
    }

    /// Jobs that were not done because too many waited.
    pub(super) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }
}

impl Allowance {
    fn at(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.since) >= SPAN {
            self.since = now;
            self.left = WAITING;
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

    impl Job for Sum {
        type Answer = Option<u32>;

        fn neighbour(&self) -> FileOwner {
            Root::own().unwrap().file_owner(self.uid)
        }

        fn undone(&self) -> Option<u32> {
            None
        }

        fn done(self) -> Option<u32> {
            if let Some(gate) = self.gate {
                gate.wait();
            }
            Some(self.number)
        }
    }

    fn readers(left: Duration) -> Readers<Sum> {
        let mut readers = Readers::start("sums", &Wakeup::new().unwrap()).unwrap();
        readers.allowance = Allowance {
            // In the future: it lasts for this test.
            since: Instant::now() + PATIENCE,
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
        let mut readers = readers(PATIENCE);
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
        readers.allowance.left = PATIENCE;
        assert_eq!(readers.ask(sum(1, 8)), None, "behind the first");
        assert_eq!(readers.ask(sum(2, 9)), Some(Some(9)), "another's");
        assert_eq!(readers.n_pending(), 2);
        gate.wait();
        let since = Instant::now();
        let mut answers = Vec::new();
        while answers.len() < 2 {
            assert!(since.elapsed() < PATIENCE, "{answers:?}");
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
        for asked in readers.asked.values_mut() {
            asked.until = Instant::now();
        }
        assert_eq!(readers.answers(), [None]);
        gate.wait();
        // Nobody asks any more.
        assert_eq!((readers.n_pending(), readers.answers()), (0, Vec::new()));
    }
}
