//! Word from the kernel that a probed file is being changed.
//!
//! A program that is written over in place while a probe is on it dies of SIGILL: the kernel puts the breakpoint into the new bytes.
//! So its probes have to be off before, which `lease` sees to where it can, or at once, not at its next run.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// An inotify instance. The descriptor can be read once a watched file has changed.
pub(super) struct Watch(OwnedFd);

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(
            CreateFlags::CLOEXEC | CreateFlags::NONBLOCK,
        )?))
    }

    /// Watches an open file, whatever its name is now.
    pub(super) fn add(&self, file: &File) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let changes = WatchFlags::MODIFY
            // Whoever had it open for writing has it no longer: its probes can come back.
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        inotify::add_watch(&self.0, path, changes)?;
        Ok(())
    }

    /// Takes what is there to be read: which file it was is found by looking at all.
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
