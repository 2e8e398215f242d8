//! A queue for several threads, in which a slow owner does not delay others.
//!
//! Each job names its resources, such as its owner. Jobs that share a resource run one after the other; a job whose
//! resource is in use is skipped until the resource is free. A blocked job costs one thread and delays only jobs that
//! share a resource with it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Waiting and running jobs.
#[derive(Debug)]
struct FairQueue<S, J> {
    state: Mutex<QueueState<S, J>>,
    changed: Condvar,
    max_waiting: usize,
}

#[derive(Debug)]
struct QueueState<S, J> {
    waiting: VecDeque<(Vec<S>, J)>,
    /// Resources of the running jobs, by number of the job.
    running: Vec<(u64, Vec<S>)>,
    next: u64,
    is_closed: bool,
}

impl<S: PartialEq, J> FairQueue<S, J> {
    /// Creates a queue for at most `max_waiting` waiting jobs.
    fn new(max_waiting: usize) -> Self {
        Self {
            state: Mutex::new(QueueState {
                waiting: VecDeque::new(),
                running: Vec::new(),
                next: 0,
                is_closed: false,
            }),
            changed: Condvar::new(),
            max_waiting,
        }
    }

    /// Appends a job. Returns it if the queue is full.
    fn push(&self, resources: Vec<S>, job: J) -> Result<(), J> {
        let mut state = self.state();
        if state.waiting.len() >= self.max_waiting {
            return Err(job);
        }
        state.waiting.push_back((resources, job));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Runs jobs until the queue is closed. Jobs that still wait are dropped.
    fn work(&self, mut job: impl FnMut(J)) {
        while let Some((number, taken)) = self.take() {
            job(taken);
            self.state().running.retain(|(it, _)| *it != number);
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<(u64, J)> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some((resources, job)) = state.next_free() {
                let number = state.next;
                state.next += 1;
                state.running.push((number, resources));
                return Some((number, job));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState<S, J>> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, J> FairQueue<S, J> {
    /// Lets each thread end after its current job.
    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }
}

/// Threads that run the jobs of a queue. After a drop, each thread ends with its current job. The exit of the process
/// does not wait for them.
#[derive(Debug)]
pub(super) struct Workers<S, J>(Arc<FairQueue<S, J>>);

impl<S: PartialEq + Send + 'static, J: Send + 'static> Workers<S, J> {
    /// Starts the threads, for at most `max_waiting` waiting jobs.
    pub(super) fn start(
        name: &str,
        n_threads: usize,
        max_waiting: usize,
        job: impl FnMut(J) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(FairQueue::new(max_waiting));
        for _ in 0..n_threads {
            let (queue, job) = (Arc::clone(&queue), job.clone());
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || queue.work(job))?;
        }
        Ok(Self(queue))
    }

    /// Appends a job. Returns it if the queue is full.
    pub(super) fn push(&self, resources: Vec<S>, job: J) -> Result<(), J> {
        self.0.push(resources, job)
    }
}

impl<S, J> Drop for Workers<S, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<S: PartialEq, J> QueueState<S, J> {
    /// Takes the first job whose resources are all free.
    fn next_free(&mut self) -> Option<(Vec<S>, J)> {
        let Self {
            waiting, running, ..
        } = self;
        let is_taken = |resource: &S| {
            running
                .iter()
                .any(|(_, resources)| resources.contains(resource))
        };
        let is_free = |resources: &[S]| !resources.iter().any(is_taken);
        let at = waiting
            .iter()
            .position(|(resources, _)| is_free(resources))?;
        waiting.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{channel, sync_channel};
    use std::thread;
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    #[test]
    fn a_blocked_job_delays_only_jobs_of_its_owner() {
        let queue = Arc::new(FairQueue::new(10));
        let (done, finished) = channel();
        let (release, stuck) = sync_channel::<()>(0);
        let stuck = Arc::new(Mutex::new(stuck));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (queue, done, stuck) = (Arc::clone(&queue), done.clone(), Arc::clone(&stuck));
                thread::spawn(move || {
                    queue.work(|job: &str| {
                        if job == "stuck" {
                            let _released = stuck.lock().unwrap().recv();
                        }
                        done.send(job).unwrap();
                    });
                })
            })
            .collect();
        for (whose, job) in [("a", "stuck"), ("a", "behind"), ("b", "one"), ("b", "two")] {
            queue.push(vec![whose], job).unwrap();
        }
        let next = || finished.recv_timeout(TIMEOUT).unwrap();
        assert_eq!([next(), next()], ["one", "two"]);
        release.send(()).unwrap();
        assert_eq!([next(), next()], ["stuck", "behind"]);
        queue.close();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_full_queue_returns_the_job() {
        let queue = FairQueue::new(1);
        assert_eq!(queue.push(vec![1], "first"), Ok(()));
        assert_eq!(queue.push(vec![2], "second"), Err("second"));
        queue.close();
        queue.work(|job| panic!("{job} is done after the end"));
    }
}
