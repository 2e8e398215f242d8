//! A thread with a bounded queue, for each exporter and for the history.
//!
//! A caller never waits: a job that finds the queue full is counted and dropped. The thread takes jobs at its own pace. Its pauses
//! between retries end early when it must end, and it then gets a deadline. The thread is never killed: the timeouts of its jobs bound
//! its end. This module does not interpret jobs.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Counts of the jobs of a worker since its start, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Delivered jobs.
    pub sent: u64,
    /// Jobs rejected permanently, or not delivered after all attempts. A job that is kept for later counts again each time.
    pub failed: u64,
    /// Jobs without space in the queue, or in the store for later.
    pub dropped: u64,
    /// Jobs that are not delivered yet: in the queue, in progress, or kept for later.
    pub waiting: u64,
}

/// The caller's side. Dropping it asks the thread to end at once, without waiting.
#[derive(Debug)]
pub(crate) struct Worker<J> {
    shared: Arc<Shared<J>>,
    bound: usize,
    thread: Option<JoinHandle<()>>,
}

/// The thread's side.
#[derive(Debug)]
pub(crate) struct Jobs<J>(Arc<Shared<J>>);

/// The next step of the thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<J> {
    Job(J),
    /// No job arrived within the time limit.
    Idle,
    /// The queue is empty and closed: the thread must end by this time.
    End(Instant),
}

#[derive(Debug)]
struct Shared<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<J>,
    /// Here `waiting` is the number of jobs that the thread keeps for later.
    counts: Counts,
    /// Number of jobs in progress: taken from the queue, before the request for the next one.
    n_at_work: u64,
    /// Set when the thread is asked to end.
    deadline: Option<Instant>,
    is_over: bool,
}

impl<J> Shared<J> {
    /// After a panic of another holder, each number is still valid by itself.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change. Returns false if the time is up.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State<J>>,
        until: Instant,
    ) -> (MutexGuard<'a, State<J>>, bool) {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout(state, left);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (state, Instant::now() < until)
    }

    fn end(&self, deadline: Instant) {
        self.lock().deadline.get_or_insert(deadline);
        self.changed.notify_all();
    }
}

impl<J: Send + 'static> Worker<J> {
    /// Starts the thread, which runs `work`. `bound` is the length of the queue.
    pub(crate) fn start(
        name: &str,
        bound: usize,
        work: impl FnOnce(&Jobs<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                counts: Counts::default(),
                n_at_work: 0,
                deadline: None,
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let jobs = Jobs(Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&jobs))?;
        Ok(Self {
            shared,
            bound,
            thread: Some(thread),
        })
    }

    /// Adds a job without waiting. A job that finds the queue full is counted and dropped.
    pub(crate) fn hand_over(&self, job: J) {
        if self.offer(job).is_err() {
            self.shared.lock().counts.dropped += 1;
        }
    }

    /// Adds a job without waiting. Returns the job if the queue is full.
    pub(crate) fn offer(&self, job: J) -> Result<(), J> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= self.bound || state.deadline.is_some() || state.is_over {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.shared.lock();
        let queued = u64::try_from(state.jobs.len()).unwrap_or(u64::MAX);
        Counts {
            waiting: state.counts.waiting + state.n_at_work + queued,
            ..state.counts
        }
    }

    /// Asks the thread to finish the queue and to end by the deadline, without waiting.
    pub(crate) fn ask_to_end(&self, deadline: Instant) {
        self.shared.end(deadline);
    }

    /// Asks the thread to finish the queue, and waits for its end until the deadline. A slower thread is abandoned.
    pub(crate) fn finish(mut self, deadline: Instant) -> Counts {
        self.shared.end(deadline);
        let mut state = self.shared.lock();
        let mut has_time = Instant::now() < deadline;
        while !state.is_over && has_time {
            (state, has_time) = self.shared.wait(state, deadline);
        }
        let is_over = state.is_over;
        drop(state);
        if let Some(thread) = self.thread.take().filter(|_| is_over) {
            // The panic hook has reported a panic of the thread.
            let _panicked = thread.join();
        }
        self.counts()
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.shared.end(Instant::now());
    }
}

impl<J> Jobs<J> {
    /// Takes the next job. The call marks the previous job as done.
    pub(crate) fn next(&self, patience: Duration) -> Next<J> {
        let until = Instant::now() + patience;
        let mut state = self.0.lock();
        state.n_at_work = 0;
        let mut has_time = true;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.n_at_work = 1;
                return Next::Job(job);
            }
            if let Some(deadline) = state.deadline {
                return Next::End(deadline);
            }
            if !has_time {
                return Next::Idle;
            }
            (state, has_time) = self.0.wait(state, until);
        }
    }

    /// Waits between two attempts. Returns false, early, if the thread must end.
    pub(crate) fn pause(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        let mut state = self.0.lock();
        let mut has_time = true;
        while state.deadline.is_none() && has_time {
            (state, has_time) = self.0.wait(state, until);
        }
        state.deadline.is_none()
    }

    /// The deadline, if the thread must end.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.lock().deadline
    }

    pub(crate) fn sent(&self, n: u64) {
        self.0.lock().counts.sent += n;
    }

    pub(crate) fn failed(&self, n: u64) {
        self.0.lock().counts.failed += n;
    }

    pub(crate) fn dropped(&self, n: u64) {
        self.0.lock().counts.dropped += n;
    }

    /// Sets the number of jobs that are kept for later, outside the queue.
    pub(crate) fn keeps(&self, n: u64) {
        self.0.lock().counts.waiting = n;
    }
}

impl<J> Drop for Jobs<J> {
    /// The thread has ended, by a return or a panic.
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        state.n_at_work = 0;
        state.counts.dropped += u64::try_from(state.jobs.len()).unwrap_or(u64::MAX);
        state.jobs.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn soon() -> Instant {
        Instant::now() + LONG
    }

    #[test]
    fn queued_jobs_are_done_before_the_end() {
        let worker = Worker::start("test", 10, |jobs: &Jobs<u32>| {
            while let Next::Job(_) = jobs.next(LONG) {
                jobs.sent(1);
            }
        });
        let worker = worker.unwrap();
        for n in 0..10 {
            worker.hand_over(n);
        }
        let counts = worker.finish(soon());
        let expected = Counts {
            sent: 10,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn no_caller_waits_for_a_hanging_thread() {
        let (release, hold) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let worker = Worker::start("test", 2, move |jobs: &Jobs<u32>| {
            let _job = jobs.next(LONG);
            begun.send(()).unwrap();
            // Ends when the test drops `release`.
            let _released = hold.recv();
        });
        let worker = worker.unwrap();
        worker.hand_over(0);
        has_begun.recv().unwrap();
        for n in 0..5 {
            worker.hand_over(n);
        }
        let counts = worker.counts();
        assert_eq!((counts.dropped, counts.waiting), (3, 3));
        let counts = worker.finish(Instant::now() + Duration::from_millis(50));
        assert_eq!(counts.waiting, 3);
        drop(release);
    }

    #[test]
    fn a_pause_ends_when_the_thread_must_end() {
        let (told, tells) = mpsc::channel();
        let worker = Worker::start("test", 2, move |jobs: &Jobs<u32>| {
            jobs.keeps(7);
            told.send(jobs.pause(LONG * 60)).unwrap();
            assert!(jobs.deadline().is_some());
        });
        let worker = worker.unwrap();
        let counts = worker.finish(soon());
        assert!(!tells.recv().unwrap());
        assert_eq!(counts.waiting, 7);
    }

    #[test]
    fn jobs_for_an_ended_thread_are_dropped() {
        let worker = Worker::start("test", 2, |_: &Jobs<u32>| {}).unwrap();
        let deadline = soon();
        while !worker.shared.lock().is_over {
            assert!(Instant::now() < deadline, "the thread does not end");
            thread::yield_now();
        }
        worker.hand_over(1);
        let expected = Counts {
            dropped: 1,
            ..Counts::default()
        };
        assert_eq!(worker.finish(soon()), expected);
    }
}
