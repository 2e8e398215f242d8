//! The connection to one storage process: sends the backlog as fast as the process reads it, and passes on its responses.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Shared, Shutdown};
use crate::agent::ipc::{Frames, RESPONSE_LIMIT, Response};

/// Size of the read buffer.
const CHUNK: usize = 16 << 10;

/// The reason for the end of a connection.
pub(super) enum ConnectionEnd {
    Closed,
    Abandoned,
    TimedOut,
}

/// The state of a connection.
pub(super) struct Connection<'a> {
    socket: &'a UnixStream,
    shared: &'a Shared,
    responses: Frames,
    /// The unsent rest of the current request.
    request: Bytes,
    /// True if the storage process no longer reads. Earlier responses may still arrive.
    is_write_closed: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(socket: &'a UnixStream, shared: &'a Shared) -> Self {
        Self {
            socket,
            shared,
            responses: Frames::new(RESPONSE_LIMIT),
            request: Bytes::new(),
            is_write_closed: false,
        }
    }

    /// Runs until either side closes the connection or the deadline passes.
    pub(super) fn run(&mut self, handle: &mut dyn FnMut(Response)) -> io::Result<ConnectionEnd> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let has_more = self.send()?;
            let timeout = match self.shared.state().shutdown {
                Shutdown::NotRequested => None,
                Shutdown::Drain(until) => Some(until.saturating_duration_since(Instant::now())),
                Shutdown::Abandon => return Ok(ConnectionEnd::Abandoned),
            };
            if timeout.is_some_and(|it| it.is_zero()) {
                return Ok(ConnectionEnd::TimedOut);
            }
            let timeout = timeout
                .map(Timespec::try_from)
                .transpose()
                .map_err(io::Error::other)?;
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, has_more);
            let mut both = [
                PollFd::new(self.socket, wanted),
                PollFd::new(&self.shared.wakeup, PollFlags::IN),
            ];
            match poll(&mut both, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.shared.wakeup.clear();
            match rustix::io::read(self.socket, &mut buffer) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(ConnectionEnd::Closed),
                Ok(n) => self.responses.feed(buffer.get(..n).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            while let Some(response) = self.responses.next().map_err(io::Error::other)? {
                handle(response);
            }
        }
    }

    /// Sends as much as possible without waiting. Returns true if data is left.
    fn send(&mut self) -> io::Result<bool> {
        while !self.is_write_closed {
            if self.request.is_empty() {
                let Some(next) = self.shared.state().backlog.next() else {
                    return Ok(false);
                };
                self.request = next;
            }
            match rustix::io::write(self.socket, &self.request) {
                Ok(n) => self.request.advance(n.min(self.request.len())),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => self.is_write_closed = true,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }
}
