//! The thread of the supervisor: runs one storage process after another until the shutdown.

use std::io;
use std::net;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, ConnectionEnd};
use super::launch::{Launch, reap};
use super::{Milestone, Shared, Shutdown};
use crate::agent::ipc::{REQUEST_LIMIT, Request, Response, encode};
use crate::backoff::Backoff;
use crate::log::{self, Log};

/// Time for the process to exit after it has closed its socket.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for an abandoned process to store its builds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a restart. It doubles with each restart, until a process has run for [`STABLE`].
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_mins(1);
const STABLE: Duration = Duration::from_mins(1);
/// Longest reason of a failure in the log, in characters.
const MAX_REASON_CHARS: usize = 2000;

/// The end of a storage process.
enum ProcessEnd {
    /// The process exited successfully.
    Ended,
    /// The process sent this reason, or could not be started.
    Failed(String),
    /// The process ended without a reason.
    Died(String),
    /// The process was killed at the deadline.
    TimedOut,
}

/// The state of the thread.
pub(super) struct Runner {
    shared: Arc<Shared>,
    launch: Launch,
    milestones: Sender<Milestone>,
    log: Log,
    /// True if a storage process has confirmed that tracing started.
    was_running: bool,
}

impl Runner {
    pub(super) fn new(
        shared: Arc<Shared>,
        launch: Launch,
        milestones: Sender<Milestone>,
        log: Log,
    ) -> Self {
        Self {
            shared,
            launch,
            milestones,
            log,
            was_running: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_BACKOFF, MAX_BACKOFF);
        let mut may_restart = true;
        loop {
            let since = Instant::now();
            let end = match self.launch.start() {
                Ok((socket, child)) => self.supervise(&socket, child),
                Err(error) => {
                    ProcessEnd::Failed(format!("cannot start the storage process: {error}"))
                }
            };
            let shutdown = self.shared.state().shutdown;
            let result = match (shutdown, end) {
                (Shutdown::Abandon, _) | (Shutdown::Drain(_), ProcessEnd::Ended) => Some(Ok(())),
                // If there is time, another process stores the remaining builds.
                (Shutdown::Drain(until), ProcessEnd::Died(_))
                    if may_restart && Instant::now() < until =>
                {
                    may_restart = false;
                    None
                }
                (Shutdown::Drain(_), end) => Some(Err(end.reason())),
                (Shutdown::NotRequested, end) if !self.was_running => Some(Err(end.reason())),
                (Shutdown::NotRequested, end) => {
                    if since.elapsed() > STABLE {
                        backoff.succeeded();
                    }
                    self.log.error(format_args!(
                        "{}; gotrace restarts it, builds wait in memory",
                        end.reason()
                    ));
                    self.pause(backoff.failed(None));
                    None
                }
            };
            if let Some(result) = result {
                // The receiver may be gone.
                let _unreceived = self.milestones.send(Milestone::Ended(result));
                return;
            }
        }
    }

    /// Waits for this time, or until a shutdown is requested.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while self.shared.state().shutdown == Shutdown::NotRequested {
            let left = until.saturating_duration_since(Instant::now());
            let wake = PollFd::new(&self.shared.wakeup, PollFlags::IN);
            if left.is_zero()
                || Timespec::try_from(left).is_ok_and(|it| poll(&mut [wake], Some(&it)) == Ok(0))
            {
                return;
            }
            self.shared.wakeup.clear();
        }
    }

    /// Serves one storage process until its end.
    fn supervise(&mut self, socket: &UnixStream, child: Child) -> ProcessEnd {
        let shared = Arc::clone(&self.shared);
        let mut failure = None;
        let connection_end = self.begin().and_then(|()| {
            let mut handle = |response| self.handle(response, &mut failure);
            Connection::new(socket, &shared).run(&mut handle)
        });
        // The process ends when its socket is closed. It may have closed the socket first.
        let _shut = socket.shutdown(net::Shutdown::Both);
        let timeout = match connection_end {
            Ok(ConnectionEnd::TimedOut) => Duration::ZERO,
            Ok(ConnectionEnd::Abandoned) => DRAIN_TIMEOUT,
            Ok(ConnectionEnd::Closed) | Err(_) => EXIT_TIMEOUT,
        };
        let status = reap(child, timeout);
        match (failure, connection_end) {
            (_, Ok(ConnectionEnd::TimedOut)) => ProcessEnd::TimedOut,
            (Some(sentence), _) => ProcessEnd::Failed(sentence),
            (None, Err(error)) => ProcessEnd::Died(format!(
                "the connection to the storage process failed: {error}"
            )),
            (None, Ok(ConnectionEnd::Closed | ConnectionEnd::Abandoned))
                if status.as_ref().is_ok_and(ExitStatus::success) =>
            {
                ProcessEnd::Ended
            }
            (None, Ok(ConnectionEnd::Closed | ConnectionEnd::Abandoned)) => {
                ProcessEnd::Died(match status {
                    Ok(status) => format!("the storage process ended unexpectedly ({status})"),
                    Err(error) => format!("cannot wait for the storage process: {error}"),
                })
            }
        }
    }

    /// Puts the first requests of a new process at the head of the backlog.
    fn begin(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        let again = self.was_running.then(|| state.backlog.last_sent());
        let file = state.file.clone();
        let begin =
            encode(&Request::Begin { again, file }, REQUEST_LIMIT).map_err(io::Error::other)?;
        let follow = state.follow.clone();
        state.backlog.restart([begin].into_iter().chain(follow));
        Ok(())
    }

    fn handle(&mut self, response: Response, failure: &mut Option<String>) {
        // The receiver may be gone.
        let send = |it| drop(self.milestones.send(it));
        match response {
            Response::Opened { detail } if self.was_running => {
                self.shared.state().detail = Some(detail);
            }
            Response::Opened { detail } => send(Milestone::Opened(detail)),
            Response::Following if self.was_running => {}
            Response::Following => {
                send(Milestone::Following);
                self.was_running = true;
            }
            Response::Stored { up_to } => self.shared.state().backlog.stored(up_to),
            Response::Reloaded { detail, log } => {
                log::reconfigure(log);
                let mut state = self.shared.state();
                state.detail = Some(detail);
                if let Some(file) = state.reloading.take() {
                    state.file = file;
                }
            }
            Response::Failed { sentence } => {
                *failure = Some(sentence.chars().take(MAX_REASON_CHARS).collect());
            }
        }
    }
}

impl ProcessEnd {
    fn reason(self) -> String {
        match self {
            Self::Ended => "the storage process ended without a request".to_owned(),
            Self::Failed(sentence) | Self::Died(sentence) => sentence,
            Self::TimedOut => {
                "the storage process did not end in time and was killed; the next start of gotrace marks running builds as cut off"
                    .to_owned()
            }
        }
    }
}
