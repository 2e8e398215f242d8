//! Starts the command of `gotrace run` as a shell would, but suspends it before its first instruction until probes are attached.
//!
//! The input is a [`Plan`]: the command and its user. [`Plan::hold`] creates the process, [`Held::release`] lets it execute the command,
//! and [`Running`] reports its end. The child keeps gotrace's standard streams, terminal, process group, working directory, limits, signal
//! mask and dispositions. This module does not trace, and the end of gotrace never ends a running command.
pub mod caller;
mod fork;
mod inherited;
mod search;
pub mod signal;

use std::ffi::{CString, NulError, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use thiserror::Error;
use tracer_core::event::{Status, Tgid};

use self::caller::Caller;
use self::fork::{Image, Stage};
use crate::proc;

/// The command to run, and its user.
#[derive(Debug)]
pub struct Plan {
    name: OsString,
    image: Image,
}

/// A process that has not executed its command yet. It waits for [`Held::release`]; without a release, it ends.
#[derive(Debug)]
pub struct Held {
    name: OsString,
    pid: Pid,
    /// The gate pipe and the verdict pipe; `None` after the process was released.
    child: Option<(OwnedFd, File)>,
}

/// The running command.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
}

/// A change of the command's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Ended(Status),
    /// Stopped by this signal, until a process continues it.
    Stopped(i32),
}

/// The command did not start.
#[derive(Debug, Error)]
pub enum LaunchError {
    #[error("cannot run {}: {}", .name.display(), describe(*.errno))]
    Exec { name: OsString, errno: i32 },
    #[error("cannot change to the user who called sudo ({what}): {} (with --as-root the command runs as root)", io::Error::from_raw_os_error(*.errno))]
    Identity { what: &'static str, errno: i32 },
    #[error("cannot run the command: an argument or an environment variable contains a NUL byte")]
    Nul(#[source] NulError),
    #[error("cannot create a process for the command")]
    Process(#[source] io::Error),
}

impl LaunchError {
    /// Exit code by the convention of env(1): 127 if the command does not exist, 126 if it cannot be executed, 125 if gotrace itself
    /// failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exec { errno, .. } if *errno == libc::ENOENT => 127,
            Self::Exec { .. } => 126,
            Self::Identity { .. } | Self::Nul(_) | Self::Process(_) => 125,
        }
    }
}

impl Plan {
    /// A plan to run `name` with `args`. With a `caller`, the command runs as this user and in this user's environment.
    pub fn new(
        name: &OsStr,
        args: &[OsString],
        caller: Option<&Caller>,
    ) -> Result<Self, LaunchError> {
        let env: Vec<(OsString, OsString)> = match caller {
            Some(caller) => caller.env.clone(),
            None => std::env::vars_os().collect(),
        };
        let path = env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value.as_os_str());
        let image = Image {
            candidates: c_strings(
                search::candidates(name, path)
                    .into_iter()
                    .map(OsString::into_vec),
            )?,
            argv: c_strings(
                std::iter::once(name)
                    .chain(args.iter().map(OsString::as_os_str))
                    .map(|arg| arg.as_bytes().to_vec()),
            )?,
            env: c_strings(
                env.iter()
                    .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()),
            )?,
            identity: caller.map(|caller| caller.identity.clone()),
        };
        Ok(Self {
            name: name.to_owned(),
            image,
        })
    }

    /// Creates the process. Must be called while this process has only one thread.
    pub fn hold(self) -> Result<Held, LaunchError> {
        let fork::Child { pid, gate, verdict } =
            fork::hold(&self.image).map_err(LaunchError::Process)?;
        Ok(Held {
            name: self.name,
            pid,
            child: Some((gate, verdict)),
        })
    }
}

impl Held {
    /// The process that will execute the command.
    pub fn tgid(&self) -> Tgid {
        tgid(self.pid)
    }

    /// Lets the process execute the command. Waits until the exec has succeeded or failed.
    pub fn release(mut self) -> Result<Running, LaunchError> {
        let pid = self.pid;
        let Some((gate, mut verdict)) = self.child.take() else {
            return Err(LaunchError::Process(io::Error::other(
                "the process was already released",
            )));
        };
        // The write fails if the suspended child was killed. Its exit status reports that, as for any command.
        let _killed_already = File::from(gate).write_all(&[fork::GO]);
        let mut failure = [0; fork::FAILURE_LEN];
        if verdict.read_exact(&mut failure).is_err() {
            // End of file: a successful exec has closed the pipe.
            return Ok(Running { pid });
        }
        reap(pid);
        let (stage, errno) = fork::failure(failure);
        Err(match stage {
            Stage::Exec => LaunchError::Exec {
                name: std::mem::take(&mut self.name),
                errno,
            },
            Stage::Groups => LaunchError::Identity {
                what: "groups",
                errno,
            },
            Stage::Gid => LaunchError::Identity {
                what: "group id",
                errno,
            },
            Stage::Uid => LaunchError::Identity {
                what: "user id",
                errno,
            },
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((gate, _verdict)) = self.child.take() {
            drop(gate);
            reap(self.pid);
        }
    }
}

impl Running {
    pub fn tgid(&self) -> Tgid {
        tgid(self.pid)
    }

    /// Returns a change of the command's state since the last call, without waiting.
    pub fn change(&self) -> io::Result<Option<Change>> {
        let waited = loop {
            match waitpid(Some(self.pid), WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        Ok(waited
            .map(|(_, status)| change(status))
            .transpose()?
            .flatten())
    }

    /// Waits until the command ends.
    pub fn wait(&self) -> io::Result<Status> {
        loop {
            let waited = match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if let Some(Change::Ended(status)) = waited
                .map(|(_, status)| change(status))
                .transpose()?
                .flatten()
            {
                return Ok(status);
            }
        }
    }

    /// True if the command is stopped now.
    pub fn is_stopped(&self) -> bool {
        proc::stat(self.tgid()).is_some_and(|stat| stat.state == b'T')
    }

    /// True if process `tgid` is the command or one of its descendants.
    pub fn is_self_or_ancestor_of(&self, tgid: Tgid) -> bool {
        proc::ancestors(tgid).any(|ancestor| ancestor == self.tgid())
    }

    /// Sends the command a signal. A command that has just ended is not an error.
    pub fn kill(&self, signal: Signal) {
        let _ended = kill_process(self.pid, signal);
    }
}

fn change(status: WaitStatus) -> io::Result<Option<Change>> {
    if let Some(signal) = status.stopping_signal() {
        return Ok(Some(Change::Stopped(signal)));
    }
    let ended = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code).map(Status::Code),
        (None, Some(signal)) => u8::try_from(signal).map(Status::Signal),
        (None, None) => return Ok(None),
    };
    ended
        .map(|status| Some(Change::Ended(status)))
        .map_err(io::Error::other)
}

fn tgid(pid: Pid) -> Tgid {
    Tgid(pid.as_raw_nonzero().get().unsigned_abs())
}

fn reap(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) = waitpid(Some(pid), WaitOptions::empty()) {}
}

fn describe(errno: i32) -> String {
    match errno {
        libc::ENOENT => "no such command".to_owned(),
        libc::EACCES => "not executable by this user".to_owned(),
        errno => io::Error::from_raw_os_error(errno).to_string(),
    }
}

fn c_strings(texts: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, LaunchError> {
    texts
        .map(|text| CString::new(text).map_err(LaunchError::Nul))
        .collect()
}
