//! The parent of the children that read outputs: starts one for each file, waits for its answer, and outlives it whatever it does.
//!
//! A child is this very program, started from a descriptor that was opened at the beginning: replacing the program's file meanwhile
//! does no harm. It inherits the file, the pipe for its answer, and nothing else: no variable, no directory, no other descriptor.
//! Its parent opens no output and reads none.
//!
//! A child that cannot be killed, because the file system under its file does not answer, is left behind and collected later.

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
use crate::sandbox::Restrictions;

mod wait;

use self::wait::{ReaderChild, Ending};

/// Longest time that one file may take, its child's start included.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long a child is waited for that was killed. One that has not ended then is left behind.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);
/// Children left behind at most. There are as many as file systems that do not answer.
const MAX_UNREAPED: usize = 64;

/// Why a child gave no answer, as a class: what was on its mind nobody can tell.
#[derive(Debug, Error)]
pub enum ReaderError {
    #[error("its reader could not be started: {0}")]
    Unstarted(io::Error),
    #[error("{MAX_UNREAPED} readers of earlier files have not ended yet")]
    Crowded,
    #[error("its reader could not be shut in: {0}")]
    Unsafe(String),
    #[error("reading it took longer than {} s", TIMEOUT.as_secs())]
    Late,
    #[error("reading it took more processor time than it may")]
    Cpu,
    #[error("its reader ran out of the memory that it may have")]
    Memory,
    #[error("its reader did what it may not do, and was ended")]
    Forbidden,
    #[error("its reader was killed, as the kernel does where memory is short")]
    Killed,
    #[error("its reader failed ({0})")]
    Failed(String),
    #[error("its reader gave no answer that can be true")]
    Nonsense,
}

/// Starts children, one for each file.
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
    /// Whose children are this program, as it is now.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new("/proc/self/exe"))
    }

    /// Whose children are that gotrace.
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

    /// Processor time that the children have used.
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Children that ended without an answer.
    pub fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }

    /// What walls there are around a child on this machine.
    pub fn restrictions(&self) -> Result<Option<Restrictions>, ReaderError> {
        let nothing = File::open("/dev/null").map_err(ReaderError::Unstarted)?;
        self.answer(&nothing, 0, &Task::Identity)
            .map(|answer| answer.restrictions)
    }

    /// Has a file of that size read.
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
        self.reap_leftover()?;
        let (pipe, child) = self.start(file, size, task).map_err(ReaderError::Unstarted)?;
        let received = read_answer(&pipe, until);
        // What it still writes goes nowhere.
        drop(pipe);
        let mut timeout = REAP_TIMEOUT;
        if received.is_err() {
            child.kill();
        } else {
            // It closed its end, as the kernel does for it on its way out. Where hundreds want the processor that way takes seconds.
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
            // What is typed at a terminal is not meant for it.
            .process_group(0)
            .stdin(file.try_clone()?)
            .stdout(answer_end)
            .stderr(Stdio::null())
            .spawn()?;
        Ok((pipe, ReaderChild::new(&child)?))
    }

    /// Waits for its end; if it does not come, it is looked after later.
    fn end(&self, child: ReaderChild, until: Instant) -> Option<Ending> {
        let mut pause = Duration::from_micros(50);
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
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Collects children that were left behind and have ended since.
    fn reap_leftover(&self) -> Result<(), ReaderError> {
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

    /// A panic elsewhere while it was held leaves a list that is whole.
    fn unreaped(&self) -> std::sync::MutexGuard<'_, Vec<ReaderChild>> {
        self.unreaped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that comes through the pipe until the other side closes it.
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
            // An allocation that fails aborts, and nothing else that it does.
            Ending::Signalled(libc::SIGABRT) => Self::Memory,
            Ending::Signalled(libc::SIGKILL) => Self::Killed,
            Ending::Signalled(signal) => Self::Failed(format!("signal {signal}")),
        }
    }
}
