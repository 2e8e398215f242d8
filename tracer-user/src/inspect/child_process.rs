//! The parent of the children that read outputs. It starts a child for each file, waits for its answer, and survives any misbehaviour.
//!
//! A child is this same program, started from a descriptor that was opened at the start, so replacing the program's file does no harm.
//! The child inherits the file and the pipe for its answer, but no variable, no directory and no other descriptor. The parent
//! opens no output and reads none.
//!
//! If the file system of a file hangs, its child cannot be killed. The parent then stops waiting and reaps the child later.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use thiserror::Error;

use super::answer::{Answer, Found, LIMIT};
use super::child::{Task, WORD};
use crate::backoff::Backoff;
use crate::sandbox::Restrictions;

mod wait;

use self::wait::{Ending, ReaderChild};

/// Maximum time for one file, including the start of its child.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Time to wait for a killed child. A child that has not ended then is reaped later.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of unreaped children. There are as many as hanging file systems.
const MAX_UNREAPED: usize = 64;

/// The class of the reason why a child gave no answer.
#[derive(Debug, Error)]
pub enum ReaderError {
    #[error("cannot start its reader: {0}")]
    Unstarted(io::Error),
    #[error("{MAX_UNREAPED} readers of earlier files have not ended yet")]
    Crowded,
    #[error("cannot sandbox its reader: {0}")]
    Unsafe(String),
    #[error("reading it took longer than {} s", TIMEOUT.as_secs())]
    Late,
    #[error("its reader exceeded its CPU time limit")]
    Cpu,
    #[error("its reader exceeded its memory limit")]
    Memory,
    #[error("its reader made a forbidden system call and was killed")]
    Forbidden,
    #[error("its reader was killed by SIGKILL, which the kernel sends if memory is short")]
    Killed,
    #[error("its reader failed ({0})")]
    Failed(String),
    #[error("its reader gave an invalid answer")]
    Nonsense,
}

/// Starts a child for each file.
#[derive(Debug)]
pub struct ReaderSpawner {
    /// This program.
    program: OwnedFd,
    timeout: Duration,
    unreaped: Mutex<Vec<ReaderChild>>,
    cpu_ns: AtomicU64,
    n_lost: AtomicU64,
}

impl ReaderSpawner {
    /// Starts children from the current file of this program.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new("/proc/self/exe"))
    }

    /// Starts children from this gotrace.
    pub fn of(program: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(Self {
            program: openat(CWD, program, flags, Mode::empty())?,
            timeout: TIMEOUT,
            unreaped: Mutex::default(),
            cpu_ns: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
        })
    }

    #[cfg(test)]
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// CPU time of the children.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Children that ended without an answer.
    pub fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }

    /// The restrictions of a child on this machine.
    pub fn restrictions(&self) -> Result<Option<Restrictions>, ReaderError> {
        let nothing = File::open("/dev/null").map_err(ReaderError::Unstarted)?;
        self.answer(&nothing, 0, &Task::Identity)
            .map(|answer| answer.restrictions)
    }

    /// Lets a child read a file of that size.
    pub(super) fn ask(&self, file: &File, size: u64, task: &Task) -> Result<Found, ReaderError> {
        let answer = self.answer(file, size, task);
        let found = answer.and_then(|answer| match answer.found {
            Found::Unsafe(why) => Err(ReaderError::Unsafe(why)),
            found @ (Found::Identity(_)
            | Found::Anatomy(_)
            | Found::NoProgram
            | Found::Changed
            | Found::Unreadable(_)
            | Found::Unread(_)) => Ok(found),
        });
        if found.is_err() {
            self.n_lost.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn answer(&self, file: &File, size: u64, task: &Task) -> Result<Answer, ReaderError> {
        let until = Instant::now() + self.timeout;
        self.reap_earlier()?;
        let (pipe, child) = self
            .start(file, size, task)
            .map_err(ReaderError::Unstarted)?;
        let received = read_answer(&pipe, until);
        // Later output of the child is discarded.
        drop(pipe);
        let mut timeout = REAP_TIMEOUT;
        if received.is_err() {
            child.kill();
        } else {
            // The child has closed its end, or the kernel did during its exit. Under a load of hundreds of processes,
            // the exit takes seconds.
            timeout = timeout.max(until.saturating_duration_since(Instant::now()));
        }
        let ending = self.end(child, Instant::now() + timeout);
        let bytes = received?;
        let ending = ending.ok_or(ReaderError::Late)?;
        if ending == Ending::Exited(0) {
            Answer::believable(&bytes, size).ok_or(ReaderError::Nonsense)
        } else {
            Err(ending.into())
        }
    }

    fn start(&self, file: &File, size: u64, task: &Task) -> io::Result<(OwnedFd, ReaderChild)> {
        let (pipe, answer_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.arg0("gotrace").arg(WORD).arg(size.to_string());
        match task {
            Task::Identity => {}
            Task::Anatomy { sha256 } => {
                command.arg(sha256);
            }
        }
        let child = command
            .env_clear()
            .current_dir("/")
            // Keys at a terminal must not signal the child.
            .process_group(0)
            .stdin(file.try_clone()?)
            .stdout(answer_end)
            .stderr(Stdio::null())
            .spawn()?;
        Ok((pipe, ReaderChild::new(&child)?))
    }

    /// Waits for the end of a child. A child that does not end in time is reaped later.
    fn end(&self, child: ReaderChild, until: Instant) -> Option<Ending> {
        let longest = Duration::from_millis(20);
        let mut backoff = Backoff::new(Duration::from_micros(50), longest);
        loop {
            if let Some((ending, cpu_ns)) = child.reap() {
                self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
                return Some(ending);
            }
            if Instant::now() >= until {
                child.kill();
                self.unreaped().push(child);
                return None;
            }
            thread::sleep(backoff.failed(None));
        }
    }

    /// Reaps earlier children that have ended since.
    fn reap_earlier(&self) -> Result<(), ReaderError> {
        let mut left = self.unreaped();
        left.retain(|child| match child.reap() {
            Some((_, cpu_ns)) => {
                self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
                false
            }
            None => true,
        });
        if left.len() < MAX_UNREAPED {
            Ok(())
        } else {
            Err(ReaderError::Crowded)
        }
    }

    /// A panic of another thread leaves the list complete, so a poisoned lock is ignored.
    fn unreaped(&self) -> std::sync::MutexGuard<'_, Vec<ReaderChild>> {
        self.unreaped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the pipe until the other side closes it.
fn read_answer(pipe: &OwnedFd, until: Instant) -> Result<Vec<u8>, ReaderError> {
    let mut received = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| ReaderError::Late)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(ReaderError::Late),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(ReaderError::Unstarted(errno.into())),
        }
        match rustix::io::read(pipe, &mut chunk) {
            Ok(0) => return Ok(received),
            Ok(n) => received.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(ReaderError::Unstarted(errno.into())),
        }
        if received.len() > LIMIT {
            return Err(ReaderError::Nonsense);
        }
    }
}

impl From<Ending> for ReaderError {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exited(101) => Self::Failed("a panic".to_owned()),
            Ending::Exited(code) => Self::Failed(format!("exit code {code}")),
            Ending::Signalled(libc::SIGSYS) => Self::Forbidden,
            Ending::Signalled(libc::SIGXCPU) => Self::Cpu,
            // Only a failed allocation aborts.
            Ending::Signalled(libc::SIGABRT) => Self::Memory,
            Ending::Signalled(libc::SIGKILL) => Self::Killed,
            Ending::Signalled(signal) => Self::Failed(format!("signal {signal}")),
        }
    }
}
