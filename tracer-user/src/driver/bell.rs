//! How threads that read say that they have something: a descriptor that the loop polls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustix::event::{EventfdFlags, eventfd};

/// Readable from when somebody rings until it is silenced.
#[derive(Clone, Debug)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Before what was said is taken: whoever speaks after this rings again.
    pub(super) fn silence(&self) {
        let _silent = rustix::io::read(&self.0, &mut [0; 8]);
    }

    fn ring(&self) {
        // Full means that it is ringing already.
        let _ringing = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where a thread says what it found.
#[derive(Debug)]
pub(super) struct Mouth<T> {
    tell: Sender<T>,
    bell: Bell,
}

impl<T> Mouth<T> {
    pub(super) fn new(tell: Sender<T>, bell: &Bell) -> Self {
        let bell = bell.clone();
        Self { tell, bell }
    }

    pub(super) fn say(&self, word: T) {
        // Nobody listens any more when the driver has ended.
        let _gone = self.tell.send(word);
        self.bell.ring();
    }
}

impl<T> Clone for Mouth<T> {
    fn clone(&self) -> Self {
        Self::new(self.tell.clone(), &self.bell)
    }
}
