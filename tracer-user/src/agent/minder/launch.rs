//! The keeper as a process: this very program, started with the words that this one was started with, and collected in the end.
//!
//! It is started from a descriptor that was opened at the beginning: replacing the program's file meanwhile does no harm, and both
//! parts are always of one build.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::agent::{keeper, notify};

/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// How a keeper is started.
#[derive(Debug)]
pub(in crate::agent) struct Launch {
    program: OwnedFd,
    args: Vec<OsString>,
}

impl Launch {
    /// As this program, with those words after the one that makes it a keeper.
    pub(in crate::agent) fn own(args: Vec<OsString>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let program = openat(CWD, "/proc/self/exe", flags, Mode::empty())?;
        Ok(Self { program, args })
    }

    /// Starts one; what is said goes through its standard input, in both directions. It inherits the environment, where part of the
    /// configuration is, and stderr, and nothing else.
    pub(super) fn start(&self) -> io::Result<(UnixStream, Child)> {
        let (ours, its) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let child = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))
            .arg0("gotrace")
            .arg(keeper::WORD)
            .args(&self.args)
            // Whoever waits for the service hears of it from us.
            .env_remove(notify::VARIABLE)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .spawn()?;
        Ok((ours, child))
    }
}

/// Waits so long for it to end, and then makes it.
pub(super) fn bury(mut child: Child, patience: Duration) -> io::Result<ExitStatus> {
    let until = Instant::now() + patience;
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
