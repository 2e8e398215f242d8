//! A queue that several threads work off, in which nobody keeps others waiting.
//!
//! Each job names what it shares with others: whose it is, for example. Of two jobs that share something, one at a time is in hand,
//! and the other is passed over until then. A thread that never comes back from a job costs one thread, and those of the same owner
//! their turn, but not the rest.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Jobs that wait or are in hand.
#[derive(Debug)]
struct Line<S, J> {
    state: Mutex<State<S, J>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<S, J> {
    waiting: VecDeque<(Vec<S>, J)>,
    /// What the jobs in hand share, under their numbers.
    in_hand: Vec<(u64, Vec<S>)>,
    next: u64,
    is_closed: bool,
}

impl<S: PartialEq, J> Line<S, J> {
    /// For at most so many jobs that wait.
    fn new(most: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                in_hand: Vec::new(),
                next: 0,
                is_closed: false,
            }),
            changed: Condvar::new(),
            most,
        }
    }

    /// At the end of the queue; given back if that is full.
    fn push(&self, shares: Vec<S>, job: J) -> Result<(), J> {
        let mut state = self.state();
        if state.waiting.len() >= self.most {
            return Err(job);
        }
        state.waiting.push_back((shares, job));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Does jobs until the queue is closed. What still waits then is dropped.
    fn work(&self, mut job: impl FnMut(J)) {
        while let Some((number, taken)) = self.take() {
            job(taken);
            self.state().in_hand.retain(|(it, _)| *it != number);
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<(u64, J)> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some((shares, job)) = state.next_free() {
                let number = state.next;
                state.next += 1;
                state.in_hand.push((number, shares));
                return Some((number, job));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S, J>> {
        // No step of ours between taking and leaving it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, J> Line<S, J> {
    /// Who works ends with what is in hand.
    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }
}

/// Threads that do the jobs of a queue. They end when this is dropped and the jobs in hand are done; a process that ends does not wait
/// for them.
#[derive(Debug)]
pub(super) struct Workers<S, J>(Arc<Line<S, J>>);

impl<S: PartialEq + Send + 'static, J: Send + 'static> Workers<S, J> {
    /// So many threads of that name, for at most `most` jobs that wait.
    pub(super) fn start(
        name: &str,
        n_threads: usize,
        most: usize,
        job: impl FnMut(J) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let line = Arc::new(Line::new(most));
        for _ in 0..n_threads {
            let (line, job) = (Arc::clone(&line), job.clone());
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || line.work(job))?;
        }
        Ok(Self(line))
    }

    /// At the end of the queue; given back if that is full.
    pub(super) fn push(&self, shares: Vec<S>, job: J) -> Result<(), J> {
        self.0.push(shares, job)
    }
}

impl<S, J> Drop for Workers<S, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<S: PartialEq, J> State<S, J> {
    /// The first that shares nothing with a job in hand.
    fn next_free(&mut self) -> Option<(Vec<S>, J)> {
        let Self {
            waiting, in_hand, ..
        } = self;
        let is_taken = |share: &S| in_hand.iter().any(|(_, shares)| shares.contains(share));
        let is_free = |shares: &[S]| !shares.iter().any(is_taken);
        let at = waiting.iter().position(|(shares, _)| is_free(shares))?;
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

    const PATIENCE: Duration = Duration::from_mins(1);

    #[test]
    fn who_never_ends_keeps_only_his_own_waiting() {
        let line = Arc::new(Line::new(10));
        let (done, finished) = channel();
        let (release, stuck) = sync_channel::<()>(0);
        let stuck = Arc::new(Mutex::new(stuck));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (line, done, stuck) = (Arc::clone(&line), done.clone(), Arc::clone(&stuck));
                thread::spawn(move || {
                    line.work(|job: &str| {
                        if job == "stuck" {
                            let _released = stuck.lock().unwrap().recv();
                        }
                        done.send(job).unwrap();
                    });
                })
            })
            .collect();
        for (whose, job) in [("a", "stuck"), ("a", "behind"), ("b", "one"), ("b", "two")] {
            line.push(vec![whose], job).unwrap();
        }
        let next = || finished.recv_timeout(PATIENCE).unwrap();
        assert_eq!([next(), next()], ["one", "two"]);
        release.send(()).unwrap();
        assert_eq!([next(), next()], ["stuck", "behind"]);
        line.close();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_finds_the_queue_full_is_given_back() {
        let line = Line::new(1);
        assert_eq!(line.push(vec![1], "first"), Ok(()));
        assert_eq!(line.push(vec![2], "second"), Err("second"));
        line.close();
        line.work(|job| panic!("{job} is done after the end"));
    }
}
