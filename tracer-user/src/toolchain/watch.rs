//! Notifications from the kernel that a probed file is changing.
//!
//! If a program is overwritten in place while it is probed, the kernel writes the breakpoint into the new bytes, and the program is killed
//! by SIGILL. Its probes must therefore be detached before the write, which `lease` ensures where it can, or at once, not at its next run.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// An inotify instance. The descriptor becomes readable when a watched file has changed.
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(
            CreateFlags::CLOEXEC | CreateFlags::NONBLOCK,
        )?))
    }

    /// Watches an open file, independent of its current name.
    pub(super) fn add(&self, file: &File) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let changes = WatchFlags::MODIFY
            // The last writer has closed the file, so it can be probed again.
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&self.0, path, changes)?;
        Ok(())
    }

    /// Reads and discards all notifications; the caller checks all files.
    pub(super) fn clear(&self) {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut room);
        while reader.next().is_ok() {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
