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
use crate::backoff::Backoff;
use crate::sandbox::Walls;

mod remains;

use self::remains::{Child, Ending};

/// Longest time that one file may take, its child's start included.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a child is waited for that was killed. One that has not ended then is left behind.
const BURIAL: Duration = Duration::from_secs(1);
/// Children left behind at most. There are as many as file systems that do not answer.
const LEFT: usize = 64;

/// Why a child gave no answer, as a class: what was on its mind nobody can tell.
#[derive(Debug, Error)]
pub enum Lost {
    #[error("its reader could not be started: {0}")]
    Unstarted(io::Error),
    #[error("{LEFT} readers of earlier files have not ended yet")]
    Crowded,
    #[error("its reader could not be shut in: {0}")]
    Unsafe(String),
    #[error("reading it took longer than {} s", PATIENCE.as_secs())]
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
pub struct Analyser {
    /// This program.
    program: OwnedFd,
    patience: Duration,
    left: Mutex<Vec<Child>>,
    cpu_ns: AtomicU64,
    n_lost: AtomicU64,
}

impl Analyser {
    /// Whose children are this program, as it is now.
    pub fn own() -> io::Result<Self> {
        Self::of(Path::new("/proc/self/exe"))
    }

    /// Whose children are that gotrace.
    pub fn of(program: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(Self {
            program: openat(CWD, program, flags, Mode::empty())?,
            patience: PATIENCE,
            left: Mutex::default(),
            cpu_ns: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
        })
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
    pub fn walls(&self) -> Result<Option<Walls>, Lost> {
        let nothing = File::open("/dev/null").map_err(Lost::Unstarted)?;
        self.answer(&nothing, 0, &Task::Identity)
            .map(|answer| answer.walls)
    }

    /// Has a file of that size read.
    pub(super) fn ask(&self, file: &File, size: u64, task: &Task) -> Result<Found, Lost> {
        let answer = self.answer(file, size, task);
        let found = answer.and_then(|answer| match answer.found {
            Found::Unsafe(why) => Err(Lost::Unsafe(why)),
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

    fn answer(&self, file: &File, size: u64, task: &Task) -> Result<Answer, Lost> {
        let until = Instant::now() + self.patience;
        self.bury()?;
        let (pipe, child) = self.start(file, size, task).map_err(Lost::Unstarted)?;
        let told = listen(&pipe, until);
        // What it still writes goes nowhere.
        drop(pipe);
        let mut patience = BURIAL;
        if told.is_err() {
            child.kill();
        } else {
            // It closed its end, as the kernel does for it on its way out. Where hundreds want the processor that way takes seconds.
            patience = patience.max(until.saturating_duration_since(Instant::now()));
        }
        let ending = self.end(child, Instant::now() + patience);
        let bytes = told?;
        let ending = ending.ok_or(Lost::Late)?;
        if ending == Ending::Exited(0) {
            Answer::believable(&bytes, size).ok_or(Lost::Nonsense)
        } else {
            Err(ending.into())
        }
    }

    fn start(&self, file: &File, size: u64, task: &Task) -> io::Result<(OwnedFd, Child)> {
        let (pipe, to_us) = pipe_with(PipeFlags::CLOEXEC)?;
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
            .stdout(to_us)
            .stderr(Stdio::null())
            .spawn()?;
        Ok((pipe, Child::new(&child)?))
    }

    /// Waits for its end; if it does not come, it is looked after later.
    fn end(&self, child: Child, until: Instant) -> Option<Ending> {
        let longest = Duration::from_millis(20);
        let mut backoff = Backoff::new(Duration::from_micros(50), longest);
        loop {
            if let Some((ending, cpu_ns)) = child.reap() {
                self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
                return Some(ending);
            }
            if Instant::now() >= until {
                child.kill();
                self.left().push(child);
                return None;
            }
            thread::sleep(backoff.failed(None));
        }
    }

    /// Collects children that were left behind and have ended since.
    fn bury(&self) -> Result<(), Lost> {
        let mut left = self.left();
        left.retain(|child| match child.reap() {
            Some((_, cpu_ns)) => {
                self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
                false
            }
            None => true,
        });
        if left.len() < LEFT {
            Ok(())
        } else {
            Err(Lost::Crowded)
        }
    }

    /// A panic elsewhere while it was held leaves a list that is whole.
    fn left(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that comes through the pipe until the other side closes it.
fn listen(pipe: &OwnedFd, until: Instant) -> Result<Vec<u8>, Lost> {
    let mut told = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Lost::Late)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(Lost::Late),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Lost::Unstarted(errno.into())),
        }
        match rustix::io::read(pipe, &mut chunk) {
            Ok(0) => return Ok(told),
            Ok(n) => told.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Lost::Unstarted(errno.into())),
        }
        if told.len() > LIMIT {
            return Err(Lost::Nonsense);
        }
    }
}

impl From<Ending> for Lost {
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
