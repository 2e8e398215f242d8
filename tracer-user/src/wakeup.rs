//! Wakes a polling loop from another thread, by a descriptor that is readable until it is cleared.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustix::event::{EventfdFlags, eventfd};

/// A descriptor that is readable from a call of `wake` until a call of `clear`.
#[derive(Clone, Debug)]
pub(crate) struct Wakeup(Arc<OwnedFd>);

impl Wakeup {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Clears the descriptor. The loop calls this before it receives: a later sender wakes it again.
    pub(crate) fn clear(&self) {
        // The read fails if no thread called `wake`.
        let _none = rustix::io::read(&self.0, &mut [0; 8]);
    }

    pub(crate) fn wake(&self) {
        // The write fails only if the counter is full of earlier calls.
        let _awake = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends, and wakes the loop that receives.
#[derive(Debug)]
pub(crate) struct Notifier<T> {
    sender: Sender<T>,
    wakeup: Wakeup,
}

impl<T> Notifier<T> {
    pub(crate) fn new(sender: Sender<T>, wakeup: &Wakeup) -> Self {
        let wakeup = wakeup.clone();
        Self { sender, wakeup }
    }

    pub(crate) fn notify(&self, it: T) {
        // The send fails if the loop has ended.
        let _gone = self.sender.send(it);
        self.wakeup.wake();
    }
}

impl<T> Clone for Notifier<T> {
    fn clone(&self) -> Self {
        Self::new(self.sender.clone(), &self.wakeup)
    }
}
