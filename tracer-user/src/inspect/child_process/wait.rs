//! A child process by its process ID: kills it, and reaps it without blocking. Reports its CPU time.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::{Pid, Signal, WaitOptions, kill_process};

/// A child that is not reaped yet, so no other process can have its process ID.
#[derive(Debug)]
pub(super) struct ReaderChild {
    pid: Pid,
}

/// The end of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Exited(i32),
    Signalled(i32),
}

impl ReaderChild {
    /// Takes a child that nothing else reaps.
    pub(super) fn new(child: &std::process::Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.map(|pid| Self { pid })
            .ok_or_else(|| io::Error::other("a child without a process ID"))
    }

    pub(super) fn kill(&self) {
        // The child may have ended already.
        let _ended = kill_process(self.pid, Signal::KILL);
    }

    /// The exit status of the child and its CPU time in ns, if it has ended. Must not be called again after that.
    pub(super) fn reap(&self) -> Option<(Ending, u64)> {
        let mut status = 0;
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        let options = WaitOptions::NOHANG.bits().cast_signed();
        // SAFETY: both pointers are to writable memory of the right types, for the time of the call.
        let pid = unsafe {
            libc::wait4(
                self.pid.as_raw_nonzero().get(),
                ptr::from_mut(&mut status),
                options,
                usage.as_mut_ptr(),
            )
        };
        if pid == 0 {
            return None;
        }
        // SAFETY: all bytes were zero before the kernel filled it in, which is a value of that plain C struct.
        let usage = unsafe { usage.assume_init() };
        let cpu_ns = ns(usage.ru_utime).saturating_add(ns(usage.ru_stime));
        let ending = if pid > 0 && libc::WIFSIGNALED(status) {
            Ending::Signalled(libc::WTERMSIG(status))
        } else {
            // If another part of the program reaped the child, its exit status is unknown.
            Ending::Exited(if pid > 0 {
                libc::WEXITSTATUS(status)
            } else {
                -1
            })
        };
        Some((ending, cpu_ns))
    }
}

fn ns(time: libc::timeval) -> u64 {
    let [seconds, micros] = [time.tv_sec, time.tv_usec].map(|it| u64::try_from(it).unwrap_or(0));
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(micros.saturating_mul(1_000))
}
