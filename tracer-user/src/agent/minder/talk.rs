//! With one keeper: it is told what waits as fast as it hears, and what it answers is handed on.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Shared, Wish};
use crate::agent::pipe::{ANSWER_LIMIT, Answer, Frames};

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// Why there is nothing more to say.
pub(super) enum Over {
    Closed,
    LetGo,
    Late,
}

/// What was said and heard so far.
pub(super) struct Talk<'a> {
    socket: &'a UnixStream,
    shared: &'a Shared,
    answers: Frames,
    /// What of the word in hand is not told yet.
    word: Bytes,
    /// It hears nothing any more; what it said before may still come.
    is_deaf: bool,
}

impl<'a> Talk<'a> {
    pub(super) fn new(socket: &'a UnixStream, shared: &'a Shared) -> Self {
        Self {
            socket,
            shared,
            answers: Frames::new(ANSWER_LIMIT),
            word: Bytes::new(),
            is_deaf: false,
        }
    }

    /// Until one of both hangs up, or there is no time left.
    pub(super) fn go_on(&mut self, heed: &mut dyn FnMut(Answer)) -> io::Result<Over> {
        let mut room = vec![0; CHUNK];
        loop {
            let has_more = self.tell()?;
            let timeout = match self.shared.told().wish {
                Wish::GoOn => None,
                Wish::End(until) => Some(until.saturating_duration_since(Instant::now())),
                Wish::LetGo => return Ok(Over::LetGo),
            };
            if timeout.is_some_and(|it| it.is_zero()) {
                return Ok(Over::Late);
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
            match rustix::io::read(self.socket, &mut room) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(Over::Closed),
                Ok(n) => self.answers.feed(room.get(..n).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            while let Some(answer) = self.answers.next().map_err(io::Error::other)? {
                heed(answer);
            }
        }
    }

    /// Says as much as is heard without waiting. Returns whether there is more.
    fn tell(&mut self) -> io::Result<bool> {
        while !self.is_deaf {
            if self.word.is_empty() {
                let Some(next) = self.shared.told().backlog.next() else {
                    return Ok(false);
                };
                self.word = next;
            }
            match rustix::io::write(self.socket, &self.word) {
                Ok(n) => self.word.advance(n.min(self.word.len())),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => self.is_deaf = true,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }
}
