//! Runs the storage process: starts it, sends it the backlog, reads its responses, and restarts it after a crash.
//!
//! A thread does this. The observer waits for the storage process only at startup and at shutdown. The storage process
//! has fewer privileges than the observer, so the observer accepts nothing from it except the enum `Response`.

mod connection;
mod launch;
mod run;

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use tracer_core::recording::Detail;

pub(super) use self::launch::Launch;
use self::run::Runner;
use super::backlog::Backlog;
use super::ipc::{FrameError, REQUEST_LIMIT, Request, encode};
use crate::config::File;
use crate::log::Log;
use crate::wakeup::Wakeup;

/// A handle to the thread that runs the storage process.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    milestones: Receiver<Milestone>,
    thread: Option<JoinHandle<()>>,
}

/// A step that the observer waits for.
enum Milestone {
    Opened(Detail),
    Following,
    /// The storage process has ended and is not restarted. The error is the reason, if no end was requested.
    Ended(Result<(), String>),
}

struct Shared {
    state: Mutex<State>,
    wakeup: Wakeup,
}

/// The state that the observer and the thread share.
struct State {
    backlog: Backlog,
    /// The active configuration.
    file: File,
    /// The configuration of a reload that the storage process has not confirmed yet.
    reloading: Option<File>,
    /// The level of detail that the storage process last sent, until the observer takes it.
    detail: Option<Detail>,
    shutdown: Shutdown,
    /// The encoded `Follow` request, which every new storage process receives.
    follow: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    NotRequested,
    /// The storage process was asked to end before this deadline.
    Drain(Instant),
    /// The observer ends without waiting for a result.
    Abandon,
}

impl Supervisor {
    /// Starts the thread and the first storage process. `log` receives later failures.
    pub(super) fn start(launch: Launch, file: File, log: Log) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                backlog: Backlog::default(),
                file,
                reloading: None,
                detail: None,
                shutdown: Shutdown::NotRequested,
                follow: None,
            }),
            wakeup: Wakeup::new()?,
        });
        let (sender, milestones) = channel();
        let runner = Runner::new(Arc::clone(&shared), launch, sender, log);
        let thread = thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || runner.run())?;
        Ok(Self {
            shared,
            milestones,
            thread: Some(thread),
        })
    }

    /// Waits until the history is open. Returns the level of detail to trace.
    pub(super) fn opened(&self) -> anyhow::Result<Detail> {
        match self.milestones.recv() {
            Ok(Milestone::Opened(detail)) => Ok(detail),
            Ok(Milestone::Ended(Err(why))) => bail!(why),
            Ok(Milestone::Following | Milestone::Ended(Ok(()))) | Err(_) => bail!(protocol_error()),
        }
    }

    /// Reports that tracing has started, and waits for the confirmation.
    pub(super) fn follow(&self, n_probes: usize) -> anyhow::Result<()> {
        let request = encode(&Request::Follow { n_probes }, REQUEST_LIMIT)?;
        self.change(|state| {
            state.follow = Some(request.clone());
            state.backlog.control(request);
        });
        match self.milestones.recv() {
            Ok(Milestone::Following) => Ok(()),
            Ok(Milestone::Ended(Err(why))) => bail!(why),
            Ok(Milestone::Opened(_) | Milestone::Ended(Ok(()))) | Err(_) => bail!(protocol_error()),
        }
    }

    /// Reads the backlog, without waiting for the storage process.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Backlog) -> T) -> T {
        f(&self.shared.state().backlog)
    }

    /// Changes the backlog, without waiting for the storage process.
    pub(super) fn update<T>(&self, f: impl FnOnce(&mut Backlog) -> T) -> T {
        self.change(|state| f(&mut state.backlog))
    }

    /// Sends a new configuration, or the reason why it cannot be read.
    pub(super) fn reload(&self, file: Result<File, String>) -> Result<(), FrameError> {
        let reloading = file.as_ref().ok().cloned();
        let request = encode(&Request::Reload { file }, REQUEST_LIMIT)?;
        self.change(|state| {
            state.reloading = reloading;
            state.backlog.control(request);
        });
        Ok(())
    }

    /// Returns the new level of detail if it was received since the last call.
    pub(super) fn detail(&self) -> Option<Detail> {
        self.shared.state().detail.take()
    }

    /// Sends the final request and waits for the end of the storage process, at most until the deadline.
    pub(super) fn finish(mut self, request: Bytes, until: Instant) -> anyhow::Result<()> {
        self.change(|state| {
            state.backlog.end(request);
            state.shutdown = Shutdown::Drain(until);
        });
        let ended = loop {
            match self.milestones.recv() {
                Ok(Milestone::Ended(ended)) => break ended.map_err(|why| anyhow!(why)),
                Ok(Milestone::Opened(_) | Milestone::Following) => {}
                Err(_) => break Err(anyhow!(protocol_error())),
            }
        };
        self.join();
        ended
    }

    fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let it = f(&mut self.shared.state());
        self.shared.wakeup.wake();
        it
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The panic hook has already reported a panic of the thread.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Supervisor {
    /// The storage process detects the closed socket and ends.
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.change(|state| state.shutdown = Shutdown::Abandon);
            self.join();
        }
    }
}

fn protocol_error() -> String {
    "the storage process sent an unexpected response: please report this as a bug in gotrace"
        .to_owned()
}

impl Shared {
    /// Ignores poisoning: a panic while the lock was held leaves consistent lists.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
