//! Starts the storage process, which is the same program with the same arguments, and reaps it.
//!
//! The program is executed through a descriptor that was opened at startup. An upgrade can therefore replace the
//! program's file at any time, and both processes always run the same build.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::agent::{notify, storage};

/// Interval of the checks for the end of the process.
const POLL: Duration = Duration::from_millis(5);

/// The program and arguments of the storage process.
#[derive(Debug)]
pub(in crate::agent) struct Launch {
    program: OwnedFd,
    args: Vec<OsString>,
}

impl Launch {
    /// Uses the running program. `args` follow the hidden command.
    pub(in crate::agent) fn own(args: Vec<OsString>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let program = openat(CWD, "/proc/self/exe", flags, Mode::empty())?;
        Ok(Self { program, args })
    }

    /// Starts a storage process. Its standard input is a socket for both directions. The process inherits only stderr
    /// and the environment, which contains a part of the configuration.
    pub(super) fn start(&self) -> io::Result<(UnixStream, Child)> {
        let (ours, its) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .arg0("gotrace")
            .arg(storage::COMMAND)
            .args(&self.args)
            // Only the observer notifies the service manager.
            .env_remove(notify::VARIABLE)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .spawn()?;
        Ok((ours, child))
    }
}

/// Waits for the end of the process, and kills it after the timeout.
pub(super) fn reap(mut child: Child, timeout: Duration) -> io::Result<ExitStatus> {
    let until = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= until {
            child.kill()?;
            return child.wait();
        }
        thread::sleep(POLL);
    }
}
